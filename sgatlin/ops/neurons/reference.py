# SPDX-License-Identifier: Apache-2.0
"""Brute force: gathers every chosen row at once. For tests; stores (T, P, D).

T tokens, P rows chosen by each, R rows of the table, D width.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sgatlin.ops.dtypes import sum_dtype


def gather_dot(
    x_TD: Float[Array, "T D"], indices_TP: Int[Array, "T P"], table_RD: Float[Array, "R D"]
) -> Float[Array, "T P"]:
    """z[t, p] = <table[indices[t, p]], x[t]>."""
    return jnp.einsum(
        "tpd,td->tp", table_RD[indices_TP], x_TD, preferred_element_type=sum_dtype(table_RD)
    )


def gather_sum(
    a_TP: Float[Array, "T P"],
    indices_TP: Int[Array, "T P"],
    table_RD: Float[Array, "R D"],
    dtype: jnp.dtype | None = None,
) -> Float[Array, "T D"]:
    """y[t] = sum over p of a[t, p] * table[indices[t, p]]."""
    wide = sum_dtype(table_RD)
    y_TD = jnp.einsum("tp,tpd->td", a_TP, table_RD[indices_TP], preferred_element_type=wide)
    return y_TD.astype(dtype or wide)


def scatter_outer(
    a_TP: Float[Array, "T P"],
    indices_TP: Int[Array, "T P"],
    x_TD: Float[Array, "T D"],
    n_rows: int,
    dtype: jnp.dtype | None = None,
) -> Float[Array, "{n_rows} D"]:
    """g[r] = sum over all (t, p) with indices[t, p] = r of a[t, p] * x[t]."""
    wide = sum_dtype(x_TD)
    outer_TPD = a_TP[:, :, None].astype(wide) * x_TD[:, None, :].astype(wide)
    zeros_RD = jnp.zeros((n_rows, x_TD.shape[-1]), wide)
    return zeros_RD.at[indices_TP].add(outer_TPD).astype(dtype or wide)
