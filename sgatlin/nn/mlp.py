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
from sgatlin.parallel import split

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
        w_in = init(rngs.params(), (d_model, config.d_hidden), jnp.float32)
        w_out = init(rngs.params(), (config.d_hidden, d_model), jnp.float32)
        self.d_hidden = config.d_hidden
        self.w_in = Matrix(w_in, dims=(None, "hidden"))
        self.w_out = Matrix(w_out, dims=("hidden", None))

    def __call__(self, x: Float[Array, "... D"]) -> LayerOutput:
        units = split(self.d_hidden)
        hidden = jax.nn.gelu(units.enter(x) @ self.w_in[...].astype(x.dtype))
        return LayerOutput(units.leave(hidden @ self.w_out[...].astype(x.dtype)), None, {})


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
    """g, u = W_gate x + b_gate, W_up x + b_up; W2 ((g * sigmoid(1.702 g)) * (u + 1)) + b2, clipped.

    g is at most 7, u within +-7 (gpt-oss model card, arXiv 2508.10925).
    """

    def __init__(self, d_model: int, config: SwigluConfig, *, rngs: nnx.Rngs):
        init = nnx.initializers.lecun_normal()
        hidden = config.d_hidden
        w_in = init(rngs.params(), (d_model, 2 * hidden), jnp.float32)
        w_out = init(rngs.params(), (hidden, d_model), jnp.float32)
        self.d_hidden = hidden
        # Two matrices, and not one of which the product is split: its gradient would be a copy.
        self.w_gate, self.w_up = (
            Matrix(w, dims=(None, "hidden")) for w in jnp.split(w_in, 2, axis=-1)
        )
        self.b_gate, self.b_up = (Bias(jnp.zeros((hidden,)), dims=("hidden",)) for _ in range(2))
        self.w_out = Matrix(w_out, dims=("hidden", None))
        self.b_out = Bias(jnp.zeros((d_model,)))

    def __call__(self, x: Float[Array, "... D"]) -> LayerOutput:
        dtype, units = x.dtype, split(self.d_hidden)
        x = units.enter(x)
        gate = x @ self.w_gate[...].astype(dtype) + self.b_gate[...].astype(dtype)
        up = x @ self.w_up[...].astype(dtype) + self.b_up[...].astype(dtype)
        y = units.leave(swiglu(gate, up) @ self.w_out[...].astype(dtype))
        return LayerOutput(y + self.b_out[...].astype(dtype), None, {})


def swiglu(gate: Float[Array, "... F"], up: Float[Array, "... F"]) -> Float[Array, "... F"]:
    """gpt-oss's gated activation of the two halves of a hidden layer."""
    gate = jnp.minimum(gate, SWIGLU_LIMIT)
    up = jnp.clip(up, -SWIGLU_LIMIT, SWIGLU_LIMIT)
    return gate * jax.nn.sigmoid(SWIGLU_SLOPE * gate) * (up + 1)
