# SPDX-License-Identifier: Apache-2.0
"""Raw text files: documents in order, the same from any record on, in bounded memory."""

import gzip
import hashlib
import json
import pickle
import sys
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sgatlin.errors import UserError
from sgatlin.input import compressed
from sgatlin.input.manifest import BadRecord
from sgatlin.input.records import (
    SUFFIXES,
    Document,
    RecordFormat,
    RecordReader,
    is_readable,
    readable_suffixes,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COMPRESS = {"": bytes, ".zst": zstd.compress, ".gz": gzip.compress}
LINES = b'{"text": "a"}\n\n{"text": ""}\n{"tex": 1}\n{"text": "b\\u00e9"}\n{"text": "c"'


def read(path: Path, content: bytes | None = None, *, skip: int = 0, **format) -> list:
    if content is not None:
        path.write_bytes(content)
    return list(RecordReader(path, path.name, RecordFormat(**format), skip=skip))


def texts(records: list) -> list[str]:
    assert [record.record for record in records] == list(range(1, len(records) + 1))
    return [record.text for record in records]


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("kind", [".jsonl", ".ndjson", ".json", ".JSONL"])
def test_json_lines(tmp_path, kind, compression):
    lines = '{"text": "a\\n", "n": [1, {}]}\n{"n": NaN, "text": "é\\u0000\\ud83d\\ude00"}\n'
    records = read(tmp_path / f"file{kind}{compression}", COMPRESS[compression](lines.encode()))
    assert records == [Document(1, "a\n", None), Document(2, "é\0😀", None)]


def test_blank_lines_are_counted_but_are_no_documents(tmp_path):
    records = read(tmp_path / "a.jsonl", b'\n{"text": "a"}\n \t\r\n\n{"text": ""}\n\n')
    assert records == [Document(2, "a", None), Document(5, "", None)]


@pytest.mark.parametrize(
    "content",
    [
        b'{"text": "a"}\n{"text": "b"}',
        b'{"text": "a"}\r\n{"text": "b"}\r\n',
        b'\xef\xbb\xbf{"text": "a"}\n{"text": "b"}\n',
        b'{"text": "x", "text": "a"}\n{"text": "b"}\n',
        b'{"text": "a", "big": %s}\n{"text": "b"}\n' % (b"9" * 4000),
    ],
    ids=["no newline at the end", "CRLF", "byte order mark", "duplicate key", "large integer"],
)
def test_harmless_oddities(tmp_path, content):
    assert texts(read(tmp_path / "a.jsonl", content)) == ["a", "b"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.zst"])
def test_files_without_lines(tmp_path, name):
    assert read(tmp_path / name, COMPRESS[Path(name).suffix.replace(".jsonl", "")](b"")) == []


def test_nested_fields_and_sets(tmp_path):
    lines = [
        {"meta": {"set": "C4", "deep": {"body": "a"}}},
        {"meta": {"set": "Book", "deep": {"body": "b"}}},
    ]
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    records = read(tmp_path / "a.jsonl", content, text_field="meta.deep.body", set_field="meta.set")
    assert records == [Document(1, "a", "C4"), Document(2, "b", "Book")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a|b|c", ["a", "b", "c"]),
        (" a \n|\n\tb\n", ["a", "b"]),
        ("|a|b|", ["a", "b"]),
        ("\n|a|b|\n\n", ["a", "b"]),
        ("a||b", ["a", "", "b"]),
        ("||a| |", ["", "a", ""]),
        ("a", ["a"]),
        ("", []),
        (" \n", []),
        ("|", []),
        ("\ufeffa|b", ["a", "b"]),
        ("\ufeff|b", ["b"]),
        ("é|\u00a0b\u00a0", ["é", "\u00a0b\u00a0"]),
    ],
)
@pytest.mark.parametrize("separator", ["|", "<|end|>", "\n\n||\n", "aab", "§"])
@pytest.mark.parametrize("chunk", [1, 3, 1 << 17])
def test_separated_texts(tmp_path, monkeypatch, content, expected, separator, chunk):
    monkeypatch.setattr(compressed, "_READ", chunk)
    content = content.replace("|", separator).encode()
    assert texts(read(tmp_path / "a.txt", content, separator=separator)) == expected


def test_separators_are_found_from_the_left(tmp_path, monkeypatch):
    for chunk in (1, 2, 3, 4, 100):
        monkeypatch.setattr(compressed, "_READ", chunk)
        records = read(tmp_path / "a.txt", b"xaaaaay", separator="aa")
        assert texts(records) == ["x", "", "ay"]


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("content", ["", " \n a \n\n b \n", "\ufeffa"])
def test_a_text_without_separator_is_one_document_as_it_is(tmp_path, content, compression):
    path = tmp_path / f"a.txt{compression}"
    assert texts(read(path, COMPRESS[compression](content.encode()))) == [content.strip("\ufeff")]


def test_the_limit_is_exact(tmp_path, monkeypatch):
    cases = {"a.jsonl": (b"%s\n%s\n", {}), "a.txt": (b"%s|%s", {"separator": "|"})}
    for chunk in (1, 5, 1000):
        monkeypatch.setattr(compressed, "_READ", chunk)
        for name, (content, format) in cases.items():
            content %= (b'{"text": "12345"}', b'{"text": "a"}')
            path = tmp_path / name
            assert len(read(path, content, max_record_bytes=17, **format)) == 2
            assert read(path, max_record_bytes=17, **format)[0] == read(path, **format)[0]
            first, second = read(path, max_record_bytes=16, **format)
            assert first == BadRecord(file=name, record=1, reason="longer than 16 bytes")
            assert second == read(path, **format)[1]
    assert texts(read(tmp_path / "b.txt", b"12345", max_record_bytes=5)) == ["12345"]
    assert read(tmp_path / "b.txt", max_record_bytes=4) == [
        BadRecord(file="b.txt", record=1, reason="longer than 4 bytes")
    ]


def test_endless_lines_take_little_memory(tmp_path):
    path = tmp_path / "a.jsonl.zst"
    content = zstd.compress(b'{"text": "a"}\n') + zstd.compress(bytes(64 << 20))
    path.write_bytes(content + zstd.compress(b'\n{"text": "b"}\n'))
    tracemalloc.start()
    try:
        records = read(path, max_record_bytes=1 << 20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert records == [
        Document(1, "a", None),
        BadRecord(file="a.jsonl.zst", record=2, reason="longer than 1 MiB"),
        Document(3, "b", None),
    ]
    assert peak < 8 << 20


def rows() -> bytes:
    table = pa.table({"text": ["a", None, "", "b", "c", None, "d"]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=2)
    return sink.getvalue().to_pybytes()


FILES = {
    "plain.jsonl": (LINES, {}),
    "limit.jsonl": (LINES, {"max_record_bytes": 14}),
    "gzip.jsonl.gz": (gzip.compress(LINES) + gzip.compress(b"\n" + LINES), {}),
    "zstd.jsonl.zst": (zstd.compress(LINES), {}),
    "cut.jsonl.zst": (zstd.compress(LINES) + zstd.compress(LINES)[:-1], {}),
    "utf16.jsonl": (LINES.decode().encode("utf-16"), {}),
    "whole.txt": (b"a\n\nb", {}),
    "bad.txt": (b"a\xff", {}),
    "separated.txt": (b" |a||\xff|b|long one| ", {"separator": "|", "max_record_bytes": 5}),
    "cut.txt.gz": (gzip.compress(b"|a|\xff|b")[:-3], {"separator": "|"}),
    "rows.parquet": (rows(), {}),
}


@pytest.mark.parametrize("chunk", [3, 1 << 17])
@pytest.mark.parametrize("name", FILES)
def test_reading_goes_on_after_any_record(tmp_path, monkeypatch, name, chunk):
    monkeypatch.setattr(compressed, "_READ", chunk)
    content, format = FILES[name]
    records = read(tmp_path / name, content, **format)
    numbers = [record.record for record in records]
    assert numbers == sorted(set(numbers))
    assert records
    for skip in range(numbers[-1] + 3):
        rest = read(tmp_path / name, skip=skip, **format)
        assert rest == [record for record in records if record.record > skip]


@pytest.mark.parametrize("skip", [0, 3, 100])
@pytest.mark.parametrize("name", FILES)
def test_position_and_hash(tmp_path, monkeypatch, name, skip):
    monkeypatch.setattr(compressed, "_READ", 16)
    content, format = FILES[name]
    (tmp_path / name).write_bytes(content)
    reader = RecordReader(tmp_path / name, f"folder/{name}", RecordFormat(**format), skip=skip)
    positions = [reader.position]
    with pytest.raises(ValueError, match="has not been read to its end"):
        reader.input_file()
    positions += [reader.position for _ in reader]
    positions.append(reader.position)
    assert positions == sorted(positions)
    assert (positions[0], positions[-1]) == (0, len(content))
    facts = reader.input_file()
    assert (facts.file, facts.size) == (f"folder/{name}", len(content))
    assert facts.sha256 == hashlib.sha256(content).hexdigest()


def test_position_moves_with_the_documents(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "%s"}\n' % (b"a" * 1000) * 1000)
    reader = RecordReader(path, path.name, RecordFormat())
    positions = [reader.position for _ in reader]
    assert positions[0] < 0.2 * path.stat().st_size
    assert len(set(positions)) > 4


def test_readable_names(tmp_path):
    for name in ("a.jsonl", "b/a.txt.gz", "a.ndjson.zst", "a.JSON.ZST", "a.parquet"):
        assert is_readable(name)
    for name in ("a", "a.csv", "a.zst", "a.jsonl.xz", "a.parquet.gz", "jsonl", "a.jsonl.bak"):
        assert not is_readable(name)
    assert len(SUFFIXES) == 13
    with pytest.raises(UserError) as error:
        RecordReader(tmp_path / "a.jsonl", "b/a.csv", RecordFormat())
    assert str(error.value) == f"cannot read b/a.csv: its name must end in {readable_suffixes()}"
    assert readable_suffixes() == (
        ".jsonl .ndjson .json .txt (or with .zst or .gz behind) or .parquet"
    )


def test_the_name_says_the_kind_not_the_path(tmp_path):
    """Caches keep files under their hashes."""
    (tmp_path / "0123abc").write_bytes(zstd.compress(b'{"text": "a"}'))
    reader = RecordReader(tmp_path / "0123abc", "b/a.jsonl.zst", RecordFormat())
    assert list(reader) == [Document(1, "a", None)]


def test_files_that_cannot_be_read(tmp_path):
    for name in ("a.jsonl", "a.txt", "a.parquet"):
        with pytest.raises(UserError, match=rf"cannot read {tmp_path / name}: No such file"):
            list(RecordReader(tmp_path / name, name, RecordFormat()))


def test_formats_that_cannot_be_meant(tmp_path):
    for values, message in (
        ({"separator": ""}, "separator is empty"),
        ({"max_record_bytes": 0}, "max_record_bytes is 0"),
        ({"text_field": ""}, "text_field '' has an empty part"),
        ({"set_field": "a..b"}, "set_field 'a..b' has an empty part"),
    ):
        with pytest.raises(UserError, match=message):
            RecordFormat(**values)
    with pytest.raises(UserError, match=r"a\.txt is plain text, which has no field"):
        RecordReader(tmp_path / "a.txt", "a.txt", RecordFormat(set_field="set"))


def test_formats_can_be_sent_to_other_processes():
    format = RecordFormat(text_field="a.b", set_field="c", separator="|", max_record_bytes=9)
    assert pickle.loads(pickle.dumps(format)) == format


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.jsonl.zst", "a.txt", "a.txt.gz", "a.parquet"])
def test_documents_of_a_hundred_megabytes(tmp_path, name):
    text = "a hundred megabytes\n" * 5_000_000
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"text": [text, "b"]}), tmp_path / name)
        expected = [text, "b"]
    elif name.startswith("a.txt"):
        (tmp_path / name).write_bytes(COMPRESS[name.removeprefix("a.txt")](text.encode()))
        expected = [text]
    else:
        line = json.dumps({"text": text}).encode()
        (tmp_path / name).write_bytes(zstd.compress(line + b'\n{"text": "b"}'))
        expected = [text, "b"]
    assert texts(read(tmp_path / name)) == expected
