# SPDX-License-Identifier: Apache-2.0
"""The manifest of one checkpoint: what was saved and the hash of every file.

It is written last and atomically: a step without one was never finished. Every file, the manifest
too, carries a SHA-256, so that a flipped bit is found before the file is opened.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from sgatlin.errors import UserError
from sgatlin.files import write_atomically

FILENAME = "manifest.json"
_MEND = "use another step, or copy this one again"


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileRecord:
    """Length in bytes and SHA-256 of one file."""

    size: int
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """What the folder of one step holds.

    `val_loss` is in nats per token, None where it was not measured. `trees` names every array of
    every tree, as "params": {"layers/w_in": "float32[4,8,1024,256]"}. `files` is keyed by the path
    relative to the folder, with slashes.
    """

    step: int
    val_loss: float | None
    trees: dict[str, dict[str, str]]
    files: dict[str, FileRecord]


def describe(leaves: dict[str, Any]) -> dict[str, str]:
    """Type and shape of each array, as an entry of `Manifest.trees`."""
    return {
        path: f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]" for path, leaf in leaves.items()
    }


def check_fit(folder: Path, name: str, saved: dict[str, str], wanted: dict[str, str]) -> None:
    """Raises a UserError that names the first leaf of a tree which differs from what is wanted."""
    for path in [*wanted, *saved]:
        there, here = (leaves.get(path, "absent") for leaves in (saved, wanted))
        if there != here:
            raise UserError(
                f"{folder} does not fit: {name}/{path} is {there} in the checkpoint and {here} in "
                "the model: use the config of the run that saved it"
            )


def hash_files(folder: Path) -> dict[str, FileRecord]:
    """Reads every file below a folder, the manifest's own excepted."""
    return {
        path.relative_to(folder).as_posix(): _record(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != FILENAME
    }


def write(folder: Path, manifest: Manifest) -> None:
    """Writes or replaces the manifest: whole or not at all, whenever the process ends."""
    write_atomically(folder / FILENAME, _render(manifest))


def read(folder: Path) -> Manifest:
    """Reads the manifest of a step's folder; one that was altered is a UserError."""
    path = folder / FILENAME
    try:
        text = path.read_text(encoding="utf-8")
        fields = json.loads(text)
        del fields["sha256"]
        files = {name: FileRecord(**record) for name, record in fields.pop("files").items()}
        manifest = Manifest(files=files, **fields)
        if text == _render(manifest):
            return manifest
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # Whatever a flipped bit can lead to.
    raise UserError(f"{path} is damaged: {_MEND}")


def verify(folder: Path, manifest: Manifest, *, leaving_out: tuple[str, ...] = ()) -> None:
    """Compares every file with its record, except those whose path starts as in `leaving_out`.

    Raises a UserError that names the first file which is missing, of another length or altered.
    """
    if fault := _first_fault(folder, manifest, leaving_out=leaving_out):
        raise UserError(f"{fault}: {_MEND}")


def fault(folder: Path, *, sizes_only: bool = False) -> str | None:
    """What is wrong with a step's folder, naming the first file at fault; None if all is as saved.

    With `sizes_only` no file but the manifest is read: a flipped bit is not found.
    """
    try:
        known = read(folder)
    except UserError:
        return f"{folder / FILENAME} is damaged"
    return _first_fault(folder, known, sizes_only=sizes_only)


def _first_fault(
    folder: Path,
    manifest: Manifest,
    *,
    leaving_out: tuple[str, ...] = (),
    sizes_only: bool = False,
) -> str | None:
    for name, record in manifest.files.items():
        if not name.startswith(leaving_out):
            path = folder / name
            if found := _fault(folder, path, record, sizes_only):
                return f"{path} {found}"
    return None


def _fault(folder: Path, path: Path, record: FileRecord, sizes_only: bool) -> str | None:
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            return "is outside the checkpoint that lists it"
        if not path.is_file():
            return "is missing"
        if (size := path.stat().st_size) != record.size:
            return f"has {size} bytes, not {record.size}"
        if not sizes_only and _record(path) != record:
            return "is damaged (its SHA-256 is not the manifest's)"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None


def _record(path: Path) -> FileRecord:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileRecord(size=file.tell(), sha256=digest)


def _render(manifest: Manifest) -> str:
    """The file's text. Its last entry is the hash of the rest, so that the text proves itself."""
    fields = dataclasses.asdict(manifest)
    digest = hashlib.sha256(json.dumps(fields).encode()).hexdigest()
    return json.dumps({**fields, "sha256": digest}, indent=1) + "\n"
