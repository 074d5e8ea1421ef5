# SPDX-License-Identifier: Apache-2.0
"""Trains the runs of a study one after another in this process."""

import json
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import jax

from sgatlin.config import Config, to_json
from sgatlin.errors import RunStopped, UserError
from sgatlin.eval.repetition import quarter_losses
from sgatlin.input.mixture import TrainingStream
from sgatlin.isoflop.budget import TimeBudget
from sgatlin.isoflop.expansion import trunk_of
from sgatlin.isoflop.records import (
    Copying,
    Curve,
    Documents,
    Quarters,
    Record,
    Result,
    Results,
    Run,
)
from sgatlin.isoflop.study import Study, programs
from sgatlin.scaling.flops import count_parameters, training_flops
from sgatlin.train import checkpoint
from sgatlin.train.loop import Stopped, Trainer, TrainOptions
from sgatlin.train.programs import ProgramCache
from sgatlin.train.run import RunDirectory

DECIMALS = 4
"""Of losses and scores that describe a run and are not its result."""
LOGS = "logs"
"""Folder beside the run directories: what processes said, and traces of errors."""


class Ended(NamedTuple):
    """How one run ended."""

    run: Run
    record: Record | None
    """None if it failed."""
    problem: str | None
    """Why it failed, in a line."""


def ordered(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs in groups that share a program; of each model the smallest budget first."""
    groups = programs(runs).values()
    return [sorted(group, key=lambda run: (run.seed, run.budget.amount)) for group in groups]


def run_all(
    study: Study,
    runs: Sequence[Run],
    results: Results,
    folder: Path,
    *,
    stop_requested: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = print,
) -> Iterator[Ended]:
    """Trains `runs` and writes a record of each; one that fails is told of, and the next begins.

    Run directories are made in `folder`. Raises `Stopped` when asked to stop, with all saved.
    """
    for group in ordered(runs):
        cache = ProgramCache()
        for run in group:
            if stop_requested():
                raise Stopped(f"before {run.name}")
            tell(f"== {run.name}")
            try:
                record = train_run(
                    study, run, results, folder, cache, stop_requested=stop_requested, tell=tell
                )
            except Stopped:
                raise
            except Exception as error:  # one that fails must not end the study
                yield Ended(run, None, _noted(error, folder / LOGS / f"{run.name}-error.txt"))
            else:
                yield Ended(run, record, None)


def train_run(
    study: Study,
    run: Run,
    results: Results,
    folder: Path,
    cache: ProgramCache,
    *,
    stop_requested: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = print,
) -> Record:
    """Trains one run to its end, or goes on with it, and writes its record."""
    config = study.config_of(run, results)
    path = folder / run.name
    branches = study.branch or bool(run.nested)
    branch = _branch(study, run, results, folder) if branches else None
    options = TrainOptions(branch_from=branch)
    trainer = Trainer(config, path, options, tell=tell, programs=cache)
    result = trainer.train(stop_requested)
    record = record_of(run, config, result, trainer)
    results.write(record)
    return record


def record_of(run: Run, config: Config, result: dict[str, Any], trainer: Trainer) -> Record:
    """What is kept of a finished run."""
    parameters = count_parameters(config.model)
    flops = training_flops(config.model, config.data.seq_len)
    n_windows = TrainingStream(trainer.data.parts, config.data.seq_len, config.train.seed).n_windows
    documents = json.loads(trainer.run.documents_file.read_text(encoding="utf-8"))
    losses = quarter_losses(trainer.data.validation, documents["nats"], documents["tokens"])
    return Record(
        run=run,
        result=Result(
            val_loss=result["val_loss"],
            val_bits_per_byte=result["val_bits_per_byte"],
            steps=result["steps"],
            tokens=result["tokens"],
            epochs=round(result["steps"] * config.data.batch_size / n_windows, 4),
            parameters=parameters.total,
            active_parameters=parameters.active,
            non_embedding_parameters=parameters.non_embedding,
            flops_paper=float(flops.paper * result["tokens"]),
            flops_full=float(flops.full * result["tokens"]),
            seconds=result["seconds"],
            device=result["device"],
        ),
        documents=Documents(nats=tuple(documents["nats"]), tokens=tuple(documents["tokens"])),
        config=json.loads(to_json(config)),
        data={
            "train": trainer.data.parts[0].store.content_hash,
            "validation": trainer.data.validation.content_hash,
        },
        versions=versions(),
        curve=_curve(trainer.run),
        copying=_copying(result),
        quarters=Quarters(
            losses=tuple(None if loss is None else round(loss, DECIMALS) for loss in losses.nats),
            tokens=losses.tokens,
        ),
    )


def _curve(run: RunDirectory) -> Curve:
    """The validations of metrics.jsonl: a run that branched off has those of its trunk there."""
    rows = {row["step"]: row for row in run.metrics() if "val_loss" in row}
    points = [rows[step] for step in sorted(rows)]
    scores = [row.get("val_copy_score") for row in points]
    return Curve(
        steps=tuple(row["step"] for row in points),
        losses=tuple(round(row["val_loss"], DECIMALS) for row in points),
        copy_scores=tuple(None if score is None else round(score, DECIMALS) for score in scores),
    )


def _copying(result: dict[str, Any]) -> Copying | None:
    if "copy_score" not in result:
        return None
    first, second = result["copy_first_loss"], result["copy_second_loss"]
    return Copying(first=round(first, DECIMALS), second=round(second, DECIMALS))


def versions() -> dict[str, str]:
    """What a result was made with."""
    return {
        "sgatlin": _own_version(),
        "jax": jax.__version__,
        "python": platform.python_version(),
    }


def _own_version() -> str:
    try:
        return version("sgatlin")
    except PackageNotFoundError:  # used from its folder, without being installed
        return "unknown"


def check_finished(study: Study, runs: Sequence[Run], results: Results) -> None:
    """UserError if a finished run was of another config than the study has now."""
    for run in runs:
        if not results.file(run).exists():
            continue
        record = results.read(run)
        # At equal time: a step that is measured again leaves finished runs as they are.
        steps = record.result.steps if isinstance(run.budget, TimeBudget) else None
        differing = record.differences(study.config_of(run, results, steps=steps))
        if differing:
            raise UserError(
                f"{results.file(run)} is of a run with another config (field: there, now): "
                f"{'; '.join(differing)}. Remove it and the run's directory to run it again, or "
                "give another --results and --runs"
            )


def pending(runs: Sequence[Run], results: Results) -> list[Run]:
    """Those without a record."""
    return [run for run in runs if not results.file(run).exists()]


def cost(study: Study, run: Run, results: Results) -> float:
    """Of a run relative to others: its FLOPs, for guessing how long is left."""
    config = study.config_of(run, results)
    per_token = training_flops(config.model, config.data.seq_len).full
    return float(per_token * config.train.steps * config.tokens_per_step)


def _branch(study: Study, run: Run, results: Results, folder: Path) -> str | None:
    """Where the stable phase of a smaller budget is saved; None if it is not there."""
    trunk = trunk_of(run, study.expand(results).runs)
    # A run that replaces dead neurons ceases to before its own end: its stable phase is its own.
    if trunk is None or study.config_of(run, results).usage.resample:
        return None
    path, step = folder / trunk.name, study.config_of(trunk, results).step_before_decay
    if step is None:
        return None
    try:
        checkpoint.verify(RunDirectory(path).checkpoints, step)
    except UserError:  # it is not there, or damaged
        return None
    return f"{path}@{step}"


def _noted(error: Exception, path: Path) -> str:
    """A line of what went wrong; the trace of what is no user's mistake goes to a file."""
    line = " ".join(str(error).split())
    if isinstance(error, UserError | RunStopped):
        return line
    line = line[:300]
    trace = "".join(traceback.format_exception(error))
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{stamp}\n{trace}\n")
    except OSError:
        return f"{type(error).__name__}: {line}"
    return f"{type(error).__name__}: {line} (more in {path})"
