# SPDX-License-Identifier: Apache-2.0
"""The neuron primitives as matmuls with all rows of the table, most of them times zero.

R / P times the arithmetic of the others, on units that are far faster: best where the table is
small, or gathers are slow. Tokens are taken in chunks, so that of the (T, R) matrix of weights only
a part is ever stored.

T tokens, P rows chosen by each, R rows of the table, D width, t tokens of a chunk.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sgatlin.ops.dtypes import sum_dtype
from sgatlin.ops.neurons.chunks import map_tokens, split_tokens

# Elements of the (t, R) matrix of one chunk.
CHUNK_ELEMENTS = 2**25


def gather_dot(
    x_TD: Float[Array, "T D"], indices_TP: Int[Array, "T P"], table_RD: Float[Array, "R D"]
) -> Float[Array, "T P"]:
    """z[t, p] = <table[indices[t, p]], x[t]>."""

    def chunk(x_tD: Array, indices_tP: Array) -> Array:
        z_tR = jnp.matmul(x_tD, table_RD.T, preferred_element_type=sum_dtype(table_RD))
        return jnp.take_along_axis(z_tR, indices_tP, axis=-1, mode="promise_in_bounds")

    return map_tokens(chunk, x_TD, indices_TP, tokens=CHUNK_ELEMENTS // len(table_RD))


def gather_sum(
    a_TP: Float[Array, "T P"],
    indices_TP: Int[Array, "T P"],
    table_RD: Float[Array, "R D"],
    dtype: jnp.dtype | None = None,
) -> Float[Array, "T D"]:
    """y[t] = sum over p of a[t, p] * table[indices[t, p]]."""

    wide = sum_dtype(table_RD)

    def chunk(a_tP: Array, indices_tP: Array) -> Array:
        a_tR = _spread(a_tP, indices_tP, len(table_RD)).astype(table_RD.dtype)
        y_tD = jnp.matmul(a_tR, table_RD, preferred_element_type=wide)
        return y_tD.astype(dtype or wide)

    return map_tokens(chunk, a_TP, indices_TP, tokens=CHUNK_ELEMENTS // len(table_RD))


def scatter_outer(
    a_TP: Float[Array, "T P"],
    indices_TP: Int[Array, "T P"],
    x_TD: Float[Array, "T D"],
    n_rows: int,
    dtype: jnp.dtype | None = None,
) -> Float[Array, "{n_rows} D"]:
    """g[r] = sum over all (t, p) with indices[t, p] = r of a[t, p] * x[t]."""
    wide = sum_dtype(x_TD)

    def add(total_RD: Array, chunk: tuple[Array, ...]) -> tuple[Array, None]:
        a_tP, indices_tP, x_tD = chunk
        a_tR = _spread(a_tP, indices_tP, n_rows).astype(x_tD.dtype)
        return total_RD + jnp.matmul(a_tR.T, x_tD, preferred_element_type=wide), None

    start = jnp.zeros((n_rows, x_TD.shape[-1]), wide)
    chunks = split_tokens(a_TP, indices_TP, x_TD, tokens=CHUNK_ELEMENTS // n_rows)
    return jax.lax.scan(add, start, chunks)[0].astype(dtype or wide)


def _spread(a_tP: Array, indices_tP: Array, n_rows: int) -> Array:
    """(t, R): each row's weight, the sum of them where a token chose a row more than once."""
    t = jnp.arange(len(a_tP))[:, None]
    zeros = jnp.zeros((len(a_tP), n_rows), sum_dtype(a_tP))
    return zeros.at[t, indices_tP].add(a_tP, mode="promise_in_bounds")
