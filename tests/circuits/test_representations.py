# SPDX-License-Identifier: Apache-2.0
"""What passes give recorded positions, beside passes over a document alone."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from sgatlin.circuits.model import CircuitModel
from sgatlin.circuits.recording import RecordingOptions, record_circuits
from sgatlin.circuits.representations import (
    Pass,
    _hidden_layers,
    dense_run,
    over_positions,
    representations,
    sample,
)
from sgatlin.circuits.rows import circuit_rows
from sgatlin.errors import UserError
from sgatlin.eval.command import store_for
from sgatlin.nn.mlp import MlpConfig, SwigluConfig
from sgatlin.nn.transformer import bind, init_params

DENSE = {"mlp": MlpConfig(d_hidden=24), "swiglu": SwigluConfig(d_hidden=24)}


@pytest.fixture(scope="module")
def model(toy_run):
    return CircuitModel.open(str(toy_run))


@pytest.fixture(scope="module")
def record(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "toy"
    return record_circuits(model, store_for(model.loaded), path, RecordingOptions(tokens=800))


@pytest.fixture(scope="module")
def seen(model, record):
    """60 positions of several documents, and what represents them by layer."""
    chosen, told = sample(len(record), 60, seed=0), []
    of_layer = representations(model, record, chosen, seed=7, progress=lambda *at: told.append(at))
    assert told[-1][0] == told[-1][1] == len(told)
    return chosen, [of_layer(layer) for layer in range(record.n_layers)]


def test_positions_are_drawn_without_repeats():
    assert sample(5, 9, seed=0).tolist() == [0, 1, 2, 3, 4]
    drawn = sample(1000, 200, seed=0)
    assert (np.diff(drawn) > 0).all()
    assert (drawn != sample(1000, 200, seed=1)).any()


def test_recorded_positions_have_what_a_pass_over_their_own_document_gives(model, record, seen):
    chosen, layers = seen
    table = record.positions()
    sequences, times = table["sequence"].to_numpy(), table["position"].to_numpy()
    assert len(np.unique(sequences[chosen])) > 1
    for number in (0, 17, 59):
        row = chosen[number]
        own = table["token"].to_numpy()[sequences == sequences[row]]
        alone = model.trace(np.array([[model.tokenizer.bos_id, *own]], np.int32))
        for layer, found in enumerate(layers):
            stream = np.asarray(alone.streams[layer, 0, times[row]])
            np.testing.assert_allclose(found["residual stream"][number], stream, atol=1e-4)
        expected = np.asarray(model.params["embedding"])[table["token"].to_numpy()[row]]
        np.testing.assert_array_equal(found["embedding"][number], expected)


def test_circuits_are_the_records_whole_and_by_channel(record, seen):
    chosen, layers = seen
    whole = record.rows(1)[chosen]
    np.testing.assert_array_equal(layers[1]["circuit"].dense(), whole.dense())
    for channel in range(record.n_channels):
        of_channel = record.rows(1, [channel])[chosen].dense()
        np.testing.assert_array_equal(layers[1][f"channel {channel}"].dense(), of_channel)


def test_random_circuits_are_those_of_the_untrained_model(model, record, seen):
    chosen, layers = seen
    random = layers[0]["random circuit"]
    untrained = dataclasses.replace(model, params=init_params(model.config, 7))
    table = record.positions()
    first = table["sequence"].to_numpy() == table["sequence"].to_numpy()[0]
    own = table["token"].to_numpy()[first]
    gates = untrained.trace(np.array([[model.tokenizer.bos_id, *own]], np.int32)).gates
    within = chosen[chosen < first.sum()]
    expected = circuit_rows(
        np.asarray(gates.indices[0, 0]), np.asarray(gates.scores[0, 0]), model.layer
    )[1 + within]
    assert len(within)
    np.testing.assert_allclose(random[: len(within)].dense(), expected.dense(), atol=1e-4)


def test_padding_of_a_pass_is_left_out():
    passes = [
        Pass(np.zeros((1, 4), np.int32), np.zeros(3, np.int32), np.array([3, 1, 0]), np.array(n))
        for n in ([2, 0], [1])
    ]
    (found,) = over_positions(lambda tokens, rows, times: (times[None] * 10,), passes)
    assert found.tolist() == [[10, 30, 30]]


def test_a_dense_run_must_be_dense(model, toy_run):
    with pytest.raises(UserError, match=r"--dense .* has sgatlin layers"):
        dense_run(str(toy_run), model)


@pytest.mark.parametrize("kind", ["mlp", "swiglu"])
def test_hidden_layers_make_the_dense_layers_output(model, kind):
    """The last one times its last matrix is what the last layer adds to the stream."""
    config = dataclasses.replace(model.config, feed_forward=DENSE[kind])
    params = init_params(config, 0)
    tokens = np.array([[0, 5, 9, 40], [0, 7, 7, 80]], np.int32)
    rows, times = np.array([0, 1, 1], np.int32), np.array([3, 0, 2], np.int32)
    hidden = np.asarray(_hidden_layers(params, tokens, rows, times, config=config))
    output = bind(config, params)(jnp.asarray(tokens), return_streams=True)
    added = np.asarray(output.streams[-1] - output.streams[-2])[rows, times]
    own = params["blocks"]["feed_forward"]
    product = hidden[-1] @ np.asarray(own["w_out"][-1]) + np.asarray(own.get("b_out", [0])[-1])
    assert hidden.shape == (config.n_layers, 3, 24)
    np.testing.assert_allclose(product, added, atol=1e-5)
