# SPDX-License-Identifier: Apache-2.0
"""What a benchmark found, as lines of a table and as JSON."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sgatlin.bench.measure import Ceilings, machine


class Column(NamedTuple):
    """A number of each row: its key in JSON, how the table calls it and writes it."""

    key: str
    title: str
    form: str
    unit: float | None = None
    """The table's numbers are JSON's over this."""


class Table(NamedTuple):
    """Rows are dicts: `name`, the columns' numbers as far as there are any, perhaps `error`."""

    columns: Sequence[Column]
    name_width: int = 26

    def head(self) -> str:
        titles = "".join(f"{column.title:>{self._width(column)}}" for column in self.columns)
        return f"{'':{self.name_width}}{titles}"

    def line(self, row: dict[str, Any]) -> str:
        if row.get("error"):
            return f"{row['name']:{self.name_width}}  {row['error']}"
        cells = ""
        for column in self.columns:
            value = row.get(column.key)
            if value is not None and column.unit is not None:
                value /= column.unit
            cell = "" if value is None else format(value, column.form)
            cells += f"{cell:>{self._width(column)}}"
        return f"{row['name']:{self.name_width}}{cells}".rstrip()

    def _width(self, column: Column) -> int:
        return max(len(column.title), 8) + 2


def heading(ceilings: Ceilings | None = None, dtype: str = "") -> str:
    """The device, JAX's version, and what the device was seen to do at most."""
    known = machine()
    text = f"{known['device']}, JAX {known['jax']}"
    if ceilings is not None:
        text += (
            f"; it copies {ceilings.copy / 1e9:,.3g} GB/s and multiplies "
            f"{ceilings.matmul / 1e12:,.3g} TFLOP/s in {dtype}"
        )
    return text


def as_json(arguments: dict[str, Any], **found: Any) -> str:
    """The machine, what was asked for, and what was found, indented."""
    return json.dumps({**machine(), "arguments": arguments, **found}, indent=2) + "\n"
