# SPDX-License-Identifier: Apache-2.0
"""The neuron primitives on NVIDIA GPUs: how the kernels of `triton_kernels` are launched.

Block sizes are those that were fastest on an H100 (docs/performance.md). Results do not depend on
the order in which programs run.

T tokens, P rows chosen by each, R rows of the table, D width, J = T * P pairs of token and row.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sgatlin.ops.triton_call import power_of_two, triton_call

# A multiple of eight columns is loaded 16 bytes at a time.
COLUMNS = 8
DTYPES = ("bfloat16", "float16", "float32")
# Fewer programs than this leave multiprocessors idle: smaller ones are launched.
ENOUGH_PROGRAMS = 2048


def gather_dot(
    x_TD: Float[Array, "T D"], indices_TP: Int[Array, "T P"], table_RD: Float[Array, "R D"]
) -> Float[Array, "T P"]:
    """z[t, p] = <table[indices[t, p]], x[t]>."""
    (n_tokens, n_picks), width = indices_TP.shape, x_TD.shape[-1]
    if not indices_TP.size:
        return jnp.zeros(indices_TP.shape)
    block = power_of_two(n_picks, most=16 if width <= 1024 else 4)
    picks = n_picks if n_tokens >= ENOUGH_PROGRAMS else block
    (z_TP,) = triton_call(
        "neurons.gather_dot",
        x_TD,
        indices_TP,
        table_RD,
        out=[jax.ShapeDtypeStruct(indices_TP.shape, jnp.float32)],
        grid=(n_tokens, -(-n_picks // picks)),
        constants={
            "P": n_picks,
            "D": width,
            "PICKS": picks,
            "BLOCK_P": block,
            "BLOCK_D": power_of_two(width, most=128),
        },
    )
    return z_TP


def gather_sum(
    a_TP: Float[Array, "T P"],
    indices_TP: Int[Array, "T P"],
    table_RD: Float[Array, "R D"],
    dtype: jnp.dtype | None = None,
) -> Float[Array, "T D"]:
    """y[t] = sum over p of a[t, p] * table[indices[t, p]]."""
    n_tokens, (_, width) = len(a_TP), table_RD.shape
    if not indices_TP.size:
        return jnp.zeros((n_tokens, width), dtype)
    columns = power_of_two(width, most=128)
    tokens, unroll, warps = 16, 4, 4
    if -(-n_tokens // tokens) * -(-width // columns) < ENOUGH_PROGRAMS:
        tokens, unroll, warps = 1, 16, 1
    (y_TD,) = triton_call(
        "neurons.gather_sum",
        a_TP,
        indices_TP,
        table_RD,
        n_tokens,
        out=[jax.ShapeDtypeStruct((n_tokens, width), dtype or jnp.float32)],
        grid=(-(-n_tokens // tokens), -(-width // columns)),
        warps=warps,
        constants={
            "P": indices_TP.shape[-1],
            "D": width,
            "BLOCK_T": tokens,
            "BLOCK_D": columns,
            "UNROLL": unroll,
        },
    )
    return y_TD


class Sorted(NamedTuple):
    """The pairs of token and row, one row's after another's; of a row, in the order of tokens."""

    pair_J: Int[Array, " J"]
    """Which pair, t * P + p."""
    row_J: Int[Array, " J"]
    end_R: Int[Array, " R"]
    """Where each row's pairs end."""


def sort_pairs(indices_TP: Int[Array, "T P"], n_rows: int) -> Sorted:
    """Sorts the pairs by row; XLA does it once where several gradients need it."""
    # Keys of 16 bits take half as many passes of a radix sort.
    keys_J = indices_TP.reshape(-1).astype(jnp.uint16 if n_rows <= 2**16 else jnp.int32)
    pair_J = jax.lax.iota(jnp.int32, keys_J.size)
    row_J, pair_J = jax.lax.sort((keys_J, pair_J), num_keys=1, is_stable=True)
    every_R = jnp.arange(n_rows, dtype=keys_J.dtype)
    end_R = jnp.searchsorted(row_J, every_R, side="right", method="scan_unrolled")
    return Sorted(pair_J, row_J, end_R.astype(jnp.int32))


def scatter_outer(
    a_TP: Float[Array, "T P"],
    indices_TP: Int[Array, "T P"],
    x_TD: Float[Array, "T D"],
    n_rows: int,
    dtype: jnp.dtype | None = None,
) -> Float[Array, "{n_rows} D"]:
    """g[r] = sum over all (t, p) with indices[t, p] = r of a[t, p] * x[t], summed in fp32."""
    n_pairs, n_picks, width = indices_TP.size, indices_TP.shape[-1], x_TD.shape[-1]
    if not n_pairs:
        return jnp.zeros((n_rows, width), dtype)
    sorted_ = sort_pairs(indices_TP, n_rows)
    block = 512 if n_pairs >= 2**20 else 64
    n_blocks = -(-n_pairs // block)
    columns = power_of_two(width, most=128)
    grid = (n_blocks, -(-width // columns))
    sums = jax.ShapeDtypeStruct((n_blocks, width), jnp.float32)
    gradient = jax.ShapeDtypeStruct((n_rows, width), dtype or jnp.float32)
    constants = {"D": width, "BLOCK": block, "STEP": 32, "BLOCK_D": columns}
    # Of a product XLA would put each factor in order, which costs two passes.
    a_J = jax.lax.optimization_barrier(a_TP.reshape(-1))[sorted_.pair_J]
    g_RD, head_BD, tail_BD = triton_call(
        "neurons.scatter_outer",
        a_J,
        *sorted_,
        x_TD,
        n_pairs,
        out=[gradient, sums, sums],
        grid=grid,
        zeroed=(0,),
        constants=constants | {"P": n_picks},
    )
    (g_RD,) = triton_call(
        "neurons.join_blocks",
        sorted_.row_J,
        sorted_.end_R,
        head_BD,
        tail_BD,
        g_RD,
        n_pairs,
        out=[gradient],
        grid=grid,
        updated={4: 0},
        constants=constants,
    )
    return g_RD
