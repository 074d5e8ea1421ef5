# SPDX-License-Identifier: Apache-2.0
"""The manifest of a token store: what it holds, with size and hash of every file."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pydantic

from sgatlin.errors import UserError

FORMAT_VERSION: Literal[1] = 1
MANIFEST = "manifest.json"
OFFSET_DTYPE = np.dtype("<i8")


def _inside_store(name: str) -> str:
    if name in ("", ".", "..") or any(separator in name for separator in "/\\:"):
        raise ValueError(f"the file name {name!r} leads out of the store")
    return name


class Record(pydantic.BaseModel):
    """What is written as JSON and read back strictly."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class ShardFile(Record):
    """One file of a store; `size` in bytes."""

    file: Annotated[str, pydantic.AfterValidator(_inside_store)]
    size: pydantic.NonNegativeInt
    sha256: str


class Shard(Record):
    """Whole documents, of one set where the text has sets: their tokens, and where each starts."""

    n_tokens: pydantic.PositiveInt
    n_documents: pydantic.PositiveInt
    n_bytes: pydantic.NonNegativeInt
    set: str | None = None
    tokens: ShardFile
    documents: ShardFile


class Counts(Record):
    """How much text there is; `n_bytes` is UTF-8, `n_tokens` counts every bos."""

    n_tokens: int
    n_documents: int
    n_bytes: int


class InputFile(Record):
    """A file that was read; its path within the folder or repository that was named."""

    file: str
    size: pydantic.NonNegativeInt
    sha256: str


class BadRecord(Record):
    """What was skipped: `record` counts lines, rows or documents of a file from 1."""

    file: str
    record: pydantic.PositiveInt
    reason: str


class Manifest(Record):
    """What a store holds. `n_tokens` counts every bos, `n_bytes` is UTF-8 text without them."""

    format_version: Literal[1] = FORMAT_VERSION
    source: str
    n_tokens: int
    n_documents: int
    n_bytes: int
    dtype: Literal["uint16", "uint32"]
    vocab_size: pydantic.PositiveInt
    tokenizer_hash: str
    sets: dict[str, Counts] = {}
    n_empty: pydantic.NonNegativeInt = 0
    """Documents without text, which are left out."""
    n_duplicates: pydantic.NonNegativeInt | None = None
    """Documents whose text another one of the preparation has too, beyond the first of each."""
    bad_records: tuple[BadRecord, ...] = ()
    inputs: tuple[InputFile, ...] = ()
    shards: Annotated[tuple[Shard, ...], pydantic.Field(min_length=1)]

    @pydantic.model_validator(mode="after")
    def _adds_up(self) -> "Manifest":
        item = np.dtype(self.dtype).itemsize
        for shard in self.shards:
            if (shard.tokens.size, shard.documents.size) != (
                shard.n_tokens * item,
                shard.n_documents * OFFSET_DTYPE.itemsize,
            ):
                raise ValueError(f"counts and sizes of {shard.tokens.file} disagree")
        total = count(self.shards)
        for name in Counts.model_fields:
            if getattr(self, name) != getattr(total, name):
                raise ValueError(f"{name} is not the sum over the shards")
        if self.sets != count_sets(self.shards):
            raise ValueError("sets are not the sums over the shards")
        return self


def count(shards: Iterable[Shard]) -> Counts:
    """The sum over shards."""
    shards = tuple(shards)
    return Counts(**{name: sum(getattr(s, name) for s in shards) for name in Counts.model_fields})


def count_sets(shards: Iterable[Shard]) -> dict[str, Counts]:
    """The sums over the shards of each set, sorted by name; empty where there are no sets."""
    by_set: dict[str, list[Shard]] = {}
    for shard in shards:
        if shard.set is not None:
            by_set.setdefault(shard.set, []).append(shard)
    return {name: count(by_set[name]) for name in sorted(by_set)}


def read_manifest(path: Path) -> Manifest:
    """Reads the manifest of the store in a folder.

    Raises:
      UserError: when there is none, or one that is damaged or of another format.
    """
    file = path / MANIFEST
    again = "prepare it again with `sgatlin prepare`"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path} has no {MANIFEST}, it is no complete token store: {again}"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {file} ({error}): {again}") from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise UserError(f"{file} is of format {version}, this program reads 1: {again}")
    try:
        return Manifest.model_validate(content)
    except pydantic.ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise UserError(
            f"{file} is damaged, {where or 'counts'}: {fault['msg']}: {again}"
        ) from None
