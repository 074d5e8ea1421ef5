# SPDX-License-Identifier: Apache-2.0
"""Where metrics go: metrics.jsonl, TensorBoard, Weights & Biases, a line on the terminal."""

import errno
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO, runtime_checkable

import numpy as np

from sgatlin.config import LogConfig
from sgatlin.errors import UserError
from sgatlin.files import write_atomically

Metrics = Mapping[str, Any]
"""Numbers, or arrays with one value a layer, or a layer and channel."""


@runtime_checkable
class Tracker(Protocol):
    """Takes the metrics of one step after another."""

    def log(self, step: int, metrics: Metrics) -> None: ...

    def close(self) -> None: ...


class Appended:
    """A file to whose end records are written whole, at once and unbuffered.

    OSError if one does not fit on the disk; nothing then is left to be written on closing.
    """

    def __init__(self, path: Path):
        self._path = path
        self._file = path.open("ab", buffering=0)

    def write(self, record: bytes) -> None:
        try:
            n_written = self._file.write(record)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from None
        if n_written != len(record):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def close(self) -> None:
        self._file.close()


class JsonLines:
    """One JSON object a line: {"step": ..., "time": seconds since 1970, metric: value, ...}.

    A run that goes on from a checkpoint repeats the steps from `first_step` on, and the validation
    of the one before if it `validates_again`: what there was of them is dropped.
    """

    def __init__(self, path: Path, first_step: int, *, validates_again: bool = False):
        self._drop_from(path, first_step, validates_again)
        self._file = Appended(path)

    @staticmethod
    def _drop_from(path: Path, first_step: int, validates_again: bool) -> None:
        if not path.exists():
            return
        kept = []
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
                again = validates_again and row["step"] == first_step - 1 and "val_loss" in row
                if row["step"] < first_step and not again:
                    kept.append(line + "\n")
            except (ValueError, KeyError, TypeError):
                continue  # A line cut off when the process was killed.
        write_atomically(path, "".join(kept))

    def log(self, step: int, metrics: Metrics) -> None:
        values = {name: np.asarray(value).tolist() for name, value in metrics.items()}
        line = json.dumps({"step": step, "time": round(time.time(), 3), **values})
        self._file.write(f"{line}\n".encode())

    def close(self) -> None:
        self._file.close()


class WeightsAndBiases:
    """A run of a Weights & Biases project, continued under the same id."""

    def __init__(self, folder: Path, project: str):
        try:
            import wandb
        except ImportError:
            raise UserError(
                "log.wandb_project is set but wandb is not installed: "
                "install it with `uv sync --extra wandb`"
            ) from None
        self._run = wandb.init(
            project=project, dir=str(folder), name=folder.name, id=folder.name, resume="allow"
        )

    def log(self, step: int, metrics: Metrics) -> None:
        self._run.log(by_layer(metrics), step=step)

    def close(self) -> None:
        self._run.finish()


def by_layer(metrics: Metrics) -> dict[str, float]:
    """One number a name: NAME, NAME/layer0 or NAME/layer0/channel0."""
    flat: dict[str, float] = {}
    for name, value in metrics.items():
        for index, number in np.ndenumerate(np.asarray(value)):
            place = "".join(
                f"/{axis}{i}" for axis, i in zip(("layer", "channel"), index, strict=False)
            )
            flat[name + place] = number.item()
    return flat


def make_trackers(
    config: LogConfig, folder: Path, first_step: int, *, validates_again: bool = False
) -> list[Tracker]:
    """The trackers of a run that starts, or goes on, at `first_step`; see `JsonLines`."""
    trackers: list[Tracker] = []
    if config.wandb_project is not None:  # first: it may refuse, and then no file is open
        trackers.append(WeightsAndBiases(folder, config.wandb_project))
    trackers.append(
        JsonLines(folder / "metrics.jsonl", first_step, validates_again=validates_again)
    )
    if config.tensorboard:
        from sgatlin.train.tensorboard import TensorBoard

        trackers.append(TensorBoard(folder / "tensorboard", first_step))
    return trackers


class ProgressLine:
    """One line that is rewritten on a terminal, and printed now and then elsewhere."""

    def __init__(self, stream: TextIO | None = None, seconds_between: float = 5.0):
        self._stream = sys.stdout if stream is None else stream
        self._live = self._stream.isatty()
        self._seconds_between = seconds_between
        self._last = -float("inf")
        self._width = 0

    def show(self, line: str, *, last: bool = False) -> None:
        """Shows `line`, the one that stays if `last`."""
        if self._live:
            self._stream.write("\r" + line.ljust(self._width) + ("\n" if last else ""))
            self._width = 0 if last else len(line)
        elif last or time.monotonic() - self._last >= self._seconds_between:
            self._last = time.monotonic()
            self._stream.write(line + "\n")
        self._stream.flush()

    def end(self) -> None:
        """Leaves a live line as it is and goes to the next."""
        if self._live and self._width:
            self._stream.write("\n")
            self._width = 0


def duration(seconds: float) -> str:
    """1:02:03 or 2:03."""
    minutes, secs = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"
