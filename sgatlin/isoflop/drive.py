# SPDX-License-Identifier: Apache-2.0
"""`sgatlin isoflop run`: all runs of a study that are not finished, here or in other processes."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sgatlin.config import Config
from sgatlin.errors import UserError
from sgatlin.input.sources import Source
from sgatlin.isoflop.execute import Ended, check_finished, pending, run_all
from sgatlin.isoflop.expansion import Expansion
from sgatlin.isoflop.follow import Progress, follow, line_of
from sgatlin.isoflop.pool import Pool
from sgatlin.isoflop.records import Results, Run, StepTimeMissing
from sgatlin.isoflop.study import Study
from sgatlin.tables import aligned
from sgatlin.train.data import training_data
from sgatlin.train.interrupt import Interrupt
from sgatlin.train.loop import Stopped

Choose = Callable[[Expansion], list[Run]]
"""Of a study's runs those to train."""


def drive(
    study: Study,
    results: Results,
    folder: Path,
    *,
    choose: Choose = lambda expansion: list(expansion.runs),
    pool: Pool | None = None,
) -> int:
    """Trains what is pending of the runs that `choose` takes, and returns how many failed.

    When runs end that decide which are the best scales, those are added. A signal stops it with all
    saved; the same call goes on.

    Raises:
      UserError: when a record is of another config than the study has now, or there is no data.
    """
    failed: set[str] = set()
    untimed = 0
    with Interrupt() as interrupt:
        while not interrupt.requested:
            runs = choose(study.expand(results))
            check_finished(study, runs, results)
            todo = [run for run in pending(runs, results) if run.name not in failed]
            possible, refused, untimed = _possible(study, todo, results)
            for ended in refused:
                print(line_of(ended), flush=True)
            failed |= {ended.run.name for ended in refused}
            if not possible:
                break
            results.make()
            _make_data(study, possible, results)
            progress = Progress(study, possible, results)
            for ended in _train(study, possible, results, folder, pool, progress, interrupt):
                progress.count(ended)
                print(f"{line_of(ended)}  [{progress}]", flush=True)
                failed |= {ended.run.name} if ended.record is None else set()
    if interrupt.requested:
        print("stopped; the same command goes on", flush=True)
    else:
        _tell_end(study, results, choose, failed, untimed)
    return len(failed)


def list_runs(study: Study, runs: Sequence[Run], results: Results) -> list[str]:
    """A table of runs: what they are, whether they are finished, how long they are."""
    rows = [("run", "state", "steps", "tokens")]
    for run in runs:
        state = "finished" if results.file(run).exists() else "pending"
        try:
            config = study.config_of(run, results)
        except UserError as error:
            rows.append((run.name, str(error), "", ""))
            continue
        steps = config.train.steps
        rows.append((run.name, state, f"{steps:,}", f"{steps * config.tokens_per_step:,}"))
    return aligned(rows)


def _train(
    study: Study,
    runs: Sequence[Run],
    results: Results,
    folder: Path,
    pool: Pool | None,
    progress: Progress,
    interrupt: Interrupt,
) -> Iterator[Ended]:
    def stop_requested() -> bool:
        return interrupt.requested

    if pool is not None:
        yield from follow(runs, pool, results, folder, progress.__str__, stop_requested)
        return
    try:
        yield from run_all(study, runs, results, folder, stop_requested=stop_requested)
    except Stopped:
        return


def _make_data(study: Study, runs: Sequence[Run], results: Results) -> None:
    """Makes data that can be made before several processes would; UserError if no run has any."""
    sources: dict[Source, Config] = {}
    for run in runs:
        config = study.config_of(run, results)
        sources.setdefault(config.data.source, config)
    missing = []
    for config in sources.values():
        try:
            training_data(config, print)
        except UserError as error:
            missing.append(error)
    if len(missing) == len(sources):
        raise missing[0]


def _possible(
    study: Study, runs: Sequence[Run], results: Results
) -> tuple[list[Run], list[Ended], int]:
    """Runs that can be, those that cannot, and how many wait for a step time."""
    possible, refused, untimed = [], [], 0
    for run in runs:
        try:
            study.config_of(run, results)
        except StepTimeMissing:
            untimed += 1
        except UserError as error:
            refused.append(Ended(run, None, str(error).removeprefix(f"{run.name}: ")))
        else:
            possible.append(run)
    return possible, refused, untimed


def _tell_end(
    study: Study, results: Results, choose: Choose, failed: set[str], untimed: int
) -> None:
    expansion = study.expand(results)
    runs = choose(expansion)
    finished = len(runs) - len(pending(runs, results))
    waiting = ""
    if expansion.waiting:
        waiting = f"; {expansion.waiting} more wait for best scales or the rate rule"
    if untimed:
        waiting += f"; {untimed} wait for step times: sgatlin isoflop time"
    told = f", {len(failed)} failed" if failed else ""
    print(f"{finished} of {len(runs)} runs finished{told}{waiting}: {results.path}", flush=True)
