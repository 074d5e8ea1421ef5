# SPDX-License-Identifier: Apache-2.0
"""`jax.lax.ragged_dot`: on a CPU it computes every group for every row, and stores (E, R, D).

R rows sorted by group, E groups, D and F widths.
"""

import jax
from jaxtyping import Array, Float, Int

from sgatlin.ops.dtypes import sum_dtype

# Rows are what is summed over, and cut into groups.
OUTER = jax.lax.RaggedDotDimensionNumbers(
    dot_dimension_numbers=(([0], [0]), ([], [])),
    lhs_ragged_dimensions=[0],
    rhs_group_dimensions=[],
)


def matmul(
    x_RD: Float[Array, "R D"], w_EDF: Float[Array, "E D F"], group_sizes_E: Int[Array, " E"]
) -> Float[Array, "R F"]:
    """y[r] = x[r] w[group of r]."""
    y_RF = jax.lax.ragged_dot(x_RD, w_EDF, group_sizes_E, preferred_element_type=sum_dtype(x_RD))
    return y_RF.astype(x_RD.dtype)


def outer(
    x_RD: Float[Array, "R D"], y_RF: Float[Array, "R F"], group_sizes_E: Int[Array, " E"]
) -> Float[Array, "E D F"]:
    """g[e] = sum over the rows r of group e of x[r]^T y[r]."""
    return jax.lax.ragged_dot_general(
        x_RD, y_RF, group_sizes_E, OUTER, preferred_element_type=sum_dtype(x_RD)
    )
