# SPDX-License-Identifier: Apache-2.0
"""The search among product keys in plain XLA.

M scores of each half, K sums kept; leading axes (tokens, channels) are arbitrary.
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
    """Indices i * M + j and values first[i] + second[j] of the `top_k` largest sums."""
    first_K, first_index_K = topk(first_M, top_k)
    second_K, second_index_K = topk(second_M, top_k)
    ranks = np.array(
        [(i, j) for i in range(top_k) for j in range(top_k) if (i + 1) * (j + 1) <= top_k]
    )
    first_rank, second_rank = jnp.asarray(ranks[:, 0]), jnp.asarray(ranks[:, 1])
    _, best_K = topk(first_K[..., first_rank] + second_K[..., second_rank], top_k)

    def chosen(scores_M: Array, indices_K: Array, ranks_K: Array) -> tuple[Array, Array]:
        at_K = jnp.take_along_axis(indices_K, ranks_K, axis=-1)
        return at_K, jnp.take_along_axis(scores_M, at_K, axis=-1)

    first_at_K, first_scores_K = chosen(first_M, first_index_K, first_rank[best_K])
    second_at_K, second_scores_K = chosen(second_M, second_index_K, second_rank[best_K])
    return first_at_K * first_M.shape[-1] + second_at_K, first_scores_K + second_scores_K


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
