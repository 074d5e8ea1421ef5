# SPDX-License-Identifier: Apache-2.0
"""A record: the circuits of many positions, as Parquet files with a manifest.

    positions-NNNNN.parquet   a row for each position: its token, its document, what is predicted
    gates-NNNNN.parquet       a row for each position, layer and channel: neurons and their scores
    manifest.json             what the record is of; written last, so a folder with it is complete

A gates file has a row group for each layer and channel, and in each the positions in their order:
reading one channel costs what it holds. docs/circuits-record.md has the columns.

n positions, C channels, K chosen, P = chosen channels * K.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import scipy.sparse
from jaxtyping import Float32

from sgatlin.circuits.manifest import RECORD_AGAIN, RecordManifest, read_manifest
from sgatlin.circuits.rows import SparseRows
from sgatlin.circuits.shards import index_dtype, numbers, row_groups
from sgatlin.errors import UserError

if TYPE_CHECKING:
    import polars


class Record:
    """A complete record. Arrays of n positions are in the order of `positions()`."""

    def __init__(self, path: Path, manifest: RecordManifest):
        """Use `open`."""
        self.path = path
        self.manifest = manifest
        self.n_layers = manifest.n_layers
        self.n_channels = manifest.n_channels
        self.n_neurons = manifest.n_neurons
        self.top_k = manifest.top_k
        self.group = manifest.group

    @classmethod
    def open(cls, path: Path | str) -> "Record":
        """Opens a record, checking its manifest and the sizes of its files.

        Raises:
          UserError: when there is no complete record of this version, or an empty one, naming the
            file at fault.
        """
        path = Path(path)
        manifest = read_manifest(path)
        for file in (file for shard in manifest.shards for file in (shard.positions, shard.gates)):
            size = (path / file.file).stat().st_size if (path / file.file).is_file() else None
            if size != file.size:
                found = "is missing" if size is None else f"has {size} bytes, not {file.size}"
                raise UserError(f"{path / file.file} {found}: copy it again, or {RECORD_AGAIN}")
        if not manifest.n_positions:
            raise UserError(f"{path} holds no positions: {RECORD_AGAIN}")
        return cls(path, manifest)

    def __len__(self) -> int:
        return self.manifest.n_positions

    def positions(self) -> pa.Table:
        """A row for each position, in the record's order; `positions_schema` has the columns."""
        tables = [
            table
            for shard in self.manifest.shards
            for table in row_groups(self.path / shard.positions.file, shard, [0])
        ]
        return pa.concat_tables(tables)

    def rows(self, layer: int, channels: Sequence[int] | None = None) -> SparseRows:
        """Circuits of all positions in a layer: of the given channels side by side, or of all.

        Rows of one channel are N wide, those of several C * N, as `circuit_rows` has them.

        Raises:
          UserError: when there is no such layer or channel, or a file is damaged.
        """
        chosen = self._chosen(layer, channels)
        indices, values = self._columns(layer, chosen, ("indices", "scores"))
        if len(chosen) == 1:
            return SparseRows(indices.astype(np.int32), values, self.n_neurons)
        offsets_P = np.repeat(self.n_neurons * np.array(chosen, np.int32), self.top_k)
        width = self.n_neurons * self.n_channels
        return SparseRows(indices + offsets_P, values, width)

    def activations(
        self, layer: int, channels: Sequence[int] | None = None
    ) -> Float32[np.ndarray, "n P"]:
        """<w_in, x> of the neurons that `rows` names, x being the layer's normalised input.

        Raises:
          UserError: when they were not recorded, and as `rows`.
        """
        if not self.manifest.has_activations:
            raise UserError(f"{self.path} has no activations: record it again with --activations")
        return self._columns(layer, self._chosen(layer, channels), ("activations",))[0]

    def matrix(self, layer: int, channel: int | None = None) -> scipy.sparse.csr_array:
        """`rows` as a sparse matrix: (n, C * N), or (n, N) of one channel."""
        return self.rows(layer, None if channel is None else [channel]).matrix()

    def arrow(self) -> ds.Dataset:
        """The gates, as a data set that Arrow reads and filters piece by piece."""
        return ds.dataset(self._gates, format="parquet")

    def polars(self) -> "polars.LazyFrame":
        """The gates, as a frame that Polars reads when it is collected; UserError without it."""
        try:
            import polars
        except ImportError:
            raise UserError(
                "Polars is missing: install it with `uv sync --extra circuits`"
            ) from None
        return polars.scan_parquet(self._gates)

    @functools.cached_property
    def _gates(self) -> list[str]:
        return [str(self.path / shard.gates.file) for shard in self.manifest.shards]

    def _chosen(self, layer: int, channels: Sequence[int] | None) -> list[int]:
        if not 0 <= layer < self.n_layers:
            raise UserError(f"{self.path} has no layer {layer}: there are 0 to {self.n_layers - 1}")
        chosen = list(range(self.n_channels) if channels is None else channels)
        if not chosen or len(set(chosen)) < len(chosen):
            raise UserError(f"channels {chosen} of {self.path}: name at least one, and none twice")
        for channel in chosen:
            if not 0 <= channel < self.n_channels:
                raise UserError(
                    f"{self.path} has no channel {channel}: there are 0 to {self.n_channels - 1}"
                )
        return chosen

    def _columns(
        self, layer: int, channels: Sequence[int], names: Sequence[str]
    ) -> list[np.ndarray]:
        """(n, P) of each name. Filled as it is read: twice the array would be a lot."""
        k, types = self.top_k, {"indices": index_dtype(self.n_neurons)}
        columns = [
            np.empty((len(self), len(channels), k), types.get(name, np.dtype(np.float32)))
            for name in names
        ]
        start = 0
        for shard in self.manifest.shards:
            path, stop = self.path / shard.gates.file, start + shard.n_positions
            groups = [layer * self.n_channels + channel for channel in channels]
            for place, table in enumerate(row_groups(path, shard, groups, names)):
                for name, column in zip(names, columns, strict=True):
                    column[start:stop, place] = numbers(table[name], k)
            start = stop
        return [column.reshape(len(self), -1) for column in columns]
