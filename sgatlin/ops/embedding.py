# SPDX-License-Identifier: Apache-2.0
"""Rows of a token embedding, and the logits of the unembedding that shares its weights.

B batch, T time, D width, V vocabulary.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sgatlin.ops.dtypes import sum_dtype
from sgatlin.ops.neurons import scatter_outer


def embed(embedding_VD: Float[Array, "V D"], tokens_BT: Int[Array, "B T"]) -> Float[Array, "B T D"]:
    """embedding[tokens], whose gradient is `scatter_outer`'s sum: an id is a row chosen once.

    Ids outside 0..V-1 are clamped.
    """
    return _embed(embedding_VD, jnp.clip(tokens_BT, 0, len(embedding_VD) - 1))


def unembed(
    hidden: Float[Array, "... D"],
    embedding_VD: Float[Array, "V D"],
    dtype: jnp.dtype | None = None,
) -> Float[Array, "... V"]:
    """<hidden, embedding[v]> of every v, summed in fp32 or wider.

    The operands are rounded to `dtype` first, unless it is None.
    """
    if dtype is not None:
        hidden, embedding_VD = hidden.astype(dtype), embedding_VD.astype(dtype)
    return jnp.matmul(hidden, embedding_VD.T, preferred_element_type=sum_dtype(hidden))


@jax.custom_vjp
def _embed(embedding_VD: Array, tokens_BT: Array) -> Array:
    return embedding_VD.at[tokens_BT].get(mode="promise_in_bounds")


def _embed_forward(embedding_VD, tokens_BT):  # type: ignore[no-untyped-def]
    # Of the embedding only shape and type are read.
    return _embed(embedding_VD, tokens_BT), (embedding_VD, tokens_BT)


def _embed_backward(residuals, dx_BTD):  # type: ignore[no-untyped-def]
    embedding_VD, tokens_BT = residuals
    tokens_T1 = tokens_BT.reshape(-1, 1)
    ones_T1 = jnp.ones(tokens_T1.shape, dx_BTD.dtype)
    dx_TD = dx_BTD.reshape(-1, dx_BTD.shape[-1])
    dembedding_VD = scatter_outer(ones_T1, tokens_T1, dx_TD, len(embedding_VD))
    return dembedding_VD.astype(embedding_VD.dtype), None


_embed.defvjp(_embed_forward, _embed_backward)
