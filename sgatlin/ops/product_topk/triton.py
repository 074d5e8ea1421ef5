# SPDX-License-Identifier: Apache-2.0
"""The search among product keys on NVIDIA GPUs: how the kernels of `triton_kernels` are launched.

M sub-keys of each half, K chosen, Q width of queries, C channels, T tokens; leading axes ("...")
are arbitrary.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sgatlin.ops.triton_call import power_of_two, triton_call

# A program's rows of scores stay in registers, and the rounds for the K best are unrolled.
MOST_SUBKEYS, MOST_CHOSEN = 256, 16
QUERY_DTYPES = ("bfloat16", "float16")


def product_topk(
    first_M: Float[Array, "*batch M"], second_M: Float[Array, "*batch M"], top_k: int
) -> tuple[Int[Array, "*batch K"], Float[Array, "*batch K"]]:
    """Indices i * M + j and sums of the `top_k` largest first[i] + second[j]; scores are fp32."""
    batch, n_subkeys = first_M.shape[:-1], first_M.shape[-1]
    n_rows = math.prod(batch)
    # A kernel wants rows along the last axis: a matmul before it can leave them so at no cost.
    first_MN, second_MN = (x.reshape(n_rows, n_subkeys).T for x in (first_M, second_M))
    block_m = power_of_two(n_subkeys)
    block = 128 if block_m <= 64 else 32
    shape = (n_rows, top_k)
    indices_NK, scores_NK = triton_call(
        "product_topk.product_topk",
        first_MN,
        second_MN,
        n_rows,
        out=_outputs(shape),
        grid=(-(-n_rows // block),),
        warps=max(1, block * block_m // 2048),
        constants={
            "M": n_subkeys,
            "K": top_k,
            "BLOCK": block,
            "BLOCK_M": block_m,
            "BLOCK_K": power_of_two(top_k),
        },
    )
    return indices_NK.reshape(*batch, top_k), scores_NK.reshape(*batch, top_k)


def search(
    query_TQ: Float[Array, "T Q"], key_QH: Float[Array, "Q H"], n_channels: int, top_k: int
) -> tuple[Int[Array, "T C K"], Float[Array, "T C K"]]:
    """`product_topk` of each channel's scores query @ key, laid out as (2, C, M)."""
    n_tokens, width = query_TQ.shape
    n_subkeys = key_QH.shape[-1] // (2 * n_channels)
    block_m = power_of_two(n_subkeys, least=16)
    block, warps = (128, 8) if block_m <= 128 else (64, 8)
    indices_TCK, scores_TCK = triton_call(
        "product_topk.search",
        query_TQ,
        key_QH,
        n_tokens,
        out=_outputs((n_tokens, n_channels, top_k)),
        grid=(n_channels, -(-n_tokens // block)),
        warps=warps,
        constants={
            "Q": width,
            "C": n_channels,
            "M": n_subkeys,
            "K": top_k,
            "BLOCK_T": block,
            "BLOCK_Q": power_of_two(width, least=16),
            "BLOCK_M": block_m,
            "BLOCK_K": power_of_two(top_k),
        },
    )
    return indices_TCK, scores_TCK


def _outputs(shape: tuple[int, ...]) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct(shape, jnp.int32), jax.ShapeDtypeStruct(shape, jnp.float32)]
