# SPDX-License-Identifier: Apache-2.0
"""Each option that leads from sgatlin to PEER does what it says, alone.

T tokens, D model, C channels, N neurons per channel, M = sqrt(N), K chosen, Q router width.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads

from sgatlin.nn import routing
from sgatlin.nn.gates import Gates
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.sgatlin import SgatlinConfig, gated_neurons, sgatlin

T, D, C, N, M, K, Q = 6, 5, 2, 9, 3, 2, 4
CONFIG = SgatlinConfig(n_channels=C, n_neurons=N, top_k=K, d_key=Q)

OPTIONS = {
    "softmax": {"gate": "softmax"},
    "query_norm": {"query_norm": True},
    "relu after": {"activation": "relu"},
    "swish after": {"activation": "swish"},
    "gelu before": {"activation": "gelu", "activation_at": "before_gate"},
    "shared_pool": {"shared_pool": True},
    "product_key_value": {"router": "product_key_value"},
    "balance": {"balance_weight": 0.5},
    "balance, dense": {"balance_weight": 0.5, "router": "dense"},
}


def draw(config: SgatlinConfig, dtype=jnp.float32):
    """Parameters of a layer and x (T, D)."""
    rng = np.random.default_rng(0)
    layer = nnx.eval_shape(lambda: config.build(D, rngs=nnx.Rngs(0)))
    shapes = nnx.to_pure_dict(nnx.state(layer))
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), dtype), shapes)
    return params, jnp.asarray(rng.normal(size=(T, D)), dtype)


def gelu(z: float) -> float:
    return 0.5 * z * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


def swish(z: float) -> float:
    return z / (1 + math.exp(-z))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # <w_in, x> is 3 and -1, gates -0.5 and 2, w_out 10 and 100.
        ({}, -1.5 * 10 - 2 * 100),
        ({"activation_at": "before_gate"}, -1.5 * 10 - 2 * 100),
        ({"activation": "relu"}, 0),
        ({"activation": "relu", "activation_at": "before_gate"}, -0.5 * 3 * 10),
        ({"activation": "gelu"}, gelu(-1.5) * 10 + gelu(-2) * 100),
        (
            {"activation": "gelu", "activation_at": "before_gate"},
            -0.5 * gelu(3) * 10 + 2 * gelu(-1) * 100,
        ),
        ({"activation": "swish"}, swish(-1.5) * 10 + swish(-2) * 100),
        (
            {"activation": "swish", "activation_at": "before_gate"},
            -0.5 * swish(3) * 10 + 2 * swish(-1) * 100,
        ),
    ],
)
def test_where_the_activation_is_applied(options, expected):
    config = SgatlinConfig(n_channels=1, n_neurons=9, top_k=2, d_key=1, **options)
    w_in, w_out = jnp.full((1, 9, 1), 1e3), jnp.full((1, 9, 1), 1e3)
    w_in, w_out = w_in.at[0, [4, 7], 0].set([3, -1]), w_out.at[0, [4, 7], 0].set([10, 100])
    gates = Gates(jnp.array([[4, 7]]), jnp.float32([[-0.5, 2]]))
    y = gated_neurons(jnp.ones((1,)), gates, w_in, w_out, config)
    np.testing.assert_allclose(y, [expected], rtol=1e-4, atol=1e-5)


def test_channels_of_a_shared_pool_take_the_same_rows():
    config = dataclasses.replace(CONFIG, shared_pool=True)
    params, x_TD = draw(config)
    assert params["w_in"].shape == params["w_out"].shape == (1, N, D)
    y_TD, gates, _ = sgatlin(params, x_TD, config)
    own = {name: jnp.tile(params[name], (C, 1, 1)) for name in ("w_in", "w_out")}
    expected_TD, expected, _ = sgatlin(params | own, x_TD, CONFIG)
    np.testing.assert_allclose(y_TD, expected_TD, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(gates.indices, expected.indices)


def test_softmax_gates_are_of_the_chosen_scores():
    params, x_TD = draw(CONFIG)
    raw = sgatlin(params, x_TD, CONFIG).gates
    gates = sgatlin(params, x_TD, dataclasses.replace(CONFIG, gate="softmax")).gates
    np.testing.assert_array_equal(gates.indices, raw.indices)
    powers = np.exp(np.float64(raw.scores))
    np.testing.assert_allclose(gates.scores, powers / powers.sum(-1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize("router", ["product_dense", "product_key_value"])
def test_normalised_queries_do_not_feel_the_scale_of_the_input(router):
    config = dataclasses.replace(CONFIG, query_norm=True, router=router)
    params, x_TD = draw(config)
    gates, scaled = (routing.route(params["router"], x, config) for x in (x_TD, 100 * x_TD))
    np.testing.assert_allclose(gates.scores, scaled.scores, rtol=1e-4)
    # A query of the learned scale has that scale times the square root of Q for a norm.
    doubled = params["router"] | {"query_scale": 2 * params["router"]["query_scale"]}
    np.testing.assert_allclose(
        routing.route(doubled, x_TD, config).scores, 2 * gates.scores, rtol=1e-5
    )
    plain = dataclasses.replace(config, query_norm=False)
    raw = routing.route(params["router"], x_TD, plain).scores
    assert np.abs(raw - gates.scores).max() > 0.1


def test_all_of_peers_options_make_peer():
    peer = PeerConfig(n_channels=C, n_neurons=N, top_k=K, d_key=Q)
    params, x_TD = draw(peer.as_sgatlin())
    spelled_out = dataclasses.replace(
        CONFIG,
        router="product_key_value",
        gate="softmax",
        activation="gelu",
        activation_at="before_gate",
        shared_pool=True,
    )
    layer = nnx.eval_shape(lambda: peer.build(D, rngs=nnx.Rngs(0)))
    ours = nnx.merge(nnx.graphdef(layer), nnx.State(params))(x_TD).y
    np.testing.assert_array_equal(ours, sgatlin(params, x_TD, spelled_out).y)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_gradients_equal_finite_differences(options):
    config = dataclasses.replace(CONFIG, **options)
    with jax.enable_x64(True):
        params, x_TD = draw(config, jnp.float64)

        @jax.jit
        def layer(params, x_TD):
            # The share of choices in the balance loss has no gradient, nor has it one in finite
            # differences: small steps change no choice.
            y_TD, _, losses = sgatlin(params, x_TD, config)
            return y_TD, losses

        check_grads(layer, (params, x_TD), order=1, modes=["rev"])


def all_probabilities(scores, config) -> np.ndarray:
    """(T, C, N), from the scores of every neuron."""
    if config.router == "product_dense":
        scores = scores[:, 0, :, :, None] + scores[:, 1, :, None, :]
    powers = np.exp(np.float64(scores).reshape(T, C, N))
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("router", ["product_dense", "dense"])
def test_balance_loss_is_that_of_all_neurons(router):
    config = dataclasses.replace(CONFIG, router=router, balance_weight=0.25)
    params, x_TD = draw(config)
    scores = routing.key_scores(params["router"], x_TD, config)
    gates = routing.choose(scores, config)
    shares_CN = np.zeros((C, N))
    for (_, channel, _), neuron in np.ndenumerate(np.asarray(gates.indices)):
        shares_CN[channel, neuron] += 1 / (T * K)
    mean_CN = all_probabilities(scores, config).mean(axis=0)
    expected = N * (shares_CN * mean_CN).sum() / C
    assert float(routing.balance_loss(scores, gates, config)) == pytest.approx(expected, rel=1e-5)
    losses = sgatlin(params, x_TD, config).losses
    assert float(losses["balance"]) == pytest.approx(0.25 * expected, rel=1e-5)


def test_balance_loss_of_equal_and_of_single_choices():
    config = SgatlinConfig(n_channels=1, n_neurons=4, top_k=1, d_key=1)
    equal = Gates(jnp.arange(4).reshape(4, 1, 1), jnp.ones((4, 1, 1)))
    flat = jnp.zeros((4, 2, 1, 2))
    assert float(routing.balance_loss(flat, equal, config)) == pytest.approx(1)
    # All choose neuron 0, with probability (e / (e + 1))^2 each.
    single = Gates(jnp.zeros((4, 1, 1), int), jnp.ones((4, 1, 1)))
    sure = flat.at[..., 0].set(1)
    expected = 4 * (math.e / (math.e + 1)) ** 2
    assert float(routing.balance_loss(sure, single, config)) == pytest.approx(expected, rel=1e-6)


def test_no_balance_loss_where_nobody_routes_or_nobody_asks():
    config = dataclasses.replace(CONFIG, balance_weight=0.25)
    params, x_TD = draw(config)
    _, gates, losses = sgatlin(params, x_TD, CONFIG)
    assert losses == {}
    assert sgatlin(params, x_TD, config, gates=gates).losses == {}
    some = jnp.ones((T, C), bool)
    assert set(sgatlin(params, x_TD, config, gates=gates, replace=some).losses) == {"balance"}
