# SPDX-License-Identifier: Apache-2.0
"""What a mixture is made of: parameters, roles, counts, and configs that cannot be.

T tokens, D model, E experts, K chosen, F hidden width of an expert, L layers.
"""

import dataclasses
import math

import jax
import jax.extend.core
import jaxtyping
import numpy as np
import pytest
from flax import nnx

from sgatlin.errors import UserError
from sgatlin.nn.gates import GatedConfig
from sgatlin.nn.moe import Moe, MoeConfig
from sgatlin.nn.roles import role_tree
from tests.nn.mixture import CONFIG, CONFIGS, ROUTINGS, D, E, K, shapes


@pytest.mark.parametrize("routing", ROUTINGS)
def test_counts_are_those_of_real_parameters(routing):
    for n_shared in (0, 3):
        config = dataclasses.replace(CONFIGS[routing], n_shared_experts=n_shared)
        sizes = {name: leaf.size for name, leaf in shapes(config).items()}
        experts = ("w_in", "b_in", "w_out", "b_out")
        chosen = sum(sizes[name] for name in experts) * K // E
        others = sum(size for name, size in sizes.items() if name not in experts)
        assert config.gathered_parameters(D) == chosen
        assert config.active_parameters(D) == chosen + others
        matrices = sum(sizes[name] for name in ("w_in", "w_out")) * K // E
        # Two operations for each weight of a matrix that a token uses.
        shared = sum(sizes.get(f"shared_{name}", 0) for name in ("w_in", "w_out"))
        assert config.forward_flops(D) == 2 * (sizes["router"] + matrices + shared)


def test_roles():
    def roles(config):
        return role_tree(nnx.state(nnx.eval_shape(lambda: Moe(D, config, rngs=nnx.Rngs(0)))))

    expert = {"w_in": "Expert", "b_in": "Bias", "w_out": "Expert", "b_out": "Bias"}
    shared = {f"shared_{name}": role for name, role in expert.items()}
    common = {"router": "Router", **expert}
    assert roles(CONFIGS["paper"]) == common
    assert roles(CONFIGS["topk_softmax"]) == {**common, "router_bias": "Bias"}
    assert roles(CONFIGS["sigmoid_bias"]) == {**common, **shared, "balance": "Balance"}


def test_it_is_a_config_of_gates():
    assert isinstance(CONFIG, GatedConfig)
    assert (CONFIG.pool_shape, CONFIG.top_k) == ((1, E), K)


def test_initial_parameters():
    config = MoeConfig(
        n_experts=8, top_k=2, d_hidden=60, routing="sigmoid_bias", n_shared_experts=2
    )
    init = jax.jit(lambda key: nnx.to_pure_dict(nnx.state(Moe(80, config, rngs=nnx.Rngs(key)))))
    params = init(jax.random.key(0, impl="unsafe_rbg"))
    for name, fan_in in (("w_in", 80), ("w_out", 60), ("shared_w_in", 80), ("shared_w_out", 60)):
        for expert in params[name]:
            assert float(np.std(expert)) == pytest.approx(1 / math.sqrt(fan_in), rel=0.05)
        assert not np.array_equal(params[name][0], params[name][1])
    assert float(np.std(params["router"])) == pytest.approx(1 / math.sqrt(80), rel=0.1)
    for name in ("b_in", "b_out", "shared_b_in", "shared_b_out", "balance"):
        assert not params[name].any()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"top_k": 17}, "top_k=17 is too large for n_experts=16: it must be at most 16"),
        ({"n_experts": 0}, "n_experts=0 must be at least 1"),
        ({"top_k": 0}, "top_k=0 must be at least 1"),
        ({"d_hidden": -1}, "d_hidden=-1 must be at least 1"),
        ({"n_shared_experts": -1}, "n_shared_experts=-1 must be finite and at least 0"),
        ({"balance_weight": -0.1}, "balance_weight=-0.1 must be finite and at least 0"),
        ({"z_weight": math.nan}, "z_weight=nan must be finite and at least 0"),
        ({"bias_update_speed": math.inf}, "bias_update_speed=inf must be finite and at least 0"),
    ],
)
def test_bad_configs_are_refused(fields, message):
    with pytest.raises(UserError) as raised:
        MoeConfig(**fields)
    assert str(raised.value) == message


def test_an_unknown_routing_is_refused(monkeypatch):
    # As for those who do not check types at run time.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(UserError, match=r"^routing='hash' is not one of topk_softmax, sigmoid_"):
        MoeConfig(routing="hash")
