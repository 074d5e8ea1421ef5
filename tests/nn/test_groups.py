# SPDX-License-Identifier: Apache-2.0
"""Layers whose neurons share scores in groups, against a loop over all groups.

T tokens, D model, C channels, N neurons per channel, K chosen, G neurons of a group, n = N / G
groups, Q router width.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads

from sgatlin.errors import UserError
from sgatlin.nn import routing
from sgatlin.nn.gates import Gates
from sgatlin.nn.sgatlin import SgatlinConfig, sgatlin
from tests.nn.against import assert_same_values_and_gradients

T, D, C, Q = 5, 6, 2, 4
CASES = {
    "two": {"group": 2, "n_neurons": 18, "top_k": 4},
    "four": {"group": 4, "n_neurons": 36, "top_k": 8},
    "four, shared": {"group": 4, "n_neurons": 36, "top_k": 8, "shared_pool": True},
    "dense router": {"group": 3, "n_neurons": 15, "top_k": 6, "router": "dense"},
    "softmax": {"group": 2, "n_neurons": 18, "top_k": 4, "gate": "softmax"},
    "PEER's router": {"group": 2, "n_neurons": 18, "top_k": 4, "router": "product_key_value"},
}


def config_of(**fields) -> SgatlinConfig:
    return SgatlinConfig(n_channels=C, d_key=Q, **fields)


def draw(config: SgatlinConfig, dtype=jnp.float32):
    """Parameters of a layer and x (T, D)."""
    rng = np.random.default_rng(0)
    layer = nnx.eval_shape(lambda: config.build(D, rngs=nnx.Rngs(0)))
    shapes = nnx.to_pure_dict(nnx.state(layer))
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), dtype), shapes)
    return params, jnp.asarray(rng.normal(size=(T, D)), dtype)


def group_scores(params, x_D, config: SgatlinConfig, channel: int):
    """The score of every group of a channel for one token, each from a key of its own: (n,)."""
    query, key = params["router"]["query"], params["router"]["key"]
    n_groups = config.n_neurons // config.group
    if config.router == "dense":
        keys_Qn = key.reshape(Q, C, n_groups)[:, channel]
        return jnp.stack([x_D @ query @ keys_Qn[:, g] for g in range(n_groups)])
    side = math.isqrt(n_groups)
    if config.router == "product_key_value":
        queries, halves = query[:, channel], key[:, channel].transpose(0, 2, 1) / math.sqrt(2 * Q)
    else:
        queries, halves = (query, query), key.reshape(Q, 2, C, side)[:, :, channel]
        halves = halves.transpose(1, 0, 2)
    first, second = (x_D @ q @ half for q, half in zip(queries, halves, strict=True))
    return jnp.stack([first[g // side] + second[g % side] for g in range(n_groups)])


def brute_force(params, x_TD, config: SgatlinConfig):
    """y (T, D): of each channel the best groups, each neuron of them added with its group's gate.

    A gradient goes through the gates and the neurons; the choice has none.
    """
    y_TD = []
    for x_D in x_TD:
        y_D = jnp.zeros(D, x_D.dtype)
        for channel in range(C):
            table = 0 if config.shared_pool else channel
            w_in_ND, w_out_ND = params["w_in"][table], params["w_out"][table]
            scores = group_scores(params, x_D, config, channel)
            chosen = jnp.argsort(-scores)[: config.top_k // config.group]
            gates = scores[chosen]
            if config.gate == "softmax":
                gates = jnp.exp(gates) / jnp.exp(gates).sum()
            for g, s in zip(chosen, gates, strict=True):
                for i in range(config.group):
                    n = g * config.group + i
                    y_D += s * (w_in_ND[n] @ x_D) * w_out_ND[n]
        y_TD.append(y_D)
    return jnp.stack(y_TD)


@pytest.mark.parametrize("fields", CASES.values(), ids=CASES)
def test_equals_brute_force_in_values_and_gradients(fields):
    config = config_of(**fields)
    params, x_TD = draw(config)
    assert_same_values_and_gradients(
        lambda params, x_TD: sgatlin(params, x_TD, config).y,
        lambda params, x_TD: brute_force(params, x_TD, config),
        params,
        x_TD,
    )


def test_gradients_equal_finite_differences():
    config = config_of(**CASES["two"], balance_weight=0.5)
    with jax.enable_x64(True):
        params, x_TD = draw(config, jnp.float64)

        @jax.jit
        def layer(params, x_TD):
            y_TD, _, losses = sgatlin(params, x_TD, config)
            return y_TD, losses

        check_grads(layer, (params, x_TD), order=1, modes=["rev"])


@pytest.mark.parametrize("fields", CASES.values(), ids=CASES)
def test_gates_are_whole_groups_in_the_order_of_their_scores(fields):
    config = config_of(**fields)
    params, x_TD = draw(config)
    gates = routing.route(params["router"], x_TD, config)
    assert gates.indices.shape == gates.scores.shape == (T, C, config.top_k)
    groups = np.asarray(gates.indices).reshape(T, C, -1, config.group)
    np.testing.assert_array_equal(
        groups % config.group, np.broadcast_to(np.arange(config.group), groups.shape)
    )
    assert (groups // config.group == groups[..., :1] // config.group).all()
    np.testing.assert_array_equal(
        routing.group_indices(gates.indices, config.group), groups[..., 0] // config.group
    )
    scores = np.asarray(gates.scores).reshape(groups.shape)
    assert (scores == scores[..., :1]).all()
    assert (np.diff(scores[..., 0]) < 0).all()
    if config.gate == "softmax":
        np.testing.assert_allclose(gates.scores.sum(axis=-1), config.group, rtol=1e-6)


def test_gates_of_groups_given_to_a_layer_without_them_make_the_same_output():
    config = config_of(**CASES["four"])
    params, x_TD = draw(config)
    y_TD, gates, _ = sgatlin(params, x_TD, config)
    single = dataclasses.replace(config, group=1, top_k=5)
    again_TD = sgatlin(params, x_TD, single, gates=gates).y
    np.testing.assert_array_equal(again_TD, y_TD)


@pytest.mark.parametrize("router", ["product_dense", "dense"])
def test_balance_loss_is_that_of_all_groups(router):
    config = config_of(group=2, n_neurons=18, top_k=4, router=router, balance_weight=0.25)
    params, x_TD = draw(config)
    n_groups, n_chosen = 9, 2
    expected = 0.0
    for channel in range(C):
        scores_Tn = np.stack([group_scores(params, x_D, config, channel) for x_D in x_TD])
        powers_Tn = np.exp(np.float64(scores_Tn))
        mean_n = (powers_Tn / powers_Tn.sum(axis=1, keepdims=True)).mean(axis=0)
        chosen = np.argsort(-scores_Tn, axis=1)[:, :n_chosen]
        share_n = np.bincount(chosen.ravel(), minlength=n_groups) / (T * n_chosen)
        expected += n_groups * (share_n * mean_n).sum() / C
    losses = sgatlin(params, x_TD, config).losses
    assert float(losses["balance"]) == pytest.approx(0.25 * expected, rel=1e-5)


def test_balance_loss_of_equal_use_is_one():
    config = SgatlinConfig(n_channels=1, n_neurons=12, group=3, top_k=3, d_key=1)
    indices = jnp.arange(12).reshape(4, 1, 3)  # each of four tokens chooses another group
    gates = Gates(indices, jnp.ones((4, 1, 3)))
    assert float(routing.balance_loss(jnp.zeros((4, 2, 1, 2)), gates, config)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"group": 0}, "group=0 must be at least 1"),
        (
            {"n_neurons": 1000, "group": 4},
            "n_neurons=1000 is not group=4 times a perfect square, which the router "
            "'product_dense' needs: try 900 or 1024",
        ),
        (
            {"n_neurons": 3, "group": 4},
            "n_neurons=3 is not group=4 times a perfect square, which the router "
            "'product_dense' needs: try 4",
        ),
        (
            {"n_neurons": 1000, "group": 3, "router": "dense"},
            "n_neurons=1000 is not a multiple of group=3: try 999 or 1002",
        ),
        ({"group": 4, "top_k": 6}, "top_k=6 is not a multiple of group=4: try 4 or 8"),
        ({"group": 4, "top_k": 2}, "top_k=2 is not a multiple of group=4: try 4"),
        (
            {"n_neurons": 256, "group": 4, "top_k": 32},
            "top_k=32 is too large for n_neurons=256 and group=4: it must be below "
            "group * sqrt(n_neurons / group), at most 28",
        ),
        (
            {"n_neurons": 12, "group": 4, "top_k": 16, "router": "dense"},
            "top_k=16 is too large for n_neurons=12 and group=4: it must be at most n_neurons, "
            "at most 12",
        ),
    ],
)
def test_groups_that_no_router_can_choose_are_refused(fields, message):
    with pytest.raises(UserError) as error:
        SgatlinConfig(**fields)
    assert str(error.value) == message


def test_the_most_groups_are_accepted():
    assert SgatlinConfig(n_neurons=256, group=4, top_k=28).top_k == 28
    assert SgatlinConfig(n_neurons=12, group=4, top_k=12, router="dense").top_k == 12
