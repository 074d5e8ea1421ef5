# SPDX-License-Identifier: Apache-2.0
"""Follows jobs to their end, and tells how far the study is."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sgatlin.isoflop.execute import Ended, cost, ordered
from sgatlin.isoflop.pool import Job, Pool
from sgatlin.isoflop.records import Results, Run
from sgatlin.isoflop.study import Study
from sgatlin.train.metrics import duration

SECONDS_BETWEEN = 0.5
# Of metrics.jsonl its last lines are read.
_TAIL = 2**16


class Progress:
    """How much of the runs is done, and by that how long the rest will take."""

    def __init__(self, study: Study, runs: Sequence[Run], results: Results):
        self._costs = {run.name: cost(study, run, results) for run in runs}
        self._total = sum(self._costs.values())
        self._done = 0.0
        self._start = time.monotonic()
        self.n_runs, self.n_finished, self.n_failed = len(runs), 0, 0

    def count(self, ended: Ended) -> None:
        self._done += self._costs[ended.run.name]
        self.n_finished += ended.record is not None
        self.n_failed += ended.record is None

    def __str__(self) -> str:
        failed = f", {self.n_failed} failed" if self.n_failed else ""
        left = ""
        if 0 < self._done < self._total:
            elapsed = time.monotonic() - self._start
            left = f", {duration(elapsed * (self._total / self._done - 1))} left"
        return f"{self.n_finished} of {self.n_runs} runs finished{failed}{left}"


def line_of(ended: Ended) -> str:
    """A line about a run that has ended."""
    if ended.record is None:
        return f"{ended.run.name}: failed: {ended.problem}"
    result = ended.record.result
    return (
        f"{ended.run.name}: loss {result.val_loss:.4f}, {result.steps:,} steps, "
        f"{result.epochs:.2f} epochs, {result.seconds:.0f} s"
    )


def follow(
    runs: Sequence[Run],
    pool: Pool,
    results: Results,
    folder: Path,
    progress: Callable[[], str],
    stop_requested: Callable[[], bool] = lambda: False,
) -> Iterator[Ended]:
    """Starts a job for each group of `runs` as there is room, and yields runs as they end.

    When asked to stop it starts no more, asks all jobs to save and leave, and waits for them.
    """
    waiting, jobs = list(ordered(runs)), list[Job]()
    told: set[str] = set()
    stopping = False
    try:
        with _display() as show:
            while jobs or (waiting and not stopping):
                if stop_requested() and not stopping:
                    stopping = True
                    for job in jobs:
                        job.stop()
                while waiting and not stopping and pool.has_room():
                    jobs.append(pool.start(waiting.pop(0)))
                over = [job for job in jobs if job.ended()]
                for job in jobs:
                    yield from _ended(job, job in over, stopping, results, told)
                jobs = [job for job in jobs if job not in over]
                rows = [row for job in jobs if (row := running(job, results, folder)) is not None]
                show(rows, progress())
                if jobs:
                    time.sleep(SECONDS_BETWEEN)
    finally:
        for job in jobs:  # some are left only if an error ends this
            job.stop()


def _ended(
    job: Job, is_over: bool, stopping: bool, results: Results, told: set[str]
) -> Iterator[Ended]:
    for run in job.runs:
        if run.name in told:
            continue
        if results.file(run).exists():
            told.add(run.name)
            yield Ended(run, results.read(run), None)
        elif is_over and not stopping:
            told.add(run.name)
            yield Ended(run, None, _last_words(job.log, run))


def _last_words(log: Path, run: Run) -> str:
    """The line that says why a run failed, or else the last of its process."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return f"its process ended, and its log cannot be read: {error}"
    own = [line for line in lines if line.startswith(f"{run.name}: failed: ")]
    if own:
        # Its process's own progress, which ends the line, says nothing here.
        return own[-1].partition(": failed: ")[2].rsplit("  [", 1)[0]
    words = [line.strip() for line in lines if line.strip()]
    return f"its process ended{f': {words[-1][:300]}' if words else ''} (more in {log})"


class Running(NamedTuple):
    """Where a job is."""

    name: str
    step: int | None
    steps: int | None
    loss: float | None
    tokens_per_second: float | None


def running(job: Job, results: Results, folder: Path) -> Running | None:
    """The run that a job is at, by the end of its metrics; None when all are finished."""
    run = next((run for run in job.runs if not results.file(run).exists()), None)
    if run is None:
        return None
    path = folder / run.name
    last: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        for line in _tail(path / "metrics.jsonl"):
            row = json.loads(line)
            last |= {name: row[name] for name in row if name != "time"}
    steps = None
    with contextlib.suppress(OSError, ValueError):
        steps = json.loads((path / "config.json").read_text(encoding="utf-8"))["train"]["steps"]
    return Running(
        run.name, last.get("step"), steps, last.get("loss"), last.get("tokens_per_second")
    )


def _tail(path: Path) -> list[str]:
    """Whole lines of a file's end."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL))
        lines = file.read().decode(errors="replace").split("\n")
    return [line for line in lines[1 if size > _TAIL else 0 : -1] if line]


@contextlib.contextmanager
def _display() -> Iterator[Callable[[Sequence[Running], str], None]]:
    """Shows a table in place on a terminal, and nothing elsewhere."""
    if not sys.stdout.isatty():
        yield lambda rows, progress: None
        return
    from rich.live import Live

    with Live(auto_refresh=False, transient=True) as live:
        yield lambda rows, progress: live.update(_table(rows, progress), refresh=True)


def _table(rows: Sequence[Running], progress: str) -> Any:
    from rich.table import Table

    table = Table("run", "step", "loss", "k tokens/s", box=None, caption=progress)
    table.caption_justify = "left"
    for row in rows:
        loss = "" if row.loss is None else f"{row.loss:.3f}"
        speed = "" if row.tokens_per_second is None else f"{row.tokens_per_second / 1e3:,.1f}"
        step = "starts" if row.step is None else f"{row.step:,} / {row.steps or 0:,}"
        table.add_row(row.name, step, loss, speed)
    return table
