# SPDX-License-Identifier: Apache-2.0
"""What was caught: a table, a summary, a JSON file, and the comparison with an earlier one."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sgatlin.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one fault."""

    name: str
    file: str
    kind: str
    caught_by: str | None
    """The first test that failed, "(timeout)" or "(crash)"; None if no test did."""
    seconds: float

    @property
    def verdict(self) -> str:
        return "NOT CAUGHT" if self.caught_by is None else self.caught_by


def table(results: Sequence[Result]) -> list[str]:
    """Markdown, a row for each fault."""
    lines = ["| file | fault | kind | caught by | s |", "| --- | --- | --- | --- | ---: |"]
    return lines + [
        f"| {r.file} | {r.name} | {r.kind} | {r.verdict} | {r.seconds:.0f} |" for r in results
    ]


def summary(results: Sequence[Result]) -> list[str]:
    """How many were caught, and which were not."""
    missed = [result.name for result in results if result.caught_by is None]
    hung = [result.name for result in results if result.caught_by == "(timeout)"]
    lines = [f"{len(results) - len(missed)} of {len(results)} faults are caught."]
    if hung:
        lines.append(f"Of these, tests ran into the time limit with: {', '.join(hung)}.")
    if missed:
        lines.append(f"Not caught: {', '.join(missed)}.")
    return lines


def write(path: Path, results: Sequence[Result]) -> None:
    rows = [dataclasses.asdict(result) for result in results]
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> list[Result]:
    """The results in a file of `write`; UserError if it is not one."""
    try:
        rows: Any = json.loads(path.read_text(encoding="utf-8"))
        return [Result(**row) for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is not a file that --out wrote: {error}") from None


def lost(before: Sequence[Result], now: Sequence[Result]) -> list[str]:
    """Names of faults that were caught before and are not caught now."""
    caught = {result.name for result in before if result.caught_by is not None}
    return [r.name for r in now if r.caught_by is None and r.name in caught]
