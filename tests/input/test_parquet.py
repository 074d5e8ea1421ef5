# SPDX-License-Identifier: Apache-2.0
"""Parquet files: columns of all kinds of strings, and rows and files that are damaged."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sgatlin.errors import UserError
from sgatlin.input.manifest import BadRecord
from sgatlin.input.records import Document, RecordFormat, RecordReader

TEXTS = ["a", "", "é😀\0", "a"]


def write(path: Path, columns: dict, **options) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def read(path: Path, *, skip: int = 0, **format) -> list:
    return list(RecordReader(path, path.name, RecordFormat(**format), skip=skip))


def bad(record: int, reason: str) -> BadRecord:
    return BadRecord(file="a.parquet", record=record, reason=reason)


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.binary(),
        pa.large_binary(),
        pa.dictionary(pa.int32(), pa.string()),
        pa.dictionary(pa.int8(), pa.large_string()),
    ],
    ids=str,
)
@pytest.mark.parametrize("use_dictionary", [True, False])
def test_strings_of_all_kinds(tmp_path, kind, use_dictionary):
    values = [text.encode() for text in TEXTS] if "binary" in str(kind) else TEXTS
    column = pa.array(values, kind.value_type if pa.types.is_dictionary(kind) else kind)
    column = column.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else column
    path = write(tmp_path / "a.parquet", {"text": column}, use_dictionary=use_dictionary)
    assert read(path) == [Document(i, text, None) for i, text in enumerate(TEXTS, start=1)]


def test_nested_columns(tmp_path):
    meta = [{"set": "b", "n": 1, "deep": {"set": "c"}}, {"set": "d", "n": 2, "deep": {"set": "e"}}]
    path = write(tmp_path / "a.parquet", {"n": [1, 2], "body": ["x", "y"], "meta": meta})
    assert read(path, text_field="body", set_field="meta.set") == [
        Document(1, "x", "b"),
        Document(2, "y", "d"),
    ]
    assert read(path, text_field="meta.deep.set", set_field="body") == [
        Document(1, "c", "x"),
        Document(2, "e", "y"),
    ]


def test_one_column_can_be_text_and_set(tmp_path):
    path = write(tmp_path / "a.parquet", {"text": ["a"]})
    assert read(path, set_field="text") == [Document(1, "a", "a")]


@pytest.mark.parametrize("row_group_size", [1, 2, 100])
def test_bad_rows(tmp_path, row_group_size):
    offsets = pa.py_buffer(b"".join(n.to_bytes(4, "little") for n in (0, 1, 3, 3, 5, 6, 7)))
    text = pa.StringArray.from_buffers(6, offsets, pa.py_buffer(b"abc" + b"d\xff" + b"ef"))
    sets = [{"set": "s"}, {"set": None}, None, {"set": "s"}, {"set": ""}, {"set": "s"}]
    path = write(
        tmp_path / "a.parquet", {"text": text, "meta": sets}, row_group_size=row_group_size
    )
    assert read(path, set_field="meta.set") == [
        Document(1, "a", "s"),
        bad(2, "column `meta.set` is null, not a string"),
        bad(3, "column `meta.set` is null, not a string"),
        bad(4, "not UTF-8 at byte 2 of column `text`"),
        bad(5, "column `meta.set` is empty: it must name a set"),
        Document(6, "f", "s"),
    ]
    path = write(tmp_path / "a.parquet", {"text": ["abcd", None, "abcde", "é"]})
    assert read(path, max_record_bytes=4) == [
        Document(1, "abcd", None),
        bad(2, "column `text` is null, not a string"),
        bad(3, "longer than 4 bytes"),
        Document(4, "é", None),
    ]


def test_files_without_rows(tmp_path):
    assert read(write(tmp_path / "a.parquet", {"text": pa.array([], pa.string())})) == []


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("txt", "has no column `txt`: name another; there are `text`, `n`, `meta`, `list`"),
        ("meta.x", "has no column `meta.x`: name another; there are in `meta` `set`"),
        ("text.x", "has no column `text.x`: name another; there are in `text` none"),
    ],
)
def test_missing_columns(tmp_path, field, message):
    columns = {"text": ["a"], "n": [1], "meta": [{"set": "b"}], "list": [["a"]]}
    path = write(tmp_path / "a.parquet", columns)
    for format in ({"text_field": field}, {"set_field": field}):
        with pytest.raises(UserError) as error:
            read(path, **format)
        assert str(error.value) == f"{path} {message}"


@pytest.mark.parametrize(
    ("values", "kind"),
    [([1], "int64"), ([["a"]], "list<element: string>"), ([None], "null"), ([{"a": "b"}], None)],
)
def test_columns_that_are_no_strings(tmp_path, values, kind):
    path = write(tmp_path / "a.parquet", {"text": values})
    with pytest.raises(UserError, match=r"column `text` of .* not strings") as error:
        read(path)
    assert kind is None or f"holds {kind}, not strings" in str(error.value)


def rows_of_ten(path: Path) -> bytes:
    """Rows of two groups, ten rows a page, each page with its checksum."""
    write(
        path,
        {"text": [f"this is row {i:03d} of them" for i in range(1, 101)]},
        row_group_size=50,
        write_batch_size=10,
        data_page_size=1,
        use_dictionary=False,
        compression="none",
        write_page_checksum=True,
        write_statistics=False,
    )
    return path.read_bytes()


@pytest.mark.parametrize(("row", "first_lost"), [(7, 1), (38, 31), (50, 41), (51, 51), (99, 91)])
def test_rows_before_a_damaged_page_come_out(tmp_path, row, first_lost):
    path = tmp_path / "a.parquet"
    content = rows_of_ten(path)
    assert content.count(b"row %03d" % row) == 1
    path.write_bytes(content.replace(b"row %03d" % row, b"row ???"))
    *documents, last = read(path)
    assert documents == [
        Document(i, f"this is row {i:03d} of them", None) for i in range(1, first_lost)
    ]
    assert last.record == first_lost
    assert re.fullmatch(
        r"the parquet data are damaged \(.+\): download the file again", last.reason
    )
    for skip in range(first_lost + 1):
        assert read(path, skip=skip) == [*documents, last][skip:]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: content[:4],
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: content[:100] + content[200:],
        lambda content: content[:-40] + b"\xff" * 32 + content[-8:],
        lambda content: content[:-8] + b"\xff\xff\xff\x7fPAR1",
        lambda content: b'{"text": "a"}\n' * 100,
    ],
    ids=["empty", "magic", "cut by one", "cut", "hole", "footer", "footer size", "not parquet"],
)
def test_files_that_are_not_whole(tmp_path, spoil):
    path = tmp_path / "a.parquet"
    path.write_bytes(spoil(rows_of_ten(path)))
    (record,) = read(path)
    assert record.record == 1
    assert re.fullmatch(
        r"the parquet data are damaged \(.+\): download the file again", record.reason
    )
