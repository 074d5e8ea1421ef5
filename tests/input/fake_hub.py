# SPDX-License-Identifier: Apache-2.0
"""A hub on this machine: as much of its interface as listing and downloading ask for."""

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

_PAGE = 2


@dataclass
class Repo:
    """A repository, the same files at each of its commits; `broken` files answer 500."""

    files: dict[str, bytes]
    branches: dict[str, str]
    gated: bool = False
    broken: set[str] = field(default_factory=set)


@dataclass
class FakeHub:
    """The server: its repositories by `datasets/OWNER/NAME` or `models/OWNER/NAME`.

    `log` has the requests so far, such as "GET api/datasets/o/n/tree/main".
    """

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def downloads(self) -> list[str]:
        """The files that were sent, in order of their names."""
        return sorted(
            line.partition("/resolve/")[2].partition("/")[2]
            for line in self.log
            if line.startswith("GET") and "/resolve/" in line
        )


@contextlib.contextmanager
def serve(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub that `huggingface_hub` in this process talks to, with a cache of its own."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    use_hub(hub.url, cache, monkeypatch)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def use_hub(url: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT and HF_HUB_CACHE do when `huggingface_hub` is imported."""
    from huggingface_hub import close_session, constants
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()  # they are on stderr too, where tests look for one line
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # It tries again five times, after 1, 2, 4 and 8 seconds: here without the waiting.
    hasty = SimpleNamespace(time=time.time, sleep=lambda seconds: None)
    monkeypatch.setattr("huggingface_hub.utils._http.time", hasty)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", "")
    close_session()  # it was made for the proxies of before


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self) -> None:
            url = urlsplit(self.path)
            path = unquote(url.path).strip("/")
            hub.log.append(f"{self.command} {path}")
            self._route(path, int(parse_qs(url.query).get("cursor", ["0"])[0]))

        def _route(self, path: str, cursor: int) -> None:
            api = path.startswith("api/")
            path = path.removeprefix("api/")
            if not path.startswith(("datasets/", "models/")):
                path = f"models/{path}"
            kind, owner, name, *rest = path.split("/")
            action, revision, *inside = rest or ("revision", "main")
            repo = hub.repos.get(f"{kind}/{owner}/{name}")
            if repo is None:
                return self._refuse(404, "RepoNotFound")
            commit = repo.branches.get(revision, revision)
            if commit not in repo.branches.values():
                return self._refuse(404, "RevisionNotFound")
            if api and action == "revision":
                return self._send_json({"id": f"{owner}/{name}", "sha": commit})
            if api and action == "tree":
                return self._send_tree(repo, path, cursor)
            return self._send_file(repo, commit, "/".join(inside))

        def _send_tree(self, repo: Repo, path: str, cursor: int) -> None:
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": _etag(content)}
                for name, content in repo.files.items()
            ]
            page = cursor + _PAGE
            link = f'<{hub.url}/api/{path}?recursive=true&cursor={page}>; rel="next"'
            more = {"Link": link} if page < len(entries) else {}
            self._send_json(entries[cursor:page], more)

        def _send_file(self, repo: Repo, commit: str, name: str) -> None:
            if repo.gated:
                return self._refuse(403, "GatedRepo")
            if name not in repo.files:
                return self._refuse(404, "EntryNotFound", {"X-Repo-Commit": commit})
            if name in repo.broken:
                return self._refuse(500, "")
            content = repo.files[name]
            self._send(200, content, {"ETag": f'"{_etag(content)}"', "X-Repo-Commit": commit})

        def _send_json(self, content: object, headers: dict[str, str] | None = None) -> None:
            self._send(200, json.dumps(content).encode(), headers or {})

        def _refuse(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
            self._send(status, b"", {"X-Error-Code": code} | (headers or {}))

        def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

    return Handler


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
