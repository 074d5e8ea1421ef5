# SPDX-License-Identifier: Apache-2.0
"""`grouped_matmul` and `grouped_outer`, differentiable, whatever computes them.

Both are partial derivatives of one trilinear form,

    f(x, w, y) = sum over rows r of <x[r] w[group of r], y[r]>,

so that the gradient of each is written with the two. A mixture of experts without dropped tokens
is such matmuls (MegaBlocks, arXiv 2211.15841).

R rows sorted by group, E groups, D and F widths.
"""

from functools import partial
from types import ModuleType
from typing import Literal, get_args

import jax
from jaxtyping import Array, Float, Int

from sgatlin.ops.dtypes import sum_dtype
from sgatlin.ops.grouped import blocks, loop, ragged, reference, tokamax

Implementation = Literal["reference", "loop", "blocks", "ragged_dot", "tokamax"]
_MODULES: dict[Implementation, ModuleType] = {
    "reference": reference,
    "loop": loop,
    "blocks": blocks,
    "ragged_dot": ragged,
    "tokamax": tokamax,
}
# Measured on a CPU and a GPU (docs/performance.md); XLA has a kernel of its own for a TPU.
_DEFAULTS: dict[str, Implementation] = {"cpu": "loop", "gpu": "blocks", "tpu": "ragged_dot"}


def grouped_matmul(
    x_RD: Float[Array, "R D"],
    w_EDF: Float[Array, "E D F"],
    group_sizes_E: Int[Array, " E"],
    *,
    implementation: Implementation | None = None,
) -> Float[Array, "R F"]:
    """y[r] = x[r] w[group of r], summed in fp32 or wider, in x's type.

    The first group_sizes[0] rows are group 0's, and so on. Rows after the last group's are of none:
    what they give is finite, and zero where they are.
    `implementation=None` picks for the platform.
    """
    return _matmul(_pick(implementation), x_RD, w_EDF, group_sizes_E)


def grouped_outer(
    x_RD: Float[Array, "R D"],
    y_RF: Float[Array, "R F"],
    group_sizes_E: Int[Array, " E"],
    *,
    implementation: Implementation | None = None,
) -> Float[Array, "E D F"]:
    """g[e] = sum over the rows r of group e of x[r]^T y[r], in fp32 or x's wider type.

    An empty group's is exactly zero. `implementation=None` picks for the platform.
    """
    return _outer(_pick(implementation), x_RD, y_RF, group_sizes_E)


def _pick(implementation: Implementation | None) -> Implementation:
    if implementation is None:
        return _DEFAULTS.get(jax.default_backend(), "blocks")
    if implementation not in _MODULES:
        raise ValueError(
            f"implementation={implementation!r} is not one of {', '.join(get_args(Implementation))}"
        )
    return implementation


# The functions below carry the gradients. Each returns cotangents in its operands' types; the
# sizes, integers, have none.


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _matmul(impl: Implementation, x_RD: Array, w_EDF: Array, sizes_E: Array) -> Array:
    return _MODULES[impl].matmul(x_RD, w_EDF, sizes_E)


def _matmul_forward(impl, x_RD, w_EDF, sizes_E):  # type: ignore[no-untyped-def]
    return _matmul(impl, x_RD, w_EDF, sizes_E), (x_RD, w_EDF, sizes_E)


def _matmul_backward(impl, residuals, dy_RF):  # type: ignore[no-untyped-def]
    x_RD, w_EDF, sizes_E = residuals
    dx_RD = _matmul(impl, dy_RF, w_EDF.swapaxes(1, 2), sizes_E)
    dw_EDF = _outer(impl, x_RD, dy_RF, sizes_E)
    return dx_RD.astype(x_RD.dtype), dw_EDF.astype(w_EDF.dtype), None


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _outer(impl: Implementation, x_RD: Array, y_RF: Array, sizes_E: Array) -> Array:
    return _MODULES[impl].outer(x_RD, y_RF, sizes_E).astype(sum_dtype(x_RD))


def _outer_forward(impl, x_RD, y_RF, sizes_E):  # type: ignore[no-untyped-def]
    return _outer(impl, x_RD, y_RF, sizes_E), (x_RD, y_RF, sizes_E)


def _outer_backward(impl, residuals, dg_EDF):  # type: ignore[no-untyped-def]
    x_RD, y_RF, sizes_E = residuals
    dg_EDF = dg_EDF.astype(x_RD.dtype)
    dx_RD = _matmul(impl, y_RF, dg_EDF.swapaxes(1, 2), sizes_E)
    dy_RF = _matmul(impl, x_RD, dg_EDF, sizes_E)
    return dx_RD.astype(x_RD.dtype), dy_RF.astype(y_RF.dtype), None


_matmul.defvjp(_matmul_forward, _matmul_backward)
_outer.defvjp(_outer_forward, _outer_backward)
