# SPDX-License-Identifier: Apache-2.0
"""What runs the groups: processes of this machine, or datatrove's executors on many machines.

datatrove was chosen over Ray Data. A group is a task that finds out by itself what it still has to
do, and leaves its result in a folder that all machines share: an array of such tasks is what
datatrove's executors run, by Slurm without a service of their own, or by Ray. Ray Data streams the
documents themselves through its object store, and their order, on which the result depends, would
have to be restored.
"""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sgatlin.errors import RunStopped, UserError
from sgatlin.input.preparation.group import prepare_group
from sgatlin.input.preparation.local import run_groups
from sgatlin.input.preparation.manner import Engine
from sgatlin.input.preparation.pieces import finished_pieces, is_finished
from sgatlin.input.preparation.plan import Plan, read_plan


def run_engine(
    engine: Engine,
    work: Path,
    plan: Plan,
    *,
    n_workers: int,
    max_bad_records: int,
    tell: Callable[[str], None],
) -> bool:
    """Prepares the groups that are not finished; whether all are then.

    They are not where Slurm has been given the tasks: the same command, given again when Slurm has
    done them, goes on. UserError and RunStopped as `run_groups`.
    """
    if engine.name == "processes":
        run_groups(work, plan, n_workers=n_workers, max_bad_records=max_bad_records, tell=tell)
        return True
    pending = [
        group.index for group in plan.groups if not is_finished(group, finished_pieces(work, group))
    ]
    if not pending:
        return True
    step = functools.partial(prepare_task, work.resolve(), tuple(pending), max_bad_records)
    executor = _executor(engine, [step], len(pending), n_workers, work.resolve() / "logs")
    try:
        executor.run()
    except (UserError, RunStopped):
        raise
    except Exception as error:  # whatever the engine and its transport make of it
        raise RunStopped(
            f"{engine.name} failed, {type(error).__name__}: {error}; logs are in {work / 'logs'}. "
            "The same command goes on: what is finished is kept"
        ) from error
    if engine.name == "slurm":
        tell(
            f"Slurm has {len(pending)} tasks; when it has done them, give the same command again "
            f"to make the stores (logs in {work / 'logs'})"
        )
        return False
    return True


def prepare_task(
    work: Path,
    groups: tuple[int, ...],
    max_bad_records: int,
    data: Any,
    rank: int,
    world_size: int,
) -> None:
    """A step of a datatrove pipeline, which prepares the group of its rank."""
    plan = read_plan(work)
    if plan is None:
        raise UserError(f"{work} has no plan: start the preparation again")
    prepare_group(work, plan, plan.groups[groups[rank]], max_bad_records=max_bad_records)


def _executor(engine: Engine, pipeline: list[Any], n_tasks: int, n_workers: int, logs: Path) -> Any:
    """datatrove's executor; which tasks are done is seen from the work folder, not its records."""
    try:
        from datatrove import executor
    except ImportError:
        raise UserError(
            f"--engine.name {engine.name} needs datatrove: install the extra, sgatlin[datatrove]"
        ) from None
    common: dict[str, Any] = {
        "pipeline": pipeline,
        "tasks": n_tasks,
        "workers": n_workers,
        "logging_dir": str(logs),
        "skip_completed": False,
    }
    if engine.name == "datatrove":
        return executor.LocalPipelineExecutor(**common, start_method="spawn")
    if engine.name == "ray":
        return executor.RayPipelineExecutor(**common)
    return executor.SlurmPipelineExecutor(
        **common,
        time=engine.time,
        partition=engine.partition,
        job_name="sgatlin-prepare",
        venv_path=sys.prefix if sys.prefix != sys.base_prefix else None,
        mail_type="NONE",
    )
