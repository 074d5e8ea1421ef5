# SPDX-License-Identifier: Apache-2.0
"""A record in memory: the nearest circuits to one in milliseconds, and how often neurons are used.

n positions, C channels, N neurons of each, P = C * K chosen, W = C * N columns.
"""

import threading
from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Float32, Int64

from sgatlin.circuits.record import Record
from sgatlin.circuits.rows import SparseRows


class Near(NamedTuple):
    """The nearest recorded positions, nearest first; equally near ones in the record's order."""

    rows: Int64[np.ndarray, " k"]
    distances: Float32[np.ndarray, " k"]


class _Layer(NamedTuple):
    rows: SparseRows
    matrix: scipy.sparse.csr_array
    """The same numbers: (n, W)."""
    norm_n: Float32[np.ndarray, " n"]
    """Length of each row."""
    counts_CN: np.ndarray
    """How many positions chose each neuron."""


class RecordIndex:
    """Layers are read when they are first asked for, and stay: 8 bytes for each chosen neuron."""

    def __init__(self, record: Record):
        self.record = record
        self.positions = record.positions()
        self.sequences = self.positions["sequence"].to_numpy()
        self._reading = threading.Lock()
        self._layers: dict[int, _Layer] = {}

    def counts(self, layer: int) -> Int64[np.ndarray, "C N"]:
        """How many recorded positions chose each neuron of a layer."""
        return self._layer(layer).counts_CN

    def circuits(self, layer: int) -> SparseRows:
        """Of all positions, all channels side by side."""
        return self._layer(layer).rows

    def nearest(
        self,
        layer: int,
        query_W: Float32[np.ndarray, " W"],
        k: int,
        *,
        channel: int | None = None,
        but_sequence: int | None = None,
    ) -> Near:
        """The k positions whose circuits are nearest to one by the cosine of signed scores.

        Of one channel, or of all; those of a sequence are left out if asked for. The same as
        `neighbours.nearest`, which is for many queries at a time.
        """
        product_n, norm_n = self._products(layer, query_W, channel)
        length = np.linalg.norm(self._own_columns(query_W, channel))
        below_n = norm_n * length
        cosine_n = np.divide(product_n, below_n, out=np.zeros_like(product_n), where=below_n > 0)
        if but_sequence is not None:
            cosine_n[self.sequences == but_sequence] = -np.inf
        k = min(k, int(np.isfinite(cosine_n).sum()))
        if not k:
            return Near(np.empty(0, np.int64), np.empty(0, np.float32))
        least = np.partition(cosine_n, -k)[-k]
        candidates = np.flatnonzero(cosine_n >= least)
        order = candidates[np.argsort(-cosine_n[candidates], kind="stable")[:k]]
        return Near(order, np.clip(1 - cosine_n[order], 0, None).astype(np.float32))

    def _products(
        self, layer: int, query_W: np.ndarray, channel: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of each position its circuit's product with the query, and its length."""
        found = self._layer(layer)
        if channel is None:
            return found.matrix @ query_W, found.norm_n
        own = slice(channel * self.record.top_k, (channel + 1) * self.record.top_k)
        values = found.rows.values[:, own]
        product_n = (values * query_W[found.rows.indices[:, own]]).sum(1)
        return product_n, np.linalg.norm(values, axis=1)

    def _own_columns(self, query_W: np.ndarray, channel: int | None) -> np.ndarray:
        n_neurons = self.record.n_neurons
        return query_W if channel is None else query_W.reshape(-1, n_neurons)[channel]

    def _layer(self, layer: int) -> _Layer:
        with self._reading:
            if layer not in self._layers:
                rows = self.record.rows(layer)
                counts = np.bincount(rows.indices.reshape(-1), minlength=rows.width)
                shape = (self.record.n_channels, self.record.n_neurons)
                norm_n = np.linalg.norm(rows.values, axis=1)
                found = _Layer(rows, rows.matrix(), norm_n, counts.reshape(shape))
                self._layers[layer] = found
            return self._layers[layer]
