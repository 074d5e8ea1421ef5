# SPDX-License-Identifier: Apache-2.0
"""Runs of a study in several processes: on this machine's devices, or through Slurm.

Each process is the same command for a part of the runs, so that what one does, and what becomes of
it when it is killed, is what `sgatlin isoflop run` does.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from sgatlin.errors import UserError, require_at_least
from sgatlin.isoflop.records import Run


@runtime_checkable
class Job(Protocol):
    """Some runs being trained by another process."""

    runs: Sequence[Run]
    log: Path

    def ended(self) -> bool: ...

    def stop(self) -> None: ...


@runtime_checkable
class Pool(Protocol):
    """Where jobs are executed."""

    def has_room(self) -> bool: ...

    def start(self, runs: Sequence[Run]) -> Job: ...


class LocalJob:
    """A process on this machine."""

    def __init__(self, runs: Sequence[Run], command: Sequence[str], log: Path, env: dict[str, str]):
        self.runs = runs
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        # Anew: the last words of an earlier process are not this one's.
        with log.open("w", encoding="utf-8") as file:
            # A signal to the terminal's group reaches it through `stop` alone, and once.
            self._process = subprocess.Popen(
                command, stdout=file, stderr=file, env=env, start_new_session=True
            )

    def ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        """Asks it to save and leave."""
        if not self.ended():
            self._process.send_signal(signal.SIGTERM)


class LocalPool:
    """So many processes at a time, dealt out to this machine's accelerators."""

    def __init__(self, n_workers: int, command: Sequence[str], logs: Path):
        require_at_least(1, workers=n_workers)
        self._command, self._logs = command, logs
        self._slots = device_slots(n_workers, os.environ)
        self._jobs: list[LocalJob | None] = [None] * n_workers

    def has_room(self) -> bool:
        return any(job is None or job.ended() for job in self._jobs)

    def start(self, runs: Sequence[Run]) -> LocalJob:
        slot = next(i for i, job in enumerate(self._jobs) if job is None or job.ended())
        command = [*self._command, "--only", *(run.name for run in runs)]
        env = {**os.environ, "PYTHONUNBUFFERED": "1", **self._slots[slot]}
        job = LocalJob(runs, command, self._logs / f"{group_name(runs)}.log", env)
        self._jobs[slot] = job
        return job


def group_name(runs: Sequence[Run]) -> str:
    """Names a job by what its runs share."""
    return f"{runs[0].layer}-s{runs[0].scale:g}"


def own_command(spec: str, arguments: Sequence[str]) -> list[str]:
    """This program's command that trains a part of the runs."""
    return [sys.executable, "-m", "sgatlin", "isoflop", "run", spec, *arguments]


def device_slots(n_workers: int, env: Mapping[str, str]) -> list[dict[str, str]]:
    """What each process's environment needs to have a device, or its share of one."""
    gpus = visible_gpus(env)
    chips = tpu_chips() if not gpus and _may_use(env, "tpu") else 0
    if chips and n_workers > chips:
        raise UserError(f"--workers {n_workers}: there are {chips} TPU chips, and none is shared")
    slots: list[dict[str, str]] = []
    for worker in range(n_workers):
        slot: dict[str, str] = {}
        if gpus:
            slot["CUDA_VISIBLE_DEVICES"] = gpus[worker % len(gpus)]
            if n_workers > len(gpus):
                slot["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        elif chips:
            slot |= {
                "TPU_VISIBLE_CHIPS": str(worker),
                "TPU_CHIPS_PER_PROCESS_BOUNDS": "1,1,1",
                "TPU_PROCESS_BOUNDS": "1,1,1",
            }
        slots.append(slot)
    return slots


def visible_gpus(env: Mapping[str, str]) -> list[str]:
    """Numbers or ids of the GPUs that processes may use; none without NVIDIA's driver."""
    if not _may_use(env, "cuda", "gpu"):
        return []
    if "CUDA_VISIBLE_DEVICES" in env:
        return [name for name in env["CUDA_VISIBLE_DEVICES"].split(",") if name]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(n) for n, line in enumerate(_gpu_lines(listed.stdout))]


def tpu_chips() -> int:
    """How many chips of a TPU this machine has."""
    accelerators = list(Path("/dev").glob("accel[0-9]*"))
    return len(accelerators) or len(list(Path("/dev/vfio").glob("[0-9]*")))


def _may_use(env: Mapping[str, str], *platforms: str) -> bool:
    """Whether JAX is left to choose, or told to use one of these."""
    chosen = env.get("JAX_PLATFORMS", "")
    return not chosen or not {*platforms}.isdisjoint(chosen.split(","))


def _gpu_lines(listed: str) -> list[str]:
    return [line for line in listed.splitlines() if line.startswith("GPU ")]
