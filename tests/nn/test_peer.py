# SPDX-License-Identifier: Apache-2.0
"""PEER computes its formula, and starts as large as it is told to."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads

from sgatlin.errors import UserError
from sgatlin.nn.mlp import MlpConfig
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.sgatlin import SgatlinConfig, sgatlin


def gelu(x: float) -> float:
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def shapes(config: PeerConfig | SgatlinConfig, d_model: int):
    layer = nnx.eval_shape(lambda: config.build(d_model, rngs=nnx.Rngs(0)))
    return nnx.to_pure_dict(nnx.state(layer))


def test_a_value_worked_out_by_hand():
    config = PeerConfig(n_channels=2, n_neurons=9, top_k=2, d_key=1)
    # x = 1 and queries 1, so that scores are keys over sqrt(2):
    #   channel 0: first half (3, 0, -5), second half (1, 0, -5): the best pairs are
    #     (0, 0): neuron 0, 3 + 1 = 4, and (0, 1): neuron 1, 3 + 0 = 3
    #   channel 1: first half (-5, 0, 2), second half (1, -5, 0.5):
    #     (2, 0): neuron 6, 2 + 1 = 3, and (2, 2): neuron 8, 2 + 0.5 = 2.5
    keys_HCM = [[[3, 0, -5], [-5, 0, 2]], [[1, 0, -5], [1, -5, 0.5]]]
    params = {
        "router": {
            "query": jnp.ones((2, 2, 1, 1)),
            "key": math.sqrt(2) * jnp.float32(keys_HCM)[..., None],
        },
        # One table for both channels: neuron n has weights n + 1 and 10^n.
        "w_in": jnp.arange(1.0, 10).reshape(1, 9, 1),
        "w_out": 10.0 ** jnp.arange(9).reshape(1, 9, 1),
    }
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(
        lambda leaf: leaf.shape, shapes(config, 1)
    )
    y, gates, losses = sgatlin(params, jnp.ones((1,)), config.as_sgatlin())
    assert gates.indices.tolist() == [[0, 1], [6, 8]]
    # A softmax over two scores is a sigmoid of their difference.
    weights = [[sigmoid(1), sigmoid(-1)], [sigmoid(0.5), sigmoid(-0.5)]]
    np.testing.assert_allclose(gates.scores, weights, rtol=1e-6)
    expected = (
        weights[0][0] * gelu(1) * 1
        + weights[0][1] * gelu(2) * 10
        + weights[1][0] * gelu(7) * 1e6
        + weights[1][1] * gelu(9) * 1e8
    )
    np.testing.assert_allclose(y, [expected], rtol=1e-5)
    assert losses == {}


@pytest.mark.parametrize("shared_pool", [True, False])
@pytest.mark.parametrize("query_norm", [True, False])
def test_gradients_equal_finite_differences(shared_pool, query_norm):
    config = PeerConfig(
        n_channels=2, n_neurons=9, top_k=2, d_key=3, shared_pool=shared_pool, query_norm=query_norm
    )
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        params = jax.tree.map(
            lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), shapes(config, 5)
        )
        x_TD = jnp.asarray(rng.normal(size=(2, 5)))
        layer = jax.jit(lambda params, x_TD: sgatlin(params, x_TD, config.as_sgatlin()).y)
        assert layer(params, x_TD).dtype == jnp.float64
        check_grads(layer, (params, x_TD), order=1, modes=["rev"])


def test_per_channel_tables_are_as_many_as_channels():
    assert shapes(PeerConfig(n_channels=4, n_neurons=16, top_k=2), 8)["w_in"].shape == (1, 16, 8)
    own = PeerConfig(n_channels=4, n_neurons=16, top_k=2, shared_pool=False)
    assert shapes(own, 8)["w_in"].shape == (4, 16, 8)
    assert own.pool_shape == (4, 16)


def test_what_it_cannot_be_is_refused():
    with pytest.raises(UserError, match=r"^n_neurons=1000 is not a perfect square"):
        PeerConfig(n_neurons=1000)


def output_rms(config, d_model: int) -> float:
    """Of a new layer on normalised inputs."""

    @jax.jit
    def rms(key):
        layer = config.build(d_model, rngs=nnx.Rngs(key))
        x_TD = jax.random.normal(jax.random.key(1, impl="unsafe_rbg"), (512, d_model))
        return jnp.sqrt(jnp.mean(layer(x_TD).y ** 2))

    # This kind of key compiles several times faster than the usual one.
    return float(rms(jax.random.key(0, impl="unsafe_rbg")))


@pytest.mark.parametrize(
    "config",
    [
        PeerConfig(n_channels=8, n_neurons=1024, init="matched"),
        PeerConfig(n_channels=8, n_neurons=1024, init="matched", query_norm=True),
        SgatlinConfig(n_channels=8, n_neurons=1024, init="matched"),
        SgatlinConfig(
            n_channels=4, n_neurons=256, init="matched", activation="relu", gate="softmax"
        ),
    ],
    ids=["peer", "peer, query_norm", "sgatlin", "sgatlin, relu and softmax"],
)
def test_matched_initialisation_gives_the_output_of_a_gelu_mlp(config):
    # Both are means over 512 tokens of 256 entries.
    mlp = output_rms(MlpConfig(d_hidden=512), 256)
    assert output_rms(config, 256) == pytest.approx(mlp, rel=0.05)
    assert mlp == pytest.approx(0.652, rel=0.05)


def test_the_papers_initialisation_makes_it_far_smaller():
    assert output_rms(PeerConfig(n_channels=8, n_neurons=1024), 256) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "d_model", "expected"),
    [
        (SgatlinConfig(n_channels=8, n_neurons=1024), 256, 0.47),
        (SgatlinConfig(n_channels=16, n_neurons=88**2), 768, 0.18),
        (PeerConfig(n_channels=16, n_neurons=176**2), 768, 7e-4),
    ],
    ids=["sgatlin for TinyStories", "sgatlin, s = 6", "PEER, s = 6"],
)
def test_known_output_scales_at_initialisation(config, d_model, expected):
    assert output_rms(config, d_model) == pytest.approx(expected, rel=0.1)
