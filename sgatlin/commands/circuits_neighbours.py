# SPDX-License-Identifier: Apache-2.0
"""`sgatlin circuits neighbours` and `map`."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from sgatlin.errors import UserError, require_at_least

if TYPE_CHECKING:
    from sgatlin.circuits.model import CircuitModel
    from sgatlin.circuits.neighbour_table import Found
    from sgatlin.circuits.record import Record


@dataclasses.dataclass(frozen=True, kw_only=True)
class CircuitsNeighbours:
    """Find the recorded circuits that are nearest to those of a text's tokens."""

    run: tyro.conf.Positional[str]
    """RUN, RUN@STEP or RUN@best."""
    record: tyro.conf.Positional[Path]
    """Of the same model, by `sgatlin circuits record`."""
    text: str | None = None
    """A text, whose tokens are looked up; or --sequence."""
    sequence: int | None = None
    """A sequence of the record, by its number."""
    start: int = 1
    """With --sequence: its first position to look up."""
    tokens: int = 28
    """With --sequence: how many positions to look up."""
    position: int | None = None
    """Look up this position only, counted from 1."""
    layer: int
    """Counted from 0."""
    channel: int | None = None
    """Compare one channel; all by default."""
    k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 10
    """Neighbours of each token."""
    metric: Literal["cosine", "jaccard"] = "cosine"
    """Of signed scores, or of the sets of neurons alone."""
    exclude: Literal["sequence", "token", "none"] = "sequence"
    """Leave out positions of the token's own sequence, or of the same token. A position itself is
    never its own neighbour."""
    out: Path | None = None
    """Write OUT.parquet, and the figure as OUT.png, OUT.svg and OUT.html."""

    def __call__(self) -> None:
        from sgatlin.circuits.model import CircuitModel
        from sgatlin.circuits.neighbour_figure import draw_neighbours
        from sgatlin.circuits.neighbour_table import (
            check_same_model,
            neighbour_lines,
            neighbour_table,
            write_table,
        )
        from sgatlin.circuits.record import Record

        require_at_least(1, k=self.k, tokens=self.tokens, start=self.start)
        if (self.text is None) == (self.sequence is None):
            raise UserError("name --text or --sequence, and one of them only")
        model, record = CircuitModel.open(self.run), Record.open(self.record)
        check_same_model(model, record)
        found = self._find(model, record)
        print("\n".join(neighbour_lines(found)))
        if self.out is not None:
            where = f"layer {self.layer}"
            where += "" if self.channel is None else f", channel {self.channel}"
            title = f"{model.name}, {where}: tokens of the nearest circuits ({self.metric})"
            files = [write_table(neighbour_table(found), self.out)]
            files += draw_neighbours(found, self.out, title)
            print("\n" + "\n".join(map(str, files)))

    def _find(self, model: "CircuitModel", record: "Record") -> "Found":
        import numpy as np

        from sgatlin.circuits.neighbour_table import find, recorded, sequence_rows, typed

        channels = None if self.channel is None else [self.channel]
        rows = record.rows(self.layer, channels)
        positions = record.positions()
        if self.text is not None:
            asked, queries = typed(model, self.text, self.layer, channels)
        else:
            assert self.sequence is not None
            asked = recorded(positions, sequence_rows(record, positions, self.sequence))
            queries = rows[asked.rows]
        last = int(asked.positions[-1])
        wanted = np.ones(len(asked.texts), bool)
        if self.position is not None:
            wanted = asked.positions == self.position
        elif self.sequence is not None:
            wanted = (asked.positions >= self.start) & (asked.positions < self.start + self.tokens)
        if not wanted.any():
            raise UserError(f"there is no such position: the text has 1 to {last}")
        with _bar("neighbours") as progress:
            return find(
                asked[wanted],
                queries[wanted],
                rows,
                positions,
                model.token_text,
                k=self.k,
                metric=self.metric,
                exclude=self.exclude,
                progress=progress,
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CircuitsMap:
    """Draw recorded circuits in the plane, by UMAP: those alike lie together."""

    record: tyro.conf.Positional[Path]
    """Folder of the record."""
    layer: int
    """Counted from 0."""
    channel: int | None = None
    """One channel; all by default."""
    tokens: int = 50
    """Of so many most frequent tokens."""
    classes: str | None = None
    """Of words that have a class instead: `lexicon`, the story world's, or a JSON file
    {class: [words]}."""
    positions: int = 5000
    """At most so many, of each token or class alike."""
    colour: Literal["token", "next", "class"] | None = None
    """By the token, the next one or the class; by default the class with --classes, else the
    token."""
    seed: int = 0
    """Of the choice of positions and of the map."""
    out: Path
    """Write OUT.html, OUT.png and OUT.parquet."""

    def __call__(self) -> None:
        from sgatlin.circuits.labels import read_classes
        from sgatlin.circuits.map_figure import draw_map
        from sgatlin.circuits.maps import (
            choose_rows,
            embed,
            frequent_tokens,
            map_table,
            token_classes,
        )
        from sgatlin.circuits.neighbour_table import write_table
        from sgatlin.circuits.record import Record

        require_at_least(1, tokens=self.tokens, positions=self.positions)
        require_at_least(0, seed=self.seed)
        colour = self.colour or ("token" if self.classes is None else "class")
        needs_classes = self.classes is not None or colour == "class"
        classes = read_classes(self.classes or "lexicon") if needs_classes else {}
        record = Record.open(self.record)
        positions = record.positions()
        if self.classes is None:
            chosen = choose_rows(
                frequent_tokens(positions, self.tokens), self.positions, seed=self.seed
            )
        else:
            chosen = choose_rows(token_classes(positions, classes), self.positions, seed=self.seed)
        rows = record.rows(self.layer, None if self.channel is None else [self.channel])[chosen]
        with _bar("neighbours") as progress:
            places = embed(rows, seed=self.seed, progress=progress)
        table = map_table(positions, chosen, places, classes)
        where = f"layer {self.layer}"
        where += "" if self.channel is None else f", channel {self.channel}"
        title = f"{record.manifest.run}@{record.manifest.step}, {where}: {len(table):,} circuits"
        files = [write_table(table, self.out), *draw_map(table, colour, self.out, title)]
        print("\n".join(map(str, files)))


@contextlib.contextmanager
def _bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar where somebody watches."""
    import sys

    from rich.progress import Progress

    with Progress(disable=not sys.stdout.isatty(), transient=True) as bar:
        task = bar.add_task(name)
        yield lambda done, total: bar.update(task, completed=done, total=total)
