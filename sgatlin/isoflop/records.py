# SPDX-License-Identifier: Apache-2.0
"""What the runs of a study came to: a JSON file for each, which is all that the analysis reads.

RESULTS/sgatlin-s1.5-1e15.json        a finished run
RESULTS/steps-nvidia-h100.json        times and memory of steps on one device
"""

import dataclasses
import json
import re
import tempfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pydantic

from sgatlin.config import Config, flatten, to_json
from sgatlin.errors import UserError
from sgatlin.files import write_atomically
from sgatlin.isoflop.budget import Budget, short
from sgatlin.isoflop.record_file import read_file, with_header, without_header

STEPS_PREFIX = "steps-"
RULE_PREFIX = "rule-"
_WITHOUT_EFFECT = (
    "name",
    "data.source.path",
    "train.eval_",
    "guard.",
    "mesh.",
    "checkpoint.",
    "log.",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One training run of a study."""

    layer: str
    """Name of the layer, one of the study's."""
    scale: float
    """Of the ladder."""
    budget: Budget
    seed: int = 0
    """Of initialisation and data order."""
    learning_rate: float
    """Peak rate."""
    default_rate: bool = True
    """Whether that is the study's own rate, and no part of a grid of rates."""
    nested: tuple[Budget, ...] = ()
    """Budgets that share this run's trunk of constant rate, its own included, smallest first; empty
    for a run of its own. Rate, warm-up and batch size are those of the largest."""

    @property
    def name(self) -> str:
        """Names its files: sgatlin-s1.5-1e15, and what differs from seed 0 and the study's rate."""
        rate = "" if self.default_rate else f"-lr{short(self.learning_rate)}"
        seed = f"-seed{self.seed}" if self.seed else ""
        return f"{self.layer}-s{short(self.scale)}-{self.budget.name}{rate}{seed}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Documents:
    """A run's loss on each held-out document, or group of neighbouring documents, in order."""

    nats: tuple[float, ...]
    """Summed over the tokens."""
    tokens: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """Validation during a run, in the order of steps; of a branch from its trunk's first step on.

    The last point is of all held-out tokens, those before it of the run's `eval_tokens`.
    """

    steps: tuple[int, ...]
    losses: tuple[float, ...]
    """Nats per token."""
    copy_scores: tuple[float | None, ...]
    """Nats per token, as in `Copying`; None where windows are too short for a score."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copying:
    """The final model's loss on random spans that come twice (`eval.copying`)."""

    first: float
    """Nats per token where a span occurs for the first time."""
    second: float
    """Nats per token where it is repeated."""

    @property
    def score(self) -> float:
        """The copy score: nats per token that the first occurrence saves the second."""
        return self.first - self.second


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quarters:
    """The final loss by quarter of repetition, least repetitive first (`eval.repetition`)."""

    losses: tuple[float | None, ...]
    """Nats per token; None where a quarter holds no document."""
    tokens: tuple[int, ...]
    """Held-out tokens of each, nearly equal."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What a finished run came to."""

    val_loss: float
    """Nats per token, over all held-out tokens."""
    val_bits_per_byte: float
    steps: int
    tokens: int
    """Trained on."""
    epochs: float
    """How often the training windows were seen."""
    parameters: int
    """All, the tied embedding counted once."""
    active_parameters: int
    """Those that a token's logits are computed with."""
    non_embedding_parameters: int
    flops_paper: float
    """Of training, without the unembedding."""
    flops_full: float
    """With it."""
    seconds: float
    """Of the run, which may have shared its device: for step times see `StepTimes`."""
    device: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One file of results."""

    run: Run
    result: Result
    documents: Documents
    config: dict[str, Any]
    """All of the run's config, as in its config.json."""
    data: dict[str, str]
    """Content hashes of the stores `train` and `validation`."""
    versions: dict[str, str]
    """Of sgatlin, JAX and Python."""
    curve: Curve | None = None
    """None in a record of format version 1."""
    copying: Copying | None = None
    """None in a record of format version 1, or where windows are too short for it."""
    quarters: Quarters | None = None
    """None in a record of format version 1."""

    @property
    def loss(self) -> float:
        """Nats per token, over all held-out tokens."""
        return self.result.val_loss

    def differences(self, config: Config) -> list[str]:
        """Fields in which the run was another than `config`: "field: there, now".

        Not counted is what changes no result: names, places, logs, checkpoints, the mesh; nor are
        fields that there were not when the run was made.
        """
        before = dict(flatten(self.config))
        now = dict(flatten(json.loads(to_json(config))))
        return [
            f"{name}: {before[name]!r}, {now[name]!r}"
            for name in sorted(before.keys() & now.keys())
            if before[name] != now[name] and not name.startswith(_WITHOUT_EFFECT)
        ]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepRow:
    """One layer at one scale: a training step as the study takes it."""

    layer: str
    scale: float
    ms: float
    """Median milliseconds."""
    state_bytes: int
    """Parameters, optimizer state, counters."""
    temporary_bytes: int | None
    """What XLA plans besides; None where it does not say."""

    @property
    def memory(self) -> int | None:
        """Bytes that training takes at least; None where XLA does not say."""
        return None if self.temporary_bytes is None else self.state_bytes + self.temporary_bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepTimes:
    """Steps measured on one device, alone on it."""

    device: str
    """JAX's name for it."""
    versions: dict[str, str]
    rows: tuple[StepRow, ...]

    @cached_property
    def _by_model(self) -> dict[tuple[str, float], StepRow]:
        return {(row.layer, row.scale): row for row in self.rows}

    def row(self, layer: str, scale: float) -> StepRow | None:
        """The measurement of a layer at a scale, if there is one."""
        return self._by_model.get((layer, scale))

    def with_row(self, row: StepRow) -> "StepTimes":
        """The same with one more, or another in its place."""
        others = (r for r in self.rows if (r.layer, r.scale) != (row.layer, row.scale))
        rows = sorted((*others, row), key=lambda r: (r.layer, r.scale))
        return dataclasses.replace(self, rows=tuple(rows))


class StepTimeMissing(UserError):
    """A run at equal time cannot be made: its step has not been measured on that device."""


_RECORD = pydantic.TypeAdapter(Record)
_STEP_TIMES = pydantic.TypeAdapter(StepTimes)


class Results:
    """The folder of a study's records."""

    def __init__(self, path: Path):
        self.path = path

    def file(self, run: Run) -> Path:
        return self.path / f"{run.name}.json"

    def names(self) -> set[str]:
        """Of the runs that are finished."""
        return {file.stem for file in self._files()}

    def read(self, run: Run) -> Record:
        """A finished run's; UserError if it cannot be read."""
        return self._read(self.file(run))

    def records(self) -> list[Record]:
        """All, by file name; UserError if one cannot be read."""
        return [self._read(file) for file in sorted(self._files())]

    def make(self) -> None:
        """Makes the folder if need be; UserError if nothing can be written to it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):  # of its own name: workers ask at once
                pass
        except OSError as error:
            raise UserError(
                f"cannot write to {self.path}: {error.strerror}; choose another --results"
            ) from None

    def write(self, record: Record) -> None:
        """UserError if it cannot be written."""
        self._write(self.file(record.run), with_header(_RECORD.dump_python(record, mode="json")))

    def step_times(self) -> list[StepTimes]:
        """Of all devices that were measured, by file name."""
        files = sorted(self.path.glob(f"{STEPS_PREFIX}*.json"))
        return [read_file(_STEP_TIMES, file) for file in files]

    def write_step_times(self, times: StepTimes) -> None:
        """UserError if they cannot be written."""
        device = re.sub(r"[^a-z0-9]+", "-", times.device.lower()).strip("-")
        text = _STEP_TIMES.dump_json(times, indent=1).decode()
        self._write(self.path / f"{STEPS_PREFIX}{device}.json", text)

    def step_seconds(self, layer: str, scale: float, device: str) -> float:
        """A measured step's time; StepTimeMissing where there is none."""
        for times in self.step_times():
            row = times.row(layer, scale)
            if times.device == device and row is not None:
                return 1e-3 * row.ms
        raise StepTimeMissing(
            f"{self.path} has no step time of {layer} at s={scale:g} on {device}: measure it there "
            "with `sgatlin isoflop time`"
        )

    def _files(self) -> Iterator[Path]:
        files = self.path.glob("*.json")
        return (file for file in files if not file.name.startswith((STEPS_PREFIX, RULE_PREFIX)))

    def _read(self, file: Path) -> Record:
        record: Record = read_file(_RECORD, file, without_header)
        if record.run.name != file.stem:
            raise UserError(
                f"{file} is of the run {record.run.name}: name it {record.run.name}.json"
            )
        return record

    def _write(self, file: Path, text: str) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_atomically(file, text + "\n")
        except OSError as error:
            raise UserError(
                f"cannot write {file}: {error.strerror}; choose another folder"
            ) from None
