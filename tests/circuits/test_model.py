# SPDX-License-Identifier: Apache-2.0
"""A trace is the model's own pass, and its z and gates make each layer's output; rows of gates."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sgatlin.circuits.model import CircuitModel, circuit_layer
from sgatlin.circuits.rows import circuit_rows
from sgatlin.errors import UserError
from sgatlin.nn.gates import Gates
from sgatlin.nn.mlp import MlpConfig
from sgatlin.nn.transformer import GateEdit, bind
from tests.circuits.variants import LAYERS, SGATLIN, variant

TOKENS_BT = np.array([[0, 5, 9, 40, 9], [0, 7, 7, 80, 3]], np.int32)


def activation(kind: str, z: float) -> float:
    """In numpy, where the layer has JAX's."""
    if kind == "swish":
        return z / (1 + np.exp(-z))
    if kind == "gelu":
        return 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))
    return z


@pytest.mark.parametrize("name", LAYERS)
def test_a_trace_is_the_models_own_pass(toy_run, name):
    model = variant(toy_run, name)
    seen = model.trace(TOKENS_BT)
    forward = jax.jit(lambda params, tokens: bind(model.config, params)(tokens, return_gates=True))
    own = forward(model.params, jnp.asarray(TOKENS_BT))
    np.testing.assert_allclose(seen.logits, own.logits, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(seen.gates.indices, own.gates.indices)
    np.testing.assert_allclose(seen.gates.scores, own.gates.scores, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_z_and_gates_make_the_last_layers_output(toy_run, name):
    """Of the other layers what their neurons add is mixed with the next one's attention."""
    model = variant(toy_run, name)
    seen = jax.tree.map(np.asarray, model.trace(TOKENS_BT))
    feed_forward = jax.tree.map(np.asarray, model.params["blocks"]["feed_forward"])
    scale_D = np.asarray(model.params["blocks"]["feed_forward_norm"]["scale"][-1])
    layer = circuit_layer(model.config)
    for b, t in np.ndindex(TOKENS_BT.shape):
        stream_D = seen.streams[-2, b, t].astype(np.float64)
        x_D = stream_D / np.sqrt((stream_D**2).mean() + 1e-6) * scale_D
        y_D = np.zeros_like(x_D)
        for c, k in np.ndindex(layer.n_channels, layer.top_k):
            i, score = (array[-1, b, t, c, k] for array in seen.gates)
            table = 0 if layer.shared_pool else c
            read = x_D if layer.d_in is None else x_D @ feed_forward["projection"][-1]
            z = feed_forward["w_in"][-1, table, i] @ read
            np.testing.assert_allclose(seen.z[-1, b, t, c, k], z, rtol=1e-4, atol=1e-5)
            before = layer.activation_at == "before_gate"
            a = activation(layer.activation, z if before else z * score) * (score if before else 1)
            y_D += a * feed_forward["w_out"][-1, table, i]
        np.testing.assert_allclose(seen.streams[-1, b, t], stream_D + y_D, rtol=1e-4, atol=1e-4)


def test_a_trace_with_edited_gates_shows_them(toy_run):
    model = variant(toy_run, "sgatlin")
    own = model.trace(TOKENS_BT)
    replace = np.zeros(own.gates.indices.shape[:-1], bool)
    replace[1, 0, 2, 1] = True
    given = Gates(jnp.full_like(own.gates.indices, 3), jnp.full_like(own.gates.scores, 2.0))
    seen = model.trace(TOKENS_BT, GateEdit(given, jnp.asarray(replace)))
    assert seen.gates.indices[1, 0, 2, 1].tolist() == [3, 3]
    assert seen.gates.scores[1, 0, 2, 1].tolist() == [2, 2]
    # The same neuron twice reads the same.
    assert seen.z[1, 0, 2, 1, 0] == seen.z[1, 0, 2, 1, 1]
    # Neither what was before nor the other text knows of it.
    np.testing.assert_array_equal(seen.streams[:, 1], own.streams[:, 1])
    np.testing.assert_array_equal(seen.streams[:2, 0], own.streams[:2, 0])
    assert (seen.streams[2:, 0, 2] != own.streams[2:, 0, 2]).any()


def test_a_model_opens_with_its_tokenizer_and_context(toy_run):
    model = CircuitModel.open(f"{toy_run}@10")
    assert model.name == f"{toy_run}@10"
    assert (model.n_layers, model.width, model.seq_len) == (2, 32, 16)
    ids = model.encode("A turtle")
    assert ids[0] == model.tokenizer.bos_id
    assert "".join(map(model.token_text, ids.tolist())) == "A turtle"


def test_a_text_longer_than_the_context(toy_run):
    model = CircuitModel.open(str(toy_run))
    text = "z" * 16  # 16 tokens and that of the beginning, as no word has so many
    assert len(model.tokenizer.encode(text)) == 16
    with pytest.raises(UserError, match=r"^the text has 17 tokens, the context 16: shorten the"):
        model.encode(text)


def test_a_model_without_circuits(toy_run):
    config = dataclasses.replace(
        CircuitModel.open(str(toy_run)).config, feed_forward=MlpConfig(d_hidden=8)
    )
    with pytest.raises(UserError, match=r"^runs/dense has mlp layers, which have no circuits: "):
        circuit_layer(config, name="runs/dense")


def test_a_run_that_is_not_there(tmp_path):
    with pytest.raises(UserError):
        CircuitModel.open(str(tmp_path / "none"))


# Two positions, C = 2, K = 2, N = 16.
INDICES = np.array([[[3, 1], [0, 15]], [[2, 4], [15, 2]]])
SCORES = np.array([[[0.5, -1], [2, 3]], [[4, 5], [-6, 7]]])


def test_rows_of_all_channels_lie_side_by_side():
    rows = circuit_rows(INDICES, SCORES, SGATLIN)
    assert rows.width == 32
    assert rows.indices.tolist() == [[3, 1, 16, 31], [2, 4, 31, 18]]
    expected = np.zeros((2, 32), np.float32)
    expected[0, [3, 1, 16, 31]] = [0.5, -1, 2, 3]
    expected[1, [2, 4, 31, 18]] = [4, 5, -6, 7]
    np.testing.assert_array_equal(rows.dense(), expected)
    np.testing.assert_array_equal(rows.matrix().toarray(), expected)


def test_rows_of_one_channel_are_its_own_neurons():
    rows = circuit_rows(INDICES, SCORES, SGATLIN, [1])
    assert rows.width == 16
    assert rows.indices.tolist() == [[0, 15], [15, 2]]
    assert rows.values.tolist() == [[2, 3], [-6, 7]]


def test_some_of_the_rows():
    rows = circuit_rows(INDICES, SCORES, SGATLIN)
    assert len(rows) == 2
    assert rows[np.array([1, 1])].values.tolist() == 2 * [[4, 5, -6, 7]]
    assert rows[np.array([True, False])].indices.tolist() == [[3, 1, 16, 31]]
