# SPDX-License-Identifier: Apache-2.0
"""Tables of measures: the same cells for a terminal and for Markdown."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sgatlin.tables import aligned

NOTHING = "-"
"""Of a figure that there is none of."""


class Table(NamedTuple):
    """Cells under a heading, under a title."""

    title: str
    heading: Sequence[str]
    rows: Sequence[Sequence[str]]

    def lines(self) -> list[str]:
        """For a terminal."""
        return [*self.title.split("\n"), *aligned([self.heading, *self.rows])]

    def markdown(self) -> list[str]:
        """For a page."""
        rule = ["---", *("---:" for _ in self.heading[1:])]
        return [
            self.title,
            "",
            *(f"| {' | '.join(cells)} |" for cells in (self.heading, rule, *self.rows)),
        ]


def table_of(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Of rows that all have the first one's keys, which become the heading."""
    if not rows:
        return Table(title, ["nothing found"], [])
    return Table(title, list(rows[0]), [[cell(x) for x in row.values()] for row in rows])


def cell(value: Any, digits: int = 3) -> str:
    """A number with so many digits after the point; what is no float as it is."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.{digits}f}" if math.isfinite(value) else NOTHING


def without_nan(tree: Any) -> Any:
    """For JSON, which has no NaN: null instead."""
    if isinstance(tree, Mapping):
        return {key: without_nan(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [without_nan(value) for value in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree
