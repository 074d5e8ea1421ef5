# SPDX-License-Identifier: Apache-2.0
"""Runs of a study as jobs of Slurm's, through submitit."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sgatlin.errors import UserError, require_at_least


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobConfig:
    """What a job of Slurm's is given; it trains all runs of one layer at one scale."""

    partition: str | None = None
    """Partition."""
    account: str | None = None
    """Account."""
    minutes: int = 240
    """Time limit."""
    gpus: int = 1
    """0 for none."""
    cpus: int = 8
    """Cores."""
    memory_gb: int = 32
    """Memory of the host."""
    at_once: int = 16
    """Jobs that are submitted at a time."""

    def __post_init__(self) -> None:
        least: dict[str, float | None] = {
            "minutes": self.minutes,
            "cpus": self.cpus,
            "memory_gb": self.memory_gb,
            "at_once": self.at_once,
        }
        require_at_least(1, **least)
        require_at_least(0, gpus=self.gpus)


class SlurmJob:
    """A job of Slurm's."""

    def __init__(self, runs: Sequence[Any], job: Any, log: Path):
        self.runs = runs
        self.log = log
        self._job = job

    def ended(self) -> bool:
        return bool(self._job.done())

    def stop(self) -> None:
        """Cancels it: Slurm sends SIGTERM first, on which it saves and leaves."""
        if not self.ended():
            self._job.cancel(check=False)


class SlurmPool:
    """Jobs of Slurm's, through submitit; `cluster` "local" stands in for it on this machine."""

    def __init__(
        self,
        config: JobConfig,
        command: Sequence[str],
        logs: Path,
        *,
        cluster: str | None = "slurm",
    ):
        try:
            import submitit
        except ModuleNotFoundError:
            raise UserError(
                "--slurm needs submitit, which is not installed: pip install 'sgatlin[slurm]'"
            ) from None
        self._submitit = submitit
        self._command, self._logs, self._at_once = list(command), logs, config.at_once
        try:
            self._executor = submitit.AutoExecutor(folder=logs, cluster=cluster)
        except RuntimeError as error:
            raise UserError(f"--slurm: {error}: run this where sbatch is, or without it") from None
        options: dict[str, Any] = {
            "slurm_partition": config.partition,
            "slurm_account": config.account,
        }
        self._executor.update_parameters(
            timeout_min=config.minutes,
            gpus_per_node=config.gpus,
            cpus_per_task=config.cpus,
            mem_gb=config.memory_gb,
            # Why a run failed stands on the one, why its job did on the other.
            stderr_to_stdout=True,
            **{name: value for name, value in options.items() if value is not None},
        )
        self._jobs: list[SlurmJob] = []

    def has_room(self) -> bool:
        return sum(not job.ended() for job in self._jobs) < self._at_once

    def start(self, runs: Sequence[Any]) -> SlurmJob:
        names = [run.name for run in runs]
        self._executor.update_parameters(name=f"isoflop-{_name(runs)}")
        command = self._submitit.helpers.CommandFunction([*self._command, "--only", *names])
        submitted = self._executor.submit(command)
        job = SlurmJob(runs, submitted, Path(submitted.paths.stdout))
        self._jobs.append(job)
        return job


def _name(runs: Sequence[Any]) -> str:
    return f"{runs[0].layer}-s{runs[0].scale:g}"
