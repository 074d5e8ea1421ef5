# SPDX-License-Identifier: Apache-2.0
"""The sizes and choices that make a transformer."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from sgatlin.errors import UserError, require_at_least
from sgatlin.nn.feed_forward import FeedForwardConfig, LayerConfig, layers_of
from sgatlin.nn.gates import GatedConfig
from sgatlin.nn.pattern import gated_places
from sgatlin.nn.remat import Remat
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.ops.platform import platform

Dtype = Literal["auto", "float32", "bfloat16"]
LogitsDtype = Literal["float32", "compute"]

MOST_UNROLLED = 16
"""Deeper models are looped over where nobody says: compile time grows with what is unrolled."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """The model."""

    vocab_size: int
    """V: number of token ids."""
    d_model: int
    """D: width of the residual stream."""
    n_layers: int
    """L: number of blocks."""
    d_head: int = 64
    """Width of an attention head; d_model / d_head heads."""
    feed_forward: FeedForwardConfig = dataclasses.field(default_factory=SgatlinConfig)
    """The feed-forward layer of every block, or a pattern of layers that repeats over depth."""
    dtype: Dtype = "auto"
    """Computation type over fp32 parameters; auto: float32 on a CPU, bfloat16 elsewhere."""
    logits_dtype: LogitsDtype = "float32"
    """What the unembedding multiplies, in training, evaluation and generation alike: float32, or
    numbers of the computation type (compute), which a GPU does twice as many of. Logits are sums in
    fp32 either way, and so is the loss; its gradient is computed in the computation type."""
    remat: Remat = "none"
    """Recomputed in the backward pass: nothing, all but matmul results (dots), or all (full)."""
    unroll: int | None = None
    """Layers that the loop over layers takes at a time. All at once spare the copies that a loop
    makes of what it keeps for the backward pass, a third of a step on a GPU and half of its
    memory, and take longer to compile. None: all on a GPU, up to 16; one elsewhere."""

    def __post_init__(self) -> None:
        require_at_least(1, vocab_size=self.vocab_size, n_layers=self.n_layers)
        require_at_least(1, d_model=self.d_model, d_head=self.d_head, unroll=self.unroll)
        if self.d_head % 2:
            raise UserError(f"d_head={self.d_head} must be even: rotary positions rotate halves")
        if self.d_model % self.d_head:
            raise UserError(
                f"d_model={self.d_model} is not a multiple of d_head={self.d_head}: change either"
            )
        if self.n_layers % len(self.period):
            raise UserError(
                f"n_layers={self.n_layers} is not a multiple of {len(self.period)}, the number of "
                "layers in the pattern feed_forward.layers: change either"
            )

    @property
    def n_heads(self) -> int:
        return self.d_model // self.d_head

    @property
    def period(self) -> tuple[LayerConfig, ...]:
        """The layers of the first blocks, up to where they repeat: one without a pattern."""
        return layers_of(self.feed_forward)

    @property
    def n_periods(self) -> int:
        """How often the period repeats: blocks in each stack."""
        return self.n_layers // len(self.period)

    @property
    def gated_layer(self) -> GatedConfig | None:
        """The config of the layers with gates; None if there are none."""
        return next((layer for layer in self.period if isinstance(layer, GatedConfig)), None)

    @property
    def gated_blocks(self) -> tuple[int, ...]:
        """Numbers of the blocks, counted from 0, whose layers have gates, in order."""
        places = gated_places(self.feed_forward)
        return tuple(n for n in range(self.n_layers) if n % len(self.period) in places)

    @property
    def kinds(self) -> str:
        """The kinds of the period's layers in words."""
        return " / ".join(layer.kind for layer in self.period)

    @property
    def compute_dtype(self) -> jnp.dtype:
        """`dtype` with auto resolved for the default backend."""
        if self.dtype == "auto":
            return jnp.dtype("float32" if jax.default_backend() == "cpu" else "bfloat16")
        return jnp.dtype(self.dtype)

    @property
    def layers_at_once(self) -> int:
        """`unroll` with None resolved for the platform, in whole periods of a pattern."""
        on_gpu = platform() == "gpu" and self.n_layers <= MOST_UNROLLED
        wanted = self.unroll or (self.n_layers if on_gpu else 1)
        period = len(self.period)
        return min(-(-wanted // period) * period, self.n_layers)

    @property
    def unembedding_dtype(self) -> jnp.dtype:
        """`logits_dtype` as a type."""
        return self.compute_dtype if self.logits_dtype == "compute" else jnp.dtype("float32")
