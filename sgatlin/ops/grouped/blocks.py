# SPDX-License-Identifier: Apache-2.0
"""One batched matmul over blocks of rows of one group each: for an accelerator.

R rows sorted by group, n blocks of b rows, E groups, D and F widths. Each group's rows are padded
to whole blocks, at most R / b + E of them however uneven the groups: shapes are static and no row
is dropped. Each block takes a copy of its group's matrix, n D F elements in all: no more than the
output has as long as b is D or more.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sgatlin.ops.dtypes import sum_dtype

# Rows of a block; None for a quarter of a group's mean, within these limits. Fewer waste less of
# each group's last block, more copy fewer matrices.
BLOCK_ROWS: int | None = None
MIN_BLOCK_ROWS, MAX_BLOCK_ROWS = 64, 1024


def matmul(
    x_RD: Float[Array, "R D"], w_EDF: Float[Array, "E D F"], group_sizes_E: Int[Array, " E"]
) -> Float[Array, "R F"]:
    """y[r] = x[r] w[group of r]."""
    blocks = _blocks(group_sizes_E, len(x_RD))
    y_nbF = jnp.einsum(
        "nbd,ndf->nbf",
        _padded(x_RD, blocks),
        w_EDF[blocks.group_n],
        preferred_element_type=sum_dtype(x_RD),
    ).astype(x_RD.dtype)
    slots_F = y_nbF.reshape(-1, w_EDF.shape[-1])
    return slots_F.at[blocks.slot_R].get(mode="fill", fill_value=0)


def outer(
    x_RD: Float[Array, "R D"], y_RF: Float[Array, "R F"], group_sizes_E: Int[Array, " E"]
) -> Float[Array, "E D F"]:
    """g[e] = sum over the rows r of group e of x[r]^T y[r]."""
    blocks = _blocks(group_sizes_E, len(x_RD))
    outer_nDF = jnp.einsum(
        "nbd,nbf->ndf",
        _padded(x_RD, blocks),
        _padded(y_RF, blocks),
        preferred_element_type=sum_dtype(x_RD),
    )
    # A matmul with zeros and ones, in full precision: adding up by scatter is far slower.
    own_En = jax.nn.one_hot(blocks.group_n, len(group_sizes_E), axis=0, dtype=outer_nDF.dtype)
    return jnp.einsum("en,ndf->edf", own_En, outer_nDF, precision=jax.lax.Precision.HIGHEST)


class _Blocks(NamedTuple):
    """Where rows lie among n blocks of b slots."""

    group_n: Int[Array, " n"]
    row_nb: Int[Array, "n b"]
    """The row of each slot."""
    used_nb: Bool[Array, "n b"]
    """False for padding."""
    slot_R: Int[Array, " R"]
    """The slot of each row, counted through all blocks; one too many for a row of no group."""


def _blocks(group_sizes_E: Int[Array, " E"], n_rows: int) -> _Blocks:
    n_groups = len(group_sizes_E)
    block = max(1, min(BLOCK_ROWS or _block_rows(n_rows, n_groups), n_rows))
    # A group of s rows has at most (s + block - 1) / block blocks, and none without a row.
    n_blocks = min(n_rows, (n_rows + n_groups * (block - 1)) // block)

    ends_E = jnp.cumsum(group_sizes_E)
    starts_E = ends_E - group_sizes_E
    blocks_E = (group_sizes_E + block - 1) // block
    block_ends_E = jnp.cumsum(blocks_E)
    first_block_E = block_ends_E - blocks_E

    # Blocks after the last used one count as the last group's, beyond its rows.
    group_n = jnp.minimum(_count_up_to(block_ends_E, n_blocks), n_groups - 1)
    rank_n = jnp.arange(n_blocks) - first_block_E[group_n]
    rank_nb = rank_n[:, None] * block + jnp.arange(block)
    group_R = _count_up_to(ends_E, n_rows)
    slot_R = jnp.arange(n_rows) + (first_block_E * block - starts_E)[group_R]
    return _Blocks(
        group_n=group_n,
        row_nb=starts_E[group_n][:, None] + rank_nb,
        used_nb=rank_nb < group_sizes_E[group_n][:, None],
        slot_R=jnp.where(group_R < n_groups, slot_R, n_blocks * block),
    )


def _block_rows(n_rows: int, n_groups: int) -> int:
    return min(max(n_rows // (4 * n_groups), MIN_BLOCK_ROWS), MAX_BLOCK_ROWS)


def _count_up_to(ends_E: Array, n: int) -> Array:
    """How many of the ends are at or below each of 0..n-1: the group that each is in."""
    return (ends_E <= jnp.arange(n)[:, None]).sum(axis=1)


def _padded(rows_R: Array, blocks: _Blocks) -> Array:
    beyond = len(rows_R)
    row_nb = jnp.where(blocks.used_nb, blocks.row_nb, beyond)
    return rows_R.at[row_nb].get(mode="fill", fill_value=0)
