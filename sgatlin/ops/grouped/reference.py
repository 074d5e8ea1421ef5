# SPDX-License-Identifier: Apache-2.0
"""Brute force: every row times every group's matrix, and a mask. For tests; stores (R, E, F).

R rows sorted by group, E groups, D and F widths.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sgatlin.ops.dtypes import sum_dtype


def matmul(
    x_RD: Float[Array, "R D"], w_EDF: Float[Array, "E D F"], group_sizes_E: Int[Array, " E"]
) -> Float[Array, "R F"]:
    """y[r] = x[r] w[group of r]."""
    every_REF = jnp.einsum("rd,edf->ref", x_RD, w_EDF, preferred_element_type=sum_dtype(x_RD))
    own_RE = group_mask(group_sizes_E, len(x_RD))
    return jnp.where(own_RE[:, :, None], every_REF, 0).sum(axis=1).astype(x_RD.dtype)


def outer(
    x_RD: Float[Array, "R D"], y_RF: Float[Array, "R F"], group_sizes_E: Int[Array, " E"]
) -> Float[Array, "E D F"]:
    """g[e] = sum over the rows r of group e of x[r]^T y[r]."""
    own_RE = group_mask(group_sizes_E, len(x_RD))
    masked_RED = jnp.where(own_RE[:, :, None], x_RD[:, None, :], 0)
    return jnp.einsum("red,rf->edf", masked_RED, y_RF, preferred_element_type=sum_dtype(x_RD))


def group_mask(group_sizes_E: Int[Array, " E"], n_rows: int) -> Bool[Array, "{n_rows} E"]:
    """True where row r is of group e."""
    ends_E = jnp.cumsum(group_sizes_E)
    row_R1 = jnp.arange(n_rows)[:, None]
    return (row_R1 >= ends_E - group_sizes_E) & (row_R1 < ends_E)
