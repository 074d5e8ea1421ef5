# SPDX-License-Identifier: Apache-2.0
"""Spark FFN (You 2025, arXiv 2506.06644): one half of the input predicts which units fire.

    y = W_out (gelu(soft(W_predict x[:r])) * (W_value x[r:])),  soft(p) = max(p - threshold, 0)

The threshold is the quantile of a normal distribution with the predictions' mean and deviation
above which `n_active` of F units lie: no sorting, and a number of units that is right on average.

D model, F hidden width, r = D / 2.
"""

import dataclasses
import statistics
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from sgatlin.errors import UserError
from sgatlin.nn.gates import LayerOutput
from sgatlin.nn.roles import Matrix
from sgatlin.ops.dtypes import sum_dtype
from sgatlin.parallel import UNSPLIT, Split, split


@dataclasses.dataclass(frozen=True, kw_only=True)
class SparkConfig:
    """A hidden layer of which a statistical top-k lets about `n_active` units fire."""

    kind: Literal["spark"] = "spark"
    d_hidden: int = 1024
    """F: hidden width."""
    n_active: int = 82
    """Units that fire, about; the paper's models use 8 % of F."""

    def __post_init__(self) -> None:
        if not 1 <= self.n_active < self.d_hidden:
            raise UserError(
                f"n_active={self.n_active} must be at least 1 and below d_hidden={self.d_hidden}"
            )

    def build(self, d_model: int, *, rngs: nnx.Rngs) -> "Spark":
        return Spark(d_model, self, rngs=rngs)

    def forward_flops(self, d_model: int) -> int:
        """Floating-point operations per token, forward (multiply-add = 2).

        All three products are computed whole: units that do not fire are multiplied as zero.
        """
        return 4 * d_model * self.d_hidden


class Spark(nnx.Module):
    """The layer as a module."""

    def __init__(self, d_model: int, config: SparkConfig, *, rngs: nnx.Rngs):
        init, hidden = nnx.initializers.lecun_normal(), config.d_hidden
        r = d_model // 2
        self.config = config
        w_predict = init(rngs.params(), (r, hidden), jnp.float32)
        w_value = init(rngs.params(), (d_model - r, hidden), jnp.float32)
        w_out = init(rngs.params(), (hidden, d_model), jnp.float32)
        self.w_predict, self.w_value = (
            Matrix(w, dims=(None, "hidden")) for w in (w_predict, w_value)
        )
        self.w_out = Matrix(w_out, dims=("hidden", None))

    def __call__(self, x: Float[Array, "... D"]) -> LayerOutput:
        dtype, r = x.dtype, self.w_predict.shape[0]
        units = split(self.config.d_hidden)
        x = units.enter(x)
        predicted = x[..., :r] @ self.w_predict[...].astype(dtype)
        fires = jax.nn.gelu(statistical_topk(predicted, self.config.n_active, units))
        hidden = fires * (x[..., r:] @ self.w_value[...].astype(dtype))
        return LayerOutput(units.leave(hidden @ self.w_out[...].astype(dtype)), None, {})


def statistical_topk(
    x: Float[Array, "... F"], k: int, units: Split = UNSPLIT
) -> Float[Array, "... F"]:
    """max(x - threshold, 0), threshold = mean + deviation * the normal quantile of 1 - k / F.

    Of normal entries k are above it, on average. Mean and deviation are fp32, and have gradients;
    where units are split, they are of all devices' entries.
    """

    def mean_of(entries: Array) -> Array:
        return units.enter(units.leave(entries.mean(axis=-1, keepdims=True)) / units.parts)

    quantile = statistics.NormalDist().inv_cdf(1 - k / (x.shape[-1] * units.parts))
    wide = x.astype(sum_dtype(x))
    mean = mean_of(wide)
    deviation = jnp.sqrt(mean_of((wide - mean) ** 2) + 1e-12)
    return jnp.maximum(wide - (mean + quantile * deviation), 0).astype(x.dtype)
