# SPDX-License-Identifier: Apache-2.0
"""The Parquet files of a record: their columns, writing and reading them.

n positions of a shard, L layers, C channels, K chosen, M predictions.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Int32, Int64, Integer

from sgatlin.circuits.manifest import RECORD_AGAIN, Shard, ShardFile
from sgatlin.errors import UserError

# Scores repeat too seldom for a dictionary to be worth its time.
_WRITING: dict[str, Any] = {
    "compression": "zstd",
    "use_dictionary": ["sequence", "layer", "channel", "text"],
    "write_page_checksum": True,
}


def positions_schema(n_predictions: int) -> pa.Schema:
    """Columns of a file of positions."""
    return pa.schema(
        {
            "sequence": pa.int64(),
            "position": pa.int32(),
            "token": pa.int32(),
            "text": pa.string(),
            "next_token": pa.int32(),
            "predictions": pa.list_(pa.int32(), n_predictions),
            "probabilities": pa.list_(pa.float32(), n_predictions),
        }
    )


def gates_schema(n_neurons: int, top_k: int, *, activations: bool) -> pa.Schema:
    """Columns of a file of gates."""
    columns = {
        "sequence": pa.int64(),
        "position": pa.int32(),
        "layer": pa.int32(),
        "channel": pa.int32(),
        "indices": pa.list_(pa.from_numpy_dtype(index_dtype(n_neurons)), top_k),
        "scores": pa.list_(pa.float32(), top_k),
    }
    return pa.schema(columns | ({"activations": columns["scores"]} if activations else {}))


def index_dtype(n_neurons: int) -> np.dtype:
    """Of a neuron's number in its channel: the narrowest of uint16 and int32."""
    return np.dtype(np.uint16 if n_neurons <= 1 << 16 else np.int32)


class ShardArrays(NamedTuple):
    """What is written of a shard."""

    sequence: Int64[np.ndarray, " n"]
    position: Int32[np.ndarray, " n"]
    token: Int32[np.ndarray, " n"]
    next_token: Int32[np.ndarray, " n"]
    predictions: Int32[np.ndarray, "n M"]
    probabilities: Float32[np.ndarray, "n M"]
    indices: Integer[np.ndarray, "L C n K"]
    scores: Float32[np.ndarray, "L C n K"]
    activations: Float32[np.ndarray, "L C n K"] | None


def write_shard(
    folder: Path, number: int, shard: ShardArrays, texts: pa.Array, *, n_neurons: int
) -> Shard:
    """Writes a shard's two files; `texts` are the tokens', by id."""
    n, of_positions = len(shard.position), folder / f"positions-{number:05}.parquet"
    schema = positions_schema(shard.predictions.shape[-1])
    columns = [
        shard.sequence,
        shard.position,
        shard.token,
        texts.take(pa.array(shard.token)),
        shard.next_token,
        _lists(shard.predictions),
        _lists(shard.probabilities),
    ]
    with pq.ParquetWriter(of_positions, schema, **_WRITING) as file:
        file.write_table(pa.table(columns, schema=schema), row_group_size=n)
    of_gates = folder / f"gates-{number:05}.parquet"
    arrays = [shard.scores] if shard.activations is None else [shard.scores, shard.activations]
    schema = gates_schema(
        n_neurons, shard.scores.shape[-1], activations=shard.activations is not None
    )
    with pq.ParquetWriter(of_gates, schema, **_WRITING) as file:
        for place in np.ndindex(shard.indices.shape[:2]):
            where = [np.full(n, i, np.int32) for i in place]
            lists = [_lists(array[place]) for array in (shard.indices, *arrays)]
            columns = [shard.sequence, shard.position, *where, *lists]
            file.write_table(pa.table(columns, schema=schema), row_group_size=n)
    return Shard(n_positions=n, positions=_written(of_positions), gates=_written(of_gates))


def row_groups(
    path: Path, shard: Shard, groups: Sequence[int], columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """Row groups of a file of a shard, one after another; UserError where it is damaged."""
    names = None if columns is None else list(columns)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for group in groups:
                table = file.read_row_group(group, names)
                if len(table) != shard.n_positions:
                    raise pa.ArrowInvalid(f"{len(table)} rows, not {shard.n_positions}")
                yield table
    except (OSError, pa.ArrowException) as error:
        line = str(error).partition("\n")[0]
        raise UserError(f"{path} is damaged ({line}): copy it again, or {RECORD_AGAIN}") from None


def numbers(column: pa.ChunkedArray, width: int) -> np.ndarray:
    """A column of lists of one length: (n, width)."""
    flat = [chunk.flatten().to_numpy() for chunk in column.chunks]
    return np.concatenate(flat).reshape(-1, width)


def _lists(array_nK: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(array_nK.reshape(-1), array_nK.shape[-1])


def _written(path: Path) -> ShardFile:
    return ShardFile(file=path.name, size=path.stat().st_size)
