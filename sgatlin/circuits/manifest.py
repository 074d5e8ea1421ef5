# SPDX-License-Identifier: Apache-2.0
"""The manifest of a record: what it is of and what it holds, with the size of every file."""

import json
from pathlib import Path
from typing import Annotated

import pydantic

from sgatlin.errors import UserError

SCHEMA = "sgatlin-circuits"
VERSION = 1
MANIFEST = "manifest.json"
RECORD_AGAIN = "record it again with `sgatlin circuits record`"


class _Part(pydantic.BaseModel):
    """Part of a manifest. Fields that this program does not know are of later ones: ignored."""

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore")


def _inside(name: str) -> str:
    if name in ("", ".", "..") or any(separator in name for separator in "/\\:"):
        raise ValueError(f"the file name {name!r} leads out of the record")
    return name


class ShardFile(_Part):
    """One file of a record; `size` in bytes."""

    file: Annotated[str, pydantic.AfterValidator(_inside)]
    size: pydantic.PositiveInt


class Shard(_Part):
    """Whole documents: their positions, and the gates of these."""

    n_positions: pydantic.PositiveInt
    positions: ShardFile
    gates: ShardFile


class RecordManifest(_Part):
    """What a record is of, and what it holds."""

    run: str
    step: int
    tokenizer_hash: str
    store: str
    n_layers: pydantic.PositiveInt
    n_channels: pydantic.PositiveInt
    n_neurons: pydantic.PositiveInt
    top_k: pydantic.PositiveInt
    group: pydantic.PositiveInt = 1
    """Neurons side by side that are chosen together and share a score."""
    shared_pool: bool
    has_activations: bool
    n_predictions: pydantic.PositiveInt
    context: pydantic.PositiveInt
    """Tokens of the longest sequence that was read, that of the beginning included."""
    n_positions: pydantic.NonNegativeInt
    n_sequences: pydantic.NonNegativeInt
    n_cut: pydantic.NonNegativeInt
    """Documents longer than the context, of which the beginning was recorded."""
    shards: tuple[Shard, ...]

    @pydantic.model_validator(mode="after")
    def _adds_up(self) -> "RecordManifest":
        if self.n_positions != sum(shard.n_positions for shard in self.shards):
            raise ValueError("n_positions is not the sum over the shards")
        return self

    @property
    def size(self) -> int:
        """Bytes of all shards."""
        return sum(shard.positions.size + shard.gates.size for shard in self.shards)

    def to_json(self) -> str:
        """As it is written."""
        content = {"schema": SCHEMA, "version": VERSION, **self.model_dump()}
        return json.dumps(content, indent=2) + "\n"


def is_record(path: Path) -> bool:
    """Whether a folder holds a record, of whatever version, damaged or not."""
    try:
        content = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("schema") == SCHEMA


def read_manifest(path: Path) -> RecordManifest:
    """The manifest of the record in a folder.

    Raises:
      UserError: when there is none, or one that is damaged or of another version.
    """
    file = path / MANIFEST
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"no record at {path}: make one with `sgatlin circuits record RUN --out {path}`"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {file} ({error}): {RECORD_AGAIN}") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise UserError(f"{file} is not of a record of circuits: name the folder of one")
    if content.get("version") != VERSION:
        raise UserError(
            f"{file} is of version {content.get('version')}, this program reads {VERSION}: "
            f"{RECORD_AGAIN}"
        )
    try:
        return RecordManifest.model_validate(content)
    except pydantic.ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise UserError(
            f"{file} is damaged, {where or 'counts'}: {fault['msg']}: {RECORD_AGAIN}"
        ) from None
