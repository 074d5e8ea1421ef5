# SPDX-License-Identifier: Apache-2.0
"""`sgatlin runs` and `sgatlin export`.

Runs are listed without JAX, whose import alone takes longer than the whole list: their files are
read as what they are, and however damaged they are, a row says so.
"""

import contextlib
import dataclasses
import json
import math
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import tyro

from sgatlin.errors import UserError
from sgatlin.files import write_output
from sgatlin.tables import aligned

State = Literal["running", "finished", "stopped", "empty", "unreadable"]

# Of metrics.jsonl its last bytes are read: thousands of steps, or a few reports of wide layers.
_TAIL = 2**18
_COLUMNS = ("run", "state", "step", "loss", "val loss", "parameters", "size", "last write")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Runs:
    """List the runs of a folder: state, step, losses, size, age."""

    folder: tyro.conf.Positional[Path] = Path("runs")
    """Where to look for run directories, at any depth; a run directory does too."""
    json: Path | None = None
    """Also write the list here."""

    def __call__(self) -> None:
        if self.json is not None and self.json.is_dir():
            raise UserError(f"--json {self.json} is a folder: name a file")
        if not self.folder.is_dir():
            raise UserError(f"{self.folder} is no folder: name one that has run directories in it")
        rows = list_runs(self.folder)
        print(run_table(rows) if rows else f"no run directories in {self.folder}")
        if self.json is not None:
            write_output(self.json, runs_json(rows))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export:
    """Write a model as safetensors, with its config and tokenizer."""

    run: tyro.conf.Positional[str]
    """RUN, RUN@STEP or RUN@best."""
    out: Path | None = None
    """Folder to make, RUN/export by default; an earlier export there is replaced."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """What parameters are rounded to."""

    def __call__(self) -> None:
        import jax

        # It computes nothing, and a training run may have all of the accelerator's memory.
        jax.config.update("jax_platforms", "cpu")
        from sgatlin.export.write import export_run

        done = export_run(self.run, self.out, self.dtype)
        what = f"{done.n_parameters:,} parameters of step {done.step:,} as {self.dtype}"
        files = "1 file" if done.n_files == 1 else f"{done.n_files} files"
        print(f"{done.folder}: {what}, in {files}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunRow:
    """What is told of one run directory; None where it is not known."""

    path: Path
    state: State
    """Running: a process holds its lock. Finished: it has a result. Stopped: it has neither, and
    goes on when its command is given again. Empty: it has not logged or saved a step."""
    step: int | None = None
    """The last that was logged or saved."""
    steps: int | None = None
    """Of the whole run."""
    loss: float | None = None
    """Of the last training step that was logged, in nats per token."""
    val_loss: float | None = None
    """Of the last validation; of a finished run the one on all held-out tokens."""
    parameters: int | None = None
    """Of the model."""
    bytes: int = 0
    """All files together."""
    last_write: float = 0.0
    """When a file was last written, in seconds since 1970."""
    problem: str | None = None
    """What is damaged, if anything is."""


def list_runs(folder: Path) -> list[RunRow]:
    """Rows of all run directories at or below a folder, by path.

    A run is not searched for others, and neither are hidden folders and links.
    """
    return sorted(_rows(folder), key=lambda row: row.path)


def run_table(rows: Sequence[RunRow], now: float | None = None) -> str:
    """A line for each run; `now`, in seconds since 1970, is what ages are counted from."""
    now = time.time() if now is None else now
    table = [_COLUMNS, *(_cells(row, now) for row in rows)]
    problems = [None, *(row.problem for row in rows)]
    return "\n".join(
        line if problem is None else f"{line}  damaged: {problem}"
        for line, problem in zip(aligned(table), problems, strict=True)
    )


def runs_json(rows: Sequence[RunRow]) -> str:
    """A list of objects with the fields of `RunRow`; a loss that is not finite is null."""
    listed = [dataclasses.asdict(row) for row in rows]
    for fields in listed:
        for name in ("loss", "val_loss"):
            if fields[name] is not None and not math.isfinite(fields[name]):
                fields[name] = None
    return json.dumps(listed, indent=2, default=str) + "\n"


def _rows(folder: Path, *, is_link: bool = False) -> list[RunRow]:
    from sgatlin.train.lock import is_locked

    is_running = is_locked(folder)
    try:
        entries = {entry.name: entry for entry in os.scandir(folder)}
        if {"model.safetensors", "model.safetensors.index.json"} & entries.keys():
            return []  # An export, whose config.json is not a run's.
        if {"config.json", "metrics.jsonl", "checkpoints"} & entries.keys() or is_running:
            return [_row(folder, is_running)]
        below = [entry for name, entry in entries.items() if entry.is_dir() and name[0] != "."]
    except OSError as error:
        return [RunRow(path=folder, state="unreadable", problem=error.strerror)]
    if is_link:
        return []  # It may lead back up.
    return [
        row for entry in below for row in _rows(folder / entry.name, is_link=entry.is_symlink())
    ]


def _row(path: Path, is_running: bool) -> RunRow:
    problems: list[str] = []
    config = _read_object(path / "config.json", problems)
    training = config.get("train")
    steps = _integer(training.get("steps")) if isinstance(training, dict) else None
    if config and steps is None:
        problems.append("config.json is no run's")
    if not is_running and not (path / "config.json").exists():
        problems.append("config.json is missing")
    result = _read_object(path / "result.json", problems)
    logged = _last_logged(path / "metrics.jsonl", problems)
    saved = _last_saved(path / "checkpoints", problems)
    told = (logged.get("step"), saved.get("step"), result.get("steps"))
    step = max((n for n in map(_integer, told) if n is not None), default=None)
    state: State = "empty" if step is None else "stopped"
    if is_running or result:
        state = "running" if is_running else "finished"
    val_losses = [_number(source.get("val_loss")) for source in (result, logged, saved)]
    n_bytes, last_write = _on_disk(path)
    return RunRow(
        path=path,
        state=state,
        step=step,
        steps=steps,
        loss=_number(logged.get("loss")),
        val_loss=next((loss for loss in val_losses if loss is not None), None),
        parameters=_integer(result.get("parameters")) or saved.get("parameters"),
        bytes=n_bytes,
        last_write=last_write,
        problem="; ".join(problems) or None,
    )


def _read_object(path: Path, problems: list[str]) -> dict[str, Any]:
    """A file's JSON object; empty if there is no file, or none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not content:
            raise ValueError
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        problems.append(f"{path.name} cannot be read")
        return {}
    return content


def _last_logged(path: Path, problems: list[str]) -> dict[str, Any]:
    """`step`, `loss` and `val_loss`, each as it was last logged, as far as the file's end has it.

    A line cut off by a kill is no damage: a run that goes on drops it.
    """
    try:
        with path.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - _TAIL)
            file.seek(start)
            lines = file.read(_TAIL).split(b"\n")[1 if start else 0 :]
    except FileNotFoundError:
        return {}
    except OSError:
        problems.append(f"{path.name} cannot be read")
        return {}
    last: dict[str, Any] = {}
    names = ("step", "loss", "val_loss")
    for line in reversed(lines):
        with contextlib.suppress(ValueError, RecursionError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                last = {name: entry[name] for name in names if name in entry} | last
        if len(last) == len(names):
            break
    if not last and len(lines) > 1:
        problems.append(f"the end of {path.name} cannot be read")
    return last


def _last_saved(folder: Path, problems: list[str]) -> dict[str, Any]:
    """`step`, `val_loss` and number of parameters of the last good checkpoint.

    Of its files only the lengths are looked at: reading them would take as long as restoring.
    """
    from sgatlin.train import manifest

    try:
        names = [path.name for path in folder.iterdir() if re.fullmatch(r"\d{1,18}", path.name)]
    except FileNotFoundError:
        return {}
    except OSError:
        problems.append(f"{folder.name} cannot be read")
        return {}
    for step in sorted(map(int, names), reverse=True):
        saved = folder / str(step)
        if not (saved / manifest.FILENAME).exists():
            continue  # Being saved, or cut off: no checkpoint yet.
        if fault := manifest.fault(saved, sizes_only=True):
            problems.append(fault.removeprefix(f"{folder.parent}{os.sep}"))
            continue
        known = manifest.read(saved)
        # Each array is described as float32[4,8,1024,256].
        shapes = [array.partition("[")[2] for array in known.trees["params"].values()]
        n_parameters = sum(math.prod(map(int, re.findall(r"\d+", shape))) for shape in shapes)
        return {"step": step, "val_loss": known.val_loss, "parameters": n_parameters}
    return {}


def _on_disk(path: Path) -> tuple[int, float]:
    """Bytes of all files of a run, and when one was last written."""
    n_bytes, last_write = 0, 0.0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):  # A run that goes on removes files.
                found = Path(folder, name).lstat()
                n_bytes += found.st_size
                last_write = max(last_write, found.st_mtime)
    return n_bytes, last_write


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    return value if isinstance(value, float) else _integer(value)


def _cells(row: RunRow, now: float) -> tuple[str, ...]:
    steps = "" if row.steps is None else f"/{row.steps:,}"
    return (
        # Whatever a folder is called, its row is one line and commands no terminal.
        "".join(c if c.isprintable() else "?" for c in str(row.path)),
        row.state,
        "-" if row.step is None else f"{row.step:,}{steps}",
        *("-" if loss is None else f"{loss:.4f}" for loss in (row.loss, row.val_loss)),
        "-" if row.parameters is None else f"{row.parameters:,}",
        _size(row.bytes),
        _age(now - row.last_write) if row.last_write else "-",
    )


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:,.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.1f} MiB"


def _age(seconds: float) -> str:
    """In the largest unit of which there is one; a clock that is behind says 0 s."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return f"{max(0.0, seconds):.0f} s ago"
