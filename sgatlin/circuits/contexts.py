# SPDX-License-Identifier: Apache-2.0
"""Where a neuron of a record is strongest, and what the text around a position says.

n positions of a record, K neurons chosen of a channel.
"""

import re
from typing import TYPE_CHECKING, NamedTuple

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from jaxtyping import Float32, Int64

from sgatlin.errors import UserError
from sgatlin.nn.sgatlin import SgatlinConfig, gated_activation

if TYPE_CHECKING:
    from sgatlin.circuits.record import Record


class Strongest(NamedTuple):
    """Positions, by falling magnitude; equal ones in the record's order."""

    rows: Int64[np.ndarray, " m"]
    """Row numbers in the record's positions."""
    values: Float32[np.ndarray, " m"]
    """What the neuron was multiplied by there, with its sign."""


def strongest(
    record: "Record",
    layer: int,
    channel: int,
    neuron: int,
    n: int = 10,
    *,
    config: SgatlinConfig | None = None,
) -> Strongest:
    """The at most n positions at which a neuron's score, or its coefficient, is largest.

    With the layer's `config`, and activations in the record, the coefficient counts: what
    multiplies w_out. Else the score. Only that channel is read, a shard at a time, so that a record
    may be of any size.

    Raises:
      UserError: when the record has no such neuron, or a file of it is damaged.
    """
    of = (record.n_layers, record.n_channels, record.n_neurons)
    for name, number, count in zip(
        ("layer", "channel", "neuron"), (layer, channel, neuron), of, strict=True
    ):
        if not 0 <= number < count:
            raise UserError(f"{record.path} has no {name} {number}: there are 0 to {count - 1}")
    wants_z = config is not None and record.manifest.has_activations
    columns = ["indices", "scores", *(["activations"] if wants_z else [])]
    of_channel = (ds.field("layer") == layer) & (ds.field("channel") == channel)
    rows, values, start = np.empty(0, np.int64), np.empty(0, np.float32), 0
    for shard in record.arrow().get_fragments():
        try:
            table = shard.to_table(columns=columns, filter=of_channel)
        except (OSError, pa.ArrowException) as error:
            line = str(error).partition("\n")[0]
            raise UserError(f"{shard.path} is damaged ({line}): copy or record it again") from None
        indices, scores, *z = (_numbers(table[name], record.top_k) for name in columns)
        if config is not None and wants_z:
            scores = np.asarray(gated_activation(jnp.asarray(z[0]), jnp.asarray(scores), config))
        chosen = indices == neuron
        rows = np.append(rows, start + chosen.any(1).nonzero()[0])
        values = np.append(values, scores[chosen])
        order = np.argsort(-np.abs(values), kind="stable")[:n]
        rows, values, start = rows[order], values[order], start + len(table)
    return Strongest(rows, values)


def _numbers(column: pa.ChunkedArray, width: int) -> np.ndarray:
    return pc.list_flatten(column).to_numpy().reshape(-1, width)


class Around(NamedTuple):
    """The text around a position, of its own sequence alone."""

    before: str
    """It begins with an ellipsis where the sequence does earlier."""
    token: str
    after: str
    """And ends with one where the sequence goes on."""


def around(positions: pa.Table, row: int, before: int = 8, after: int = 4) -> Around:
    """The text of a row of a record's positions, and of up to so many tokens before and after."""
    start, stop = max(row - before - 1, 0), min(row + after + 2, len(positions))
    part = positions.slice(start, stop - start)
    sequence, position = (part[name].to_numpy() for name in ("sequence", "position"))
    here = row - start
    # What stood next to the token in its sequence has the next number.
    offset = np.arange(len(position)) - here
    own = np.flatnonzero((sequence == sequence[here]) & (position - position[here] == offset))
    low, high = max(own[0], here - before), min(own[-1], here + after)
    texts = part["text"].to_pylist()
    return Around(
        ("…" if own[0] < low else "") + "".join(texts[low:here]),
        texts[here],
        "".join(texts[here + 1 : high + 1]) + ("…" if high < own[-1] else ""),
    )


def excerpt(positions: pa.Table, row: int, before: int = 8, after: int = 4) -> str:
    """The text `around` a position, its token in [brackets], on one line.

    What is white in front of the token stays outside the brackets, and a line's end becomes a sign.
    """
    found = around(positions, row, before, after)
    token = found.token.lstrip(" ") or found.token
    space = found.token[: len(found.token) - len(token)]
    text = f"{found.before}{space}[{token}]{found.after}".replace("\n", "⏎")
    return re.sub(r"^(…?)\s+|\s+(…?)$", r"\1\2", text)
