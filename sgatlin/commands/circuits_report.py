# SPDX-License-Identifier: Apache-2.0
"""`sgatlin circuits report`."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from sgatlin.errors import require_at_least
from sgatlin.files import write_output

if TYPE_CHECKING:
    from sgatlin.explore.report import Progress


@dataclasses.dataclass(frozen=True, kw_only=True)
class CircuitsReport:
    """Write the explorer's views of some recorded stories as one page that needs no server."""

    run: tyro.conf.Positional[str]
    """RUN, RUN@STEP or RUN@best."""
    out: Path
    """HTML file to write; it works from disk, and asks nothing of any network."""
    record: Path | None = None
    """Of the same model, by `sgatlin circuits record`; RUN/circuits by default."""
    sequences: tuple[int, ...] = ()
    """Sequences of the record to show; by default --stories of them, evenly spaced."""
    stories: int = 3
    """How many, where --sequences does not say."""
    tokens: int = 48
    """Positions of each, from its beginning."""
    classes: str = "lexicon"
    """Classes of words, to colour maps by: the story world's, or a JSON file {class: [words]}."""

    def __call__(self) -> None:
        from sgatlin.circuits.labels import read_classes
        from sgatlin.circuits.notebook import Circuits
        from sgatlin.explore.explorer import Explorer
        from sgatlin.explore.report import ReportOptions, report_page

        require_at_least(1, stories=self.stories, tokens=self.tokens)
        classes = read_classes(self.classes)
        explorer = Explorer(Circuits.open(self.run, self.record), classes)
        sequences = self.sequences or explorer.evenly_spaced(self.stories)
        with _bar() as progress:
            page = report_page(
                explorer, ReportOptions(sequences=sequences, tokens=self.tokens), progress
            )
        write_output(self.out, page)
        print(f"{self.out}: {len(sequences)} stories, {len(page.encode()) / 1e6:.1f} MB")


@contextlib.contextmanager
def _bar() -> Iterator["Progress"]:
    """A bar where somebody watches."""
    from rich.progress import Progress

    with Progress(disable=not sys.stdout.isatty(), transient=True) as bar:
        task = bar.add_task("")
        yield lambda name, done, total: bar.update(
            task, description=name, completed=done, total=total
        )
