# SPDX-License-Identifier: Apache-2.0
"""`product_topk` and `search`, differentiable, whatever computes them.

A sum of the i-th best of one half and the j-th best of the other (ranks from 0) has at least
(i + 1) * (j + 1) - 1 sums above it, so only pairs with (i + 1) * (j + 1) <= K can be among the K
best: 20 of 64 for K = 8. Product keys: Lample 2019, arXiv 1907.05242.

M sub-keys of each half, K chosen, H = 2 * C * M scores of C channels, Q width of queries, T tokens;
leading axes ("...") are arbitrary.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sgatlin.ops.dtypes import sum_dtype
from sgatlin.ops.neurons.choose import Implementation
from sgatlin.ops.product_topk import triton, xla
from sgatlin.ops.triton_call import why_not


def product_topk(
    first_M: Float[Array, "*batch M"],
    second_M: Float[Array, "*batch M"],
    top_k: int,
    *,
    implementation: Implementation | None = None,
) -> tuple[Int[Array, "*batch K"], Float[Array, "*batch K"]]:
    """Indices i * M + j and values first[i] + second[j] of the `top_k` largest sums, descending.

    Ties as in `lax.top_k` on the candidates: of equal scores in a half the lower index comes
    first, of equal sums the pair that comes first by (rank in first, rank in second). Scores that
    are not finite still lead to indices inside the pool. The gradient goes to the chosen scores.
    Needs K <= M. `implementation` as for the neurons: `triton` where it is that or None, and can
    be; XLA otherwise.
    """
    can = _by_triton(implementation, first_M.shape[-1], top_k)
    return _product_topk(can and first_M.dtype == jnp.float32, top_k, first_M, second_M)


def search(
    query: Float[Array, "... Q"],
    key_QH: Float[Array, "Q H"],
    n_channels: int,
    top_k: int,
    *,
    implementation: Implementation | None = None,
) -> tuple[Int[Array, "... C K"], Float[Array, "... C K"]]:
    """`product_topk` of every channel's scores query @ key, laid out as (2, C, M).

    Scores are summed in fp32. Where a kernel does it the (T, H) scores are never stored, nor is
    their gradient in fp32.
    """
    n_subkeys = key_QH.shape[-1] // (2 * n_channels)
    query_TQ = query.reshape(-1, query.shape[-1])
    fits = n_subkeys <= triton.MOST_SUBKEYS and query.dtype.name in triton.QUERY_DTYPES
    if fits and _by_triton(implementation, n_subkeys, top_k):
        indices, scores = _search(n_channels, top_k, query_TQ, key_QH)
    else:
        scores_TH = jnp.matmul(query_TQ, key_QH, preferred_element_type=sum_dtype(query))
        first, second = jnp.moveaxis(scores_TH.reshape(-1, 2, n_channels, n_subkeys), 1, 0)
        indices, scores = product_topk(first, second, top_k, implementation=implementation)
    shape = (*query.shape[:-1], n_channels, top_k)
    return indices.reshape(shape), scores.reshape(shape)


def _by_triton(implementation: Implementation | None, n_subkeys: int, top_k: int) -> bool:
    can = n_subkeys <= triton.MOST_SUBKEYS and top_k <= triton.MOST_CHOSEN
    return can and implementation in (None, "triton") and why_not() is None


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _product_topk(
    by_triton: bool, top_k: int, first_M: Array, second_M: Array
) -> tuple[Array, Array]:
    module = triton if by_triton else xla
    return module.product_topk(first_M, second_M, top_k)


def _product_topk_forward(by_triton, top_k, first_M, second_M):  # type: ignore[no-untyped-def]
    indices_K, scores_K = _product_topk(by_triton, top_k, first_M, second_M)
    return (indices_K, scores_K), (indices_K, first_M.shape[-1])


def _product_topk_backward(by_triton, top_k, residuals, cotangents):  # type: ignore[no-untyped-def]
    (indices_K, n_subkeys), (_, d_K) = residuals, cotangents
    first_K, second_K = jnp.divmod(indices_K, n_subkeys)
    return _spread(d_K, first_K, n_subkeys), _spread(d_K, second_K, n_subkeys)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _search(n_channels: int, top_k: int, query_TQ: Array, key_QH: Array) -> tuple[Array, Array]:
    return triton.search(query_TQ, key_QH, n_channels, top_k)


def _search_forward(n_channels, top_k, query_TQ, key_QH):  # type: ignore[no-untyped-def]
    indices_TCK, scores_TCK = _search(n_channels, top_k, query_TQ, key_QH)
    return (indices_TCK, scores_TCK), (query_TQ, key_QH, indices_TCK)


def _search_backward(n_channels, top_k, residuals, cotangents):  # type: ignore[no-untyped-def]
    (query_TQ, key_QH, indices_TCK), (_, d_TCK) = residuals, cotangents
    n_subkeys = key_QH.shape[-1] // (2 * n_channels)
    halves_T2CK = jnp.stack(jnp.divmod(indices_TCK, n_subkeys), axis=1)
    d_T2CM = _spread(d_TCK[:, None], halves_T2CK, n_subkeys)
    # The matrix units' type, and half the bytes: as in the gradient of any matmul.
    d_TH = d_T2CM.astype(query_TQ.dtype).reshape(len(query_TQ), -1)
    wide = sum_dtype(query_TQ)
    d_query_TQ = jnp.matmul(d_TH, key_QH.T, preferred_element_type=wide)
    d_key_QH = jnp.matmul(query_TQ.T, d_TH, preferred_element_type=wide)
    return d_query_TQ.astype(query_TQ.dtype), d_key_QH.astype(key_QH.dtype)


def _spread(d_K: Array, indices_K: Array, n: int) -> Array:
    """d[..., k] at indices[..., k] of n, zero elsewhere; those of equal indices are added."""
    # Comparisons that fuse into one pass over (n,): no scatter, and no (K, n) array.
    d_n = jnp.zeros((*indices_K.shape[:-1], n), d_K.dtype)
    for k in range(indices_K.shape[-1]):
        d_n += jnp.where(indices_K[..., k, None] == jnp.arange(n), d_K[..., k, None], 0)
    return d_n


_product_topk.defvjp(_product_topk_forward, _product_topk_backward)
_search.defvjp(_search_forward, _search_backward)
