# SPDX-License-Identifier: Apache-2.0
"""Who may ask, what is answered, and that nothing that is asked breaks the server."""

import http.client
import json
import random
import socket

import pytest

from sgatlin.errors import UserError
from sgatlin.explore.serve import address, listening, own_names
from sgatlin.explore.server import MOST_BYTES, TOKEN_HEADER
from tests.explore.serving import Served, serving

OF = {"text": "The turtle was slow."}


@pytest.fixture(scope="module")
def served(explorer):
    with serving(explorer) as served:
        yield served


def test_every_question_of_the_page_is_answered(served):
    there = {"of": OF, "position": 2}
    for name, body in {
        "model": {},
        "text": {"of": OF},
        "gates": {**there, "layer": 1},
        "near": {**there, "layer": 1, "channel": None, "k": 3},
        "place": {**there, "layer": 1},
        "map": {"layer": 0},
        "logits": there,
        "neuron": {"layer": 0, "channel": 0, "neuron": 1},
        "changed": {**there, "edits": []},
    }.items():
        answered = served.ask(f"/api/{name}", body)
        assert answered.status == 200, answered.body
        assert "error" not in answered.json or name == "logits"
        assert answered.headers["content-type"] == "application/json"


def test_headers_let_the_page_load_only_its_own(served):
    headers = served.ask("/api/model", {}).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({TOKEN_HEADER: ""}, "token"),
        ({TOKEN_HEADER: "secre"}, "token"),
        ({"Origin": "http://example.org"}, "another page"),
        ({"Origin": "null"}, "another page"),
        ({"Host": "example.org"}, "own address"),
        ({"Host": "127.0.0.1:1"}, "own address"),
    ],
)
def test_only_the_page_itself_may_ask(served, headers, says):
    answered = served.ask("/api/model", {}, headers=headers)
    assert answered.status == 403
    assert says in answered.json["error"]


def test_the_page_needs_the_token_too(served):
    assert served.ask("/", method="GET").status == 403
    assert served.ask("/?token=guess", method="GET").status == 403


def test_its_own_origin_may_ask(served):
    headers = {"Origin": f"http://127.0.0.1:{served.port}"}
    assert served.ask("/api/model", {}, headers=headers).status == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/api/nothing", {}, 404, "there are"),
        ("/api/text", {"of": {}}, 400, "of"),
        ("/api/text", {"of": {"text": ""}}, 400, "of"),
        ("/api/text", {"of": OF, "more": 1}, 400, "more"),
        ("/api/text", {"of": {"text": "word " * 3000}}, 400, "context"),
        ("/api/text", b"{", 400, "JSON"),
        ("/api/text", b"[" * 50_000, 400, ""),
        ("/api/text", b"\xff\xfe", 400, ""),
        ("/api/text", b" " * (MOST_BYTES + 1), 413, "bytes"),
        ("/api/gates", {"of": OF, "position": "2", "layer": 0}, 400, "position"),
        ("/api/gates", {"of": OF, "position": 2, "layer": 10**30}, 400, "layer"),
        ("/api/gates", {"of": OF, "position": 2, "layer": -1}, 400, "layer"),
        ("/api/near", {"of": OF, "position": 2, "layer": 0, "k": 10**6}, 400, "k"),
        ("/api/changed", {"of": OF, "position": 2, "edits": [{"kind": "x"}]}, 400, "edits"),
        ("/api/text", {"of": {"sequence": 2**30}}, 400, "no sequence"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(served, path, body, status, says):
    answered = served.ask(path, body)
    assert answered.status == status
    assert says in answered.json["error"]
    assert "\n" not in answered.json["error"]


def test_other_methods_and_types_are_refused(served):
    assert served.ask("/api/model", {}, method="PUT").status == 405
    assert served.ask("/api/model", method="GET").status == 405
    assert served.ask("/api/model", {}, headers={"Content-Type": "text/plain"}).status == 415


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../explorer.py",
        "/assets/..%2f..%2fexplorer.py",
        "/assets/%2e%2e/%2e%2e/pyproject.toml",
        "//etc/passwd",
        "/assets//etc/passwd",
        "/../../etc/passwd",
        "/assets/explorer.js%00.css",
    ],
)
def test_no_other_file_is_served(served, path):
    answered = served.ask(path, method="GET")
    assert answered.status in (400, 404)
    assert b"root:" not in answered.body
    assert b"import" not in answered.body


def test_paths_of_this_machine_are_not_told(served, explorer, monkeypatch):
    def damaged(layer):
        raise UserError(f"{explorer.index.record.path}/gates-00000.parquet is damaged")

    monkeypatch.setattr(explorer.index, "counts", damaged)
    answered = served.ask("/api/neuron", {"layer": 0, "channel": 0, "neuron": 1})
    assert answered.status == 400
    assert answered.json["error"] == "the record/gates-00000.parquet is damaged"


def test_five_hundred_hostile_requests_break_nothing(served):
    rng = random.Random(0)
    statuses = [hostile(served, rng) for _ in range(500)]
    assert all(status is None or 200 <= status < 500 for status in statuses)
    assert sum(status is not None and status >= 400 for status in statuses) > 250
    assert served.ask("/api/text", {"of": OF}).status == 200


NAMES = ("model", "text", "gates", "near", "map", "place", "logits", "neuron", "changed")
TEXTS = (
    "<script>alert(1)</script>",
    "'; DROP TABLE runs; --",
    "../../../../etc/passwd",
    "\x00\x1b[2J\r\n\r\nHTTP/1.1 200 OK",
    "\u202e\ufffe\U0010ffff",
    "\ud800",
    "{{7*7}}${7*7}%s%n",
    "a" * 19_000,
    "",
)
NUMBERS = (0, 1, -1, 2**31 - 1, 2**63, -(2**63), 1e308, 10**400, 1.5, True, None, "1", [], {})


def hostile(served: Served, rng: random.Random) -> int | None:
    """One request that nobody should send; its status, or None if it got no answer."""
    if rng.random() < 0.1:
        return raw(served, rng)
    body: object = {
        "of": rng.choice([{"text": rng.choice(TEXTS)}, {"sequence": rng.choice(NUMBERS)}, OF]),
        **{name: rng.choice(NUMBERS) for name in ("position", "layer", "channel", "neuron", "k")},
        "edits": [edit(rng) for _ in range(rng.randrange(20))],
    }
    assert isinstance(body, dict)
    for name in rng.sample(sorted(body), rng.randrange(len(body))):
        del body[name]
    sent = json.dumps(body).encode()
    if rng.random() < 0.3:  # bytes changed, cut off, or said twice
        at = rng.randrange(len(sent) + 1)
        sent = rng.choice(
            [sent[:at], sent + sent, sent[:at] + rng.randbytes(8) + sent[at:], b"[" * 60_000]
        )
    path = rng.choice([f"/api/{rng.choice(NAMES)}", "/api/../", "/api/%2e%2e/x", "/api/model/x"])
    return served.ask(path, sent).status


def edit(rng: random.Random) -> object:
    number = lambda: rng.choice(NUMBERS)  # noqa: E731
    return rng.choice(
        [
            {
                "kind": "scale",
                "layer": number(),
                "channel": number(),
                "neuron": number(),
                "factor": number(),
            },
            {"kind": "patch", "to": number(), "layers": number(), "from": {"row": number()}},
            {"kind": "patch", "to": 1, "from": {"of": OF, "position": number()}},
            {"kind": rng.choice(TEXTS)},
            number(),
        ]
    )


def raw(served: Served, rng: random.Random) -> int | None:
    """Bytes that are hardly HTTP."""
    lines = rng.choice(
        [
            b"GET / HTTP/9.9\r\n\r\n",
            b"POST /api/text HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
            b"POST /api/text HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{}",
            b"POST /api/text HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n",
            b"\x16\x03\x01" + rng.randbytes(64),
            b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        ]
    )
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(lines)
        connection.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(connection)
        try:
            answer.begin()
        except (OSError, http.client.HTTPException):
            return None
        return answer.status


def test_addresses_are_those_a_browser_opens():
    assert address("127.0.0.1", 80) == "http://127.0.0.1:80"
    assert address("::1", 80) == "http://[::1]:80"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_names_of_this_machine_are_its_own(host):
    names = own_names(host, 80)
    assert names is not None
    assert {"127.0.0.1:80", "localhost:80", "[::1]:80"} <= names


def test_where_others_are_let_in_they_may_use_any_name():
    assert own_names("0.0.0.0", 80) is None


def test_a_port_that_is_taken_is_told():
    with listening("127.0.0.1", 0) as taken, pytest.raises(UserError, match="choose another"):
        listening("127.0.0.1", taken.getsockname()[1]).__enter__()


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("127.0.0.1", 10**6)])
def test_an_address_that_is_none_is_told(host, port):
    with pytest.raises(UserError, match="cannot listen"):
        listening(host, port).__enter__()
