# SPDX-License-Identifier: Apache-2.0
"""The faults: small wrong edits of the package, and the tests that should catch each.

They are listed in the TOML files beside this module. A `[part."FILE"]` names the quick test files
of one source file, the most specific first, and says whether it influences training (`golden`). A
`[[fault]]` replaces one text in such a file by another.
"""

import dataclasses
import tomllib
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal, get_args

from sgatlin.errors import UserError, require_one_of

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = "tests/train/test_golden.py"

Kind = Literal[
    "axis",
    "cast",
    "comparison",
    "dropped",
    "gradient",
    "normalizer",
    "off by one",
    "order",
    "sign",
    "stale",
    "swapped",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """A replacement of `old`, which is exactly once in `file`, by `new`."""

    name: str
    file: str
    """Path in the repository, with slashes."""
    kind: Kind
    old: str
    new: str
    tests: tuple[str, ...]
    """Test files that are run, in this order."""

    def planted(self, root: Path) -> str:
        """The file's text with the fault; UserError if the code has moved."""
        path = root / self.file
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        count = text.count(self.old)
        if count != 1:
            there = "not in" if count == 0 else f"{count} times in"
            raise UserError(
                f"fault {self.name}: its text is {there} {self.file}: bring it up to date"
            )
        return text.replace(self.old, self.new)


def load_faults(folder: Path = Path(__file__).parent) -> list[Fault]:
    """All faults of a folder's TOML files; UserError if one is incomplete or has no tests."""
    faults: list[Fault] = []
    for path in sorted(folder.glob("*.toml")):
        listed = tomllib.loads(path.read_text(encoding="utf-8"))
        parts = {file: _tests(part) for file, part in listed["part"].items()}
        for entry in listed["fault"]:
            name = entry.get("name", "without a name")
            if missing := {"name", "file", "kind", "old", "new"} - entry.keys():
                raise UserError(f"fault {name} in {path.name} lacks {', '.join(sorted(missing))}")
            if entry["file"] not in parts:
                raise UserError(f'fault {name}: {path.name} has no [part."{entry["file"]}"]')
            require_one_of(get_args(Kind), **{f"kind of {name}": entry["kind"]})
            faults.append(Fault(**entry, tests=parts[entry["file"]]))
    names = [fault.name for fault in faults]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"several faults are called {repeated[0]}: rename one")
    return faults


def _tests(part: dict[str, Any]) -> tuple[str, ...]:
    return (*part["tests"], *([GOLDEN] if part["golden"] else []))


def check_faults(faults: Sequence[Fault], root: Path = ROOT) -> None:
    """UserError for the first fault that cannot be planted, or whose tests do not exist."""
    for fault in faults:
        if fault.planted(root) == (root / fault.file).read_text(encoding="utf-8"):
            raise UserError(f"fault {fault.name}: its new text is the old one")
        for test in fault.tests:
            if not (root / test).is_file():
                raise UserError(f"fault {fault.name}: there is no {test}: bring it up to date")


def chosen(faults: Sequence[Fault], patterns: Sequence[str]) -> list[Fault]:
    """Those whose name or file matches one of the patterns; UserError if one matches none."""
    found: dict[str, Fault] = {}
    for pattern in patterns:
        fitting = [f for f in faults if fnmatch(f.name, pattern) or fnmatch(f.file, pattern)]
        if not fitting:
            raise UserError(f"--only {pattern}: no fault has such a name or file; --list shows all")
        found |= {fault.name: fault for fault in fitting}
    return list(found.values())
