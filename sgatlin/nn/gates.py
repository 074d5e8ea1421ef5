# SPDX-License-Identifier: Apache-2.0
"""What a feed-forward layer returns: its output, and the gates that made it, as values.

Gates that are values can be recorded, compared, and given back in the place of a layer's own.

C channels, N choices (neurons or experts) per channel, K chosen. Leading axes ("...") are
arbitrary; most often (B, T).
"""

from typing import NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sgatlin.ops.grouped.rows import group_sizes


class Gates(NamedTuple):
    """Which neurons a router chose for each token, and how strongly: the token's circuit."""

    indices: Int[Array, "... C K"]
    scores: Float[Array, "... C K"]
    """What multiplies each choice."""


class LayerOutput(NamedTuple):
    """What every feed-forward layer returns."""

    y: Float[Array, "... D"]
    """In the input's type."""
    gates: Gates | None
    """None for a layer that has none."""
    losses: dict[str, Float[Array, ""]]
    """Terms to add to the training loss, by name, their weights included; most often none."""


@runtime_checkable
class GatedConfig(Protocol):
    """The config of a layer with gates."""

    @property
    def n_channels(self) -> int:
        """Choices that a token makes, each of `top_k`."""
        ...

    @property
    def top_k(self) -> int: ...

    @property
    def pool_shape(self) -> tuple[int, int]:
        """Tables (one for each channel, or one for all), and neurons or experts of each."""
        ...

    def active_parameters(self, d_model: int) -> int:
        """Parameters that one token's output is computed with."""
        ...

    def gathered_parameters(self, d_model: int) -> int:
        """Of the active parameters those that a token's gates choose."""
        ...


def choose_gates(given: Gates | None, own: Gates, replace: Bool[Array, "... C"] | None) -> Gates:
    """`given` where `replace` is true and `own` elsewhere; one of them, if the other is missing."""
    if given is None:
        return own
    if replace is None:
        return given
    return Gates(*(jnp.where(replace[..., None], g, o) for g, o in zip(given, own, strict=True)))


class Adjust(NamedTuple):
    """What becomes of each neuron's score where it is chosen: score * factors + offsets.

    Factors of 0 leave a neuron out; offsets put another score, such as its mean, in the place of
    its own.
    """

    factors: Float[Array, "*layers C N"]
    offsets: Float[Array, "*layers C N"]
    forced: Int[Array, "*layers C"] | None = None
    """A neuron of each channel that is chosen in any case, in the place of the one with the weakest
    score if need be; -1 for none."""
    forced_scores: Float[Array, "*layers C"] | None = None
    """Their scores."""


def adjusted(gates: Gates, adjust: Adjust | None) -> Gates:
    """The same choices with their scores adjusted, in their type."""
    if adjust is None:
        return gates
    n_channels, n_neurons = adjust.factors.shape[-2:]
    indices = jnp.clip(gates.indices, 0, n_neurons - 1)  # as layers do with given ones
    tables = (adjust.factors, adjust.offsets)
    factors, offsets = (table[jnp.arange(n_channels)[:, None], indices] for table in tables)
    scores = gates.scores * factors + offsets
    if adjust.forced is not None and adjust.forced_scores is not None:
        is_forced = indices == adjust.forced[:, None]
        weakest = jnp.abs(gates.scores).argmin(-1, keepdims=True) == jnp.arange(indices.shape[-1])
        there = jnp.where(is_forced.any(-1, keepdims=True), is_forced, weakest)
        there &= (adjust.forced >= 0)[:, None]
        indices = jnp.where(there, adjust.forced[:, None], indices)
        scores = jnp.where(there, adjust.forced_scores[:, None], scores)
    return Gates(indices, scores.astype(gates.scores.dtype))


def choice_counts(gates: Gates, pool_shape: tuple[int, int]) -> Int[Array, "tables N"]:
    """How often each neuron of each table was chosen; tables are as many as the gates' channels."""
    n_tables, n_neurons = pool_shape
    rows = jnp.clip(gates.indices, 0, n_neurons - 1)  # as layers do with given ones
    if n_tables > 1:
        n_tables = rows.shape[-2]
        rows += n_neurons * jnp.arange(n_tables)[:, None]
    return group_sizes(rows, n_tables * n_neurons).reshape(n_tables, n_neurons)
