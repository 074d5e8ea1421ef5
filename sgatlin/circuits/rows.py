# SPDX-License-Identifier: Apache-2.0
"""Circuits as sparse rows: what neighbours, maps, usage and probes are computed from.

n rows (one for each position), P non-zeros of each, W columns.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.sparse
from jaxtyping import Float32, Int32

from sgatlin.nn.sgatlin import SgatlinConfig


@dataclasses.dataclass(frozen=True)
class SparseRows:
    """n vectors of `width` numbers, of each of which P are given and the others zero.

    A row names no column twice. In a circuit's row column c * N + i is neuron i of channel c, so
    that rows of some channels are a selection of columns, and signed scores are the numbers.
    """

    indices: Int32[np.ndarray, "n P"]
    values: Float32[np.ndarray, "n P"]
    width: int

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, chosen: slice | np.ndarray) -> "SparseRows":
        """Some of the rows: by a slice, by their numbers, or by a mask."""
        return SparseRows(self.indices[chosen], self.values[chosen], self.width)

    def matrix(self) -> scipy.sparse.csr_array:
        """(n, W)."""
        n, p = self.indices.shape
        starts = np.arange(n + 1, dtype=np.int64) * p
        flat = (self.values.reshape(-1), self.indices.reshape(-1), starts)
        return scipy.sparse.csr_array(flat, shape=(n, self.width))

    def dense(self) -> Float32[np.ndarray, "n W"]:
        """All columns, zeros included."""
        dense = np.zeros((len(self), self.width), np.float32)
        np.put_along_axis(dense, self.indices, self.values, axis=1)
        return dense


def circuit_rows(
    indices: np.ndarray,
    scores: np.ndarray,
    layer: SgatlinConfig,
    channels: Sequence[int] | None = None,
) -> SparseRows:
    """Rows of gates of shape (..., C, K), of the given channels, or of all.

    Rows of one channel are N wide, those of several C * N.
    """
    k, n_neurons = layer.top_k, layer.n_neurons
    chosen = list(range(layer.n_channels)) if channels is None else list(channels)
    offsets = n_neurons * np.array(chosen if len(chosen) > 1 else [0], np.int32)
    columns = np.asarray(indices)[..., chosen, :].astype(np.int32) + offsets[:, None]
    values = np.asarray(scores, np.float32)[..., chosen, :]
    width = n_neurons * (layer.n_channels if len(chosen) > 1 else 1)
    shape = (-1, len(chosen) * k)
    return SparseRows(columns.reshape(shape), values.reshape(shape), width)
