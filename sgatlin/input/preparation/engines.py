# SPDX-License-Identifier: Apache-2.0
"""What runs the groups: processes of this machine, or datatrove's executors on many machines.

datatrove was chosen over Ray Data. A group is a task that finds out by itself what it still has to
do, and leaves its result in a folder that all machines share: an array of such tasks is what
datatrove's executors run, by Slurm without a service of their own, or by Ray. Ray Data streams the
documents themselves through its object store, and their order, on which the result depends, would
have to be restored.
"""

import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sgatlin.errors import RunStopped, UserError
from sgatlin.files import write_atomically
from sgatlin.input.preparation.group import prepare_group
from sgatlin.input.preparation.local import available_cores, run_groups
from sgatlin.input.preparation.manner import Engine
from sgatlin.input.preparation.pieces import group_folder, unfinished
from sgatlin.input.preparation.plan import Group, Plan, read_plan


def run_engine(
    engine: Engine,
    work: Path,
    plan: Plan,
    *,
    n_workers: int | None,
    max_bad_records: int,
    tell: Callable[[str], None],
) -> bool:
    """Prepares the groups that are not finished; whether all are then.

    They are not where Slurm has been given the tasks: the same command, given again when Slurm has
    done them, goes on. UserError and RunStopped as `run_groups`.

    Args:
      n_workers: at a time; None is one for each core of this machine, or no limit on others.
    """
    if engine.name == "processes":
        run_groups(
            work,
            plan,
            n_workers=n_workers or available_cores(),
            max_bad_records=max_bad_records,
            tell=tell,
        )
        return True
    pending = unfinished(work, plan.groups)
    if not pending:
        return True
    if failures := [text for group in pending if (text := _failure(work, group))]:
        tell(f"{len(failures)} of {len(pending)} tasks failed before, the first: {failures[0]}")
    groups = tuple(group.index for group in pending)
    if engine.name == "datatrove":
        n_workers = n_workers or available_cores()
    step = functools.partial(prepare_task, work.resolve(), groups, max_bad_records)
    executor = _executor(engine, [step], len(pending), n_workers, work.resolve() / "logs")
    try:
        with _spawning():
            executor.run()
    except (UserError, RunStopped):
        raise
    except Exception as error:  # whatever the engine and its transport make of it
        raise RunStopped(
            f"{engine.name} failed, {type(error).__name__}: {' '.join(str(error).split())}; logs "
            f"are in {work / 'logs'}. The same command goes on: what is finished is kept"
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
    """A step of a datatrove pipeline, which prepares the group of its rank.

    What fails it is left beside the group, for the next `run_engine` to tell.
    """
    from loguru import logger

    logger.disable("datatrove")  # it would tell of each task, and draw all frames of an error
    plan = read_plan(work)
    if plan is None:
        raise UserError(f"{work} has no plan: start the preparation again")
    group = plan.groups[groups[rank]]
    _failure_file(work, group).unlink(missing_ok=True)
    try:
        prepare_group(work, plan, group, max_bad_records=max_bad_records)
    except (UserError, RunStopped) as error:
        with contextlib.suppress(OSError):  # the disk may be what failed
            write_atomically(_failure_file(work, group), str(error))
        raise


@contextlib.contextmanager
def _spawning() -> Iterator[None]:
    """Keeps datatrove from forking this process, whose threads may hold locks (JAX's do)."""
    import multiprocess

    before = multiprocess.get_start_method(allow_none=True)
    multiprocess.set_start_method("spawn", force=True)
    try:
        yield
    finally:
        multiprocess.set_start_method(before, force=True)


def _failure_file(work: Path, group: Group) -> Path:
    return group_folder(work, group) / "failure"


def _failure(work: Path, group: Group) -> str | None:
    """Why the group's task failed before."""
    try:
        return _failure_file(work, group).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _executor(
    engine: Engine, pipeline: list[Any], n_tasks: int, n_workers: int | None, logs: Path
) -> Any:
    """datatrove's executor; which tasks are done is seen from the work folder, not its records."""
    try:
        from datatrove import executor

        if engine.name == "ray":
            importlib.import_module("ray")  # datatrove asks for it when all is begun
    except ImportError as error:
        raise UserError(
            f"--engine.name {engine.name} needs {error.name or 'datatrove'}: install "
            f"{'it' if error.name == 'ray' else 'the extra, sgatlin[datatrove]'}"
        ) from None
    if engine.name == "slurm" and "SLURM_ARRAY_TASK_ID" in os.environ:
        raise UserError("--engine.name slurm submits tasks: give the command outside of one")
    common: dict[str, Any] = {
        "pipeline": pipeline,
        "tasks": n_tasks,
        "workers": n_tasks if n_workers is None else min(n_workers, n_tasks),
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
        qos="",  # the cluster's own default
        venv_path=f"{sys.prefix}/bin/activate" if sys.prefix != sys.base_prefix else None,
        mail_type="NONE",
    )
