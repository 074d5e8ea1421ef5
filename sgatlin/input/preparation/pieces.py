# SPDX-License-Identifier: Apache-2.0
"""Pieces: the parts of a group that are durable one by one.

A piece is some `Request.shard_tokens` of consecutive documents: its shards (one for each split and
set, in the order in which they first appear), the hashes of its texts, and
`groups/GROUP/PIECE.json`, which is written last and tells where in the files the next piece begins.
What no such file tells of was interrupted, and is made again.
"""

import contextlib
import hashlib
import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sgatlin.errors import RunStopped, UserError
from sgatlin.input.manifest import BadRecord, InputFile, Record, Shard
from sgatlin.input.preparation.inputs import SPLITS, Split
from sgatlin.input.preparation.plan import Group
from sgatlin.input.shard import ShardWriter
from sgatlin.input.tokenizer import Tokenizer

HASH_DTYPE = np.dtype("<u8")
# More shards than that in one piece: what names the sets names something else.
_MAX_SHARDS = 256


class Piece(Record):
    """A finished part of a group."""

    fingerprint: str
    """The group's, when it was made."""
    n_inputs: int
    """Files of the group that have been read to their end."""
    n_records: int
    """Records that have been read of the file after those."""
    shards: tuple[tuple[Split, Shard], ...]
    inputs: tuple[InputFile, ...]
    """Files whose end is in this piece."""
    bad_records: tuple[BadRecord, ...]
    n_empty: int


def finished_pieces(work: Path, group: Group) -> list[Piece]:
    """The finished pieces of a group, in order; those of other files or settings do not count."""
    pieces: list[Piece] = []
    while True:
        try:
            text = piece_file(work, group, len(pieces)).read_text(encoding="utf-8")
            piece = Piece.model_validate_json(text)
        except (FileNotFoundError, ValueError):
            return pieces
        if piece.fingerprint != group.fingerprint:
            return pieces
        pieces.append(piece)


def is_finished(group: Group, pieces: Sequence[Piece]) -> bool:
    """Whether pieces are all of a group."""
    return bool(pieces) and pieces[-1].n_inputs == len(group.inputs)


def unfinished(work: Path, groups: Sequence[Group]) -> list[Group]:
    """The groups that are still to be prepared."""
    return [group for group in groups if not is_finished(group, finished_pieces(work, group))]


def group_folder(work: Path, group: Group) -> Path:
    return work / "groups" / f"{group.index:05d}"


def piece_file(work: Path, group: Group, index: int) -> Path:
    return group_folder(work, group) / f"{index:05d}.json"


def hash_file(work: Path, split: Split, shard: Shard) -> Path:
    """Where the hashes of a shard's texts are, one of `HASH_DTYPE` for each document."""
    return work / "hashes" / split / shard.documents.file


def text_hash(text: bytes) -> int:
    """64 bits that tell texts apart."""
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def is_held_out(text: bytes, fraction: float) -> bool:
    """Whether a text is of the share that is held out: by itself alone, so copies stay together."""
    return text_hash(b"split" + text) < fraction * 2**64


def remove_unfinished(work: Path, group: Group, finished: Sequence[Piece]) -> None:
    """Removes the files of a group that no finished piece tells of."""
    kept = {
        file.file
        for piece in finished
        for _, shard in piece.shards
        for file in (shard.tokens, shard.documents)
    }
    for split in SPLITS:
        for folder in (work / split, work / "hashes" / split):
            for path in folder.glob(f"*-{group.index:05d}-*.bin"):
                if path.name not in kept:
                    path.unlink()
    for path in group_folder(work, group).glob("*.json"):
        if int(path.stem) >= len(finished):
            path.unlink()


@contextlib.contextmanager
def writing_to(work: Path) -> Iterator[None]:
    """Turns a failure of the disk into one line."""
    try:
        yield
    except OSError as error:
        raise RunStopped(
            f"cannot write to {work}: {error.strerror}; what is finished is kept: make room, and "
            "give the same command again"
        ) from error


class _OpenShard(NamedTuple):
    writer: ShardWriter
    hashes: "array[int]"


class OpenPiece:
    """A piece that is being written; `close` makes its shards durable."""

    def __init__(self, work: Path, name: str, tokenizer: Tokenizer):
        """`name` begins the names of its shards."""
        self._work, self._name, self._tokenizer = work, name, tokenizer
        self._shards: dict[tuple[Split, str | None], _OpenShard] = {}
        self.n_tokens = 0
        self.n_empty = 0
        self.bad_records: list[BadRecord] = []
        self.inputs: list[InputFile] = []

    def add(self, split: Split, set: str | None, ids: np.ndarray, text: bytes) -> None:
        """Adds a document."""
        shard = self._shards.get((split, set)) or self._open(split, set)
        shard.writer.add(ids, len(text))
        shard.hashes.append(text_hash(text))
        self.n_tokens += len(ids) + 1

    def close(self) -> tuple[tuple[Split, Shard], ...]:
        shards = []
        for (split, _), open_shard in self._shards.items():
            shard = open_shard.writer.close()
            path = hash_file(self._work, split, shard)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.write(np.array(open_shard.hashes, dtype=HASH_DTYPE).tobytes())
                file.flush()
                os.fsync(file.fileno())
            shards.append((split, shard))
        return tuple(shards)

    def abandon(self) -> None:
        for shard in self._shards.values():
            shard.writer.abandon()

    def _open(self, split: Split, set: str | None) -> _OpenShard:
        if len(self._shards) == _MAX_SHARDS:
            raise UserError(
                f"more than {_MAX_SHARDS} sets, the last {set!r}: name a field of few values with "
                "--set-field, or none"
            )
        folder = self._work / split
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{self._name}-{len(self._shards):02d}"
        writer = ShardWriter(folder, name, self._tokenizer, set=set)
        self._shards[split, set] = _OpenShard(writer, array("Q"))
        return self._shards[split, set]
