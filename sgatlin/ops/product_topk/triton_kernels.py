# SPDX-License-Identifier: Apache-2.0
"""The search among product keys as Triton kernels for NVIDIA GPUs.

Both halves' K best are found by K rounds of maximum, then the K best of the sums that can be among
them. Rounds are cheap where a row's scores lie in few lanes, so that most of a maximum is taken
within registers: that is how matrix units leave their results, and how `product_topk` reads rows.

T tokens, C channels, M sub-keys of each half, K chosen, Q width of queries, N = T * C rows.
"""

from typing import no_type_check

import triton
import triton.language as tl

LOWEST = tl.constexpr(-3.4028234663852886e38)
"""Of fp32: scores below, and NaN, count as this, so that none is as low as one that is taken."""


@triton.jit
@no_type_check
def best_of_half(scores, position, M: tl.constexpr, K: tl.constexpr, AXIS: tl.constexpr):
    """The K largest along AXIS and where they are, descending; of equal ones the first."""
    values = ()
    places = ()
    for _ in tl.static_range(K):
        value = tl.max(scores, axis=AXIS)
        is_best = scores == tl.expand_dims(value, AXIS)
        place = tl.min(tl.where(is_best, position, M - 1), axis=AXIS)
        scores = tl.where(position == tl.expand_dims(place, AXIS), -float("inf"), scores)
        values = values + (value,)  # noqa: RUF005 (Triton knows no unpacking)
        places = places + (place,)  # noqa: RUF005
    return values, places


@triton.jit
@no_type_check
def best_sums(first, first_at, second, second_at, k, M: tl.constexpr, K: tl.constexpr):
    """(rows, K's power of two): indices i * M + j and sums of the K largest, descending.

    The n-th largest, from 0, is of ranks (i, j) with (i + 1) * (j + 1) <= n + 1. Of equal sums the
    first by (rank in first, rank in second).
    """
    sums = ()
    for i in tl.static_range(K):
        row = ()
        for j in tl.static_range(K // (i + 1)):
            row = row + (first[i] + second[j],)  # noqa: RUF005
        sums = sums + (row,)  # noqa: RUF005
    values = tl.expand_dims(first[0], 1) + tl.zeros_like(k).to(tl.float32)
    indices = tl.expand_dims(first_at[0], 1) + tl.zeros_like(k)
    for n in tl.static_range(K):
        best = sums[0][0]
        for i in tl.static_range(n + 1):
            for j in tl.static_range((n + 1) // (i + 1)):
                best = tl.maximum(best, sums[i][j])
        taken = best != best
        index = first_at[0] * M + second_at[0]
        left = ()
        for i in tl.static_range(K):
            row = ()
            for j in tl.static_range(K // (i + 1)):
                if (i + 1) * (j + 1) <= n + 1:
                    take = (sums[i][j] == best) & (taken == 0)
                    index = tl.where(take, first_at[i] * M + second_at[j], index)
                    taken = taken | take
                    row = row + (tl.where(take, -float("inf"), sums[i][j]),)  # noqa: RUF005
                else:
                    row = row + (sums[i][j],)  # noqa: RUF005
            left = left + (row,)  # noqa: RUF005
        sums = left
        values = tl.where(k == n, tl.expand_dims(best, 1), values)
        indices = tl.where(k == n, tl.expand_dims(index, 1), indices)
    return indices, values


@triton.jit
@no_type_check
def product_topk(
    first_MN,
    second_MN,
    n_rows,
    indices_NK,
    scores_NK,
    M: tl.constexpr,
    K: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """The K largest of first[i] + second[j] of each row; rows lie along the last axis."""
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = tl.arange(0, BLOCK_M)[:, None]
    k = tl.arange(0, BLOCK_K)[None, :]
    at = m.to(tl.int64) * n_rows + row[None, :]
    mask = (m < M) & (row < n_rows)[None, :]
    scores = tl.maximum(tl.load(first_MN + at, mask=mask, other=0.0), LOWEST)
    first, first_at = best_of_half(tl.where(m < M, scores, -float("inf")), m, M, K, 0)
    scores = tl.maximum(tl.load(second_MN + at, mask=mask, other=0.0), LOWEST)
    second, second_at = best_of_half(tl.where(m < M, scores, -float("inf")), m, M, K, 0)
    indices, values = best_sums(first, first_at, second, second_at, k, M, K)
    out = row.to(tl.int64)[:, None] * K + k
    mask = (row < n_rows)[:, None] & (k < K)
    tl.store(indices_NK + out, indices, mask=mask)
    tl.store(scores_NK + out, values, mask=mask)


@triton.jit
@no_type_check
def search(
    query_TQ,
    key_QH,
    n_tokens,
    indices_TCK,
    scores_TCK,
    Q: tl.constexpr,
    C: tl.constexpr,
    M: tl.constexpr,
    K: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """The same for the scores query @ key, (T, 2 * C * M), which are never stored."""
    c = tl.program_id(0)
    t = tl.program_id(1) * BLOCK_T + tl.arange(0, BLOCK_T)
    q = tl.arange(0, BLOCK_Q)
    m = tl.arange(0, BLOCK_M)[None, :]
    k = tl.arange(0, BLOCK_K)[None, :]
    mask = (t < n_tokens)[:, None] & (q < Q)[None, :]
    query = tl.load(query_TQ + t.to(tl.int64)[:, None] * Q + q[None, :], mask=mask, other=0.0)
    at = q[:, None] * (2 * C * M) + c * M + m
    mask = (q < Q)[:, None] & (m < M)
    scores = tl.maximum(tl.dot(query, tl.load(key_QH + at, mask=mask, other=0.0)), LOWEST)
    first, first_at = best_of_half(tl.where(m < M, scores, -float("inf")), m, M, K, 1)
    key = tl.load(key_QH + at + C * M, mask=mask, other=0.0)
    scores = tl.maximum(tl.dot(query, key), LOWEST)
    second, second_at = best_of_half(tl.where(m < M, scores, -float("inf")), m, M, K, 1)
    indices, values = best_sums(first, first_at, second, second_at, k, M, K)
    out = (t.to(tl.int64) * C + c)[:, None] * K + k
    mask = (t < n_tokens)[:, None] & (k < K)
    tl.store(indices_TCK + out, indices, mask=mask)
    tl.store(scores_TCK + out, values, mask=mask)
