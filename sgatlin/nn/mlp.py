# SPDX-License-Identifier: Apache-2.0
"""Dense feed-forward layers: GELU MLP and gpt-oss's SwiGLU. D model, F hidden width."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from sgatlin.errors import require_at_least
from sgatlin.nn.gates import LayerOutput
from sgatlin.nn.roles import Bias, Matrix

# gpt-oss's clipping and slope of its gated activation.
SWIGLU_LIMIT = 7.0
SWIGLU_SLOPE = 1.702


def matching_d_hidden(d_model: int) -> int:
    """F of the paper's dense layers: the multiple of 256 at or below 8/3 D, at least 256."""
    return max(256, 8 * d_model // 3 // 256 * 256)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MlpConfig:
    """W2 gelu(W1 x), no bias."""

    kind: Literal["mlp"] = "mlp"
    d_hidden: int = 512
    """F: hidden width."""

    def __post_init__(self) -> None:
        require_at_least(1, d_hidden=self.d_hidden)

    def build(self, d_model: int, *, rngs: nnx.Rngs) -> "Mlp":
        return Mlp(d_model, self, rngs=rngs)

    def forward_flops(self, d_model: int) -> int:
        """Floating-point operations per token, forward (multiply-add = 2)."""
        return 4 * d_model * self.d_hidden


class Mlp(nnx.Module):
    """W2 gelu(W1 x), no bias; gelu in its tanh form."""

    def __init__(self, d_model: int, config: MlpConfig, *, rngs: nnx.Rngs):
        init = nnx.initializers.lecun_normal()
        self.w_in = Matrix(init(rngs.params(), (d_model, config.d_hidden), jnp.float32))
        self.w_out = Matrix(init(rngs.params(), (config.d_hidden, d_model), jnp.float32))

    def __call__(self, x: Float[Array, "... D"]) -> LayerOutput:
        hidden = jax.nn.gelu(x @ self.w_in[...].astype(x.dtype))
        return LayerOutput(hidden @ self.w_out[...].astype(x.dtype), None, {})


@dataclasses.dataclass(frozen=True, kw_only=True)
class SwigluConfig:
    """gpt-oss's clipped SwiGLU, with bias."""

    kind: Literal["swiglu"] = "swiglu"
    d_hidden: int = 512
    """F: hidden width."""

    def __post_init__(self) -> None:
        require_at_least(1, d_hidden=self.d_hidden)

    def build(self, d_model: int, *, rngs: nnx.Rngs) -> "Swiglu":
        return Swiglu(d_model, self, rngs=rngs)

    def forward_flops(self, d_model: int) -> int:
        """Floating-point operations per token, forward (multiply-add = 2)."""
        return 6 * d_model * self.d_hidden


class Swiglu(nnx.Module):
    """g, u = split(W1 x + b1); W2 ((g * sigmoid(1.702 g)) * (u + 1)) + b2, g and u clipped.

    g is at most 7, u within +-7 (gpt-oss model card, arXiv 2508.10925).
    """

    def __init__(self, d_model: int, config: SwigluConfig, *, rngs: nnx.Rngs):
        init = nnx.initializers.lecun_normal()
        hidden = config.d_hidden
        self.w_in = Matrix(init(rngs.params(), (d_model, 2 * hidden), jnp.float32))
        self.b_in = Bias(jnp.zeros((2 * hidden,)))
        self.w_out = Matrix(init(rngs.params(), (hidden, d_model), jnp.float32))
        self.b_out = Bias(jnp.zeros((d_model,)))

    def __call__(self, x: Float[Array, "... D"]) -> LayerOutput:
        dtype = x.dtype
        # Weights are split, and not their product: the gradient of that would be a copy of it.
        gate, up = (
            x @ w_in.astype(dtype) + b_in.astype(dtype)
            for w_in, b_in in zip(
                jnp.split(self.w_in[...], 2, axis=-1), jnp.split(self.b_in[...], 2), strict=True
            )
        )
        hidden = swiglu(gate, up)
        y = hidden @ self.w_out[...].astype(dtype) + self.b_out[...].astype(dtype)
        return LayerOutput(y, None, {})


def swiglu(gate: Float[Array, "... F"], up: Float[Array, "... F"]) -> Float[Array, "... F"]:
    """gpt-oss's gated activation of the two halves of a hidden layer."""
    gate = jnp.minimum(gate, SWIGLU_LIMIT)
    up = jnp.clip(up, -SWIGLU_LIMIT, SWIGLU_LIMIT)
    return gate * jax.nn.sigmoid(SWIGLU_SLOPE * gate) * (up + 1)
