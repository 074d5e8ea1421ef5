# SPDX-License-Identifier: Apache-2.0
"""The sgatlin layer computes its formula, with its own gates and with given ones.

T tokens, D model, C channels, N neurons per channel, K chosen, Q router width.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads

from sgatlin.nn import sgatlin as module
from sgatlin.nn.gates import Gates
from sgatlin.nn.routing import route
from sgatlin.nn.sgatlin import Sgatlin, SgatlinConfig

T, D = 6, 5
C, N, K, Q = 3, 9, 2, 4
CONFIG = SgatlinConfig(n_channels=C, n_neurons=N, top_k=K, d_key=Q)

# The paper's layer for TinyStories.
PAPER = SgatlinConfig(n_channels=8, n_neurons=1024, top_k=8, d_key=128)

sgatlin = jax.jit(module.sgatlin, static_argnames="config")


def draw(seed: int = 0):
    """Parameters of a layer of CONFIG, x (T, D), and gates that no router chose."""
    rng = np.random.default_rng(seed)
    layer = nnx.eval_shape(lambda: Sgatlin(D, CONFIG, rngs=nnx.Rngs(0)))
    shapes = nnx.to_pure_dict(nnx.state(layer))
    params = jax.tree.map(lambda leaf: jnp.float32(rng.normal(size=leaf.shape)), shapes)
    gates = Gates(
        jnp.asarray(rng.integers(N, size=(T, C, K))), jnp.float32(rng.normal(size=(T, C, K)))
    )
    return params, jnp.float32(rng.normal(size=(T, D))), gates


def formula(params, x_TD, gates) -> np.ndarray:
    """The sum of the module's docstring, term by term."""
    w_in, w_out, x_TD = (np.float64(array) for array in (params["w_in"], params["w_out"], x_TD))
    y_TD = np.zeros_like(x_TD)
    for t in range(len(x_TD)):
        for c in range(C):
            for i, s in zip(gates.indices[t, c], gates.scores[t, c], strict=True):
                y_TD[t] += s * (w_in[c, i] @ x_TD[t]) * w_out[c, i]
    return y_TD


def equal(ours, expected) -> bool:
    return all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), ours, expected)))


def test_a_value_worked_out_by_hand():
    config = SgatlinConfig(n_channels=2, n_neurons=4, top_k=1, d_key=1)
    # x = (2, 3), query (1, 0): h = 2. Sub-scores are h times the sub-keys:
    #   channel 0: first half (2, -2), second half (6, 2): neuron 0 * 2 + 0 = 0, score 2 + 6 = 8
    #   channel 1: first half (0, 4), second half (-2, 1): neuron 1 * 2 + 1 = 3, score 4 + 1 = 5
    subkey_2CM = [[[1, -1], [0, 2]], [[3, 1], [-1, 0.5]]]
    # channel 0: 8 * <(1, 1), x> * (0.5, -1) = 8 * 5 * (0.5, -1) = (20, -40)
    # channel 1: 5 * <(-1, 2), x> * (1, 1) = 5 * 4 * (1, 1) = (20, 20)
    w_in, w_out = np.full((2, 4, 2), 100.0), np.full((2, 4, 2), 100.0)
    w_in[0, 0], w_out[0, 0] = (1, 1), (0.5, -1)
    w_in[1, 3], w_out[1, 3] = (-1, 2), (1, 1)
    params = {
        "router": {
            "query": jnp.float32([[1], [0]]),
            "key": jnp.float32(subkey_2CM).reshape(1, 8),
        },
        "w_in": jnp.float32(w_in),
        "w_out": jnp.float32(w_out),
    }
    y, gates, _ = sgatlin(params, jnp.float32([2, 3]), config=config)
    assert gates.indices.tolist() == [[0], [3]]
    assert gates.scores.tolist() == [[8], [5]]
    assert y.tolist() == [40, -20]


def test_equals_the_formula():
    params, x_TD, given = draw()
    y_TD, own, _ = sgatlin(params, x_TD, config=CONFIG)
    np.testing.assert_allclose(y_TD, formula(params, x_TD, own), rtol=1e-5, atol=1e-4)
    y_TD, used, _ = sgatlin(params, x_TD, config=CONFIG, gates=given)
    np.testing.assert_allclose(y_TD, formula(params, x_TD, given), rtol=1e-5, atol=1e-4)
    assert equal(used, given)


def test_its_own_gates_given_back_change_nothing_to_the_bit():
    params, x_TD, _ = draw()
    y_TD, gates, _ = sgatlin(params, x_TD, config=CONFIG)
    again_TD, *_ = sgatlin(params, x_TD, config=CONFIG, gates=gates)
    assert equal(again_TD, y_TD)


def test_replace_takes_the_given_gates_of_some_channels_only():
    params, x_TD, given = draw()
    _, own, _ = sgatlin(params, x_TD, config=CONFIG)
    replace_TC = np.random.default_rng(1).random((T, C)) < 0.5
    assert not {1, 2}.isdisjoint(replace_TC.sum(axis=1))  # some tokens have both
    y_TD, used, _ = sgatlin(params, x_TD, config=CONFIG, gates=given, replace=jnp.array(replace_TC))
    for t in range(T):
        for c in range(C):
            expected = given if replace_TC[t, c] else own
            assert equal([part[t, c] for part in used], [part[t, c] for part in expected])
    np.testing.assert_allclose(y_TD, formula(params, x_TD, used), rtol=1e-5, atol=1e-4)


def test_leading_axes_are_arbitrary():
    params, x_TD, _ = draw()
    expected_TD, expected, _ = sgatlin(params, x_TD, config=CONFIG)
    y_BTD, gates, _ = sgatlin(params, x_TD.reshape(2, 3, D), config=CONFIG)
    assert gates.indices.shape == gates.scores.shape == (2, 3, C, K)
    np.testing.assert_allclose(y_BTD.reshape(T, D), expected_TD, rtol=1e-5)
    y_D, gates, _ = sgatlin(params, x_TD[4], config=CONFIG)
    assert gates.indices.tolist() == expected.indices[4].tolist()
    np.testing.assert_allclose(y_D, expected_TD[4], rtol=1e-5)


def test_a_given_index_outside_the_pool_stays_in_its_channel():
    params, x_TD, given = draw()
    beyond = given._replace(indices=given.indices.at[:, :, 0].set(N + 2).at[:, :, 1].set(-1))
    clamped = given._replace(indices=given.indices.at[:, :, 0].set(N - 1).at[:, :, 1].set(0))
    y_TD, expected_TD = (
        sgatlin(params, x_TD, config=CONFIG, gates=g)[0] for g in (beyond, clamped)
    )
    assert equal(y_TD, expected_TD)


def test_the_module_is_the_function_of_its_parameters():
    params, x_TD, given = draw()
    graph = nnx.graphdef(nnx.eval_shape(lambda: Sgatlin(D, CONFIG, rngs=nnx.Rngs(0))))

    @jax.jit
    def both(params, x_TD, **gating):
        layer = nnx.merge(graph, nnx.State(params))
        return layer(x_TD, **gating), module.sgatlin(params, x_TD, CONFIG, **gating)

    for gating in ({}, {"gates": given, "replace": jnp.ones((T, C), bool)}):
        ours, expected = both(params, x_TD, **gating)
        assert equal(ours, expected)


def test_the_gradient_reaches_the_router_through_the_scores_alone():
    params, x_TD, _ = draw()
    weights_TD = jnp.float32(np.random.default_rng(1).normal(size=(T, D)))

    def loss(router, gates=None, replace=None):
        both = params | {"router": router}
        y_TD, *_ = module.sgatlin(both, x_TD, CONFIG, gates=gates, replace=replace)
        return jnp.sum(y_TD * weights_TD)

    @jax.jit
    def gradients(router):
        gates, pull_back = jax.vjp(lambda router: route(router, x_TD, CONFIG), router)
        d_scores = jax.grad(lambda s: loss(router, gates._replace(scores=s)))(gates.scores)
        no_indices = np.zeros(gates.indices.shape, jax.dtypes.float0)
        (through_scores,) = pull_back(Gates(no_indices, d_scores))
        everywhere = jnp.ones((T, C), bool)
        return (
            jax.grad(loss)(router),
            through_scores,
            jax.grad(loss)(router, gates),
            jax.grad(loss)(router, gates, everywhere),
        )

    ours, through_scores, given, replaced = gradients(params["router"])
    for name, expected in through_scores.items():
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(ours[name], expected, rtol=1e-4, atol=1e-5)
        assert not given[name].any()
        assert not replaced[name].any()


def test_gradients_of_all_orders_equal_finite_differences():
    params, x_TD, _ = draw()
    with jax.enable_x64(True):
        at = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), (params, x_TD[:2]))
        layer = jax.jit(lambda params, x_TD: module.sgatlin(params, x_TD, CONFIG)[0])
        assert layer(*at).dtype == jnp.float64
        check_grads(layer, at, order=2, modes=["rev"])


def test_bf16_keeps_scores_in_fp32():
    params, x_TD, _ = draw()
    expected_TD, own, _ = sgatlin(params, x_TD, config=CONFIG)
    narrow_TD, gates, _ = sgatlin(params, x_TD.astype(jnp.bfloat16), config=CONFIG)
    assert (narrow_TD.dtype, gates.scores.dtype) == (jnp.bfloat16, jnp.float32)
    # The same gates, since rounded scores may lead to others.
    y_TD, *_ = sgatlin(params, x_TD.astype(jnp.bfloat16), config=CONFIG, gates=own)
    error = np.linalg.norm(np.float32(y_TD) - expected_TD) / np.linalg.norm(expected_TD)
    assert 1e-4 < error < 1e-2


@pytest.fixture(scope="module")
def initial():
    """Parameters of a new layer of width 256."""
    init = jax.jit(lambda key: nnx.to_pure_dict(nnx.state(Sgatlin(256, PAPER, rngs=nnx.Rngs(key)))))
    # This kind of key compiles several times faster than the usual one.
    return init(jax.random.key(0, impl="unsafe_rbg"))


def test_initial_tables_take_the_neurons_for_the_fan_in(initial):
    for name in ("w_in", "w_out"):
        assert float(np.std(initial[name])) == pytest.approx(1 / math.sqrt(1024), rel=0.01)
    assert not np.array_equal(initial["w_in"], initial["w_out"])


def test_initial_output_has_the_expected_scale(initial):
    # Sub-scores are standard normal; the 8 largest of 32 * 32 sums have a root mean square of 3.70
    # (simulated). Each of C * K = 64 neurons adds score * N(0, D / N) * N(0, 1 / N):
    # rms = sqrt(64 * 3.70^2 * 256 / 1024 / 1024) = 0.46.
    x_TD = jnp.float32(np.random.default_rng(0).normal(size=(64, 256)))
    y_TD, gates, _ = sgatlin(initial, x_TD, config=PAPER)
    assert float(np.sqrt(np.mean(np.square(gates.scores)))) == pytest.approx(3.70, rel=0.05)
    assert float(np.sqrt(np.mean(np.square(y_TD)))) == pytest.approx(0.46, rel=0.1)
