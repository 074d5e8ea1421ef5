# SPDX-License-Identifier: Apache-2.0
"""Scaled to nothing a neuron is as if its output weights were zero; circuits replace circuits."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sgatlin.circuits.steering import Named, adjusting, circuit_of, steered
from sgatlin.errors import UserError
from sgatlin.eval.generate import Sampling, generate
from sgatlin.nn.gates import Adjust
from sgatlin.nn.moe import Moe, MoeConfig
from sgatlin.nn.transformer import GateEdit
from tests.circuits.variants import LAYERS, variant

GREEDY = Sampling(temperature=0)


@pytest.fixture(scope="module")
def model(toy_run):
    return variant(toy_run, "sgatlin")


def tokens(model, n=20):
    return np.random.default_rng(0).integers(1, 50, (2, n)).astype(np.int32)


def without(model, gone_LCN):
    """The model with output weights of some neurons zero."""
    blocks = model.params["blocks"]
    layers = blocks["feed_forward"]
    w_out = layers["w_out"] * ~gone_LCN[..., None]
    feed_forward = {**layers, "w_out": w_out}
    params = {**model.params, "blocks": {**blocks, "feed_forward": feed_forward}}
    return dataclasses.replace(model, params=params)


def half(model):
    shape = (model.n_layers, model.layer.n_channels, model.layer.n_neurons)
    return np.random.default_rng(1).random(shape) < 0.5


def zeroing(model, gone_LCN):
    named = [Named(*map(int, at), 0.0) for at in np.argwhere(gone_LCN)]
    return adjusting(model, scaled=named)


def test_a_factor_of_zero_is_output_weights_of_zero(model):
    gone = half(model)
    by_edit = model.trace(tokens(model), zeroing(model, gone)).logits
    by_weights = without(model, gone).trace(tokens(model)).logits
    np.testing.assert_allclose(by_edit, by_weights, rtol=1e-5, atol=1e-5)
    assert np.abs(by_edit - model.trace(tokens(model)).logits).max() > 0.01


@pytest.mark.parametrize("name", LAYERS)
def test_factors_of_one_change_nothing_to_the_bit(toy_run, name):
    model = variant(toy_run, name)
    same = adjusting(model)
    nothing = GateEdit(adjust=same.adjust._replace(forced=None, forced_scores=None))
    clean = model.trace(tokens(model), nothing).logits
    np.testing.assert_array_equal(model.trace(tokens(model), same).logits, clean)


def test_a_forced_neuron_is_chosen_everywhere_and_others_stay(model):
    forced = Named(1, 1, 3, 2.5)
    gates = model.trace(tokens(model), adjusting(model, forced=[forced])).gates
    own = model.trace(tokens(model)).gates
    indices, scores = (np.asarray(array[1, :, :, 1]) for array in gates)
    is_forced = indices == 3
    np.testing.assert_array_equal(is_forced.sum(-1), 1)
    np.testing.assert_array_equal(scores[is_forced], np.float32(2.5))
    # One of the first layer's choices gave way, the weakest, unless it was chosen already.
    before = np.asarray(own.indices[1, :, :, 1])
    kept = (before[..., None] == indices[..., None, :]).any(-1)
    strength = np.abs(np.asarray(own.scores[1, :, :, 1]))
    for position in np.ndindex(kept.shape[:2]):
        if 3 in before[position]:
            assert kept[position].all()
        else:
            assert (~kept[position]).sum() == 1
            assert strength[position].argmin() == (~kept[position]).argmax()
    np.testing.assert_array_equal(gates.indices[0], own.indices[0])


def test_generation_with_a_neuron_left_out_is_that_without_its_weights(model):
    gone = half(model)
    prompt = tokens(model, 6)
    options = {"max_tokens": 8, "sampling": GREEDY}
    # From the prompt's last token on: alone, it is all there is.
    last = prompt[:, -1:]
    edited = [*generate(model.config, model.params, last, edit=zeroing(model, gone), **options)]
    other = without(model, gone)
    np.testing.assert_array_equal(edited, [*generate(other.config, other.params, last, **options)])
    longer = [*generate(model.config, model.params, prompt, edit=zeroing(model, gone), **options)]
    assert np.shape(longer) == np.shape(edited)


def test_generation_with_an_edit_that_does_nothing_is_generation(model):
    prompt = tokens(model, 6)
    options = {"max_tokens": 8, "sampling": GREEDY}
    plain = [*generate(model.config, model.params, prompt, **options)]
    edited = [*generate(model.config, model.params, prompt, edit=adjusting(model), **options)]
    np.testing.assert_array_equal(edited, plain)


def test_a_circuit_replaces_those_of_its_layers_and_channels(model):
    text = "The turtle was"
    given = model.trace(model.encode(text)[None]).gates
    edit = circuit_of(model, text, [1], [0])
    gates, own = (model.trace(tokens(model), one).gates for one in (edit, None))
    expected = np.broadcast_to(given.indices[1, 0, -1, 0], gates.indices[1, :, :, 0].shape)
    np.testing.assert_array_equal(gates.indices[1, :, :, 0], expected)
    np.testing.assert_allclose(gates.scores[1, 0, 5, 0], given.scores[1, 0, -1, 0], rtol=1e-6)
    np.testing.assert_array_equal(gates.indices[1, :, :, 1], own.indices[1, :, :, 1])
    np.testing.assert_array_equal(gates.indices[0], own.indices[0])


def test_a_text_is_written_with_and_without(model):
    options = {"max_tokens": 5, "sampling": GREEDY}
    plain = "".join(steered(model, "The", None, **options))
    assert "".join(steered(model, "The", adjusting(model), **options)) == plain
    everything = np.ones(half(model).shape, bool)
    assert "".join(steered(model, "The", zeroing(model, everything), **options)) != plain


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("1.0.3", "is no LAYER.CHANNEL.NEURON=NUMBER, such as"),
        ("1.0.3=nan", "is no LAYER.CHANNEL.NEURON=NUMBER, such as"),
        ("9.0.3=1", "there is no layer 9: there are 0 to"),
        ("0.9.3=1", "there is no channel 9: there are 0 to"),
        ("0.0.9999=1", "there is no neuron 9999: there are 0 to"),
    ],
)
def test_a_neuron_that_is_not_there(model, text, error):
    with pytest.raises(UserError, match=error):
        Named.parse(text, model)


def test_what_cannot_steer_is_told(model):
    assert Named.parse("1.0.3=-2.5", model) == (1, 0, 3, -2.5)
    with pytest.raises(UserError, match="two neurons of channel 0 of layer 1 are forced"):
        adjusting(model, forced=[Named(1, 0, 3, 1.0), Named(1, 0, 4, 1.0)])
    with pytest.raises(UserError, match="name the layers to steer, of 0 to"):
        circuit_of(model, "The", [])
    with pytest.raises(UserError, match="there is no layer 9"):
        circuit_of(model, "The", [9])
    with pytest.raises(UserError, match="text is empty"):
        circuit_of(model, "", [0])


def test_a_mixture_takes_factors_too():
    layer = Moe(16, MoeConfig(n_experts=4, top_k=2, d_hidden=8), rngs=nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 16)), jnp.float32)
    nothing = Adjust(jnp.zeros((1, 4)), jnp.zeros((1, 4)))
    assert not np.asarray(layer(x, adjust=nothing).y).any()
    same = Adjust(jnp.ones((1, 4)), jnp.zeros((1, 4)))
    np.testing.assert_allclose(layer(x, adjust=same).y, layer(x).y, rtol=1e-6)
