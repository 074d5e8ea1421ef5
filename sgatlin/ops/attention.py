# SPDX-License-Identifier: Apache-2.0
"""Causal attention by cuDNN, which never stores the (T, T) scores.

B batch, T time, H heads, A head width.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sgatlin.ops.gpu import no_nvidia_gpu
from sgatlin.ops.platform import only_traced

WIDEST_HEAD = 128


def flash_attention_fits(query_BTHA: Float[Array, "B T H A"]) -> bool:
    """Whether cuDNN has attention for such queries on the default device."""
    width = query_BTHA.shape[-1]
    fits = width <= WIDEST_HEAD and width % 8 == 0
    return fits and query_BTHA.dtype.name in ("bfloat16", "float16") and no_nvidia_gpu() is None


def flash_attention(
    query_BTHA: Float[Array, "B T H A"],
    key_BTHA: Float[Array, "B T H A"],
    value_BTHA: Float[Array, "B T H A"],
) -> Float[Array, "B T H A"]:
    """softmax(q k / sqrt(A)) v over keys at or before each query's position."""
    if only_traced():
        return _stand_in(query_BTHA, key_BTHA, value_BTHA)
    return jax.nn.dot_product_attention(
        query_BTHA, key_BTHA, value_BTHA, is_causal=True, implementation="cudnn"
    )


# What it reads, stores and gives, for a machine that has no cuDNN.
@jax.custom_vjp
def _stand_in(query: Array, key: Array, value: Array) -> Array:
    return _stand_in_forward(query, key, value)[0]


def _stand_in_forward(query: Array, key: Array, value: Array) -> tuple[Array, Any]:
    n_batch, n_tokens, n_heads, _ = query.shape
    normalisers = jax.ShapeDtypeStruct((n_batch, n_heads, n_tokens), jnp.float32)
    attended, normalisers_BHT = jax.ffi.ffi_call("attention", [_like(query), normalisers])(
        query, key, value
    )
    return attended, (query, key, value, attended, normalisers_BHT)


def _stand_in_backward(residuals: Any, slopes: Array) -> tuple[Array, ...]:
    results = [_like(array) for array in residuals[:3]]
    return tuple(jax.ffi.ffi_call("attention_gradient", results)(*residuals, slopes))


def _like(array: Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


_stand_in.defvjp(_stand_in_forward, _stand_in_backward)
