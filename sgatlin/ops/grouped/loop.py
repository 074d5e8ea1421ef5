# SPDX-License-Identifier: Apache-2.0
"""A loop over groups, and in it over blocks of the group's rows: for a CPU.

R rows sorted by group, b rows of a block, E groups, D and F widths. The inner loop runs as often as
a group has rows, so that little is computed in vain. Nothing is gathered: a group's last block
runs over into the rows that follow, which are masked, or written again by their own group.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sgatlin.ops.dtypes import sum_dtype

# Rows of a block. Fewer waste less of each group's last block, more keep the matmul efficient.
BLOCK_ROWS = 64


def matmul(
    x_RD: Float[Array, "R D"], w_EDF: Float[Array, "E D F"], group_sizes_E: Int[Array, " E"]
) -> Float[Array, "R F"]:
    """y[r] = x[r] w[group of r]."""
    n_rows, dtype = len(x_RD), x_RD.dtype
    block = max(1, min(BLOCK_ROWS, n_rows))
    x_RD = _with_room(x_RD, block)

    def group(y_RF: Array, of_group: tuple[Array, ...]) -> tuple[Array, None]:
        w_DF, start, size = of_group

        def rows(i: Array, y_RF: Array) -> Array:
            at = start + i * block
            x_bD = jax.lax.dynamic_slice_in_dim(x_RD, at, block)
            y_bF = jnp.matmul(x_bD, w_DF, preferred_element_type=sum_dtype(x_bD))
            return jax.lax.dynamic_update_slice_in_dim(y_RF, y_bF.astype(dtype), at, axis=0)

        return jax.lax.fori_loop(0, _n_blocks(size, block), rows, y_RF), None

    y_RF = jnp.zeros((len(x_RD), w_EDF.shape[-1]), dtype)
    return jax.lax.scan(group, y_RF, (w_EDF, _starts(group_sizes_E), group_sizes_E))[0][:n_rows]


def outer(
    x_RD: Float[Array, "R D"], y_RF: Float[Array, "R F"], group_sizes_E: Int[Array, " E"]
) -> Float[Array, "E D F"]:
    """g[e] = sum over the rows r of group e of x[r]^T y[r]."""
    block = max(1, min(BLOCK_ROWS, len(x_RD)))
    x_RD, y_RF = _with_room(x_RD, block), _with_room(y_RF, block)
    dtype = sum_dtype(x_RD)

    def group(of_group: tuple[Array, ...]) -> Array:
        start, size = of_group

        def rows(i: Array, total_DF: Array) -> Array:
            at = start + i * block
            x_bD, y_bF = (jax.lax.dynamic_slice_in_dim(a, at, block) for a in (x_RD, y_RF))
            own_b = i * block + jnp.arange(block) < size
            own_bD = jnp.where(own_b[:, None], x_bD, 0)
            return total_DF + jnp.matmul(own_bD.T, y_bF, preferred_element_type=dtype)

        total_DF = jnp.zeros((x_RD.shape[-1], y_RF.shape[-1]), dtype)
        return jax.lax.fori_loop(0, _n_blocks(size, block), rows, total_DF)

    return jax.lax.map(group, (_starts(group_sizes_E), group_sizes_E))


def _with_room(rows_R: Array, block: int) -> Array:
    """With rows for the last block to run over into: a slice beyond the end would be moved."""
    return jnp.pad(rows_R, ((0, block), (0, 0)))


def _starts(group_sizes_E: Array) -> Array:
    return jnp.cumsum(group_sizes_E) - group_sizes_E


def _n_blocks(size: Array, block: int) -> Array:
    return (size + block - 1) // block
