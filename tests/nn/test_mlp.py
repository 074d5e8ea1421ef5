# SPDX-License-Identifier: Apache-2.0
"""The dense layers compute what is worked out by hand. D model, F hidden width."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sgatlin.errors import UserError
from sgatlin.nn.mlp import Mlp, MlpConfig, Swiglu, SwigluConfig, matching_d_hidden, swiglu


def layer_with(kind, config, d_model: int, **weights):
    """A layer with these parameters."""
    graph = nnx.graphdef(nnx.eval_shape(lambda: kind(d_model, config, rngs=nnx.Rngs(0))))
    arrays = {name: jnp.float32(value) for name, value in weights.items()}
    return nnx.merge(graph, nnx.State(arrays))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_mlp_value():
    # hidden = gelu(1), gelu(-2), gelu(0) in the tanh form (the exact one is 1.5e-4 away).
    layer = layer_with(
        Mlp,
        MlpConfig(d_hidden=3),
        2,
        w_in=[[1, 0, 2], [0, 1, 1]],
        w_out=[[1, 2], [3, 4], [50, 60]],
    )
    gelu = {
        x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        for x in (1, -2)
    }
    y, gates, losses = layer(jnp.float32([[1, -2]]))
    expected = [[gelu[1] + 3 * gelu[-2], 2 * gelu[1] + 4 * gelu[-2]]]
    np.testing.assert_allclose(y, expected, rtol=1e-5)
    assert (gates, losses) == (None, {})


def test_swiglu_value():
    layer = layer_with(
        Swiglu,
        SwigluConfig(d_hidden=2),
        1,
        # gates (1 + 1, 3 - 3), ups (2 + 0, 5 + 4): the second is clipped to 7, its gate is 0.
        w_gate=[[1, 3]],
        b_gate=[1, -3],
        w_up=[[2, 5]],
        b_up=[0, 4],
        w_out=[[10], [100]],
        b_out=[0.5],
    )
    y, gates, losses = layer(jnp.float32([1]))
    # 2 sigmoid(1.702 * 2) * (2 + 1) * 10 + 0.5
    np.testing.assert_allclose(y, [60 * sigmoid(3.404) + 0.5], rtol=1e-6)
    assert (gates, losses) == (None, {})


@pytest.mark.parametrize(
    ("gate", "up", "expected"),
    [
        (1, 2, 3 * sigmoid(1.702)),
        (0, 5, 0),
        # The gate is clipped above only, up on both sides, before 1 is added.
        (10, 0, 7 * sigmoid(1.702 * 7)),
        (-10, 0, -10 * sigmoid(-17.02)),
        (1, 20, 8 * sigmoid(1.702)),
        (1, -20, -6 * sigmoid(1.702)),
        (1, -1, 0),
    ],
)
def test_swiglu_clips_its_halves(gate, up, expected):
    found = float(swiglu(jnp.float32([gate]), jnp.float32([up]))[0])
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_clipped_halves_have_no_gradient():
    at = jnp.float32([10]), jnp.float32([20])
    slopes = jax.grad(lambda gate, up: swiglu(gate, up).sum(), (0, 1))(*at)
    assert [float(slope[0]) for slope in slopes] == [0, 0]


@pytest.mark.parametrize(
    ("d_model", "d_hidden"),
    # 8/3 D: 170, 341, 682, 1024, 1365, 1706, 2048, 2389, 2730.
    [
        (64, 256),
        (128, 256),
        (256, 512),
        (384, 1024),
        (512, 1280),
        (640, 1536),
        (768, 2048),
        (896, 2304),
        (1024, 2560),
    ],
)
def test_widths_that_match_the_papers(d_model, d_hidden):
    assert matching_d_hidden(d_model) == d_hidden


def test_initial_parameters():
    config = SwigluConfig(d_hidden=60)
    init = jax.jit(lambda key: nnx.to_pure_dict(nnx.state(Swiglu(80, config, rngs=nnx.Rngs(key)))))
    params = init(jax.random.key(0, impl="unsafe_rbg"))
    for name in ("w_gate", "w_up"):
        assert params[name].shape == (80, 60)
        assert float(np.std(params[name])) == pytest.approx(1 / math.sqrt(80), rel=0.05)
    assert not np.array_equal(params["w_gate"], params["w_up"])
    assert float(np.std(params["w_out"])) == pytest.approx(1 / math.sqrt(60), rel=0.05)
    assert not params["b_gate"].any()
    assert not params["b_up"].any()
    assert not params["b_out"].any()


@pytest.mark.parametrize("config", [MlpConfig, SwigluConfig])
def test_a_hidden_width_of_nothing_is_refused(config):
    with pytest.raises(UserError, match=r"^d_hidden=0 must be at least 1$"):
        config(d_hidden=0)
