# SPDX-License-Identifier: Apache-2.0
"""Documents of raw text files: JSON lines and plain text, also compressed, and parquet.

Memory stays within a few times the longest document, whatever the size of a file.
"""

import contextlib
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from sgatlin.errors import UserError
from sgatlin.input.compressed import COMPRESSIONS, Damage, SourceFile
from sgatlin.input.json_line import Fault, parse_json_line
from sgatlin.input.lines import is_blank, split, whole, without_mark
from sgatlin.input.manifest import BadRecord, InputFile
from sgatlin.input.parquet import ParquetRows

_JSON = (".jsonl", ".ndjson", ".json")
_TEXT = ".txt"
_PARQUET = ".parquet"
SUFFIXES = (
    *(kind + compression for kind in (*_JSON, _TEXT) for compression in ("", *COMPRESSIONS)),
    _PARQUET,
)
"""How the names of files end that can be read, in lower case."""

_Piece = TypeVar("_Piece")


class Document(NamedTuple):
    """One text; `record` counts the lines, rows or documents of its file from 1."""

    record: int
    text: str
    """Can be encoded as UTF-8; may be empty."""
    set: str | None


@dataclass(frozen=True, kw_only=True)
class RecordFormat:
    """How text lies in files. UserError for values that cannot be meant."""

    text_field: str = "text"
    """Field or column of the text; dots lead into objects."""
    set_field: str | None = None
    """Where a record says to which set of a mixture it belongs; if named, every record must."""
    separator: str | None = None
    """What stands between the documents of a plain text; None: each file is one document."""
    max_record_bytes: int = 1 << 28
    """Of a line or document, decompressed."""

    def __post_init__(self) -> None:
        if self.separator == "":
            raise UserError("separator is empty: name what parts documents, or leave it out")
        if self.max_record_bytes < 1:
            raise UserError(f"max_record_bytes is {self.max_record_bytes}: it must be 1 or more")
        for name, field in (("text_field", self.text_field), ("set_field", self.set_field)):
            if field is not None and "" in field.split("."):
                raise UserError(f"{name} {field!r} has an empty part: write it as meta.name")


def is_readable(name: str) -> bool:
    """Whether files with such a name can be read."""
    return name.lower().endswith(SUFFIXES)


def readable_suffixes() -> str:
    """How readable names end, as an error tells it."""
    kinds = " ".join((*_JSON, _TEXT))
    return f"{kinds} (or with {' or '.join(COMPRESSIONS)} behind) or {_PARQUET}"


def record_unit(name: str) -> str:
    """What `record` counts in a file of such a name: lines, rows or documents, in the singular."""
    kind = name.lower()
    for compression in COMPRESSIONS:
        kind = kind.removesuffix(compression)
    return "row" if kind.endswith(_PARQUET) else "document" if kind.endswith(_TEXT) else "line"


class RecordReader:
    """The documents of one file in order, and among them a BadRecord for each that is none.

    Iterates once. A record that is not a document does not end it. Damage of the file does, and
    the last BadRecord then is the first record that could not be read.

    Raises:
      UserError: for a name that is not of SUFFIXES, or of plain text where a set field is named;
        while iterating, for a file that cannot be opened, or parquet without the columns.
    """

    def __init__(self, path: Path, name: str, format: RecordFormat, *, skip: int = 0):
        """`name` says of what kind the file is, and is what a BadRecord calls it.

        The first `skip` records are passed over unparsed: nothing is told of them, nor of their
        faults.
        """
        if not is_readable(name):
            raise UserError(f"cannot read {name}: its name must end in {readable_suffixes()}")
        kind = name.lower()
        self._compression = next((c for c in COMPRESSIONS if kind.endswith(c)), None)
        self._kind = kind.removesuffix(self._compression or "")
        if self._kind.endswith(_TEXT) and format.set_field is not None:
            raise UserError(
                f"{name} is plain text, which has no field {format.set_field}: only .jsonl and "
                ".parquet files have sets"
            )
        self._path = path
        self._name = name
        self._format = format
        self._skip = skip
        self._n_records = 0
        self._position = 0
        self._facts: InputFile | None = None

    @property
    def position(self) -> int:
        """Bytes of the file on disk that have been read; for parquet in proportion to its rows."""
        return self._position

    def input_file(self) -> InputFile:
        """Size and SHA-256 of the whole file; ValueError before the iteration has ended."""
        if self._facts is None:
            raise ValueError(f"{self._path} has not been read to its end")
        return self._facts

    def __iter__(self) -> Iterator[Document | BadRecord]:
        with SourceFile(self._path) as file:
            try:
                yield from self._records(file)
            except Damage as damage:
                if self._n_records >= self._skip:
                    yield self._bad(self._n_records + 1, str(damage))
            file.drain()
            self._position = file.position
            self._facts = file.facts(self._name)

    def _records(self, file: SourceFile) -> Iterator[Document | BadRecord]:
        if self._kind.endswith(_PARQUET):
            return self._rows(file.size)
        if self._kind.endswith(_TEXT):
            return self._texts(file)
        return self._json_lines(file)

    def _json_lines(self, file: SourceFile) -> Iterator[Document | BadRecord]:
        text_path = self._format.text_field.split(".")
        set_path = self._format.set_field.split(".") if self._format.set_field else None

        def parse(line: bytearray) -> tuple[str, str | None]:
            return parse_json_line(line, text_path, set_path)

        for line in without_mark(split(self._chunks(file), b"\n", self._format.max_record_bytes)):
            record = self._n_records + 1
            if record > self._skip and (line is None or not is_blank(line)):
                yield self._document(record, line, parse)
            self._n_records = record

    def _texts(self, file: SourceFile) -> Iterator[Document | BadRecord]:
        limit, separator = self._format.max_record_bytes, self._format.separator
        chunks = self._chunks(file)
        pieces = split(chunks, separator.encode(), limit) if separator else whole(chunks, limit)
        parse = _parse_separated if separator else _parse_text
        for i, piece in enumerate(without_mark(pieces)):
            if i == 0 and separator and piece is not None and is_blank(piece):
                continue
            record = self._n_records + 1
            if record > self._skip:
                yield self._document(record, piece, parse)
            self._n_records = record

    def _rows(self, size: int) -> Iterator[Document | BadRecord]:
        names = [self._format.text_field]
        if self._format.set_field is not None:
            names.append(self._format.set_field)

        def parse(values: tuple[bytes | None, ...]) -> tuple[str, str | None]:
            text, *sets = (
                _parse_cell(value, name, self._format.max_record_bytes)
                for value, name in zip(values, names, strict=True)
            )
            if "" in sets:
                raise Fault(f"column `{names[1]}` is empty: it must name a set")
            return text, sets[0] if sets else None

        with contextlib.closing(ParquetRows(self._path, names)) as rows:
            try:
                for values in rows.rows(self._skip):
                    self._position = size * rows.n_read // rows.n_rows
                    yield self._document(rows.n_read, values, parse)
            finally:
                self._n_records = rows.n_read

    def _chunks(self, file: SourceFile) -> Iterator[bytes]:
        chunks = file.decompressed(self._compression) if self._compression else file.chunks()
        for chunk in chunks:
            self._position = file.position
            yield chunk

    def _document(
        self, record: int, piece: _Piece | None, parse: Callable[[_Piece], tuple[str, str | None]]
    ) -> Document | BadRecord:
        try:
            if piece is None:
                raise Fault(_too_long(self._format.max_record_bytes))
            return Document(record, *parse(piece))
        except Fault as fault:
            return self._bad(record, str(fault))

    def _bad(self, record: int, reason: str) -> BadRecord:
        return BadRecord(file=self._name, record=record, reason=reason)


def _parse_text(piece: bytearray) -> tuple[str, None]:
    return _decoded(piece, "the document"), None


def _parse_separated(piece: bytearray) -> tuple[str, None]:
    # White space around a document belongs to the separation.
    return _decoded(piece, "the document").strip(string.whitespace), None


def _parse_cell(value: bytes | None, column: str, limit: int) -> str:
    if value is None:
        raise Fault(f"column `{column}` is null, not a string")
    if len(value) > limit:
        raise Fault(_too_long(limit))
    return _decoded(value, f"column `{column}`")


def _decoded(data: bytes | bytearray, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Fault(f"not UTF-8 at byte {error.start + 1:,} of {what}") from None


def _too_long(limit: int) -> str:
    mebibytes, rest = divmod(limit, 1 << 20)
    return f"longer than {limit:,} bytes" if rest else f"longer than {mebibytes:,} MiB"
