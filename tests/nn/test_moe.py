# SPDX-License-Identifier: Apache-2.0
"""The mixture of experts computes its formula, drops nothing, and balances its load.

T tokens, D model, E experts, K chosen, F hidden width of an expert, L layers.
"""

import dataclasses
import math
from functools import partial

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.flatten_util import ravel_pytree
from jax.test_util import check_grads

from sgatlin.nn import moe as module
from sgatlin.nn.gates import Gates
from sgatlin.nn.mlp import swiglu
from sgatlin.nn.moe import Moe, MoeConfig
from sgatlin.ops.grouped import blocks, loop
from tests.nn.mixture import CONFIG, CONFIGS, ROUTINGS, D, E, K, T, draw, moe, shapes


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    # T * K = 26 rows are no multiple.
    for implementation in (loop, blocks):
        monkeypatch.setattr(implementation, "BLOCK_ROWS", 4)


def every_expert(params, x_TD, prefix=""):
    """All experts' outputs for all tokens, (T, E, D)."""
    w_in, b_in, w_out, b_out = (
        params[prefix + name] for name in ("w_in", "b_in", "w_out", "b_out")
    )
    both = jnp.einsum("td,edf->tef", x_TD, w_in) + b_in
    hidden = swiglu(*jnp.split(both, 2, axis=-1))
    return jnp.einsum("tef,efd->ted", hidden, w_out) + b_out


def oracle(params, x_TD, config: MoeConfig):
    """Every expert for every token, with weights of zero for those not chosen."""
    logits = x_TD @ params["router"] + params.get("router_bias", 0)
    affinity = jax.nn.sigmoid(logits) if config.routing == "sigmoid_bias" else jnp.exp(logits)
    preference = affinity + params.get("balance", 0)
    # Chosen: those with fewer than K before them.
    rank_TE = (preference[:, None, :] > preference[:, :, None]).sum(-1)
    chosen_TE = jnp.where(rank_TE < config.top_k, affinity, 0)
    total = affinity if config.routing == "paper" else chosen_TE
    weights_TE = chosen_TE / total.sum(-1, keepdims=True)
    y_TD = jnp.einsum("te,ted->td", weights_TE, every_expert(params, x_TD))
    if config.n_shared_experts:
        y_TD += every_expert(params, x_TD, "shared_").sum(axis=1)
    return y_TD


def assert_close(ours, expected, tolerance: float = 1e-5) -> None:
    def check(path, ours, expected):
        ours, expected = np.float64(ours), np.float64(expected)
        assert ours.shape == expected.shape
        error = np.linalg.norm(ours - expected) / max(np.linalg.norm(expected), 1e-6)
        assert error < tolerance, jax.tree_util.keystr(path)

    jax.tree.map_with_path(check, ours, expected)


def equal(ours, expected) -> bool:
    return all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), ours, expected)))


# For each routing the chosen experts and their weights; see the test below.
C = 1 / (1 + math.exp(-1.702))
BY_HAND = {
    # Biases make it (ln 6, ln 3, ln 2): of 6 + 3, experts 0 and 1 have 2/3 and 1/3.
    "topk_softmax": ([0, 1], [2 / 3, 1 / 3], [7 / 3 * C, 70 / 3 * C + 1 / 3]),
    # Of 1 + 3 + 2, experts 1 and 2 have 1/2 and 1/3.
    "paper": ([1, 2], [1 / 2, 1 / 3], [17 / 6 * C, 170 / 6 * C + 7 / 6]),
    # sigmoid(ln a) = a / (1 + a): 1/2, 3/4, 2/3. With offsets 1, 3/4, 2/3: experts 0 and 1, of
    # 1/2 + 3/4 without them.
    "sigmoid_bias": ([0, 1], [2 / 5, 3 / 5], [13 / 5 * C, 26 * C + 3 / 5]),
}


@pytest.mark.parametrize("routing", ROUTINGS)
def test_a_value_worked_out_by_hand(routing):
    # x = (1, 2). Logits, from its first entry alone: (0, ln 3, ln 2).
    # Expert e: gate 1, by bias; up e + 1; hidden sigmoid(1.702) * (e + 2); output (1, 10) times
    # that, plus (0, e).
    config = MoeConfig(n_experts=3, top_k=2, d_hidden=1, routing=routing)
    params = {
        "router": jnp.float32([[0, math.log(3), math.log(2)], [0, 0, 0]]),
        "w_in": jnp.float32([[[0, 1], [0, 0]], [[0, 2], [0, 0]], [[0, 3], [0, 0]]]),
        "b_in": jnp.float32([[1, 0]] * 3),
        "w_out": jnp.float32([[[1, 10]]] * 3),
        "b_out": jnp.float32([[0, 0], [0, 1], [0, 2]]),
    }
    if routing == "topk_softmax":
        params["router_bias"] = jnp.float32([math.log(6), 0, 0])
    if routing == "sigmoid_bias":
        params["balance"] = jnp.float32([0.5, 0, 0])
    y, gates, losses = moe(params, jnp.float32([1, 2]), config=config)
    indices, scores, expected = BY_HAND[routing]
    assert gates.indices.tolist() == [indices]
    np.testing.assert_allclose(gates.scores, [scores], rtol=1e-6)
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    assert losses == {}


@pytest.mark.parametrize(
    ("routing", "implementation"),
    [
        # Whatever multiplies the groups is tested with them.
        ("topk_softmax", None),
        ("sigmoid_bias", "blocks"),
        ("paper", "ragged_dot"),
    ],
)
def test_equals_all_experts_masked_whatever_the_load(routing, implementation):
    config = dataclasses.replace(CONFIGS[routing], implementation=implementation)

    def value_and_gradients(layer, params, x_TD):
        y_TD, pull_back = jax.vjp(layer, params, x_TD)
        return y_TD, *pull_back(jnp.cos(jnp.arange(T * D, dtype=y_TD.dtype)).reshape(T, D))

    ours = jax.jit(partial(value_and_gradients, lambda *at: module.moe(*at, config).y))
    expected = jax.jit(partial(value_and_gradients, lambda *at: oracle(*at, config)))
    # Skewed, the scores of all experts but one have very small gradients.
    with jax.enable_x64(True):
        for skew in (0.0, 15.0):
            at = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), draw(config, skew)[:2])
            assert_close(ours(*at), expected(*at), 1e-9)


def test_nothing_is_dropped_when_all_choose_one_expert():
    params, x_TD, gates = draw(skew=30.0)
    alone = dataclasses.replace(CONFIG, top_k=1)
    y_TD, own, _ = moe(params, x_TD, config=alone)
    assert (own.indices == 3).all()
    # With one expert chosen its weight is 1.
    assert_close(y_TD, every_expert(params, x_TD)[:, 3])
    twice = gates._replace(indices=jnp.full_like(gates.indices, 3))
    y_TD, _, _ = moe(params, x_TD, config=CONFIG, gates=twice)
    assert_close(y_TD, gates.scores.sum(axis=-1) * every_expert(params, x_TD)[:, 3])


def test_given_gates_are_used_and_the_router_is_not():
    config = dataclasses.replace(CONFIG, balance_weight=1.0, z_weight=1.0)
    params, x_TD, given = draw()
    y_TD, used, losses = moe({**params, "router": None}, x_TD, config=config, gates=given)
    picked_TKD = jnp.take_along_axis(
        every_expert(params, x_TD), given.indices.reshape(T, K, 1), axis=1
    )
    assert_close(y_TD, (given.scores.reshape(T, K, 1) * picked_TKD).sum(axis=1))
    assert equal(used, given)
    assert losses == {}


def test_its_own_gates_given_back_change_nothing_to_the_bit():
    params, x_TD, _ = draw()
    y_TD, gates, _ = moe(params, x_TD, config=CONFIG)
    again_TD, _, _ = moe(params, x_TD, config=CONFIG, gates=gates)
    assert equal(again_TD, y_TD)


def test_replace_takes_the_given_gates_of_some_tokens_only():
    config = dataclasses.replace(CONFIG, balance_weight=1.0)
    params, x_TD, given = draw()
    own_TD, own, losses = moe(params, x_TD, config=config)
    given_TD, _, _ = moe(params, x_TD, config=config, gates=given)
    replace_T = np.arange(T) % 3 == 0
    y_TD, used, own_losses = moe(
        params, x_TD, config=config, gates=given, replace=jnp.array(replace_T)[:, None]
    )
    assert_close(y_TD, np.where(replace_T[:, None], given_TD, own_TD))
    where = replace_T[:, None, None]
    assert equal(used, Gates(*(jnp.where(where, g, o) for g, o in zip(given, own, strict=True))))
    # The router's losses are of what it chose.
    assert equal(own_losses, losses)


def test_a_given_index_outside_the_pool_is_clamped():
    params, x_TD, given = draw()
    beyond, clamped = (
        given._replace(indices=given.indices.at[..., 0].set(high).at[..., 1].set(low))
        for high, low in ((E + 2, -1), (E - 1, 0))
    )
    y_TD, expected_TD = (moe(params, x_TD, config=CONFIG, gates=g).y for g in (beyond, clamped))
    assert equal(y_TD, expected_TD)


def test_leading_axes_are_arbitrary():
    params, x_TD, _ = draw()
    expected_TD, expected, _ = moe(params, x_TD[:12], config=CONFIG)
    y, gates, _ = moe(params, x_TD[:12].reshape(2, 6, D), config=CONFIG)
    assert gates.indices.shape == gates.scores.shape == (2, 6, 1, K)
    assert_close(y.reshape(12, D), expected_TD)
    y_D, gates, _ = moe(params, x_TD[4], config=CONFIG)
    assert gates.indices.tolist() == expected.indices[4].tolist()
    assert_close(y_D, expected_TD[4])


def test_the_module_is_the_function_of_its_parameters():
    params, x_TD, given = draw()
    graph = nnx.graphdef(nnx.eval_shape(lambda: Moe(D, CONFIG, rngs=nnx.Rngs(0))))

    @jax.jit
    def both(params, x_TD, given):
        layer = nnx.merge(graph, nnx.State(params))
        gating = {"gates": given, "replace": jnp.arange(T)[:, None] < 3}
        return layer(x_TD, **gating), module.moe(params, x_TD, CONFIG, **gating)

    ours, expected = both(params, x_TD, given)
    assert equal(ours, expected)


@pytest.mark.parametrize(
    ("config", "order"),
    [
        (
            dataclasses.replace(CONFIGS["sigmoid_bias"], balance_weight=0.5, z_weight=0.5),
            1,
        ),
        # Whatever multiplies the groups is tested with them.
        (dataclasses.replace(CONFIG, implementation="reference"), 2),
    ],
    ids=["first order, with losses", "second order"],
)
def test_gradients_equal_finite_differences(config, order):
    params, x_TD, _ = draw(config)
    with jax.enable_x64(True):
        offsets = {"balance": params.pop("balance")} if "balance" in params else {}
        at = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), (params, x_TD[:2]))
        # As vectors, of which the checks compile far less than of trees.
        vector, tree = ravel_pytree(at)

        @jax.jit
        def layer(vector):
            params, x_TD = tree(vector)
            y_TD, _, losses = module.moe({**params, **offsets}, x_TD, config)
            return ravel_pytree((y_TD, losses))[0]

        assert layer(vector).dtype == jnp.float64
        # Small steps: a search's choices must not change.
        check_grads(layer, (vector,), order=order, modes=["rev"], eps=1e-6, atol=1e-5, rtol=1e-5)


def test_bf16_keeps_scores_in_fp32():
    params, x_TD, _ = draw()
    expected_TD, own, _ = moe(params, x_TD, config=CONFIG)
    narrow_TD = x_TD.astype(jnp.bfloat16)
    y_TD, gates, _ = moe(params, narrow_TD, config=CONFIG)
    assert (y_TD.dtype, gates.scores.dtype) == (jnp.bfloat16, jnp.float32)
    # Nothing but x is rounded on the way to the scores.
    widened = moe(params, narrow_TD.astype(jnp.float32), config=CONFIG).gates
    assert equal(gates, widened)
    # The same gates, since a rounded x may lead to others.
    y_TD, _, _ = moe(params, narrow_TD, config=CONFIG, gates=own)
    error = np.linalg.norm(np.float32(y_TD) - expected_TD) / np.linalg.norm(expected_TD)
    assert 1e-4 < error < 2e-2


def outputs(jaxpr):
    """(primitive, shape) of everything that is computed, inner programs included."""
    for equation in jaxpr.eqns:
        for variable in equation.outvars:
            yield equation.primitive.name, variable.aval.shape
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from outputs(inner)


def test_nothing_is_larger_than_the_rows_and_nothing_is_scattered(monkeypatch):
    monkeypatch.setattr(loop, "BLOCK_ROWS", 64)
    config = MoeConfig(n_experts=4, top_k=2, d_hidden=16)
    x_TD = jax.ShapeDtypeStruct((256, 32), jnp.float32)

    def loss(params, x_TD):
        return jnp.sum(module.moe(params, x_TD, config).y ** 2)

    program = jax.make_jaxpr(jax.grad(loss, (0, 1)))(shapes(config, 32), x_TD)
    computed = list(outputs(program.jaxpr))
    rows, width = 256 * 2 + 64, max(32, 2 * 16)
    # Experts' matrices, here of 4 * 32 * 32 elements, are smaller.
    assert max(math.prod(shape) for _, shape in computed) == rows * width
    assert not any(name.startswith("scatter-") for name, _ in computed)
