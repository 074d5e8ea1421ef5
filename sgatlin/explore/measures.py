# SPDX-License-Identifier: Apache-2.0
"""What a sentence's tokens can be coloured by.

T time, L layers, C channels, N neurons of each, K chosen.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sgatlin.explore.index import RecordIndex
from sgatlin.explore.reading import Read


class Measure(NamedTuple):
    id: str
    name: str
    unit: str
    by_layer: bool
    of: Callable[[Read, RecordIndex], np.ndarray]
    """(T,), or (L, T) by layer; not a number where there is nothing to tell."""

    def about(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("id", "name", "unit", "by_layer")}


def measures_of(read: Read, index: RecordIndex) -> dict[str, list[Any]]:
    """All of them, None where there is nothing to tell, as at the beginning of sequence."""
    found = {}
    for measure in MEASURES:
        numbers = measure.of(read, index).astype(float)
        told = numbers.round(4).astype(object)
        told[np.isnan(numbers)] = None
        told[..., 0] = None
        found[measure.id] = told.tolist()
    return found


def _strength(read: Read, index: RecordIndex) -> np.ndarray:
    return np.sqrt((read.gates.scores.astype(float) ** 2).sum((2, 3)))


def _rarity(read: Read, index: RecordIndex) -> np.ndarray:
    """How much rarer than if all neurons were chosen alike: bits, the mean of a token's neurons."""
    record = index.record
    uniform = len(record) * record.top_k / record.n_neurons
    channels = np.arange(record.n_channels)[:, None]
    return np.stack(
        [
            # One more, so that a neuron that the record never saw is rare and not infinitely so.
            np.log2((uniform + 1) / (index.counts(layer)[channels, indices] + 1)).mean((1, 2))
            for layer, indices in enumerate(read.gates.indices)
        ]
    )


MEASURES = (
    Measure("nats", "loss of the token", "nats", False, lambda read, index: read.nats_T),
    Measure(
        "entropy", "entropy of the prediction", "nats", False, lambda read, index: read.entropy_T
    ),
    Measure("norm", "strength of the circuit", "", True, _strength),
    Measure("rarity", "rarity of its neurons", "bits", True, _rarity),
)
