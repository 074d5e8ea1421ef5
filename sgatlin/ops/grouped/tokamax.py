# SPDX-License-Identifier: Apache-2.0
"""Tokamax's grouped matmul kernels, if `tokamax` is installed (Python 3.12 and a GPU or TPU).

R rows sorted by group, E groups, D and F widths. The kernels sum in fp32 and write the operands'
type.
"""

from typing import Any

from jaxtyping import Array, Float, Int

from sgatlin.errors import UserError
from sgatlin.ops.grouped.ragged import OUTER


def matmul(
    x_RD: Float[Array, "R D"], w_EDF: Float[Array, "E D F"], group_sizes_E: Int[Array, " E"]
) -> Float[Array, "R F"]:
    """y[r] = x[r] w[group of r]."""
    return _tokamax().ragged_dot(x_RD, w_EDF, group_sizes_E, preferred_element_type=x_RD.dtype)


def outer(
    x_RD: Float[Array, "R D"], y_RF: Float[Array, "R F"], group_sizes_E: Int[Array, " E"]
) -> Float[Array, "E D F"]:
    """g[e] = sum over the rows r of group e of x[r]^T y[r]."""
    return _tokamax().ragged_dot_general(
        x_RD, y_RF, group_sizes_E, OUTER, preferred_element_type=x_RD.dtype
    )


def _tokamax() -> Any:
    # When it is used: it is optional, and its import takes seconds.
    try:
        import tokamax  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise UserError(
            f"implementation='tokamax' needs the package tokamax ({error}): "
            "install it, or choose another implementation"
        ) from error
    return tokamax
