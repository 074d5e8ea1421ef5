# SPDX-License-Identifier: Apache-2.0
"""Root-mean-square normalisation (Zhang and Sennrich 2019, arXiv 1910.07467)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from sgatlin.nn.roles import Scale
from sgatlin.ops.dtypes import sum_dtype

EPSILON = 1e-6


class RMSNorm(nnx.Module):
    """`rms_normalised` with a scale of its own."""

    def __init__(self, width: int):
        self.scale = Scale(jnp.ones((width,)))

    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        return rms_normalised(x, self.scale[...])


def rms_normalised(x: Float[Array, "... D"], scale: Float[Array, " D"]) -> Float[Array, "... D"]:
    """x / rms(x) * scale over the last axis, computed in fp32, returned in x's type."""
    wide = x.astype(sum_dtype(x))
    mean_square = jnp.mean(wide**2, axis=-1, keepdims=True)
    return (wide * jax.lax.rsqrt(mean_square + EPSILON) * scale).astype(x.dtype)
