# SPDX-License-Identifier: Apache-2.0
"""What a feed-forward layer returns: its output, and the gates that made it, as values.

Gates that are values can be recorded, compared, and given back in the place of a layer's own.

C channels, N choices (neurons or experts) per channel, K chosen. Leading axes ("...") are
arbitrary; most often (B, T).
"""

from typing import NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


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
    def pool_shape(self) -> tuple[int, int]:
        """(C, N): channels, and the neurons or experts that each chooses from."""
        ...

    @property
    def top_k(self) -> int: ...


def choose_gates(given: Gates | None, own: Gates, replace: Bool[Array, "... C"] | None) -> Gates:
    """`given` where `replace` is true and `own` elsewhere; one of them, if the other is missing."""
    if given is None:
        return own
    if replace is None:
        return given
    return Gates(*(jnp.where(replace[..., None], g, o) for g, o in zip(given, own, strict=True)))
