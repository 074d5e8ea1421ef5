# SPDX-License-Identifier: Apache-2.0
"""Records that are no documents: each is told with its reason, and its neighbours come out."""

import gzip
import sys
from pathlib import Path

import pytest

from sgatlin.input.manifest import BadRecord
from sgatlin.input.records import Document, RecordFormat, RecordReader

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MANY = b", ".join(b'"f%d": 0' % i for i in range(1234))


def read(path: Path, content: bytes, **format) -> list:
    path.write_bytes(content)
    return list(RecordReader(path, path.name, RecordFormat(**format)))


def bad(path: Path, record: int, reason: str) -> BadRecord:
    return BadRecord(file=path.name, record=record, reason=reason)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"hello", "not JSON: expected value at byte 1 of the line"),
        (b"{'text': 'a'}", "not JSON: key must be a string at byte 2 of the line"),
        (b'{"text": "a"', "not JSON: the line ends within an object at byte 12 of the line"),
        (b'{"text": "a', "not JSON: the line ends within a string at byte 11 of the line"),
        (b'{"text": "a"} x', "not JSON: trailing characters at byte 15 of the line"),
        (b'{"text": "a"}{"text": "b"}', "not JSON: trailing characters at byte 14 of the line"),
        (b'{"text": "a\0"}', r"not JSON: control character (\u0000-\u001F) found while parsing a "
         "string at byte 12 of the line"),
        (b'[{"text": "a"}]', "JSON, but an array: one object a line is needed"),
        (b'"text"', "JSON, but a string: one object a line is needed"),
        (b"17", "JSON, but a number: one object a line is needed"),
        (b"NaN", "JSON, but a number: one object a line is needed"),
        (b"null", "JSON, but null: one object a line is needed"),
        (b"true", "JSON, but a truth value: one object a line is needed"),
        (b"[" * 100_000, "nested too deeply at byte 202 of the line"),
        (b'{"a":' * 100_000, "nested too deeply at byte 1006 of the line"),
        (b'{"a": %s}' % (b"9" * 100_000), "a number of too many digits at byte 4308 of the line"),
        (b"{}", "has no field `text`; its fields are none"),
        (b'{"txt": 1, "id": 2}', "has no field `text`; its fields are `txt`, `id`"),
        (b"{%s}" % MANY, "has no field `text`; its fields are `f0`, `f1`, `f2`, `f3`, `f4`, `f5`, "
         "`f6`, `f7`, `f8`, `f9`, 1,224 more"),
        (b'{"\\u0007\\n": 1, "%s": 2}' % (b"x" * 1000),
         rf"has no field `text`; its fields are `'\x07\n'`, `{'x' * 40}`"),
        (b'{"text": null}', "field `text` is null, not a string"),
        (b'{"text": 1}', "field `text` is a number, not a string"),
        (b'{"text": NaN}', "field `text` is a number, not a string"),
        (b'{"text": false}', "field `text` is a truth value, not a string"),
        (b'{"text": ["a"]}', "field `text` is an array, not a string"),
        (b'{"text": {"a": 1}}', "field `text` is an object, not a string"),
        (b'{"text": "a", "text": 1}', "field `text` is a number, not a string"),
        (b'{"text": "caf\xe9"}', "not UTF-8 at byte 14 of the line"),
        (b'{"text": "a", "b": "\xff"}', "not UTF-8 at byte 21 of the line"),
        (b'{"text": "a", "\xff": "b"}', "not UTF-8 at byte 16 of the line"),
        (b'{"text": "\xc0\x80"}', "not UTF-8 at byte 11 of the line"),
        (b'{"text": "\xe0\x80\xaf"}', "not UTF-8 at byte 11 of the line"),
        (b'{"text": "\xed\xa0\x80"}', "not UTF-8 at byte 11 of the line"),
        (b'{"text": "\xf4\x90\x80\x80"}', "not UTF-8 at byte 11 of the line"),
        (b'{"text": "\xe2\x82"}', "not UTF-8 at byte 11 of the line"),
        (b'{"text": "\\ud800"}', r"a lone surrogate \ud800"),
        (b'{"text": "\\uDC00\\uD800"}', r"a lone surrogate \uDC00"),
        (b'{"text": "\\ud83d\\ude00 \\\\ud800 \\ud83d\\u0041"}', r"a lone surrogate \ud83d"),
        (b'{"text": "a", "b": "\\udfff"}', r"a lone surrogate \udfff"),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, bytes) else "",
)  # fmt: skip
def test_bad_lines(tmp_path, line, reason):
    path = tmp_path / "a.jsonl"
    good = [Document(1, "before", None), Document(3, "after", None)]
    records = read(path, b'{"text": "before"}\n%s\n{"text": "after"}\n' % line)
    assert records == [good[0], bad(path, 2, reason), good[1]]
    assert read(path, b'{"text": "before"}\n%s' % line) == [good[0], bad(path, 2, reason)]


def test_escaped_backslashes_are_no_surrogates(tmp_path):
    records = read(tmp_path / "a.jsonl", b'{"text": "\\\\ud800 \\ud83d\\uDE00"}')
    assert records == [Document(1, "\\ud800 😀", None)]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b'{"text": "a"}', "has no field `meta`; its fields are `text`"),
        (b'{"text": "a", "meta": {"b": 1}}', "has no field `meta.set`; the fields of `meta` are "
         "`b`"),
        (b'{"text": "a", "meta": "b"}', "field `meta` is a string, not an object"),
        (b'{"text": "a", "meta": null}', "field `meta` is null, not an object"),
        (b'{"text": "a", "meta": {"set": 1}}', "field `meta.set` is a number, not a string"),
        (b'{"text": "a", "meta": {"set": null}}', "field `meta.set` is null, not a string"),
        (b'{"text": "a", "meta": {"set": ""}}', "field `meta.set` is empty: it must name a set"),
        (b'{"meta": {"set": "b"}}', "has no field `text`; its fields are `meta`"),
    ],
)  # fmt: skip
def test_records_without_a_set(tmp_path, record, reason):
    path = tmp_path / "a.jsonl"
    good = b'{"text": "a", "meta": {"set": "b"}}'
    records = read(path, b"\n".join((good, record, good)), set_field="meta.set")
    assert records == [Document(1, "a", "b"), bad(path, 2, reason), Document(3, "a", "b")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.txt"])
def test_other_encodings_are_told_once(tmp_path, name, encoding):
    content = ('{"text": "a"}\n' * 10).encode(encoding)
    reason = "the file is UTF-16 or UTF-32: convert it to UTF-8, with iconv say"
    assert read(tmp_path / name, content) == [bad(tmp_path / name, 1, reason)]


def test_texts_that_are_not_utf8(tmp_path):
    path = tmp_path / "a.txt"
    told = bad(path, 2, "not UTF-8 at byte 3 of the document")
    records = read(path, b"a|\nb\xff|\xc3\xa9", separator="|")
    assert records == [Document(1, "a", None), told, Document(3, "é", None)]
    assert read(path, b"\xc3\xa9\xe9") == [bad(path, 1, "not UTF-8 at byte 3 of the document")]


@pytest.mark.parametrize(
    ("name", "separator", "last"),
    [("a.jsonl", None, b'{"text": "c"}'), ("a.txt", "\n", b"c")],
)
@pytest.mark.parametrize("compression", [".zst", ".gz"])
def test_what_stands_before_a_damage_comes_out(tmp_path, name, separator, last, compression):
    """An unfinished last record is none, even if it could be read."""
    compress = {".zst": zstd.compress, ".gz": gzip.compress}[compression]
    kind = {".zst": "zstd", ".gz": "gzip"}[compression]
    path = tmp_path / f"{name}{compression}"
    lines = b'{"text": "a"}\n{"text": "b"}\n'
    good = [line if separator else line[10:-2] for line in ('{"text": "a"}', '{"text": "b"}')]
    documents = [Document(i, text, None) for i, text in enumerate(good, start=1)]
    cut = f"the {kind} data end in the middle of a frame: the file is incomplete, download it again"
    foreign = f"what follows the {kind} data is not {kind}: download it again"
    whole = compress(lines + last)
    assert read(path, whole, separator=separator) == [
        *documents,
        Document(3, "c", None),
    ]
    assert read(path, compress(lines) + compress(last)[:-1], separator=separator) == [
        *documents,
        bad(path, 3, cut),
    ]
    assert read(path, compress(lines) + compress(last)[:3], separator=separator) == [
        *documents,
        bad(path, 3, cut),
    ]
    assert read(path, whole + b"garbage", separator=separator) == [
        *documents,
        bad(path, 3, foreign),
    ]
    assert read(path, compress(lines) + b"\1garbage", separator=separator) == [
        *documents,
        bad(path, 3, foreign),
    ]


def test_a_damaged_text_without_separator_is_no_document(tmp_path):
    path = tmp_path / "a.txt.gz"
    reason = "the gzip data end in the middle of a frame: the file is incomplete, download it again"
    assert read(path, gzip.compress(b"a text")[:-1]) == [bad(path, 1, reason)]


def test_a_damaged_block_loses_no_line_before_it(tmp_path):
    path = tmp_path / "a.jsonl.zst"
    compressor = zstd.ZstdCompressor()
    blocks = [
        compressor.compress(b'{"text": "%d"}\n' % i, compressor.FLUSH_BLOCK) for i in range(9)
    ]
    blocks[5] = b"\xff" * len(blocks[5])  # a block of a type that is not defined
    *documents, last = read(path, b"".join(blocks) + compressor.flush())
    assert documents == [Document(i + 1, str(i), None) for i in range(5)]
    assert last.record == 6
    assert last.reason.startswith("the zstd data are damaged (")
    assert last.reason.endswith("): download it again")
