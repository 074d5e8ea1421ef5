# SPDX-License-Identifier: Apache-2.0
"""The K best of the M * M sums of one score from each of two halves, exactly.

M scores per half, K sums kept; leading axes (tokens, channels) are arbitrary.

A sum of the i-th best of one half and the j-th best of the other (ranks from 0) has at least
(i + 1) * (j + 1) - 1 sums above it, so only pairs with (i + 1) * (j + 1) <= K can be among the K
best: 20 of 64 for K = 8. Product keys: Lample 2019, arXiv 1907.05242.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

# Longest row searched by rounds of maximum: beyond it the rounds leave the cache of a CPU.
SHORT_ROW = 32


def product_topk(
    first_M: Float[Array, "*batch M"], second_M: Float[Array, "*batch M"], top_k: int
) -> tuple[Int[Array, "*batch K"], Float[Array, "*batch K"]]:
    """Indices i * M + j and values first[i] + second[j] of the `top_k` largest sums, descending.

    Ties as in `lax.top_k` on the candidates: of equal scores in a half the lower index comes
    first, of equal sums the pair that comes first by (rank in first, rank in second). Scores that
    are not finite still lead to indices inside the pool. The gradient goes to the chosen scores.
    Needs K <= M.
    """
    n_subkeys = first_M.shape[-1]
    first_index_K, second_index_K = jax.lax.stop_gradient(
        _best_pairs(jax.lax.stop_gradient(first_M), jax.lax.stop_gradient(second_M), top_k)
    )
    scores_K = _select(first_M, first_index_K) + _select(second_M, second_index_K)
    return first_index_K * n_subkeys + second_index_K, scores_K


def _best_pairs(first_M: Array, second_M: Array, top_k: int) -> tuple[Array, Array]:
    first_K, first_index_K = topk(first_M, top_k)
    second_K, second_index_K = topk(second_M, top_k)
    ranks = np.array(
        [(i, j) for i in range(top_k) for j in range(top_k) if (i + 1) * (j + 1) <= top_k]
    )
    sums = first_K[..., ranks[:, 0]] + second_K[..., ranks[:, 1]]
    _, best_K = topk(sums, top_k)
    first_rank_K, second_rank_K = jnp.asarray(ranks[:, 0])[best_K], jnp.asarray(ranks[:, 1])[best_K]
    return (
        jnp.take_along_axis(first_index_K, first_rank_K, axis=-1),
        jnp.take_along_axis(second_index_K, second_rank_K, axis=-1),
    )


def topk(
    scores_M: Float[Array, "*batch M"], k: int
) -> tuple[Float[Array, "*batch K"], Int[Array, "*batch K"]]:
    """`lax.top_k`, by k rounds of maximum where rows are short and that is several times faster.

    In short rows zeros of either sign are equal, and a NaN gives an arbitrary index in 0..M-1.
    """
    n = scores_M.shape[-1]
    if n > SHORT_ROW:
        values_K, indices_K = jax.lax.top_k(scores_M, k)
        return values_K, indices_K
    # With the searched axis first, every step is elementwise over long vectors of rows.
    scores = jnp.moveaxis(scores_M, -1, 0)
    position = jnp.arange(n).reshape(n, *(1 for _ in scores.shape[1:]))
    left = jnp.ones(scores.shape, bool)
    values, indices = [], []
    for _ in range(k):
        value = jnp.where(left, scores, -jnp.inf).max(axis=0)
        index = jnp.where(left & (scores == value), position, n - 1).min(axis=0)
        left &= position != index
        values.append(value)
        indices.append(index)
    return jnp.stack(values, axis=-1), jnp.stack(indices, axis=-1)


@jax.custom_vjp
def _select(scores_M: Array, indices_K: Array) -> Array:
    return jnp.take_along_axis(scores_M, indices_K, axis=-1)


def _select_forward(scores_M: Array, indices_K: Array) -> tuple[Array, tuple[Array, int]]:
    return _select(scores_M, indices_K), (indices_K, scores_M.shape[-1])


def _select_backward(residuals: tuple[Array, int], d_K: Array) -> tuple[Array, None]:
    # Comparisons that fuse into one pass over (M,): no scatter, and no (K, M) array.
    indices_K, n = residuals
    d_M = jnp.zeros((*d_K.shape[:-1], n), d_K.dtype)
    for k in range(d_K.shape[-1]):
        d_M += jnp.where(indices_K[..., k, None] == jnp.arange(n), d_K[..., k, None], 0)
    return d_M, None


_select.defvjp(_select_forward, _select_backward)
