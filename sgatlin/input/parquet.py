# SPDX-License-Identifier: Apache-2.0
"""String columns of a parquet file, row by row, in memory bounded by a page and a few rows."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sgatlin.errors import UserError
from sgatlin.input.compressed import Damage

_BATCH_BYTES = 1 << 23
_BATCH_ROWS = 1024
_BUFFER = 1 << 20


class ParquetRows:
    """Columns of a parquet file as rows of UTF-8 bytes, or None for null.

    Raises:
      Damage: when the file is damaged or is not parquet.
      UserError: when a column is missing or does not hold strings.
    """

    def __init__(self, path: Path, columns: Sequence[str]):
        """`columns` are dotted where they lie in structs."""
        self.n_read = 0
        """Rows that have been read or passed over."""
        try:
            self._file = pq.ParquetFile(
                path, buffer_size=_BUFFER, pre_buffer=False, page_checksum_verification=True
            )
            self._schema = self._file.schema_arrow
        except (OSError, pa.ArrowException) as error:
            raise _damage(error) from None
        self._columns = [tuple(column.split(".")) for column in columns]
        for column in self._columns:
            self._check(path, column)
        self.n_rows: int = self._file.metadata.num_rows

    def rows(self, skip: int = 0) -> Iterator[tuple[bytes | None, ...]]:
        """The rows after the first `skip`.

        Row groups that end before row `skip` are not read at all. The one that holds it is, so that
        damage that was met there is met again.
        """
        for group in range(self._file.num_row_groups):
            n_rows = self._file.metadata.row_group(group).num_rows
            if self.n_read + n_rows < skip:
                self.n_read += n_rows
                continue
            for values in self._group(group):
                self.n_read += 1
                if self.n_read > skip:
                    yield values

    def close(self) -> None:
        self._file.close()

    def _group(self, group: int) -> Iterator[tuple[bytes | None, ...]]:
        n_told = 0
        try:
            for values in self._batches(group, self._batch_rows(group)):
                n_told += 1
                yield values
        except (OSError, pa.ArrowException):
            # The batch that meets a damage is lost with all its rows: once more, row by row.
            try:
                for row, values in enumerate(self._batches(group, 1)):
                    if row >= n_told:
                        yield values
            except (OSError, pa.ArrowException) as error:
                raise _damage(error) from None

    def _batches(self, group: int, n_rows: int) -> Iterator[tuple[bytes | None, ...]]:
        batches = self._file.iter_batches(
            n_rows,
            row_groups=[group],
            columns=[".".join(column) for column in self._columns],
            use_threads=False,
        )
        for batch in batches:
            columns = [_as_bytes(batch, column).to_pylist() for column in self._columns]
            yield from zip(*columns, strict=True)

    def _batch_rows(self, group: int) -> int:
        metadata = self._file.metadata.row_group(group)
        row_bytes = metadata.total_byte_size // max(1, metadata.num_rows)
        return min(_BATCH_ROWS, 1 + _BATCH_BYTES // (1 + row_bytes))

    def _check(self, path: Path, column: tuple[str, ...]) -> None:
        dotted = ".".join(column)
        fields = {field.name: field.type for field in self._schema}
        kind: pa.DataType = pa.null()
        for i, name in enumerate(column):
            if name not in fields:
                within = f" in `{'.'.join(column[:i])}`" if i else ""
                has = ", ".join(f"`{field}`" for field in fields) or "none"
                raise UserError(
                    f"{path} has no column `{dotted}`: name another; there are{within} {has}"
                )
            kind = fields[name]
            fields = {f.name: f.type for f in kind} if pa.types.is_struct(kind) else {}
        value = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not any(is_kind(value) for is_kind in _STRINGS):
            raise UserError(f"column `{dotted}` of {path} holds {kind}, not strings: name another")


_STRINGS = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,  # strings of writers that do not say so
    pa.types.is_large_binary,
)


def _as_bytes(batch: pa.RecordBatch, column: tuple[str, ...]) -> pa.Array:
    """As bytes, for Arrow does not see to it that strings are UTF-8."""
    array = batch.column(column[0])
    if column[1:]:
        array = pc.struct_field(array, list(column[1:]))
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array.cast(pa.large_binary())


def _damage(error: Exception) -> Damage:
    reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
    return Damage(f"the parquet data are damaged ({reason}): download the file again")
