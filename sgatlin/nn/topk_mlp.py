# SPDX-License-Identifier: Apache-2.0
"""A wide MLP of which each token keeps the largest activations. D model, F hidden width."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from sgatlin.errors import UserError
from sgatlin.nn.gates import LayerOutput
from sgatlin.nn.roles import Matrix
from sgatlin.parallel import UNSPLIT, Split, split


@dataclasses.dataclass(frozen=True, kw_only=True)
class TopkMlpConfig:
    """W2 keep(act(W1 x)), no bias; keep leaves a token's `top_k` largest activations."""

    kind: Literal["topk_mlp"] = "topk_mlp"
    d_hidden: int = 1024
    """F: hidden width."""
    top_k: int = 64
    """Activations that a token keeps."""
    activation: Literal["relu", "gelu"] = "relu"
    """Nonlinearity before the choice."""

    def __post_init__(self) -> None:
        if not 1 <= self.top_k <= self.d_hidden:
            raise UserError(
                f"top_k={self.top_k} must be at least 1 and at most d_hidden={self.d_hidden}"
            )

    def build(self, d_model: int, *, rngs: nnx.Rngs) -> "TopkMlp":
        return TopkMlp(d_model, self, rngs=rngs)

    def forward_flops(self, d_model: int) -> int:
        """Floating-point operations per token, forward (multiply-add = 2).

        Both products are computed whole: what is not kept is multiplied as zero.
        """
        return 4 * d_model * self.d_hidden


class TopkMlp(nnx.Module):
    """W2 keep(act(W1 x)); see `keep_largest`."""

    def __init__(self, d_model: int, config: TopkMlpConfig, *, rngs: nnx.Rngs):
        init = nnx.initializers.lecun_normal()
        self.config = config
        w_in = init(rngs.params(), (d_model, config.d_hidden), jnp.float32)
        w_out = init(rngs.params(), (config.d_hidden, d_model), jnp.float32)
        self.w_in = Matrix(w_in, dims=(None, "hidden"))
        self.w_out = Matrix(w_out, dims=("hidden", None))

    def __call__(self, x: Float[Array, "... D"]) -> LayerOutput:
        activation = {"relu": jax.nn.relu, "gelu": jax.nn.gelu}[self.config.activation]
        units = split(self.config.d_hidden)
        hidden = activation(units.enter(x) @ self.w_in[...].astype(x.dtype))
        kept = keep_largest(hidden, self.config.top_k, units)
        return LayerOutput(units.leave(kept @ self.w_out[...].astype(x.dtype)), None, {})


def keep_largest(x: Float[Array, "... F"], k: int, units: Split = UNSPLIT) -> Float[Array, "... F"]:
    """x with all but its k largest entries zero; what ties with the k-th is kept too.

    Where units are split, of all devices' entries.
    """
    largest, _ = jax.lax.top_k(jax.lax.stop_gradient(x), min(k, x.shape[-1]))
    if units.parts > 1:
        largest, _ = jax.lax.top_k(units.gathered(largest, axis=x.ndim - 1), k)
    return jnp.where(x >= largest[..., -1:], x, 0)
