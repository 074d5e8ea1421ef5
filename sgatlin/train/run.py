# SPDX-License-Identifier: Apache-2.0
"""A run directory: its config, tokenizer, data's hashes, metrics, checkpoints and result."""

import contextlib
import dataclasses
import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sgatlin.config import Config, differing_fields, from_json, to_json
from sgatlin.errors import RunStopped, UserError
from sgatlin.eval.documents import DocumentLosses
from sgatlin.files import write_atomically
from sgatlin.train import checkpoint, lock

# A disk that is full, read-only or failing. Other errors of files are ours: they keep their trace.
_DISK_ERRORS = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE)
)


@dataclasses.dataclass(frozen=True)
class RunDirectory:
    """The files of one run."""

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / "config.json"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def skipped_file(self) -> Path:
        return self.path / "skipped.jsonl"

    @property
    def result_file(self) -> Path:
        return self.path / "result.json"

    @property
    def documents_file(self) -> Path:
        return self.path / "documents.json"

    @property
    def tokenizer_file(self) -> Path:
        return self.path / "tokenizer.json"

    @property
    def data_file(self) -> Path:
        return self.path / "data.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @classmethod
    def open(cls, path: Path) -> "RunDirectory":
        """An existing run, or UserError."""
        run = cls(path)
        if not run.config_file.is_file():
            raise UserError(f"{path} is not a run directory: it has no config.json")
        return run

    @classmethod
    def claim(cls, path: Path, config: Config) -> "RunDirectory":
        """The directory of a run that starts or goes on; UserError if another run's.

        How often to log and to save may change when a run goes on, and so may the mesh and what
        becomes of bad steps; nothing else may. Nothing is written yet, so that a run which fails
        its checks leaves no directory behind.
        """
        run = cls(path)
        if run.config_file.exists():
            before = run.config()
            same = dataclasses.replace(
                before,
                guard=config.guard,
                mesh=config.mesh,
                log=config.log,
                checkpoint=config.checkpoint,
            )
            if differing := differing_fields(same, config):
                raise UserError(
                    f"{path} holds a run with another config (field: there, now): "
                    f"{'; '.join(differing)}. Choose another --workdir, or the same config"
                )
        elif path.exists() and (not path.is_dir() or not all(map(_is_leftover, path.iterdir()))):
            raise UserError(f"{path} exists and is not a run directory: choose another --workdir")
        return run

    def create(self, config: Config) -> None:
        """Makes the directory if need be, and writes config.json; UserError if it cannot.

        What a killed process had half written is removed.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for partial in self.path.glob(".*.partial"):
                partial.unlink(missing_ok=True)
            write_atomically(self.config_file, to_json(config))
        except OSError as error:
            reason = f"cannot write the run directory {self.path}: {error.strerror}"
            raise UserError(f"{reason}; choose another --workdir") from None

    def config(self) -> Config:
        """The run's config; UserError if it cannot be read."""
        try:
            text = self.config_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read {self.config_file}: {error}") from None
        return from_json(text, origin=str(self.config_file))

    def data_hashes(self) -> dict[str, str] | None:
        """What `write_data_hashes` wrote; None before that, UserError if it cannot be read."""
        try:
            hashes = json.loads(self.data_file.read_text(encoding="utf-8"))
            if not isinstance(hashes, dict):
                raise ValueError("it is no JSON object")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read {self.data_file}: {error}") from None
        return hashes

    def write_data_hashes(self, hashes: dict[str, str]) -> None:
        """Keeps a hash of each token store that the run reads; OSError if it cannot."""
        write_atomically(self.data_file, json.dumps(hashes, indent=2) + "\n")

    def last_good(self) -> str:
        """In words which checkpoint a stopped run can go on from."""
        step = checkpoint.latest(self.checkpoints)
        if step is None:
            return "there is no checkpoint yet"
        return f"the last good checkpoint is step {step} in {self.checkpoints}"

    @contextlib.contextmanager
    def disk_errors_told(self) -> Iterator[None]:
        """Within it a disk that is full, read-only or failing ends the run in one line: RunStopped.

        Checkpoints tell of their own failures; this is for all else that a run writes.
        """
        try:
            yield
        except OSError as error:
            if error.errno not in _DISK_ERRORS:
                raise
            where = "" if error.filename else f" in {self.path}"
            raise RunStopped(
                f"stopped: {error}{where}; {self.last_good()}: "
                "mend the disk and start again with the same directory"
            ) from error

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl; none if there is no such file. OSError if it cannot be read.

        A line cut off when the process was killed is left out.
        """
        rows: list[dict[str, Any]] = []
        if not self.metrics_file.exists():
            return rows
        for line in self.metrics_file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                rows.append(row)
        return rows

    def take_metrics(self, trunk: "RunDirectory", step: int) -> None:
        """Begins metrics.jsonl with the rows of the run that this one branches off, up to a step.

        OSError if it cannot.
        """
        rows = [row for row in trunk.metrics() if row["step"] <= step]
        write_atomically(self.metrics_file, "".join(json.dumps(row) + "\n" for row in rows))

    def result(self) -> dict[str, Any]:
        """What `write_result` wrote; UserError if it cannot be read."""
        try:
            return json.loads(self.result_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(
                f"cannot read {self.result_file}: {error}: remove it, and the same command writes "
                "it again"
            ) from None

    def write_result(self, result: dict[str, Any], documents: DocumentLosses) -> None:
        """Keeps what the run came to, and its loss by held-out document; OSError if it cannot."""
        write_atomically(self.documents_file, json.dumps(documents.to_json()) + "\n")
        write_atomically(self.result_file, json.dumps(result, indent=2) + "\n")


def _is_leftover(path: Path) -> bool:
    """Whether a start that was killed leaves such a file: its lock, or a config half written."""
    return path.name == lock.FILENAME or path.match(".*.partial")
