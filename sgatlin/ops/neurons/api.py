# SPDX-License-Identifier: Apache-2.0
"""`gather_dot`, `gather_sum` and `scatter_outer`, differentiable, whatever computes them.

All three are partial derivatives of one trilinear form,

    f(a, x, table) = sum over t, p of a[t, p] * <table[indices[t, p]], x[t]>,

so that the gradient of each is written with the other two, and nothing of shape (T, P, D) is
stored for the backward pass. Prior art: product-key memories (Lample 2019, arXiv 1907.05242) and
PEER (He 2024, arXiv 2407.04153) use the same gathers.

T tokens, P rows chosen by each, R rows of the table, D width.
"""

from functools import partial
from types import ModuleType

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sgatlin.ops.neurons import dense, reference, triton, xla
from sgatlin.ops.neurons.choose import Implementation, pick

_MODULES: dict[Implementation, ModuleType] = {
    "reference": reference,
    "xla": xla,
    "dense": dense,
    "triton": triton,
}


def gather_dot(
    x_TD: Float[Array, "T D"],
    indices_TP: Int[Array, "T P"],
    table_RD: Float[Array, "R D"],
    *,
    implementation: Implementation | None = None,
) -> Float[Array, "T P"]:
    """z[t, p] = <table[indices[t, p]], x[t]>, in fp32 or the table's wider type.

    Indices outside 0..R-1 are clamped. `implementation=None` picks for the platform.
    """
    n_rows, width = table_RD.shape
    chosen = _pick(implementation, indices_TP, n_rows, width, table_RD.dtype)
    return _gather_dot(chosen, x_TD, _clamp(indices_TP, n_rows), table_RD)


def gather_sum(
    a_TP: Float[Array, "T P"],
    indices_TP: Int[Array, "T P"],
    table_RD: Float[Array, "R D"],
    *,
    dtype: jnp.dtype | None = None,
    implementation: Implementation | None = None,
) -> Float[Array, "T D"]:
    """y[t] = sum over p of a[t, p] * table[indices[t, p]], as `dtype`.

    The sum is fp32, or the table's type where that is wider, and so is the result without `dtype`.
    Indices outside 0..R-1 are clamped. `implementation=None` picks for the platform.
    """
    n_rows, width = table_RD.shape
    chosen = _pick(implementation, indices_TP, n_rows, width, table_RD.dtype)
    return _gather_sum(chosen, dtype, a_TP, _clamp(indices_TP, n_rows), table_RD)


def scatter_outer(
    a_TP: Float[Array, "T P"],
    indices_TP: Int[Array, "T P"],
    x_TD: Float[Array, "T D"],
    n_rows: int,
    *,
    implementation: Implementation | None = None,
) -> Float[Array, "{n_rows} D"]:
    """g[r] = sum over all (t, p) with indices[t, p] = r of a[t, p] * x[t].

    A row that nobody chose is exactly zero. Indices outside 0..n_rows-1 are clamped. The sum is
    fp32, or x's type where that is wider. `implementation=None` picks for the platform.
    """
    chosen = _pick(implementation, indices_TP, n_rows, x_TD.shape[-1], x_TD.dtype)
    return _scatter_outer(chosen, n_rows, None, a_TP, _clamp(indices_TP, n_rows), x_TD)


def _pick(
    implementation: Implementation | None,
    indices_TP: Array,
    n_rows: int,
    width: int,
    dtype: jnp.dtype,
) -> Implementation:
    n_picks = indices_TP.shape[-1]
    return pick(implementation, n_rows=n_rows, n_picks=n_picks, width=width, dtype=dtype)


def _clamp(indices_TP: Array, n_rows: int) -> Array:
    return jnp.clip(indices_TP, 0, n_rows - 1)


# The functions below carry the gradients. Each returns cotangents in its operands' types; integer
# indices have none.


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _gather_dot(impl: Implementation, x_TD: Array, indices_TP: Array, table_RD: Array) -> Array:
    return _MODULES[impl].gather_dot(x_TD, indices_TP, table_RD)


def _gather_dot_forward(impl, x_TD, indices_TP, table_RD):  # type: ignore[no-untyped-def]
    return _gather_dot(impl, x_TD, indices_TP, table_RD), (x_TD, indices_TP, table_RD)


def _gather_dot_backward(impl, residuals, dz_TP):  # type: ignore[no-untyped-def]
    x_TD, indices_TP, table_RD = residuals
    dx_TD = _gather_sum(impl, x_TD.dtype, dz_TP, indices_TP, table_RD)
    dtable_RD = _scatter_outer(impl, table_RD.shape[0], table_RD.dtype, dz_TP, indices_TP, x_TD)
    return dx_TD, None, dtable_RD


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _gather_sum(
    impl: Implementation,
    dtype: jnp.dtype | None,
    a_TP: Array,
    indices_TP: Array,
    table_RD: Array,
) -> Array:
    return _MODULES[impl].gather_sum(a_TP, indices_TP, table_RD, dtype)


def _gather_sum_forward(impl, dtype, a_TP, indices_TP, table_RD):  # type: ignore[no-untyped-def]
    return _gather_sum(impl, dtype, a_TP, indices_TP, table_RD), (a_TP, indices_TP, table_RD)


def _gather_sum_backward(impl, dtype, residuals, dy_TD):  # type: ignore[no-untyped-def]
    a_TP, indices_TP, table_RD = residuals
    da_TP = _gather_dot(impl, dy_TD, indices_TP, table_RD)
    dtable_RD = _scatter_outer(impl, table_RD.shape[0], table_RD.dtype, a_TP, indices_TP, dy_TD)
    return da_TP.astype(a_TP.dtype), None, dtable_RD


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _scatter_outer(
    impl: Implementation,
    n_rows: int,
    dtype: jnp.dtype | None,
    a_TP: Array,
    indices_TP: Array,
    x_TD: Array,
) -> Array:
    return _MODULES[impl].scatter_outer(a_TP, indices_TP, x_TD, n_rows, dtype)


def _scatter_outer_forward(impl, n_rows, dtype, a_TP, indices_TP, x_TD):  # type: ignore[no-untyped-def]
    g_RD = _scatter_outer(impl, n_rows, dtype, a_TP, indices_TP, x_TD)
    return g_RD, (a_TP, indices_TP, x_TD)


def _scatter_outer_backward(impl, n_rows, dtype, residuals, dg_RD):  # type: ignore[no-untyped-def]
    a_TP, indices_TP, x_TD = residuals
    da_TP = _gather_dot(impl, x_TD, indices_TP, dg_RD)
    dx_TD = _gather_sum(impl, x_TD.dtype, a_TP, indices_TP, dg_RD)
    return da_TP.astype(a_TP.dtype), None, dx_TD


_gather_dot.defvjp(_gather_dot_forward, _gather_dot_backward)
_gather_sum.defvjp(_gather_sum_forward, _gather_sum_backward)
_scatter_outer.defvjp(_scatter_outer_forward, _scatter_outer_backward)
