# SPDX-License-Identifier: Apache-2.0
"""Contributions are what a logit loses with a part, they add up, and the command tells so."""

import dataclasses
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
import tyro

from sgatlin.circuits.attribution import (
    Attribution,
    Target,
    attribute,
    likeliest,
    raised_tokens,
    single_token,
    top_neurons,
)
from sgatlin.circuits.attribution_report import Context, attribution_tables, contributors
from sgatlin.circuits.model import CircuitModel
from sgatlin.circuits.record import Record
from sgatlin.commands.circuits_attribute import CircuitsAttribute
from sgatlin.errors import UserError
from tests.circuits.variants import LAYERS, variant

TOKENS = [0, 5, 9, 40, 9, 7]


def final_norm(model: CircuitModel, stream_D: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a stream as it is: each token's logit of any other stream is their product; in fp64."""
    scale_D = np.asarray(model.params["norm"]["scale"], np.float64)
    embedding_VD = np.asarray(model.params["embedding"], np.float64)
    return scale_D / np.sqrt((stream_D**2).mean() + 1e-6), embedding_VD


@pytest.fixture(scope="module", params=LAYERS)
def explained(request, toy_run) -> tuple[CircuitModel, Attribution]:
    """Every logit after the fifth token, and last of all a difference of two."""
    model = variant(toy_run, request.param)
    targets = [Target(token) for token in range(model.config.vocab_size)]
    return model, attribute(model, TOKENS, [*targets, Target(17, 200)], position=4)


def test_a_contribution_is_what_the_logit_loses_with_the_neuron(explained):
    model, found = explained
    seen = jax.tree.map(np.asarray, model.trace(np.array([TOKENS], np.int32)))
    np.testing.assert_array_equal(found.indices, seen.gates.indices[:, 0, 4])
    stream_D = seen.streams[-1, 0, 4].astype(np.float64)
    gain_D, embedding_VD = final_norm(model, stream_D)
    w_out = np.asarray(model.params["blocks"]["feed_forward"]["w_out"], np.float64)
    for place in np.ndindex(found.indices.shape):
        layer, channel, _ = place
        table = 0 if model.layer.shared_pool else channel
        written_D = found.coefficients[place] * w_out[layer, table, found.indices[place]]
        lost_V = embedding_VD @ (gain_D * stream_D) - embedding_VD @ (
            gain_D * (stream_D - written_D)
        )
        expected = [*lost_V, lost_V[17] - lost_V[200]]
        contributions = found.neurons[(slice(None), *place)]
        np.testing.assert_allclose(contributions, expected, rtol=1e-3, atol=1e-4)


def test_all_parts_add_up_to_every_logit_of_the_vocabulary(explained):
    model, found = explained
    scale_nL = np.abs(found.neurons).sum((2, 3))
    np.testing.assert_array_less(np.abs(found.neurons.sum((2, 3)) - found.layers), 1e-5 * scale_nL)
    total_n = found.embedding + found.attention.sum(1) + found.neurons.sum((1, 2, 3))
    logits_V = np.asarray(model.trace(np.array([TOKENS], np.int32)).logits)[0, 4]
    expected_n = np.append(logits_V, logits_V[17] - logits_V[200])
    np.testing.assert_array_less(np.abs(total_n - expected_n), 1e-5 * found.magnitudes)
    np.testing.assert_allclose(found.values, expected_n, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.probabilities[:-1].sum(), 1, rtol=1e-5)
    # There is something to add up.
    assert np.abs(found.layers).max() > 0.1


def made(**changed) -> Attribution:
    """One layer of one channel and two neurons, which add 3 and -1 to a logit of 2.5."""
    one = np.ones(1, np.float32)
    of_neurons = np.float32([[[2, 4]]])
    fields = {
        "tokens": np.array([0, 1]),
        "targets": (Target(3),),
        "values": 2.5 * one,
        "probabilities": 0.5 * one,
        "embedding": 1.5 * one,
        "attention": -one[:, None],
        "neurons": np.float32([[[[3, -1]]]]),
        "layers": 2 * one[:, None],
        "indices": np.array([[[7, 8]]]),
        "scores": of_neurons / 2,
        "z": of_neurons,
        "coefficients": of_neurons**2 / 2,
    }
    return Attribution(**(fields | changed))


def test_errors_are_relative_to_the_sum_of_magnitudes():
    assert made().check() == 0
    off = made(layers=np.float32([[2.4]]), values=np.float32([3.15]))
    np.testing.assert_allclose(off.layer_errors, [[0.4 / 4]], rtol=1e-6)
    np.testing.assert_allclose(off.logit_errors, [0.65 / 6.5], rtol=1e-6)


@pytest.mark.parametrize("changed", [{"layers": [[2.1]]}, {"values": [2.6]}, {"values": [np.nan]}])
def test_an_attribution_that_does_not_add_up_is_refused(changed):
    wrong = made(**{name: np.float32(value) for name, value in changed.items()})
    with pytest.raises(UserError, match=r"^contributions miss .* open the model with dtype=float"):
        wrong.check()


def test_half_precision_is_refused(toy_run):
    model = CircuitModel.open(str(toy_run), dtype="bfloat16")
    with pytest.raises(UserError, match="dtype=float32"):
        attribute(model, "The turtle")


def test_neurons_come_by_magnitude():
    first, second = top_neurons(made(), 5)
    assert (first.name, first.score, first.z, first.coefficient) == ("0.0.7", 1, 2, 2)
    assert (second.name, second.score, second.z, second.coefficient) == ("0.0.8", 2, 4, 8)
    np.testing.assert_allclose([first.contribution, second.contribution], [3, -1])
    np.testing.assert_allclose([first.share, second.share], [3 / 6.5, -1 / 6.5], rtol=1e-6)
    assert top_neurons(made(), 1) == [first]
    two = made(neurons=np.float32([[[[3, -1]], [[2, -9]]]]), **two_layers())
    assert [one.name for one in top_neurons(two, 2)] == ["1.0.8", "0.0.7"]
    assert [one.name for one in top_neurons(two, 9, layers=[1])] == ["1.0.8", "1.0.7"]


def two_layers() -> dict:
    """What `made` has of one layer, of two."""
    of_layers = {name: getattr(made(), name) for name in ("indices", "scores", "z", "coefficients")}
    doubled = {name: np.concatenate([array, array]) for name, array in of_layers.items()}
    return doubled | {"attention": np.zeros((1, 2), np.float32), "layers": np.float32([[2, -7]])}


def test_what_a_neuron_raises_follows_its_coefficients_sign(toy_run):
    model = CircuitModel.open(str(toy_run))
    w_out = model.params["blocks"]["feed_forward"]["w_out"]
    embedding = model.params["embedding"]
    scale = model.params["norm"]["scale"]
    # Neuron 4 of layer 1, channel 0 writes what token 77 is read by, and the contrary of 78's.
    w_out = w_out.at[1, 0, 4].set(embedding[77] / scale)
    embedding = embedding.at[78].set(-3 * embedding[77]).at[77].multiply(3)
    blocks = model.params["blocks"]
    feed_forward = blocks["feed_forward"] | {"w_out": w_out}
    params = model.params | {
        "blocks": blocks | {"feed_forward": feed_forward},
        "embedding": embedding,
        "norm": {"scale": jnp.abs(scale)},
    }
    model = dataclasses.replace(model, params=params)
    raised = raised_tokens(model, [1, 1], [0, 0], [4, 4], [2.0, -0.5], n=1)
    assert raised == [[77], [78]]


def test_the_default_target_is_the_models_prediction(toy_run):
    model = CircuitModel.open(str(toy_run))
    text = "The turtle"
    found = attribute(model, text)
    logits_V = np.asarray(model.trace(model.encode(text)[None]).logits)[0, -1]
    assert found.targets == (Target(int(logits_V.argmax())),)
    assert likeliest(model, found.tokens, 3) == np.argsort(-logits_V)[:3].tolist()


def test_a_word_of_two_tokens_is_no_target(toy_run):
    model = CircuitModel.open(str(toy_run))
    assert model.token_text(single_token(model, "z")) == "z"
    with pytest.raises(UserError, match=r'^"zz" is 2 tokens, "z" \+ "z": name a text that is a'):
        single_token(model, "zz")
    with pytest.raises(UserError, match=r'^"" is no token: name'):
        single_token(model, "")


class HandMade:
    """A record in which neuron 5 of channel 0 is strongest at the third position of four."""

    path = "record"

    def __init__(self, model: CircuitModel):
        of = {"run": model.name, "step": model.loaded.step, "tokenizer_hash": model.tokenizer.hash}
        self.manifest = SimpleNamespace(has_activations=False, **of)
        layer = model.layer
        self.n_layers, self.n_channels = model.n_layers, layer.n_channels
        self.n_neurons, self.top_k = layer.n_neurons, layer.top_k

    def arrow(self):
        pair = pa.array([[5, 1], [1, 2], [1, 5], [1, 2]], pa.list_(pa.uint16(), 2))
        scores = pa.array([[1, 9], [9, 9], [9, -2], [9, 9]], pa.list_(pa.float32(), 2))
        zeros = [0] * 4
        table = {"layer": zeros, "channel": zeros, "indices": pair, "scores": scores}
        return ds.dataset(pa.table(table))

    def positions(self):
        texts = ["The", " old", " turtle", " was"]
        return pa.table({"sequence": [3] * 4, "position": [1, 2, 3, 4], "text": texts})


def test_contributors_come_with_the_contexts_of_a_record(toy_run):
    model = CircuitModel.open(str(toy_run))
    found = made(indices=np.array([[[5, 8]]]))
    first, second = contributors(model, found, 2, record=HandMade(model), n_contexts=1)
    assert [one.neuron.name for one in (first, second)] == ["0.0.5", "0.0.8"]
    assert first.contexts == [Context(-2, "The old [turtle] was")]
    assert second.contexts == []
    table = attribution_tables(model, found, [first, second]).splitlines()
    at = next(i for i, line in enumerate(table) if line.startswith("0.0.5"))
    assert table[at].split()[1:5] == ["1.000", "2.000", "3.000", "46.2%"]
    assert table[at + 1].split(maxsplit=1) == ["-2.000", "The old [turtle] was"]
    assert table[at + 2].startswith("0.0.8")


@pytest.mark.parametrize(
    "other", [{"step": 15}, {"tokenizer_hash": "another"}, {"n_layers": 3}, {"n_neurons": 25}]
)
def test_a_record_of_another_model_is_refused(toy_run, monkeypatch, other):
    record = HandMade(CircuitModel.open(str(toy_run)))
    for name, value in other.items():
        setattr(record.manifest if hasattr(record.manifest, name) else record, name, value)
    monkeypatch.setattr(Record, "open", lambda path: record)
    with pytest.raises(UserError, match=r"^--record kept is of .*, not of .*: make one with"):
        run_command([str(toy_run), "--prompt", "The", "--record", "kept"])


def run_command(arguments: list[str]) -> None:
    tyro.cli(CircuitsAttribute, args=arguments)()


def test_the_command_tells_checks_and_writes(toy_run, tmp_path, capsys):
    out, graph = tmp_path / "out.json", tmp_path / "graph.json"
    target = ["--token", "a", "--versus", "z", "--top", "3", "--logits", "2"]
    files = ["--json", str(out), "--graph", str(graph)]
    run_command([str(toy_run), "--prompt", "The turtle", *target, *files])
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.startswith('"a" - "z" after position ')
    content = json.loads(out.read_text())
    first, *beside = content["targets"]
    assert (first["text"], len(beside)) == ('"a" - "z"', 2)
    assert first["logit_error"] < 1e-5
    parts = [first["embedding"], *first["attention"], *first["feed_forward"]]
    np.testing.assert_allclose(sum(parts), first["logit"], rtol=1e-4, atol=1e-5)
    assert len(content["neurons"]) == 3
    logits = [n for n in json.loads(graph.read_text())["nodes"] if n["feature_type"] == "logit"]
    assert [node["clerp"].split(" (")[0] for node in logits] == ['Output "a" - "z"']


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--prompt", "The", "--versus", "a"], "--versus needs --token"),
        (["--prompt", "The", "--position", "99"], "position=99: the text has positions 0"),
        (["--prompt", "z" * 99], "the text has 100 tokens, the context 16"),
        (["--prompt", "The", "--layers", "2"], "--layers 2: .* has layers 0 to 1"),
        (["--prompt", "The", "--json", "."], "--json . is a folder"),
        (["--prompt", "The", "--top", "0"], "top=0 must be at least 1"),
    ],
)
def test_bad_input_is_told_in_a_line(toy_run, arguments, error):
    with pytest.raises(UserError, match=f"^{error}"):
        run_command([str(toy_run), *arguments])
