# SPDX-License-Identifier: Apache-2.0
"""The search of product routers equals brute force over all M * M sums."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sgatlin.ops import product_topk as module
from sgatlin.ops.product_topk.xla import SHORT_ROW

# Compiled as a whole, which takes a fraction of the time of one operation after another.
product_topk = jax.jit(module.product_topk, static_argnums=2)
topk = jax.jit(module.topk, static_argnums=1)

# Rows of up to SHORT_ROW scores are searched in another way than longer ones.
LONG = SHORT_ROW + 1


@partial(jax.jit, static_argnums=2)
def brute_force(first_M, second_M, top_k):
    """The same by `lax.top_k` over all sums: indices and values."""
    sums_MM = first_M[..., :, None] + second_M[..., None, :]
    values_K, indices_K = jax.lax.top_k(sums_MM.reshape(*first_M.shape[:-1], -1), top_k)
    return indices_K, values_K


def halves(n_subkeys: int, *leading: int, seed: int = 0) -> tuple[jax.Array, jax.Array]:
    draws = np.random.default_rng(seed).normal(size=(2, *leading, n_subkeys))
    return jnp.float32(draws[0]), jnp.float32(draws[1])


@pytest.mark.parametrize(
    ("n_subkeys", "top_k"),
    [(5, 1), (5, 4), (5, 5), (SHORT_ROW, 3), (LONG, 8)],
)
def test_equals_brute_force_where_there_are_no_ties(n_subkeys, top_k):
    first, second = halves(n_subkeys, 3, 7)
    indices, scores = product_topk(first, second, top_k)
    expected_indices, expected_scores = brute_force(first, second, top_k)
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_array_equal(scores, expected_scores)


@pytest.mark.parametrize(("n_subkeys", "top_k"), [(6, 5), (LONG, 8)])
def test_equals_brute_force_in_value_with_ties(n_subkeys, top_k):
    draws = np.random.default_rng(1).integers(-2, 3, size=(2, 50, n_subkeys))
    first, second = jnp.float32(draws[0]), jnp.float32(draws[1])
    indices, scores = (np.asarray(x) for x in product_topk(first, second, top_k))
    np.testing.assert_array_equal(scores, brute_force(first, second, top_k)[1])
    # The indices are distinct and name sums of these values.
    assert all(len(set(row)) == top_k for row in indices.tolist())
    sums = draws[0][:, :, None] + draws[1][:, None, :]
    chosen = np.take_along_axis(sums.reshape(50, -1), indices, axis=-1)
    np.testing.assert_array_equal(chosen, scores)


@pytest.mark.parametrize("n_subkeys", [4, LONG])
@pytest.mark.parametrize(
    ("first", "second", "pairs"),
    [
        # Equal scores in a half: the lower index is the higher rank. First by rank: 1, 2, 0, 3;
        # second: 2, 3, 0, 1. The four best pairs all add up to 3, in the order of their ranks.
        ([0, 1, 1, 0], [0, 0, 2, 2], [(1, 2), (1, 3), (2, 2), (2, 3)]),
        # Equal sums: 2 + 2 = 4, then 2 + 1 = 3 (ranks 0, 1) before 1 + 2 = 3 (ranks 1, 0), though
        # the index of the latter is lower.
        ([1, 2, 0, 0], [0, 1, 2, 0], [(1, 2), (1, 1), (0, 2)]),
        ([1, 2, 0, 0], [0, 1, 2, 0], [(1, 2), (1, 1)]),
    ],
)
def test_ties_are_broken_as_documented(n_subkeys, first, second, pairs):
    def row(scores):
        return jnp.float32(scores + [-9.0] * (n_subkeys - 4))

    indices, _ = product_topk(row(first), row(second), len(pairs))
    assert indices.tolist() == [i * n_subkeys + j for i, j in pairs]


@pytest.mark.parametrize(("n_subkeys", "top_k"), [(6, 5), (LONG, 3)])
def test_scores_that_are_not_finite_stay_in_the_pool(n_subkeys, top_k):
    rng = np.random.default_rng(2)
    special = rng.choice([np.nan, np.inf, -np.inf, 0, 1], size=(2, 200, n_subkeys))
    for half, value in ((0, np.nan), (0, np.inf), (0, -np.inf), (1, -np.inf)):
        row = rng.integers(1, 200)
        special[half, row] = value
    special[:, 0] = rng.normal(size=(2, n_subkeys))
    scores = jnp.float32(special)
    indices, values = (np.asarray(x) for x in product_topk(scores[0], scores[1], top_k))
    assert indices.min() >= 0
    assert indices.max() < n_subkeys**2
    _, single_indices = topk(scores[0], top_k)
    assert 0 <= np.min(single_indices) <= np.max(single_indices) < n_subkeys
    # The finite row beside them is as ever.
    finite_indices, finite_values = brute_force(scores[0], scores[1], top_k)
    np.testing.assert_array_equal(indices[0], finite_indices[0])
    np.testing.assert_array_equal(values[0], finite_values[0])


@pytest.mark.parametrize(("n_subkeys", "top_k"), [(5, 4), (LONG, 2)])
def test_gradients_equal_those_of_brute_force(n_subkeys, top_k):
    halves_2TM = jnp.stack(halves(n_subkeys, 4))
    direction_2TM = jnp.stack(halves(n_subkeys, 4, seed=1))
    weights_TK = jnp.arange(1.0, 1 + 4 * top_k).reshape(4, top_k)

    @partial(jax.jit, static_argnums=0)
    def orders(search):
        def loss(halves_2TM):
            return jnp.sum(weights_TK * jnp.sin(search(*halves_2TM, top_k)[1]))

        def slope(halves_2TM):  # of the loss along a direction
            return jnp.sum(jax.grad(loss)(halves_2TM) * direction_2TM)

        return jax.grad(loss)(halves_2TM), jax.grad(slope)(halves_2TM)

    for ours, expected in zip(orders(product_topk), orders(brute_force), strict=True):
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_subkeys", [4, LONG])
def test_with_ties_the_gradient_goes_to_the_chosen_scores_alone(n_subkeys):
    top_k = 2
    zeros = jnp.zeros(n_subkeys)

    def scores(first, second):
        return product_topk(first, second, top_k)[1]

    # All are equal: pairs (0, 0) and (0, 1) are chosen.
    first, second = jax.vjp(scores, zeros, zeros)[1](jnp.float32([10, 1]))
    assert first.tolist() == [11, *(n_subkeys - 1) * [0]]
    assert second.tolist() == [10, 1, *(n_subkeys - 2) * [0]]


@pytest.mark.parametrize(
    ("length", "k"), [(1, 1), (7, 1), (7, 4), (7, 7), (SHORT_ROW, 3), (LONG, 3)]
)
def test_topk_equals_laxs(length, k):
    rng = np.random.default_rng(3)
    ties = rng.integers(-2, 3, size=(20, length))
    infinite = rng.choice([np.inf, -np.inf, 0.0], size=(20, length))
    scores = jnp.float32(np.concatenate([ties, infinite, rng.normal(size=(20, length))]))
    values, indices = topk(scores, k)
    expected_values, expected_indices = jax.lax.top_k(scores, k)
    np.testing.assert_array_equal(values, expected_values)
    np.testing.assert_array_equal(indices, expected_indices)


def test_topk_takes_a_row_without_leading_axes():
    values, indices = topk(jnp.float32([1, 3, 2]), 2)
    assert (values.tolist(), indices.tolist()) == ([3, 2], [1, 2])
