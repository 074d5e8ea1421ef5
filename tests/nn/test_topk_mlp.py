# SPDX-License-Identifier: Apache-2.0
"""The top-k MLP keeps what is largest, and nothing else."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads

from sgatlin.errors import UserError
from sgatlin.nn.topk_mlp import TopkMlp, TopkMlpConfig, keep_largest


def layer_with(config: TopkMlpConfig, w_in, w_out) -> TopkMlp:
    layer = nnx.eval_shape(lambda: TopkMlp(len(w_in), config, rngs=nnx.Rngs(0)))
    return nnx.merge(nnx.graphdef(layer), nnx.State({"w_in": w_in, "w_out": w_out}))


def test_a_value_worked_out_by_hand():
    w_in = jnp.float32([[1, 2, 3, -1], [1, -1, 0, 5]])
    w_out = jnp.float32([[1, 10], [2, 20], [3, 30], [4, 40]])
    # x = (2, 1): hidden (3, 3, 6, 3) before and after relu. The two largest are 6 and a 3, with
    # which the other 3s tie: all stay.
    x = jnp.float32([2, 1])
    y = layer_with(TopkMlpConfig(d_hidden=4, top_k=2), w_in, w_out)(x).y
    assert y.tolist() == [3 + 6 + 18 + 12, 30 + 60 + 180 + 120]
    # x = (1, 1): hidden (2, 1, 3, 4): 3 and 4 stay.
    y, gates, losses = layer_with(TopkMlpConfig(d_hidden=4, top_k=2), w_in, w_out)(x / x)
    assert y.tolist() == [3 * 3 + 4 * 4, 3 * 30 + 4 * 40]
    assert (gates, losses) == (None, {})
    # With all kept it is an MLP; gelu in its tanh form.
    config = TopkMlpConfig(d_hidden=1, top_k=1, activation="gelu")
    y = layer_with(config, jnp.float32([[1]]), jnp.float32([[2]]))(jnp.float32([1])).y
    gelu = 0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * 1.044715))
    np.testing.assert_allclose(y, [2 * gelu], rtol=1e-6)


def test_negative_activations_can_be_the_largest():
    kept = keep_largest(jnp.float32([[-3, -1, -2], [0.5, -9, 7]]), 2)
    assert kept.tolist() == [[0, -1, -2], [0.5, 0, 7]]


def test_what_is_not_kept_has_no_gradient():
    gradient = jax.grad(lambda x: (keep_largest(x, 2) ** 2).sum())(jnp.float32([3, 1, 2]))
    assert gradient.tolist() == [6, 0, 4]


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_gradients_equal_finite_differences(activation):
    rng = np.random.default_rng(0)
    config = TopkMlpConfig(d_hidden=7, top_k=3, activation=activation)
    with jax.enable_x64(True):
        weights = tuple(jnp.asarray(rng.normal(size=shape)) for shape in ((5, 7), (7, 5)))
        x_TD = jnp.asarray(rng.normal(size=(3, 5)))
        check_grads(
            jax.jit(lambda w_in, w_out, x: layer_with(config, w_in, w_out)(x).y),
            (*weights, x_TD),
            order=1,
            modes=["rev"],
        )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"d_hidden": 4, "top_k": 5}, "top_k=5 must be at least 1 and at most d_hidden=4"),
        ({"top_k": 0}, "top_k=0 must be at least 1 and at most d_hidden=1024"),
    ],
)
def test_what_it_cannot_be_is_refused(fields, message):
    with pytest.raises(UserError) as error:
        TopkMlpConfig(**fields)
    assert str(error.value) == message
