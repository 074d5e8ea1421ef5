# SPDX-License-Identifier: Apache-2.0
"""The mixture's losses and offsets even out its load.

T tokens, D model, E experts, K chosen, F hidden width of an expert, L layers.
"""

import dataclasses
import math

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import pytest

from sgatlin.nn import moe as module
from sgatlin.nn.moe import MoeConfig
from tests.nn.mixture import CONFIGS, ROUTINGS, D, E, K, draw, moe, shapes

# Logits (ln 3, 0), (ln 3, 0), (-ln 3, 0): experts 0, 0 and 1 are chosen, shares 2/3 and 1/3.
LOSSES_BY_HAND = {
    # Probabilities of expert 0: 3/4, 3/4, 1/4, 7/12 on average; 2 (2/3 * 7/12 + 1/3 * 5/12).
    "paper": 19 / 18,
    # Sigmoids 3/4 and 1/2; 1/4 and 1/2: of expert 0 3/5, 3/5, 1/3, 23/45 on average;
    # 2 (2/3 * 23/45 + 1/3 * 22/45).
    "sigmoid_bias": 136 / 135,
}


@pytest.mark.parametrize("routing", LOSSES_BY_HAND)
def test_losses_worked_out_by_hand(routing):
    config = MoeConfig(
        n_experts=2, top_k=1, d_hidden=1, routing=routing, balance_weight=0.5, z_weight=0.1
    )
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes(config, 1))
    params["router"] = jnp.float32([[math.log(3), 0]])
    losses = moe(params, jnp.float32([[1], [1], [-1]]), config=config).losses
    assert set(losses) == {"balance", "z"}
    assert float(losses["balance"]) == pytest.approx(0.5 * LOSSES_BY_HAND[routing])
    # Sums of exponentials: 3 + 1, 3 + 1, 1/3 + 1.
    z = (math.log(4) ** 2 + math.log(4) ** 2 + math.log(4 / 3) ** 2) / 3
    assert float(losses["z"]) == pytest.approx(0.1 * z)


@pytest.mark.parametrize("routing", ROUTINGS)
def test_a_uniform_router_has_a_balance_loss_of_its_weight(routing):
    config = dataclasses.replace(CONFIGS[routing], balance_weight=0.25)
    params, x_TD, _ = draw(config)
    params["router"] *= 0
    params |= {"router_bias": jnp.zeros(E)} if "router_bias" in params else {}
    losses = moe(params, x_TD, config=config).losses
    assert list(losses) == ["balance"]
    assert float(losses["balance"]) == pytest.approx(0.25, rel=1e-6)


def test_offsets_rise_where_the_load_is_below_the_mean():
    config = MoeConfig(n_experts=4, top_k=1, routing="sigmoid_bias", bias_update_speed=0.25)
    params = {"balance": jnp.float32([[0, 0, 0, 0], [1, 1, 1, 1]]), "router": jnp.ones(3)}
    # Means 3 and 2.
    counts = jnp.array([[[3, 9, 0, 0]], [[1, 2, 2, 3]]])
    moved = config.after_step(params, counts)
    assert moved["balance"].tolist() == [[0, -0.25, 0.25, 0.25], [1.25, 1, 1, 0.75]]
    assert moved["router"] is params["router"]
    assert params["balance"].tolist()[0] == [0, 0, 0, 0]
    for routing in ("topk_softmax", "paper"):
        assert dataclasses.replace(config, routing=routing).after_step(params, counts) is params


def test_offsets_even_out_a_skewed_load():
    config = dataclasses.replace(
        CONFIGS["sigmoid_bias"], n_shared_experts=0, bias_update_speed=0.01
    )
    rng = np.random.default_rng(0)
    n_tokens, n_layers = 512, 2
    x_TD = jnp.float32(rng.normal(size=(n_tokens, D))).at[:, 0].set(1)
    params, _, _ = draw(config, skew=6.0)
    params = {name: jnp.stack([leaf] * n_layers) for name, leaf in params.items()}
    params["balance"] *= 0

    @jax.jit
    def loads(params):
        def layer(of_layer):
            logits_TE = module.router_logits(of_layer, x_TD)
            indices_TK, _ = module.choose(of_layer, logits_TE, config)
            return jnp.bincount(indices_TK.reshape(-1), length=E)[None]

        return jax.lax.map(layer, {name: params[name] for name in ("router", "balance")})

    @jax.jit
    def train(params):
        return jax.lax.fori_loop(
            0, 200, lambda _, params: config.after_step(params, loads(params)), params
        )

    mean = n_tokens * K / E
    assert loads(params)[0].max() > 2 * mean
    after = loads(train(params))
    assert after.min() > 0.8 * mean
    assert after.max() < 1.2 * mean


def test_the_gradient_never_reaches_the_offsets():
    config = dataclasses.replace(CONFIGS["sigmoid_bias"], balance_weight=1.0, z_weight=1.0)
    params, x_TD, _ = draw(config)

    @jax.jit
    @jax.grad
    def gradient(params):
        y_TD, _, losses = module.moe(params, x_TD, config)
        return jnp.sum(y_TD**2) + losses["balance"] + losses["z"]

    slopes = gradient(params)
    assert not slopes["balance"].any()
    assert slopes["router"].any()
