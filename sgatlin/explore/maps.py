# SPDX-License-Identifier: Apache-2.0
"""Maps of layers, drawn one at a time beside everything else: the first takes half a minute."""

import functools
import threading
from collections.abc import Mapping
from concurrent.futures import Future

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Int64

from sgatlin.circuits.maps import choose_rows, embed, map_table, token_classes
from sgatlin.explore.index import RecordIndex

POINTS = 2000
# Positions of the map that say where another circuit lies.
_AROUND = 5
_SEED = 0


class Map:
    """Some of a record's positions in the plane, by their circuits in a layer."""

    def __init__(self, rows: Int64[np.ndarray, " m"], table: pa.Table):
        self.rows = rows
        self.table = table
        places = np.stack([table["x"].to_numpy(), table["y"].to_numpy()], axis=1)
        self.places: Float32[np.ndarray, "m 2"] = _drawn_in(places)

    def place(self, similarity_m: np.ndarray) -> Float32[np.ndarray, " 2"]:
        """Of a circuit that is as similar to those on the map as this says: among the nearest."""
        nearest = np.argsort(-similarity_m, kind="stable")[:_AROUND]
        weights = np.clip(similarity_m[nearest], 1e-6, None) ** 4  # the very nearest count most
        return (self.places[nearest] * weights[:, None]).sum(0) / weights.sum()


def _drawn_in(places: Float32[np.ndarray, "m 2"]) -> Float32[np.ndarray, "m 2"]:
    """The same with what lies far from all else moved to the edge, or it would be all one sees."""
    low, high = np.quantile(places, [0.05, 0.95], axis=0)
    margin = 0.25 * (high - low)
    return np.clip(places, low - margin, high + margin).astype(np.float32)


class Maps:
    """One for each layer, from the moment it is first asked for."""

    def __init__(self, index: RecordIndex, classes: Mapping[str, str], points: int = POINTS):
        self._index = index
        self._classes = classes
        self._points = points
        self._drawing = threading.Lock()
        self._maps: dict[int, Future[Map]] = {}
        self._lock = threading.Lock()

    def get(self, layer: int) -> Map | None:
        """The layer's map, or None while a thread draws it; UserError if it cannot be."""
        drawn, is_new = self._begun(layer)
        if is_new:
            # No executor: its threads are waited for when the program ends.
            threading.Thread(target=self._work, args=(layer, drawn), daemon=True).start()
        return self._told(layer, drawn) if drawn.done() else None

    def wait(self, layer: int) -> Map:
        """The layer's map, however long it takes; drawn by this thread if by no other."""
        drawn, is_new = self._begun(layer)
        if is_new:
            self._work(layer, drawn)
        return self._told(layer, drawn)

    def _begun(self, layer: int) -> tuple[Future[Map], bool]:
        with self._lock:
            is_new = layer not in self._maps
            return self._maps.setdefault(layer, Future()), is_new

    def _told(self, layer: int, drawn: Future[Map]) -> Map:
        try:
            return drawn.result()
        except BaseException:
            with self._lock:
                self._maps.pop(layer, None)  # so that it is tried again
            raise

    @functools.cached_property
    def _rows(self) -> Int64[np.ndarray, " m"]:
        """The same on every layer's map: as evenly of all classes as there are positions."""
        positions = self._index.positions
        classes = token_classes(positions, self._classes)
        rows = choose_rows(classes, self._points, seed=_SEED)
        if len(rows) == self._points:
            return rows
        return choose_rows(positions["token"].to_pylist(), self._points, seed=_SEED)

    def _work(self, layer: int, drawn: Future[Map]) -> None:
        with self._drawing:
            try:
                drawn.set_result(self._draw(layer))
            except BaseException as error:
                drawn.set_exception(error)

    def _draw(self, layer: int) -> Map:
        rows = self._rows
        places = embed(self._index.circuits(layer)[rows], seed=_SEED)
        return Map(rows, map_table(self._index.positions, rows, places, self._classes))
