# SPDX-License-Identifier: Apache-2.0
"""The neuron primitives as Triton kernels for NVIDIA GPUs.

All are bound by the rows they gather, most of which come out of the L2 cache, so a program is a
few warps that have many loads in flight and share nothing. Sums are fp32 and their order is fixed:
there are no atomics. Row offsets are 64 bits wide.

T tokens, P rows chosen by each, R rows of the table, D width, J = T * P pairs of token and row.
"""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def gather_dot(
    x_TD,
    indices_TP,
    table_RD,
    z_TP,
    P: tl.constexpr,
    D: tl.constexpr,
    PICKS: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """z[t, p] = <table[indices[t, p]], x[t]>: a program has a token, and PICKS of its rows."""
    t = tl.program_id(0).to(tl.int64)
    first = tl.program_id(1) * PICKS
    d = tl.arange(0, BLOCK_D)
    # The token stays in registers, in pieces of BLOCK_D: D need not be a power of two.
    x = ()
    for start in tl.static_range(0, D, BLOCK_D):
        piece = tl.load(x_TD + t * D + start + d, mask=start + d < D, other=0.0)
        x = x + (piece.to(tl.float32),)  # noqa: RUF005 (Triton knows no unpacking)
    for block in range(0, PICKS, BLOCK_P):
        p = first + block + tl.arange(0, BLOCK_P)
        row = tl.load(indices_TP + t * P + p, mask=p < P, other=0).to(tl.int64)
        products = tl.zeros((BLOCK_P, BLOCK_D), tl.float32)
        for i in tl.static_range((D + BLOCK_D - 1) // BLOCK_D):
            column = i * BLOCK_D + d
            mask = (p < P)[:, None] & (column < D)[None, :]
            w = tl.load(table_RD + row[:, None] * D + column[None, :], mask=mask, other=0.0)
            products += w.to(tl.float32) * x[i][None, :]
        tl.store(z_TP + t * P + p, tl.sum(products, axis=1), mask=p < P)


@triton.jit
@no_type_check
def gather_sum(
    a_TP,
    indices_TP,
    table_RD,
    n_tokens,
    y_TD,
    P: tl.constexpr,
    D: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_D: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """y[t] = sum over p of a[t, p] * table[indices[t, p]]: BLOCK_T tokens, BLOCK_D columns."""
    t = (tl.program_id(0) * BLOCK_T + tl.arange(0, BLOCK_T)).to(tl.int64)
    d = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    mask = (t < n_tokens)[:, None] & (d < D)[None, :]
    y = tl.zeros((BLOCK_T, BLOCK_D), tl.float32)
    for block in range(0, P, UNROLL):
        for i in tl.static_range(UNROLL):
            p = block + i
            live = (t < n_tokens) & (p < P)
            row = tl.load(indices_TP + t * P + p, mask=live, other=0).to(tl.int64)
            a = tl.load(a_TP + t * P + p, mask=live, other=0.0).to(tl.float32)
            w = tl.load(table_RD + row[:, None] * D + d[None, :], mask=mask, other=0.0)
            y += w.to(tl.float32) * a[:, None]
    tl.store(y_TD + t[:, None] * D + d[None, :], y, mask=mask)


@triton.jit
@no_type_check
def scatter_outer(
    a_J,
    pair_J,
    row_J,
    end_R,
    x_TD,
    n_pairs,
    g_RD,
    head_BD,
    tail_BD,
    P: tl.constexpr,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
    STEP: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """g[r] = sum of a[j] * x[pair[j] // P] over the pairs j of row r, which come one row after
    another; end[r] is where row r's end.

    A program walks over BLOCK pairs, so that all have the same work however often a row is chosen.
    Rows that begin and end among them are done; of a row that goes on into the next block the sum
    is left in `tail`, and that of one which began in a block before in `head`: see `join_blocks`.
    Blocks of all rows come before the next BLOCK_D columns: that much of x stays in the L2 cache.
    """
    block = tl.program_id(0)
    d = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    start = block * BLOCK
    stop = tl.minimum(start + BLOCK, n_pairs)
    at = start
    while at < stop:
        row = tl.load(row_J + at).to(tl.int64)
        row_start = tl.load(end_R + row - 1, mask=row > 0, other=0)
        row_stop = tl.load(end_R + row)
        last = tl.minimum(row_stop, stop)
        g = tl.zeros((BLOCK_D,), tl.float32)
        for step in range(at, last, STEP):
            j = step + tl.arange(0, STEP)
            t = (tl.load(pair_J + j, mask=j < last, other=0) // P).to(tl.int64)
            a = tl.load(a_J + j, mask=j < last, other=0.0).to(tl.float32)
            mask = (j < last)[:, None] & (d < D)[None, :]
            x = tl.load(x_TD + t[:, None] * D + d[None, :], mask=mask, other=0.0)
            g += tl.sum(x.to(tl.float32) * a[:, None], axis=0)
        if row_start < start:
            tl.store(head_BD + block.to(tl.int64) * D + d, g, mask=d < D)
        elif row_stop > stop:
            tl.store(tail_BD + block.to(tl.int64) * D + d, g, mask=d < D)
        else:
            tl.store(g_RD + row * D + d, g, mask=d < D)
        at = last


@triton.jit
@no_type_check
def join_blocks(
    row_J,
    end_R,
    head_BD,
    tail_BD,
    g_any,
    n_pairs,
    g_RD,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
    STEP: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Adds up the parts of the row, if any, that begins in this block and ends in a later one."""
    block = tl.program_id(0)
    d = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    start = block * BLOCK
    stop = tl.minimum(start + BLOCK, n_pairs)
    row = tl.load(row_J + stop - 1).to(tl.int64)
    row_start = tl.load(end_R + row - 1, mask=row > 0, other=0)
    row_stop = tl.load(end_R + row)
    if (row_start >= start) & (row_stop > stop):
        g = tl.load(tail_BD + block.to(tl.int64) * D + d, mask=d < D, other=0.0)
        last = (row_stop - 1) // BLOCK
        for step in range(block + 1, last + 1, STEP):
            b = (step + tl.arange(0, STEP)).to(tl.int64)
            mask = (b <= last)[:, None] & (d < D)[None, :]
            g += tl.sum(
                tl.load(head_BD + b[:, None] * D + d[None, :], mask=mask, other=0.0), axis=0
            )
        tl.store(g_RD + row * D + d, g, mask=d < D)
