# SPDX-License-Identifier: Apache-2.0
"""Preparing one group of files: read, encode, write, in durable pieces."""

import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import filelock

from sgatlin.errors import UserError
from sgatlin.files import write_atomically
from sgatlin.input.encoder import Encoder, make_encoder
from sgatlin.input.manifest import BadRecord
from sgatlin.input.preparation.inputs import Input, Split
from sgatlin.input.preparation.pieces import (
    OpenPiece,
    Piece,
    finished_pieces,
    group_folder,
    is_finished,
    is_held_out,
    piece_file,
    remove_unfinished,
    writing_to,
)
from sgatlin.input.preparation.plan import Group, Plan, work_tokenizer
from sgatlin.input.records import Document, RecordReader, record_unit

# Text that is encoded at a time.
_BATCH_CHARACTERS = 1 << 20
# Of each of the first texts: their ids are compared with the tokenizer's own.
_CHECKED_CHARACTERS = 4096

# (bytes of the group's files read so far, bytes of text added) -> None; may raise to stop.
Progress = Callable[[int, int], None]


def prepare_group(
    work: Path,
    plan: Plan,
    group: Group,
    *,
    max_bad_records: int = 0,
    n_threads: int = 1,
    progress: Progress = lambda n_read, n_text: None,
) -> None:
    """Prepares what is not prepared yet of a group; of several processes, one does it.

    Args:
      max_bad_records: so many of the group may be skipped.
      n_threads: that encode.
      progress: is told after each batch.

    Raises:
      UserError: at the first bad record that may not be skipped, and when a file cannot be read.
      RunStopped: when the disk is full or fails.
    """
    with writing_to(work):
        group_folder(work, group).mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(group_folder(work, group) / "lock"):
            pieces = finished_pieces(work, group)
            if is_finished(group, pieces):
                return
            remove_unfinished(work, group, pieces)
            work_on = _GroupWork(work, plan, group, pieces, max_bad_records)
            try:
                work_on.run(n_threads, progress)
            finally:
                work_on.piece.abandon()


def bad_record_error(record: BadRecord, limit: int) -> UserError:
    """What is told of a bad record that may not be skipped."""
    mend = "--max-bad-records 1 would skip one" if limit == 0 else f"--max-bad-records is {limit}"
    return UserError(
        f"{record.file}, {record_unit(record.file)} {record.record}: {record.reason} ({mend})"
    )


class _GroupWork:
    """A group on its way from its last finished piece to its end."""

    def __init__(
        self, work: Path, plan: Plan, group: Group, pieces: list[Piece], max_bad_records: int
    ):
        self.work, self.plan, self.group = work, plan, group
        self.encoder = _encoder(work, plan.tokenizer_hash)
        self.is_checked = False
        self.max_bad_records = max_bad_records
        self.n_bad = sum(len(piece.bad_records) for piece in pieces)
        # Where to begin: so many files, and records of the next, are done.
        self.n_inputs = pieces[-1].n_inputs if pieces else 0
        self.n_records = pieces[-1].n_records if pieces else 0
        self.n_pieces = len(pieces)
        self.n_text = 0
        self.piece = self._open_piece()

    def run(self, n_threads: int, progress: Progress) -> None:
        n_read = sum(file.size for file in self.group.inputs[: self.n_inputs])
        for file in self.group.inputs[self.n_inputs :]:
            reader = RecordReader(
                Path(file.path), file.file, self.plan.request.format, skip=self.n_records
            )
            for batch in _batches(reader):
                self._add(file, batch, n_threads)
                self.n_records = batch[-1].record
                progress(n_read + reader.position, self.n_text)
                if self.piece.n_tokens >= self.plan.request.shard_tokens:
                    self._commit()
            self.piece.inputs.append(reader.input_file())
            n_read += file.size
            self.n_inputs, self.n_records = self.n_inputs + 1, 0
        self._commit()
        progress(n_read, self.n_text)

    def _add(self, file: Input, batch: list[Document | BadRecord], n_threads: int) -> None:
        documents = []
        for record in batch:
            if isinstance(record, BadRecord):
                self._skip(record)
            elif record.text:
                documents.append(record)
            else:
                self.piece.n_empty += 1
        texts = [document.text for document in documents]
        if not self.is_checked:
            self.encoder.check(text[:_CHECKED_CHARACTERS] for text in texts[:16])
            self.is_checked = True
        encoded = self.encoder.encode_batch(texts, n_threads=n_threads)
        for document, ids in zip(documents, encoded, strict=True):
            text = document.text.encode()
            self.piece.add(self._split(file.split, text), document.set, ids, text)
            self.n_text += len(text)

    def _skip(self, record: BadRecord) -> None:
        self.n_bad += 1
        if self.n_bad > self.max_bad_records:
            raise bad_record_error(record, self.max_bad_records)
        self.piece.bad_records.append(record)

    def _split(self, split: Split, text: bytes) -> Split:
        fraction = self.plan.request.validation_fraction
        if split == "train" and fraction is not None and is_held_out(text, fraction):
            return "validation"
        return split

    def _open_piece(self) -> OpenPiece:
        name = f"{self.group.index:05d}-{self.n_pieces:03d}"
        return OpenPiece(self.work, name, self.encoder.tokenizer)

    def _commit(self) -> None:
        """Makes the piece durable and begins the next."""
        piece = Piece(
            fingerprint=self.group.fingerprint,
            n_inputs=self.n_inputs,
            n_records=self.n_records,
            shards=self.piece.close(),
            inputs=tuple(self.piece.inputs),
            bad_records=tuple(self.piece.bad_records),
            n_empty=self.piece.n_empty,
        )
        path = piece_file(self.work, self.group, self.n_pieces)
        write_atomically(path, piece.model_dump_json(indent=1) + "\n")
        self.n_pieces += 1
        self.piece = self._open_piece()


@functools.lru_cache(maxsize=1)
def _encoder(work: Path, tokenizer_hash: str) -> Encoder:
    """One for all groups of a process: making it compares it with the tokenizer."""
    return make_encoder(work_tokenizer(work, tokenizer_hash))


def _batches(
    records: Iterable[Document | BadRecord],
) -> Iterator[list[Document | BadRecord]]:
    """Consecutive records, each batch with some `_BATCH_CHARACTERS` of text."""
    batch: list[Document | BadRecord] = []
    n_characters = 0
    for record in records:
        batch.append(record)
        if isinstance(record, Document):
            n_characters += len(record.text)
        if n_characters >= _BATCH_CHARACTERS or len(batch) == 1 << 16:
            yield batch
            batch, n_characters = [], 0
    if batch:
        yield batch
