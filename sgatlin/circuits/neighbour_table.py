# SPDX-License-Identifier: Apache-2.0
"""Whose circuits are nearest to those of a text's tokens: in words, and as a table.

q tokens of the text, n positions of the record, k neighbours.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Int64

from sgatlin.circuits.contexts import excerpt
from sgatlin.circuits.model import CircuitModel
from sgatlin.circuits.neighbours import Labels, Metric, Neighbours, nearest
from sgatlin.circuits.record import Record
from sgatlin.circuits.rows import SparseRows, circuit_rows
from sgatlin.errors import UserError

Exclude = Literal["sequence", "token", "none"]
"""What is not compared with a token besides itself: its sequence, or its like everywhere."""

# Of a row or a sequence that is none of the record's: no number of one is negative.
_ELSEWHERE = -1


@dataclasses.dataclass(frozen=True)
class Asked:
    """Tokens whose neighbours are asked for."""

    texts: tuple[str, ...]
    tokens: Int64[np.ndarray, " q"]
    rows: Int64[np.ndarray, " q"]
    """In the record's positions; -1 for a text that somebody typed."""
    sequences: Int64[np.ndarray, " q"]
    """Likewise."""
    positions: Int64[np.ndarray, " q"]
    """In their text; 1 is the first after the beginning-of-sequence token."""

    def __getitem__(self, chosen: np.ndarray) -> "Asked":
        return Asked(
            texts=tuple(self.texts[i] for i in np.arange(len(self.texts))[chosen]),
            tokens=self.tokens[chosen],
            rows=self.rows[chosen],
            sequences=self.sequences[chosen],
            positions=self.positions[chosen],
        )


@dataclasses.dataclass(frozen=True)
class Found:
    """The neighbours of tokens, with what tells of them."""

    asked: Asked
    neighbours: Neighbours
    positions: pa.Table
    """The record's."""
    name: Callable[[int], str]
    """The text of a token's id."""

    def of(self, query: int) -> Iterator[tuple[int, float]]:
        """Row and distance of each neighbour of a token, nearest first."""
        for row, distance in zip(*(array[query] for array in self.neighbours), strict=True):
            if row >= 0:
                yield int(row), float(distance)

    def token(self, row: int) -> str:
        return self.positions["text"][row].as_py()

    def excerpt(self, row: int) -> str:
        return visible(excerpt(self.positions, row))


def check_same_model(model: CircuitModel, record: Record) -> None:
    """UserError if a record is not of the model: of another tokenizer, run, step or size."""
    manifest, layer = record.manifest, model.layer
    again = f"record it with `sgatlin circuits record {model.name}`"
    if manifest.tokenizer_hash != model.tokenizer.hash:
        raise UserError(f"{record.path} has another tokenizer than {model.name}: {again}")
    # Of the path only the name, which stays when runs and records move together.
    run, step = model.loaded.run.path.resolve().name, model.loaded.step
    theirs = (record.n_layers, record.n_channels, record.n_neurons, record.top_k)
    sizes = (model.n_layers, layer.n_channels, layer.n_neurons, layer.top_k)
    if (Path(manifest.run).resolve().name, manifest.step, *theirs) != (run, step, *sizes):
        raise UserError(
            f"{record.path} is of {manifest.run}@{manifest.step}, not of {model.name}: {again}"
        )


def typed(
    model: CircuitModel, text: str, layer: int, channels: Sequence[int] | None = None
) -> tuple[Asked, SparseRows]:
    """The tokens of a text, that of the beginning left out, and their circuits in a layer.

    Raises:
      UserError: when the text has no tokens or more than the context.
    """
    tokens_T = model.encode(text)
    if len(tokens_T) < 2:
        raise UserError("the text is empty: give one of a token or more")
    gates = model.trace(tokens_T[None]).gates
    indices, scores = (np.asarray(array[layer, 0, 1:]) for array in gates)
    tokens = tokens_T[1:].astype(np.int64)
    elsewhere = np.full(len(tokens), _ELSEWHERE, np.int64)
    asked = Asked(
        texts=tuple(map(model.token_text, tokens.tolist())),
        tokens=tokens,
        rows=elsewhere,
        sequences=elsewhere,
        positions=1 + np.arange(len(tokens)),
    )
    return asked, circuit_rows(indices, scores, model.layer, channels)


def recorded(positions: pa.Table, rows: Int64[np.ndarray, " q"]) -> Asked:
    """Tokens of a record, by their rows."""
    chosen = positions.select(["text", "token", "sequence", "position"]).take(pa.array(rows))
    token, sequence, position = (
        chosen[name].to_numpy().astype(np.int64) for name in ("token", "sequence", "position")
    )
    return Asked(tuple(chosen["text"].to_pylist()), token, rows, sequence, position)


def sequence_rows(record: Record, positions: pa.Table, sequence: int) -> Int64[np.ndarray, " m"]:
    """Rows of a sequence's positions; UserError if the record has none of it."""
    rows = np.flatnonzero(positions["sequence"].to_numpy() == sequence)
    if not len(rows):
        known = pc.unique(positions["sequence"]).to_pylist()
        raise UserError(
            f"{record.path} has no sequence {sequence}: it has {len(known):,}, such as "
            f"{', '.join(map(str, known[:3]))}"
        )
    return rows


def find(
    asked: Asked,
    queries: SparseRows,
    rows: SparseRows,
    positions: pa.Table,
    name: Callable[[int], str],
    *,
    k: int = 10,
    metric: Metric = "cosine",
    exclude: Exclude = "sequence",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Found:
    """The nearest of a record's `rows`, in the order of its `positions`, to each token's circuit.

    A position is never its own neighbour.
    """
    apart = [Labels(np.arange(len(rows)), asked.rows)]
    if exclude != "none":
        own = asked.sequences if exclude == "sequence" else asked.tokens
        apart.append(Labels(positions[exclude].to_numpy(), own))
    neighbours = nearest(rows, queries, k, metric=metric, apart=apart, progress=progress)
    return Found(asked, neighbours, positions, name)


def neighbour_lines(found: Found, predictions: int = 3) -> list[str]:
    """For a terminal: under each token its neighbours, nearest first.

    Each with its distance, its text, and what the model predicts there.
    """
    lines: list[str] = []
    for query, text in enumerate(found.asked.texts):
        rows = []
        for row, distance in found.of(query):
            likely = " ".join(quoted(name) for name, _ in _predicted(found, row)[:predictions])
            rows.append((f"  {distance:6.4f}", found.excerpt(row), likely))
        width = max((len(context) for _, context, _ in rows), default=0)
        lines += ["", f"{quoted(text)}, position {found.asked.positions[query]}"]
        lines += [f"{a}  {b:{width}}  -> {c}" for a, b, c in rows] or ["  nothing to compare with"]
    return lines[1:]


def neighbour_table(found: Found) -> pa.Table:
    """A row for each token and neighbour, with probabilities of the predictions."""
    asked, rows = found.asked, []
    for query, text in enumerate(asked.texts):
        for rank, (row, distance) in enumerate(found.of(query), 1):
            there = found.positions.slice(row, 1).to_pylist()[0]
            likely = _predicted(found, row)
            rows.append(
                {
                    "query_position": int(asked.positions[query]),
                    "query_token": int(asked.tokens[query]),
                    "query_text": text,
                    "rank": rank,
                    "distance": distance,
                    "row": row,
                    **{key: there[key] for key in ("sequence", "position", "token", "text")},
                    "excerpt": excerpt(found.positions, row),
                    "predictions": [name for name, _ in likely],
                    "probabilities": [probability for _, probability in likely],
                }
            )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


SCHEMA = pa.schema(
    {
        "query_position": pa.int32(),
        "query_token": pa.int32(),
        "query_text": pa.string(),
        "rank": pa.int32(),
        "distance": pa.float32(),
        "row": pa.int64(),
        "sequence": pa.int64(),
        "position": pa.int32(),
        "token": pa.int32(),
        "text": pa.string(),
        "excerpt": pa.string(),
        "predictions": pa.list_(pa.string()),
        "probabilities": pa.list_(pa.float32()),
    }
)


def write_table(table: pa.Table, path: Path) -> Path:
    """As PATH.parquet; UserError where it cannot be written."""
    file = path.with_name(f"{path.name}.parquet")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, file)
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror or error}: choose another") from None
    return file


def visible(text: str) -> str:
    """On one line, with control characters as signs: a terminal would obey them."""
    return "".join(
        char if char.isprintable() else "⏎" if char == "\n" else "\N{SYMBOL FOR SUBSTITUTE}"
        for char in text
    )


def quoted(text: str) -> str:
    return f'"{visible(text)}"'


def short(text: str, width: int = 12) -> str:
    """A token for a small cell: without the blank in front of it, cut to `width`."""
    seen = visible(text.lstrip(" ")) or "␣"
    return seen if len(seen) <= width else f"{seen[: width - 1]}…"


def _predicted(found: Found, row: int) -> list[tuple[str, float]]:
    names, shares = (found.positions[key][row].as_py() for key in ("predictions", "probabilities"))
    return [(found.name(token), share) for token, share in zip(names, shares, strict=True)]
