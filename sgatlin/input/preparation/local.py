# SPDX-License-Identifier: Apache-2.0
"""Running the groups of a preparation on this machine, in several processes."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

from sgatlin.errors import RunStopped
from sgatlin.input.manifest import BadRecord
from sgatlin.input.preparation.group import bad_record_error, prepare_group
from sgatlin.input.preparation.pieces import finished_pieces, unfinished
from sgatlin.input.preparation.plan import Group, Plan
from sgatlin.input.preparation.progress import Progress

_POLL_SECONDS = 0.2
# That a worker has to end by itself when it is asked to.
_GRACE_SECONDS = 1.0


class _Stopped(Exception):
    """A worker was asked to stop."""


class _Task(NamedTuple):
    """What every worker knows."""

    work: Path
    plan: Plan
    max_bad_records: int
    n_threads: int
    seen: Any
    """Shared memory: of each group, bytes read of its files and bytes of text added."""
    stop: Any
    """A shared number: 1 makes workers stop. No lock, which a killed worker might hold."""


def run_groups(
    work: Path,
    plan: Plan,
    *,
    n_workers: int,
    max_bad_records: int = 0,
    tell: Callable[[str], None],
) -> None:
    """Prepares all groups that are not finished, `n_workers` at a time.

    Where there are fewer groups than workers, each group encodes in several threads.

    Raises:
      UserError, RunStopped: as `prepare_group`, for the first group that fails; the others stop
        then too, and what they finished stays.
    """
    pending = unfinished(work, plan.groups)
    if not pending:
        return
    context = multiprocessing.get_context("spawn")
    task = _Task(
        work,
        plan,
        max_bad_records,
        n_threads=max(n_workers // len(pending), 1),
        seen=context.Array("Q", 2 * len(plan.groups), lock=False),
        stop=context.Value("b", 0, lock=False),
    )
    total = sum(group.size for group in plan.groups)
    progress = Progress(total, total - sum(group.size for group in pending), tell)
    try:
        if n_workers == 1:
            for group in pending:
                _prepare(task, group, told=lambda: _update(progress, task, pending))
            return
        with ProcessPoolExecutor(
            min(n_workers, len(pending)), context, _start_worker, (task,)
        ) as pool:
            try:
                _follow(pool, task, pending, progress)
            finally:
                task.stop.value = 1
                pool.shutdown(wait=True, cancel_futures=True)
    finally:
        progress.close()


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _follow(
    pool: ProcessPoolExecutor, task: _Task, pending: Sequence[Group], progress: Progress
) -> None:
    """Waits for all groups; raises what the first that fails raised."""
    with _interrupts_held():
        running: dict[Future[None], Group] = {
            pool.submit(_prepare_in_worker, group.index): group for group in pending
        }
    bad: list[BadRecord] = []
    while running:
        done, _ = wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
        _update(progress, task, pending)
        for future in done:
            group = running.pop(future)
            try:
                future.result()
            except BrokenProcessPool:
                raise RunStopped(
                    "a worker process was killed, perhaps for want of memory, if no error is told "
                    "above: give the same command again, with fewer --workers; what is finished is "
                    "kept"
                ) from None
            bad += [r for piece in finished_pieces(task.work, group) for r in piece.bad_records]
            if len(bad) > task.max_bad_records:
                raise bad_record_error(bad[task.max_bad_records], task.max_bad_records)


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Processes that are started meanwhile never see Ctrl-C; this one sees it afterwards.

    It reaches all processes of a terminal, and here the parent decides.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _update(progress: Progress, task: _Task, pending: Sequence[Group]) -> None:
    before = sum(group.size for group in task.plan.groups) - sum(group.size for group in pending)
    progress.update(before + sum(task.seen[0::2]), sum(task.seen[1::2]))


_task: _Task


def _start_worker(task: _Task) -> None:
    global _task
    _task = task
    for end in (_end_with_parent, _end_when_stopped):
        threading.Thread(target=end, daemon=True).start()


def _end_with_parent() -> None:
    """An orphan would go on for minutes, and hold up who starts again."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _end_when_stopped() -> None:
    """A long document is not waited for: what is not finished is made again."""
    while not _task.stop.value:
        time.sleep(_POLL_SECONDS)
    time.sleep(_GRACE_SECONDS)
    os._exit(1)


def _prepare_in_worker(index: int) -> None:
    _prepare(_task, _task.plan.groups[index])


def _prepare(task: _Task, group: Group, told: Callable[[], None] = lambda: None) -> None:
    def report(n_read: int, n_text: int) -> None:
        task.seen[2 * group.index] = n_read
        task.seen[2 * group.index + 1] = n_text
        told()
        if task.stop.value:
            raise _Stopped

    prepare_group(
        task.work,
        task.plan,
        group,
        max_bad_records=task.max_bad_records,
        n_threads=task.n_threads,
        progress=report,
    )
