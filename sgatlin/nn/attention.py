# SPDX-License-Identifier: Apache-2.0
"""Causal self-attention with rotary positions, normalised queries and keys, and a cache.

B batch, T new positions, S positions attended to, D model, H heads, A head width; E = H * A of this
device's heads.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from sgatlin.nn.norm import RMSNorm, rms_normalised
from sgatlin.nn.roles import Matrix
from sgatlin.ops.attention import flash_attention, flash_attention_fits
from sgatlin.ops.dtypes import sum_dtype
from sgatlin.parallel import split

ROPE_BASE = 10_000.0


class Cache(NamedTuple):
    """Keys and values of the positions seen so far; those from `length` on are not yet written."""

    keys: Float[Array, "*layers B S H A"]
    values: Float[Array, "*layers B S H A"]
    length: Int[Array, "*layers"]


class Attention(nnx.Module):
    """Multi-head causal attention; projections without bias, softmax in fp32.

    By cuDNN on NVIDIA GPUs, in half precision and without cache or segments; elsewhere by XLA.
    """

    def __init__(self, d_model: int, d_head: int, *, rngs: nnx.Rngs):
        init = nnx.initializers.lecun_normal()
        self.d_head = d_head
        self.n_heads = d_model // d_head
        weights = [init(rngs.params(), (d_model, d_model), jnp.float32) for _ in range(4)]
        self.w_query, self.w_key, self.w_value = (
            Matrix(w, dims=(None, "heads")) for w in weights[:3]
        )
        self.w_out = Matrix(weights[3], dims=("heads", None))
        self.query_norm = RMSNorm(d_head)
        self.key_norm = RMSNorm(d_head)

    def __call__(
        self,
        x_BTD: Float[Array, "B T D"],
        cache: Cache | None = None,
        segments_BT: Int[Array, "B T"] | None = None,
    ) -> tuple[Float[Array, "B T D"], Cache | None]:
        """Attends over x, or over the cache followed by x; returns the extended cache.

        With segments, over positions of the same segment only; ValueError if there is a cache too.
        """
        if cache is not None and segments_BT is not None:
            raise ValueError("a cache does not know segments: give one or the other")

        own_heads = split(self.n_heads)
        x_BTD = own_heads.enter(x_BTD)

        def heads(weights: Matrix) -> Array:
            projected_BTE = x_BTD @ weights[...].astype(x_BTD.dtype)
            return projected_BTE.reshape(*x_BTD.shape[:-1], -1, self.d_head)

        def normed(x_BTHA: Array, norm: RMSNorm) -> Array:
            return rms_normalised(x_BTHA, own_heads.enter(norm.scale[...]))

        start = jnp.int32(0) if cache is None else cache.length
        positions_T = start + jnp.arange(x_BTD.shape[1])
        query_BTHA = rope(normed(heads(self.w_query), self.query_norm), positions_T)
        key_BSHA = rope(normed(heads(self.w_key), self.key_norm), positions_T)
        value_BSHA = heads(self.w_value)
        if cache is not None:
            at = (0, start, 0, 0)
            key_BSHA = jax.lax.dynamic_update_slice(cache.keys, key_BSHA, at)
            value_BSHA = jax.lax.dynamic_update_slice(cache.values, value_BSHA, at)
            cache = Cache(key_BSHA, value_BSHA, start + x_BTD.shape[1])
        if cache is None and segments_BT is None and flash_attention_fits(query_BTHA):
            mixed_BTHA = flash_attention(query_BTHA, key_BSHA, value_BSHA)
        else:
            mixed_BTHA = causal_attention(
                query_BTHA, key_BSHA, value_BSHA, positions_T, segments_BT
            )
        mixed_BTE = mixed_BTHA.reshape(*x_BTD.shape[:-1], -1)
        return own_heads.leave(mixed_BTE @ self.w_out[...].astype(x_BTD.dtype)), cache


def causal_attention(
    query_BTHA: Float[Array, "B T H A"],
    key_BSHA: Float[Array, "B S H A"],
    value_BSHA: Float[Array, "B S H A"],
    positions_T: Int[Array, " T"],
    segments_BT: Int[Array, "B T"] | None = None,
) -> Float[Array, "B T H A"]:
    """softmax(q k / sqrt(A)) v over keys at or before each query's position; scores in fp32.

    With segments (then S is T) only over keys of the query's own segment.
    """
    scores_BHTS = jnp.einsum(
        "bthd,bshd->bhts",
        query_BTHA,
        key_BSHA,
        preferred_element_type=sum_dtype(query_BTHA),
    ) / jnp.sqrt(query_BTHA.shape[-1]).astype(jnp.float32)
    visible = jnp.arange(key_BSHA.shape[1]) <= positions_T[:, None]  # (T, S)
    if segments_BT is not None:
        same_BTS = segments_BT[:, :, None] == segments_BT[:, None, :]
        visible = (visible & same_BTS)[:, None]  # (B, 1, T, S)
    weights_BHTS = jax.nn.softmax(jnp.where(visible, scores_BHTS, -jnp.inf), axis=-1)
    return jnp.einsum("bhts,bshd->bthd", weights_BHTS.astype(value_BSHA.dtype), value_BSHA)


def rope(x_BTHA: Float[Array, "B T H A"], positions_T: Int[Array, " T"]) -> Float[Array, "B T H A"]:
    """Rotary position embedding (arXiv 2104.09864): the halves of a head are rotated as pairs."""
    half = x_BTHA.shape[-1] // 2
    frequencies = ROPE_BASE ** (-jnp.arange(half) / half)
    angles_T1a = (positions_T[:, None] * frequencies)[:, None, :]
    cos, sin = jnp.cos(angles_T1a), jnp.sin(angles_T1a)
    first, second = jnp.split(x_BTHA.astype(cos.dtype), 2, axis=-1)
    rotated = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return rotated.astype(x_BTHA.dtype)
