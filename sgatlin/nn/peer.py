# SPDX-License-Identifier: Apache-2.0
"""Parameter-efficient expert retrieval (PEER; He 2024, arXiv 2407.04153).

    y = sum over channels c and chosen neurons k of
        softmax(s[c])[k] * gelu(<w_in[i], x>) * w_out[i],  i = indices[c, k]

The same neurons as `Sgatlin`'s, with every option set as PEER has it: one table for all channels
(its heads), a product router with queries of their own for each, gates that add up to 1, and an
activation. To go from one to the other, set them one at a time on `SgatlinConfig`.
"""

import dataclasses
from typing import Literal

import jax.numpy as jnp
from flax import nnx

from sgatlin.nn.sgatlin import Sgatlin, SgatlinConfig
from sgatlin.ops.neurons import Implementation


@dataclasses.dataclass(frozen=True, kw_only=True)
class PeerConfig:
    """A pool of `n_neurons` nonlinear neurons, of which each channel uses `top_k` a token."""

    kind: Literal["peer"] = "peer"
    n_channels: int = 8
    """C: independent routers (heads) over the same neurons."""
    n_neurons: int = 4096
    """N: neurons of the pool; a perfect square."""
    top_k: int = 8
    """K: neurons chosen per channel and token; below sqrt(n_neurons)."""
    d_key: int = 128
    """Q: width of the queries for each half of a key."""
    query_norm: bool = False
    """Normalise queries by their root mean square. PEER's own query batch normalisation mixes the
    tokens of a batch and needs running averages; this needs neither."""
    shared_pool: bool = True
    """One table for all channels; else one of `n_neurons` for each."""
    init: Literal["paper", "matched"] = "paper"
    """Tables' standard deviation: `paper` 1 / sqrt(N) (arXiv 2606.07414's runs), or `matched`: as
    large an output as a GELU MLP's."""
    balance_weight: float = 0.0
    """Weight of the router's balance loss; 0 computes none."""
    implementation: Implementation | None = None
    """What computes the neurons; None picks for the platform."""

    def __post_init__(self) -> None:
        self.as_sgatlin()

    def as_sgatlin(self) -> SgatlinConfig:
        """The same layer, spelled with sgatlin's options."""
        return SgatlinConfig(
            n_channels=self.n_channels,
            n_neurons=self.n_neurons,
            top_k=self.top_k,
            d_key=self.d_key,
            router="product_key_value",
            gate="softmax",
            query_norm=self.query_norm,
            activation="gelu",
            activation_at="before_gate",
            shared_pool=self.shared_pool,
            init=self.init,
            balance_weight=self.balance_weight,
            implementation=self.implementation,
        )

    @property
    def pool_shape(self) -> tuple[int, int]:
        """Tables, and neurons of each."""
        return 1 if self.shared_pool else self.n_channels, self.n_neurons

    def computed_by(self, d_model: int, dtype: jnp.dtype) -> str:
        """A line of what computes the neurons here, and why."""
        return self.as_sgatlin().computed_by(d_model, dtype)

    def build(self, d_model: int, *, rngs: nnx.Rngs) -> Sgatlin:
        return Sgatlin(d_model, self.as_sgatlin(), rngs=rngs)

    def forward_flops(self, d_model: int) -> int:
        """Floating-point operations per token, forward (multiply-add = 2)."""
        return self.as_sgatlin().forward_flops(d_model)

    def active_parameters(self, d_model: int) -> int:
        """Parameters that one token's output is computed with."""
        return self.as_sgatlin().active_parameters(d_model)

    def gathered_parameters(self, d_model: int) -> int:
        """Of the active parameters those that a token's gates choose."""
        return self.as_sgatlin().gathered_parameters(d_model)
