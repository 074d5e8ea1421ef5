# SPDX-License-Identifier: Apache-2.0
"""What the page is told is what the analyses compute, and what the model does."""

import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sgatlin.circuits.attribution import attribute
from sgatlin.circuits.contexts import strongest
from sgatlin.circuits.neighbour_table import find, typed
from sgatlin.explore import requests as ask
from sgatlin.explore.errors import BadRequest
from sgatlin.explore.reading import Reader

TEXT = "The turtle was slow. Then"
OF = {"text": TEXT}
AT = 4


def changed(explorer, edits, of=OF, position=AT):
    body = json.dumps({"of": of, "position": position, "edits": edits})
    return explorer.changed(ask.ChangedRequest.model_validate_json(body))


def asked(kind, **fields):
    return kind.model_validate_json(json.dumps({"of": OF, "position": AT, **fields}))


@pytest.fixture(scope="module")
def sequence(explorer) -> int:
    return explorer.about()["stories"][-1]["sequence"]


def test_about_tells_what_there_is(explorer, circuits):
    about = explorer.about()
    model = circuits.model
    assert (about["layers"], about["channels"]) == (model.n_layers, model.layer.n_channels)
    assert about["positions"] == len(circuits.record)
    assert len({story["sequence"] for story in about["stories"]}) == len(about["stories"])
    json.dumps(about)


def test_a_sentence_is_its_tokens_with_their_losses_and_predictions(explorer, circuits):
    answer = explorer.text(ask.TextRequest(of=ask.Typed(text=TEXT)))
    tokens = circuits.model.encode(TEXT)
    assert answer["text"] == TEXT
    assert [token["text"] for token in answer["tokens"][1:]] == [
        circuits.model.token_text(token) for token in tokens[1:].tolist()
    ]
    n_ids = circuits.model.tokenizer.vocab_size
    log_p = np.asarray(jax.nn.log_softmax(circuits.trace(TEXT).logits[0, :, :n_ids]))
    own = -log_p[np.arange(len(tokens) - 1), tokens[1:]]
    assert answer["measures"]["nats"][0] is None
    np.testing.assert_allclose(answer["measures"]["nats"][1:], own, atol=2e-4)
    entropy = -(np.exp(log_p) * log_p).sum(1)
    np.testing.assert_allclose(answer["measures"]["entropy"][1:], entropy[1:], atol=2e-4)
    scores = np.asarray(circuits.trace(TEXT).gates.scores)[:, 0, 1:]
    strength = np.sqrt((scores**2).sum((2, 3)))
    told = np.array([layer[1:] for layer in answer["measures"]["norm"]])
    np.testing.assert_allclose(told, strength, rtol=1e-3)
    best = answer["predictions"][AT][0]
    assert best["text"] == circuits.model.token_text(int(log_p[AT].argmax()))
    assert best["probability"] == pytest.approx(float(np.exp(log_p[AT].max())), rel=1e-4)


@pytest.mark.parametrize("times", [1, 4])
def test_rarity_is_in_bits_and_nothing_for_neurons_used_alike(explorer, monkeypatch, times):
    record = explorer.index.record
    alike = len(record) * record.top_k / record.n_neurons
    counts = np.full((record.n_channels, record.n_neurons), times * alike)
    monkeypatch.setattr(explorer.index, "counts", lambda layer: counts)
    rarity = explorer.text(ask.TextRequest(of=ask.Typed(text=TEXT)))["measures"]["rarity"]
    for of_layer in rarity:
        np.testing.assert_allclose(of_layer[1:], -np.log2(times), atol=0.1)


def test_a_recorded_sentence_is_the_documents_tokens(explorer, circuits, sequence):
    answer = explorer.text(ask.TextRequest(of=ask.Recorded(sequence=sequence)))
    positions = circuits.positions.to_pylist()
    own = [one["text"] for one in positions if one["sequence"] == sequence]
    assert [token["text"] for token in answer["tokens"]] == ["", *own]


def test_gates_and_logits_are_the_exact_attribution(explorer, circuits):
    tokens = circuits.model.encode(TEXT)
    expected = attribute(circuits.model, tokens.tolist(), position=AT)
    gates = explorer.gates(asked(ask.LayerRequest, layer=1))
    for channel, rows in enumerate(gates["channels"]):
        by_neuron = {row["neuron"]: row for row in rows}
        for k, neuron in enumerate(expected.indices[1, channel].tolist()):
            row = by_neuron[neuron]
            for name, array in (
                ("score", expected.scores),
                ("z", expected.z),
                ("coefficient", expected.coefficients),
                ("contribution", expected.neurons[0]),
            ):
                assert row[name] == pytest.approx(float(array[1, channel, k]), abs=1e-4)
        strengths = [abs(row["score"]) for row in rows]
        assert strengths == sorted(strengths, reverse=True)
    logits = explorer.logits(asked(ask.PositionRequest))
    first = logits["tokens"][0]
    assert first["text"] == gates["target"]
    for token in logits["tokens"]:
        total = token["embedding"] + math.fsum(token["attention"] + token["neurons"])
        assert total == pytest.approx(token["logit"], abs=1e-3)
    assert logits["error"] < 1e-5
    assert first["top"][0]["contribution"] == pytest.approx(
        float(expected.neurons[0].flat[np.abs(expected.neurons[0]).argmax()]), abs=1e-4
    )


@pytest.mark.parametrize("channel", [None, 0])
def test_near_are_the_nearest_circuits(explorer, circuits, channel):
    channels = None if channel is None else [channel]
    near, queries = typed(circuits.model, TEXT, 1, channels)
    found = find(
        near,
        queries,
        circuits.record.rows(1, channels),
        circuits.positions,
        circuits.model.token_text,
        k=10,
    )
    expected = list(found.of(AT - 1))
    answer = explorer.near(asked(ask.NearRequest, layer=1, channel=channel))
    distances = [row["distance"] for row in answer["rows"]]
    np.testing.assert_allclose(distances, [distance for _, distance in expected], atol=1e-5)
    there = circuits.positions.slice(answer["rows"][0]["row"], 1).to_pylist()[0]
    assert answer["rows"][0]["token"] == there["text"]
    assert answer["rows"][0]["position"] == there["position"]


def test_of_a_recorded_sentence_none_of_its_own_positions_are_near(explorer, sequence):
    request = asked(ask.NearRequest, of={"sequence": sequence}, layer=0)
    assert sequence not in {row["sequence"] for row in explorer.near(request)["rows"]}


def test_a_neuron_is_told_by_its_use_its_contexts_and_what_it_writes(explorer, circuits):
    counts = explorer.index.counts(1)[0]
    neuron = int(counts.argmax())
    answer = explorer.neuron(ask.NeuronRequest(layer=1, channel=0, neuron=neuron))
    assert answer["rank"] == 1
    assert answer["used"] == pytest.approx(counts[neuron] / len(circuits.record))
    found = strongest(circuits.record, 1, 0, neuron, 10)
    assert [row["row"] for row in answer["contexts"]] == found.rows.tolist()
    params = circuits.model.params
    w_out = np.asarray(params["blocks"]["feed_forward"]["w_out"])[1, 0, neuron]
    scores = np.asarray(params["embedding"]) @ (w_out * np.asarray(params["norm"]["scale"]))
    scores = scores[: circuits.model.tokenizer.vocab_size]
    assert answer["raises"][0] == circuits.model.token_text(int(scores.argmax()))
    assert answer["lowers"][0] == circuits.model.token_text(int(scores.argmin()))


def test_without_edits_nothing_changes(explorer):
    answer = changed(explorer, [])
    assert answer["kl"] == 0
    assert answer["nats"]["before"] == answer["nats"]["after"]
    assert all(token["before"] == token["after"] for token in answer["tokens"])


@pytest.mark.parametrize(
    "edit",
    [
        {"kind": "patch", "to": AT, "from": {"of": OF, "position": AT}},
        {"kind": "patch", "to": 2, "layers": [1], "from": {"of": OF, "position": 2}},
        {"kind": "scale", "layer": 0, "channel": 1, "neuron": 3, "factor": 1},
    ],
)
def test_its_own_gates_change_nothing_to_the_bit(explorer, edit):
    answer = changed(explorer, [edit])
    assert answer["kl"] == 0
    assert answer["nats"]["before"] == answer["nats"]["after"]


def test_a_neuron_left_out_is_one_that_writes_nothing(explorer, circuits):
    gates = explorer.gates(asked(ask.LayerRequest, layer=0))["channels"][0][0]
    at = {"layer": 0, "channel": 0, "neuron": gates["neuron"]}
    answer = changed(explorer, [{"kind": "scale", **at, "factor": 0}])

    params = jax.tree.map(jnp.asarray, circuits.model.params)
    layer = params["blocks"]["feed_forward"]
    layer["w_out"] = layer["w_out"].at[0, 0, gates["neuron"]].set(0)
    model = dataclasses.replace(circuits.model, params=params)
    tokens = tuple(model.encode(TEXT).tolist())
    expected = Reader(model).edited(tokens, AT)
    assert answer["nats"]["after"] == pytest.approx(expected.nats, abs=1e-5)
    shares = np.asarray(jax.nn.softmax(expected.logits_V))
    by_text = {model.token_text(token): float(share) for token, share in enumerate(shares)}
    for token in answer["tokens"]:
        assert token["after"] == pytest.approx(by_text[token["text"]], abs=1e-5)
    assert answer["kl"] > 0


def test_a_recorded_position_gives_the_gates_that_its_sentence_gives(explorer, circuits, sequence):
    row = next(
        row
        for row, one in enumerate(circuits.positions.to_pylist())
        if one["sequence"] == sequence and one["position"] == 5
    )
    edit = {"kind": "patch", "to": AT}
    by_row = changed(explorer, [{**edit, "from": {"row": row}}])
    of = {"sequence": sequence}
    by_token = changed(explorer, [{**edit, "from": {"of": of, "position": 5}}])
    assert by_row["kl"] > 0
    assert by_row["kl"] == pytest.approx(by_token["kl"], rel=1e-3)


def test_factors_that_overflow_are_told(explorer):
    neuron = explorer.gates(asked(ask.LayerRequest, layer=0))["channels"][0][0]["neuron"]
    edit = {"kind": "scale", "layer": 0, "channel": 0, "neuron": neuron, "factor": 1e4}
    with pytest.raises(BadRequest, match="smaller factors"):
        changed(explorer, [edit] * 16)


def test_of_two_patches_of_one_place_the_later_holds(explorer):
    first = {"kind": "patch", "to": AT, "from": {"of": OF, "position": 1}}
    own = {"kind": "patch", "to": AT, "from": {"of": OF, "position": AT}}
    assert changed(explorer, [first])["kl"] > 0
    assert changed(explorer, [first, own])["kl"] == 0


def test_patching_a_later_token_changes_nothing_before_it(explorer):
    edit = {"kind": "patch", "to": AT, "from": {"of": OF, "position": 1}}
    assert changed(explorer, [edit], position=AT - 1)["kl"] == 0


def test_a_map_shows_recorded_positions_and_where_a_token_lies(explorer, circuits):
    drawn = explorer.maps.wait(1)
    answer = explorer.map(ask.MapRequest(layer=1))
    assert answer["state"] == "done"
    assert len(answer["x"]) == len(answer["row"]) == min(2000, len(circuits.record))
    first = circuits.positions.slice(int(drawn.rows[0]), 1).to_pylist()[0]
    assert answer["token"][0] == first["text"]
    own = asked(
        ask.LayerRequest,
        of={"sequence": first["sequence"]},
        position=first["position"],
        layer=1,
    )
    place = explorer.place(own)
    size = np.ptp(drawn.places, axis=0).max()
    apart = np.hypot(place["x"] - answer["x"][0], place["y"] - answer["y"][0])
    assert apart < 0.15 * size


@pytest.mark.parametrize(
    ("method", "request_", "says"),
    [
        ("text", lambda: ask.TextRequest(of=ask.Recorded(sequence=2**30)), "no sequence"),
        ("gates", lambda: asked(ask.LayerRequest, layer=99), "no layer 99"),
        ("gates", lambda: asked(ask.LayerRequest, layer=0, position=0), "position 0"),
        ("gates", lambda: asked(ask.LayerRequest, layer=0, position=999), "position 999"),
        ("near", lambda: asked(ask.NearRequest, layer=0, channel=99), "no channel 99"),
        ("map", lambda: ask.MapRequest(layer=99), "no layer 99"),
        ("neuron", lambda: ask.NeuronRequest(layer=0, channel=0, neuron=9999), "no neuron 9999"),
    ],
)
def test_what_is_not_there_is_told(explorer, method, request_, says):
    with pytest.raises(BadRequest, match=says):
        getattr(explorer, method)(request_())


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ({"kind": "scale", "layer": 99, "channel": 0, "neuron": 0, "factor": 0}, "no layer 99"),
        ({"kind": "patch", "to": 0, "from": {"row": 0}}, "position 0"),
        ({"kind": "patch", "to": 1, "from": {"row": 10**8}}, "no row"),
        ({"kind": "patch", "to": 1, "layers": [99], "from": {"row": 0}}, "no layer 99"),
        ({"kind": "patch", "to": 1, "from": {"of": OF, "position": 99}}, "position 99"),
    ],
)
def test_edits_of_what_is_not_there_are_told(explorer, edit, says):
    with pytest.raises(BadRequest, match=says):
        changed(explorer, [edit])
