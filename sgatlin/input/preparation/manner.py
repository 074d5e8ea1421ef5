# SPDX-License-Identifier: Apache-2.0
"""How a preparation is run, on which its result does not depend."""

import dataclasses
from typing import Literal, get_args

from sgatlin.errors import UserError

EngineName = Literal["processes", "datatrove", "slurm", "ray"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Engine:
    """What runs the groups."""

    name: EngineName = "processes"
    """`processes` of this machine, or datatrove's executor: local, for `slurm` or for `ray`."""
    partition: str | None = None
    """Of Slurm, which has to be named."""
    time: str = "24:00:00"
    """Longest time of one task of Slurm."""

    def __post_init__(self) -> None:
        if self.name not in get_args(EngineName):
            raise UserError(f"engine {self.name!r}: there are {', '.join(get_args(EngineName))}")
        if self.name == "slurm" and self.partition is None:
            raise UserError("--engine.name slurm needs --engine.partition")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manner:
    """How a preparation is run; its result does not depend on it."""

    engine: Engine = dataclasses.field(default_factory=Engine)
    n_workers: int | None = None
    """Processes; None for as many as there are cores."""
    max_bad_records: int = 0
    """So many may be skipped."""
    restart: bool = False
    """Throw away what an unfinished preparation has done."""

    def __post_init__(self) -> None:
        if self.n_workers is not None and self.n_workers < 1:
            raise UserError(f"--workers {self.n_workers} must be at least 1")
        if self.max_bad_records < 0:
            raise UserError(f"--max-bad-records {self.max_bad_records} must be at least 0")
