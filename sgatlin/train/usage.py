# SPDX-License-Identifier: Apache-2.0
"""Which neurons (or experts) a run uses, and which of them have died.

L layers with gates, C tables of a layer, N neurons of a table. Tables are never added up: each has
a router that can leave its own neurons unused, and a sum would hide it.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sgatlin.errors import UserError, require_at_least
from sgatlin.nn.transformer import TransformerConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class UsageConfig:
    """The watch over a layer with gates; it does nothing for others."""

    every: int = 100
    """Steps between reports."""
    dead_after: int = 200
    """Steps without a use after which a neuron counts as dead."""
    resample: bool = False
    """At each report, give dead keys and their neurons the values of busy ones; not in the last
    `dead_after` steps of a run."""
    resample_share: float = 0.75
    """Share of a sub-key's neurons that must be dead for the sub-key to be replaced."""
    resample_noise: float = 0.1
    """Deviation of the noise on a copied key over the key's root mean square."""

    def __post_init__(self) -> None:
        require_at_least(1, every=self.every, dead_after=self.dead_after)
        if not 0 < self.resample_share <= 1:
            raise UserError(f"resample_share={self.resample_share} must be above 0 and at most 1")
        if not 0 < self.resample_noise < math.inf:
            raise UserError(
                f"resample_noise={self.resample_noise} must be above 0 and finite: "
                "without noise a copy is never told from its original"
            )


class Usage(NamedTuple):
    """What the watch remembers between steps."""

    counts: Int[Array, "L C N"]
    """Choices since the last report."""
    last_used: Int[Array, "L C N"]
    """Step at which each was last chosen; 0 for never."""


def initial_usage(model: TransformerConfig) -> Usage | None:
    """Of a run that begins; None for a layer without gates."""
    layer = model.gated_layer
    if layer is None:
        return None
    shape = (len(model.gated_blocks), *layer.pool_shape)
    return Usage(jnp.zeros(shape, jnp.int32), jnp.zeros(shape, jnp.int32))


def add_step(usage: Usage, counts: Int[Array, "L C N"], step: Int[Array, ""]) -> Usage:
    """`usage` after step number `step` (from 1), in which each was chosen `counts` times."""
    return Usage(usage.counts + counts, jnp.where(counts > 0, step, usage.last_used))


def dead(usage: Usage, step: Int[Array, ""], dead_after: int) -> Array:
    """Which were not chosen in the `dead_after` steps up to `step`: (L, C, N)."""
    return step - usage.last_used >= dead_after


def usage_report(
    usage: Usage, step: Int[Array, ""], dead_after: int
) -> dict[str, Float[Array, "L C"]]:
    """Of each table since the last report, with n_i the choices of its N neurons:

    `used`: share of neurons chosen at all; `entropy`: of n_i, over log N; `gini`: 0 when all n_i
    are equal, 1 - 1/N when one has all; `load_cv`: standard deviation of n_i over their mean;
    `load_max`: largest n_i over their mean; and `dead`: how many neurons were not chosen for
    `dead_after` steps.
    """
    counts_LCN = usage.counts.astype(jnp.float32)
    n_neurons = counts_LCN.shape[-1]
    total_LC = jnp.maximum(counts_LCN.sum(axis=-1), 1)
    share_LCN = counts_LCN / total_LC[..., None]
    rank_N = jnp.arange(1, n_neurons + 1)
    ranked_LC = jnp.sum(jnp.sort(share_LCN, axis=-1) * rank_N, axis=-1)
    entropy_LC = jax.scipy.special.entr(share_LCN).sum(axis=-1)
    return {
        "used": jnp.mean(counts_LCN > 0, axis=-1),
        "entropy": entropy_LC / max(math.log(n_neurons), 1e-9),
        "gini": (2 * ranked_LC - (n_neurons + 1)) / n_neurons,
        "load_cv": n_neurons * jnp.std(share_LCN, axis=-1),
        "load_max": n_neurons * jnp.max(share_LCN, axis=-1),
        "dead": dead(usage, step, dead_after).sum(axis=-1).astype(jnp.float32),
    }
