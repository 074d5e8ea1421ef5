# SPDX-License-Identifier: Apache-2.0
"""`sgatlin circuits usage`, `coactivation`, `cka`, `rank` and `probe`."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from sgatlin.errors import UserError, require_at_least
from sgatlin.files import write_output

if TYPE_CHECKING:
    from sgatlin.circuits.measure_table import Table
    from sgatlin.circuits.model import CircuitModel
    from sgatlin.circuits.record import Record

Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Told:
    """Where tables go."""

    json: Path | None = None
    """Also write the numbers here."""
    markdown: Path | None = None
    """Also write the tables here."""

    def _tell(
        self, title: str, rows: Sequence[Row], tables: Sequence["Table"] | None = None
    ) -> None:
        """Rows under a title, or tables that tell them better to people."""
        import json

        from sgatlin.circuits.measure_table import table_of, without_nan

        first = [] if tables is None else [title]
        shown = [table_of(title, rows)] if tables is None else tables
        print(_joined(first, (one.lines() for one in shown)))
        if self.markdown is not None:
            markdown = _joined(first, (one.markdown() for one in shown))
            write_output(self.markdown, markdown + "\n")
        if self.json is not None:
            numbers = without_nan({"title": title, "rows": rows})
            write_output(self.json, json.dumps(numbers, indent=2) + "\n")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CircuitsUsage(_Told):
    """Tell how evenly neurons are used, by layer and channel, beside uniform choice."""

    record: tyro.conf.Positional[Path]
    """Folder of the record."""
    layer: int | None = None
    """Counted from 0; all by default."""

    def __call__(self) -> None:
        from sgatlin.circuits.record import Record
        from sgatlin.circuits.usage import usage

        record = Record.open(self.record)
        rows = []
        for layer in _layers(record, self.layer):
            for channel in range(record.n_channels):
                indices = record.rows(layer, [channel]).indices
                found = usage(indices, record.n_neurons)._asdict()
                rows.append({"layer": layer, "channel": channel, **found})
        pool = "; channels share one pool, and each is told by itself"
        title = f"Usage over {len(record):,} positions{pool if record.manifest.shared_pool else ''}"
        self._tell(title, rows)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CircuitsCoactivation(_Told):
    """List neurons that are chosen together more often than their sub-keys explain."""

    record: tyro.conf.Positional[Path]
    """Folder of the record."""
    layer: int
    """Counted from 0."""
    channel: int
    """Counted from 0."""
    other: int | None = None
    """Pairs with this channel's neurons; by default within the channel."""
    product: bool = True
    """Neurons have two sub-keys, as those of product routers do."""
    min_count: int = 10
    """Leave out pairs of fewer positions."""
    top: int = 20
    """Pairs to list."""

    def __call__(self) -> None:
        from sgatlin.circuits.coactivation import coactivation
        from sgatlin.circuits.record import Record

        require_at_least(1, min_count=self.min_count, top=self.top)
        record = Record.open(self.record)
        one = record.rows(self.layer, [self.channel]).indices
        other = None
        if self.other is not None and self.other != self.channel:
            other = record.rows(self.layer, [self.other]).indices
        found = coactivation(
            one,
            other,
            record.n_neurons,
            group=record.group,
            product=self.product,
            min_count=self.min_count,
        )
        names = ("count", "pmi", "null_pmi", "lift")
        columns = (found.counts, found.pmi, found.null_pmi, found.lift)
        rows = [
            {
                **dict(zip(("first", "second"), found.pairs[at].tolist(), strict=True)),
                **{name: value[at].item() for name, value in zip(names, columns, strict=True)},
            }
            for at in range(min(self.top, len(found.lift)))
        ]
        with_other = "" if other is None else f" and {self.other}"
        of_groups = "" if record.group == 1 else f"groups of {record.group} neurons, "
        self._tell(
            f"Pairs of {of_groups}layer {self.layer}, channel {self.channel}{with_other}: mean PMI "
            f"{found.mean_pmi:.3f}, of the null {found.mean_null_pmi:.3f} nats",
            rows,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CircuitsCka(_Told):
    """Compare circuits with input embeddings, or with another record's: debiased linear CKA."""

    run: tyro.conf.Positional[str]
    """RUN, RUN@STEP or RUN@best."""
    record: tyro.conf.Positional[Path]
    """Of the same model."""
    other: Path | None = None
    """A record of another run over the same documents; by default embeddings are compared."""
    positions: int = 4000
    """Compare so many, drawn at random."""
    permutations: int = 20
    seed: int = 0

    def __call__(self) -> None:
        import numpy as np

        from sgatlin.circuits.cka import check_same_positions, cka
        from sgatlin.circuits.record import Record
        from sgatlin.circuits.representations import sample

        require_at_least(1, positions=self.positions, permutations=self.permutations)
        model, record = _open(self.run, self.record)
        other = None if self.other is None else Record.open(self.other)
        table = record.positions()
        chosen = sample(len(record), self.positions, seed=self.seed)
        if other is not None:
            check_same_positions(record, other)
        embedding = np.asarray(model.params["embedding"])[table["token"].to_numpy()[chosen]]
        rows, n_layers = [], min(one.n_layers for one in (record, other) if one)
        with _bar("CKA") as progress:
            for layer in range(n_layers):
                x = record.rows(layer)[chosen]
                y = embedding if other is None else other.rows(layer)[chosen]
                found = cka(x, y, permutations=self.permutations, seed=self.seed)
                rows.append({"layer": layer, **found._asdict()})
                progress(layer + 1, n_layers)
        against = "input embeddings" if other is None else str(other.path)
        self._tell(f"CKA of circuits with {against}, {len(chosen):,} positions", rows)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CircuitsRank(_Told):
    """Tell the rank of the linear map that a token's neurons make, beside random neurons."""

    run: tyro.conf.Positional[str]
    """RUN, RUN@STEP or RUN@best."""
    record: tyro.conf.Positional[Path]
    """Of the same model."""
    positions: int = 1000
    """Take so many, drawn at random."""
    seed: int = 0

    def __call__(self) -> None:
        from sgatlin.circuits.rank import layer_ranks, spread
        from sgatlin.circuits.representations import sample

        require_at_least(1, positions=self.positions)
        model, record = _open(self.run, self.record)
        chosen = sample(len(record), self.positions, seed=self.seed)
        lines: list[Row] = []
        with _bar("rank") as progress:
            for layer in range(record.n_layers):
                both = layer_ranks(model, record, layer, chosen, seed=self.seed)
                for name, found in zip(("chosen", "random"), both, strict=True):
                    lines.append({"layer": layer, "neurons": name, **spread(found)})
                progress(layer + 1, record.n_layers)
        title = (
            f"Ranks of the maps of {record.n_channels * record.top_k} neurons, mean and deviation "
            f"over {len(chosen):,} positions"
        )
        self._tell(title, lines)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CircuitsProbe(_Told):
    """Tell what circuits know of tokens and classes, beside other representations."""

    run: tyro.conf.Positional[str]
    """RUN, RUN@STEP or RUN@best."""
    record: tyro.conf.Positional[Path]
    """Of the same model."""
    layer: int | None = None
    """Counted from 0; all by default."""
    classes: str = "lexicon"
    """The story world's, or a JSON file {class: [words]}. Words of several tokens have none."""
    dense: str | None = None
    """A run with mlp or swiglu layers and the same tokenizer, to compare its hidden layers."""
    positions: int = 4000
    """Look at so many, drawn at random."""
    permutations: int = 100
    """Draws for the 95th percentile of the classes' null; the nulls themselves are exact."""
    seed: int = 0

    def __call__(self) -> None:
        from sgatlin.circuits.labels import (
            MULTI_TOKEN,
            position_labels,
            read_classes,
            word_numbers,
        )
        from sgatlin.circuits.probe import probe
        from sgatlin.circuits.probe_report import LEGEND, rows, tables
        from sgatlin.circuits.representations import dense_run, representations, sample

        require_at_least(1, positions=self.positions, permutations=self.permutations)
        classes = read_classes(self.classes)
        model, record = _open(self.run, self.record)
        dense = None if self.dense is None else dense_run(self.dense, model)
        layers, table = _layers(record, self.layer), record.positions()
        chosen = sample(len(record), self.positions, seed=self.seed)
        labels = {k: v[chosen] for k, v in position_labels(table, classes).items()}
        with _bar("passes") as progress:
            of_layer = representations(
                model, record, chosen, dense=dense, seed=self.seed, progress=progress
            )
        with _bar("probes") as progress:
            found = probe(
                of_layer,
                layers,
                labels,
                table["sequence"].to_numpy()[chosen],
                permutations=self.permutations,
                seed=self.seed,
                progress=progress,
            )
        classed = labels["class"].ids >= 0
        words = word_numbers(labels["token"], labels["class"])[classed]
        about = (
            f"{len(chosen):,} positions, {classed.sum():,} of them with a class, which "
            f"{len(set(words.tolist())):,} words have ({MULTI_TOKEN})."
        )
        title = f"What {model.name} knows of its tokens\n{about}\n{LEGEND}"
        self._tell(title, rows(found), list(tables(found)))


def _open(run: str, path: Path) -> tuple["CircuitModel", "Record"]:
    from sgatlin.circuits.model import CircuitModel
    from sgatlin.circuits.neighbour_table import check_same_model
    from sgatlin.circuits.record import Record

    model, record = CircuitModel.open(run), Record.open(path)
    check_same_model(model, record)
    return model, record


def _layers(record: "Record", layer: int | None) -> list[int]:
    if layer is not None and not 0 <= layer < record.n_layers:
        raise UserError(f"{record.path} has no layer {layer}: there are 0 to {record.n_layers - 1}")
    return list(range(record.n_layers)) if layer is None else [layer]


def _joined(first: Sequence[str], tables: Iterable[Sequence[str]]) -> str:
    return "\n\n".join([*first, *("\n".join(lines) for lines in tables)])


@contextlib.contextmanager
def _bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar where somebody watches."""
    import sys

    from rich.progress import Progress

    with Progress(disable=not sys.stdout.isatty(), transient=True) as bar:
        task = bar.add_task(name)
        yield lambda done, total: bar.update(task, completed=done, total=total)
