# SPDX-License-Identifier: Apache-2.0
"""`sgatlin circuits record` and `show`."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    from sgatlin.circuits.model import CircuitModel
    from sgatlin.circuits.record import Record
    from sgatlin.circuits.recording import RecordingOptions
    from sgatlin.input.store import TokenStore


@dataclasses.dataclass(frozen=True, kw_only=True)
class CircuitsRecord:
    """Record a run's circuits: which neurons each token of a text chooses, and their scores."""

    run: tyro.conf.Positional[str]
    """RUN, RUN@STEP or RUN@best."""
    data: Path | None = None
    """A token store, or a prepared data set, whose validation store is taken; by default the run's
    own."""
    tokens: int = 100_000
    """Record at least so many positions, of whole documents evenly spaced over the store."""
    out: Path | None = None
    """Folder of the record, RUN/circuits by default."""
    activations: bool = False
    """Also record <w_in, x> of each neuron that is chosen."""
    predictions: int = 5
    """Likeliest next tokens to record of each position."""
    batch_size: int | None = None
    """Documents at a time; by default fewer the larger the model is."""
    replace: bool = False
    """Put the record in the place of one that is there."""

    def __call__(self) -> None:
        from sgatlin.circuits.model import CircuitModel
        from sgatlin.circuits.recording import RecordingOptions, check_out
        from sgatlin.eval.command import store_for

        options = RecordingOptions(
            tokens=self.tokens,
            activations=self.activations,
            predictions=self.predictions,
            batch_size=self.batch_size,
            replace=self.replace,
        )
        model = CircuitModel.open(self.run)
        out = self.out or model.loaded.run.path / "circuits"
        check_out(out, replace=self.replace)
        store = store_for(model.loaded, self.data)
        record = self._record(model, store, out, options)
        if len(record) < self.tokens:
            print(f"{store.path} has only {len(record):,} positions: all are recorded")
        print("\n".join(record_facts(record)))

    def _record(
        self, model: "CircuitModel", store: "TokenStore", out: Path, options: "RecordingOptions"
    ) -> "Record":
        import sys

        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        from sgatlin.circuits.recording import record_circuits

        columns = (
            TextColumn("{task.completed:,} of {task.total:,} positions"),
            BarColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, disable=not sys.stdout.isatty(), transient=True) as bar:
            task = bar.add_task("record", total=self.tokens, speed="")

            def progress(done: int, total: int) -> None:
                speed = bar.tasks[0].speed
                told = "" if speed is None else f"{speed:,.0f} tokens/s"
                bar.update(task, completed=done, total=total, speed=told)

            return record_circuits(model, store, out, options, progress=progress)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CircuitsShow:
    """Tell what a record holds."""

    record: tyro.conf.Positional[Path]
    """Folder of the record."""

    def __call__(self) -> None:
        from sgatlin.circuits.record import Record

        print("\n".join(record_facts(Record.open(self.record))))


def record_facts(record: "Record") -> list[str]:
    """Lines about a record."""
    manifest = record.manifest
    cut = f", {manifest.n_cut:,} of them cut to the context" if manifest.n_cut else ""
    pool = "one pool of" if manifest.shared_pool else "each of"
    activations = " and activations" if manifest.has_activations else ""
    rows = [
        ("run", f"{manifest.run}@{manifest.step}"),
        ("store", manifest.store),
        ("positions", f"{manifest.n_positions:,}"),
        ("documents", f"{manifest.n_sequences:,}, of at most {manifest.context:,} tokens{cut}"),
        ("layers", f"{manifest.n_layers}"),
        ("channels", f"{manifest.n_channels}, {pool} {manifest.n_neurons:,} neurons"),
        ("chosen", f"{manifest.top_k} of each channel, with scores{activations}"),
        ("predictions", f"{manifest.n_predictions} of each position"),
        ("size", f"{manifest.size / 1e6:,.1f} MB in {2 * len(manifest.shards)} files"),
    ]
    width = max(len(name) for name, _ in rows)
    return [str(record.path), *(f"  {name:{width}}  {value}" for name, value in rows)]
