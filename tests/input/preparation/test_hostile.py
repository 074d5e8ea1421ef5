# SPDX-License-Identifier: Apache-2.0
"""What real files contain: each fault is told by file, record and reason, and costs nothing else.

Each case is a damaged file among good ones. By default the preparation stops at it; where it may be
skipped, it is listed and every good document is in the stores.
"""

import gzip
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sgatlin.errors import UserError
from sgatlin.input.manifest import read_manifest
from sgatlin.input.preparation.manner import Manner
from sgatlin.input.store import TokenStore
from tests.input.preparation.corpus import (
    json_line,
    make_texts,
    prepare_folder,
    small_tokenizer,
    texts_of,
    write_jsonl,
    zstd,
)

GOOD = make_texts(12, seed=1)
LINES = [json_line(text) for text in GOOD]
# Blocks that do not compress away, so that a cut is in the middle of one.
LONG = make_texts(3000, seed=2)
LONG_LINES = b"".join(json_line(text) for text in LONG)


class Case(NamedTuple):
    name: str
    """Of the file."""
    content: bytes
    record: int
    reason: str
    """A pattern that the reason matches."""
    good: list[str]
    """Documents of the file that are good."""


def in_line_3(line: bytes, reason: str) -> Case:
    """A bad line between good ones."""
    return Case("a.jsonl", b"".join([*LINES[:2], line + b"\n", *LINES[2:]]), 3, reason, GOOD)


def in_zstd(content: bytes, record: int, reason: str, good: list[str]) -> Case:
    return Case("a.jsonl.zst", content, record, reason, good)


def cut_in_frame() -> Case:
    """Half of a file: what was whole before the cut is good."""
    half = zstd.compress(LONG_LINES)
    half = half[: len(half) // 2]
    lines = zstd.ZstdDecompressor().decompress(half).split(b"\n")[:-1]
    assert 10 < len(lines) < len(LONG)
    texts = [json.loads(line)["text"] for line in lines]
    return in_zstd(half, len(texts) + 1, "middle of a frame", texts)


def flipped_bit() -> Case:
    """Zstandard's checksum, at the end of a frame, tells that something in it is wrong."""
    content = bytearray(
        zstd.compress(b"".join(LINES), options={zstd.CompressionParameter.checksum_flag: 1})
    )
    content[-1] ^= 1
    return in_zstd(bytes(content), len(GOOD) + 1, "damaged", GOOD)


def parquet(columns: dict[str, pa.Array]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def nested(depth: int) -> bytes:
    return b'{"text": ' + b"[" * depth + b"]" * depth + b"}"


CASES: dict[str, Callable[[], Case]] = {
    "not JSON": lambda: in_line_3(b"hello", "not JSON"),
    "cut JSON": lambda: in_line_3(LINES[2][:20], "not JSON"),
    "cut last line": lambda: Case(
        "a.jsonl", b"".join(LINES[:5]) + LINES[5][:-3], 6, "not JSON", GOOD[:5]
    ),
    "two objects in a line": lambda: in_line_3(LINES[2].strip() * 2, "not JSON"),
    "single quotes": lambda: in_line_3(b"{'text': 'a'}", "not JSON"),
    "text is not a number": lambda: in_line_3(b'{"text": NaN}', "`text` is a number"),
    "deep nesting": lambda: in_line_3(nested(100_000), "nested too deeply"),
    "an array": lambda: in_line_3(b'["text"]', "an array"),
    "a string": lambda: in_line_3(b'"text"', "a string"),
    "null": lambda: in_line_3(b"null", "null"),
    "no text": lambda: in_line_3(b'{"content": "a"}', "no field `text`.*content"),
    "text is null": lambda: in_line_3(b'{"text": null}', "`text` is null"),
    "text is a number": lambda: in_line_3(b'{"text": 5}', "`text` is a number"),
    "text is an array": lambda: in_line_3(b'{"text": ["a"]}', "`text` is an array"),
    "text is an object": lambda: in_line_3(b'{"text": {"a": 1}}', "`text` is an object"),
    "text is a truth value": lambda: in_line_3(b'{"text": true}', "`text` is"),
    "invalid UTF-8": lambda: in_line_3(b'{"text": "caf\xe9"}', "not UTF-8 at byte 14"),
    "overlong UTF-8": lambda: in_line_3(b'{"text": "\xc0\xaf"}', "not UTF-8"),
    "surrogates as UTF-8": lambda: in_line_3(b'{"text": "\xed\xa0\x80"}', "not UTF-8"),
    "lone surrogate": lambda: in_line_3(rb'{"text": "a\ud800b"}', "surrogate"),
    "UTF-16": lambda: Case(
        "a.jsonl", json.dumps({"text": "abc"}).encode("utf-16"), 1, "UTF-16|not UTF-8", []
    ),
    "cut zstd": cut_in_frame,
    "cut second zstd frame": lambda: in_zstd(
        zstd.compress(b"".join(LINES)) + zstd.compress(LONG_LINES)[:100],
        len(GOOD) + 1,
        "middle of a frame",
        GOOD,
    ),
    "flipped bit in zstd": flipped_bit,
    "not zstd": lambda: in_zstd(b"".join(LINES), 1, "not hold zstd", []),
    "something after zstd": lambda: in_zstd(
        zstd.compress(b"".join(LINES)) + b"garbage", len(GOOD) + 1, "follows", GOOD
    ),
    "empty zstd": lambda: in_zstd(b"", 1, "empty", []),
    "cut gzip": lambda: Case(
        "a.jsonl.gz", gzip.compress(b"".join(LINES))[:-9], len(GOOD) + 1, "middle of a", GOOD
    ),
    "wrong checksum in gzip": lambda: Case(
        "a.jsonl.gz", gzip.compress(b"".join(LINES))[:-8] + bytes(8), len(GOOD) + 1, "", GOOD
    ),
    "not gzip": lambda: Case("a.jsonl.gz", b"".join(LINES), 1, "not hold gzip", []),
    "invalid UTF-8 in plain text": lambda: Case(
        "a.txt", b"##".join([GOOD[0].encode(), b"\xff", GOOD[1].encode()]), 2, "UTF-8", GOOD[:2]
    ),
    "null in parquet": lambda: Case(
        "a.parquet", parquet({"text": pa.array([*GOOD[:2], None, *GOOD[2:]])}), 3, "null", GOOD
    ),
    "not parquet": lambda: Case("a.parquet", b"".join(LINES), 1, "parquet", []),
    "cut parquet": lambda: Case(
        "a.parquet", parquet({"text": pa.array(LONG)})[:-20], 1, "parquet", []
    ),
}


@pytest.fixture(scope="module")
def tokenizer():
    return small_tokenizer()


@pytest.mark.parametrize("name", CASES)
def test_a_fault_is_told_and_costs_nothing_else(name, tokenizer, tmp_path):
    case = CASES[name]()
    before, after = make_texts(10, seed=3), make_texts(10, seed=4)
    folder = tmp_path / "corpus"
    write_jsonl(folder / "_before.jsonl.zst", before)
    (folder / case.name).write_bytes(case.content)
    write_jsonl(folder / "z_after.jsonl.gz", after)
    settings = {"separator": "##"}

    with pytest.raises(UserError) as told:
        prepare_folder(folder, tmp_path / "out", tokenizer, **settings)
    unit = {".parquet": "row", ".txt": "document"}.get(Path(case.name).suffix, "line")
    message = str(told.value)
    assert message.startswith(f"{case.name}, {unit} {case.record}: ")
    assert re.search(case.reason, message)
    assert "\n" not in message
    assert len(message) < 400
    assert not (tmp_path / "out").exists()

    prepare_folder(
        folder, tmp_path / "out", tokenizer, Manner(n_workers=1, max_bad_records=1), **settings
    )
    stores = [TokenStore.open(tmp_path / "out" / split) for split in ("train", "validation")]
    found = sorted(text for store in stores for text in texts_of(store))
    assert found == sorted([*before, *case.good, *after])
    (bad,) = read_manifest(tmp_path / "out/train").bad_records
    assert (bad.file, bad.record) == (case.name, case.record)
    assert re.search(case.reason, bad.reason)


def test_there_are_cases_enough():
    assert len(CASES) >= 30


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"".join([LINES[0], b"\n", b"  \n", LINES[1]]), GOOD[:2]),
        (b"".join(LINES).replace(b"\n", b"\r\n"), GOOD),
        (b"\xef\xbb\xbf" + b"".join(LINES), GOOD),
        (b"".join(LINES)[:-1], GOOD),
        (json_line("a\x00b<|endoftext|>c\u2028d"), ["a\x00b<|endoftext|>c\u2028d"]),
        (rb'{"text": "\ud83d\udc22"}', ["\U0001f422"]),
        (json_line(" \n\t "), [" \n\t "]),
    ],
    ids=["blank lines", "CRLF", "byte order mark", "no last newline", "NUL", "pair", "blank text"],
)
def test_what_is_odd_but_good(content, texts, tokenizer, tmp_path):
    write_jsonl(tmp_path / "corpus/train.jsonl", [])
    (tmp_path / "corpus/train.jsonl").write_bytes(content)
    write_jsonl(tmp_path / "corpus/validation.jsonl", make_texts(3))
    prepare_folder(tmp_path / "corpus", tmp_path / "out", tokenizer)
    assert texts_of(TokenStore.open(tmp_path / "out/train")) == texts


def test_documents_without_text_are_left_out_and_counted(tokenizer, tmp_path):
    write_jsonl(tmp_path / "corpus/train.jsonl", ["", *GOOD, ""])
    write_jsonl(tmp_path / "corpus/validation.jsonl", make_texts(3))
    told = prepare_folder(tmp_path / "corpus", tmp_path / "out", tokenizer)
    train = TokenStore.open(tmp_path / "out/train")
    assert texts_of(train) == GOOD
    assert train.manifest.n_empty == 2
    assert any("2 without text left out" in line for line in told)


def test_more_bad_records_than_may_be(tokenizer, tmp_path):
    lines = [*LINES[:3], b"x\n", *LINES[3:6], b"y\n", *LINES[6:]]
    write_jsonl(tmp_path / "corpus/validation.jsonl", make_texts(3))
    (tmp_path / "corpus/train.jsonl").write_bytes(b"".join(lines))
    for limit, record in ((0, 4), (1, 8)):
        manner = Manner(n_workers=1, max_bad_records=limit)
        with pytest.raises(UserError, match=rf"^train.jsonl, line {record}: not JSON"):
            prepare_folder(tmp_path / "corpus", tmp_path / "out", tokenizer, manner)
    manner = Manner(n_workers=1, max_bad_records=2)
    prepare_folder(tmp_path / "corpus", tmp_path / "out", tokenizer, manner)
    manifest = read_manifest(tmp_path / "out/train")
    assert [bad.record for bad in manifest.bad_records] == [4, 8]


def test_the_limit_holds_for_all_files_together(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr("sgatlin.input.preparation.plan._GROUP_BYTES", (1, 1))
    for name in "abc":
        path = write_jsonl(tmp_path / f"corpus/{name}.jsonl", [])
        path.write_bytes(b"".join([*LINES, b"x\n"]))
    for n_workers in (1, 2):
        manner = Manner(n_workers=n_workers, max_bad_records=2)
        with pytest.raises(UserError, match=r"line 13: not JSON.*--max-bad-records is 2"):
            prepare_folder(tmp_path / "corpus", tmp_path / "out", tokenizer, manner)


def test_copies_are_counted_and_can_be_left_out(tokenizer, tmp_path):
    held_out = make_texts(5, seed=5)
    folder = tmp_path / "corpus"
    write_jsonl(folder / "train/a.jsonl", [*GOOD, GOOD[3], held_out[1]])
    write_jsonl(folder / "train/b.jsonl", [GOOD[3], *make_texts(4, seed=6)])
    write_jsonl(folder / "validation/c.jsonl", [*held_out, held_out[0]])

    prepare_folder(folder, tmp_path / "kept", tokenizer)
    counts = {
        split: read_manifest(tmp_path / "kept" / split).n_duplicates
        for split in ("train", "validation")
    }
    assert counts == {"train": 3, "validation": 1}
    assert TokenStore.open(tmp_path / "kept/train").n_documents == 19

    prepare_folder(folder, tmp_path / "left", tokenizer, drop_duplicates=True)
    train, validation = (
        TokenStore.open(tmp_path / "left" / split) for split in ("train", "validation")
    )
    assert texts_of(train) == [*GOOD, *make_texts(4, seed=6)]
    assert texts_of(validation) == held_out
    for store in (train, validation):
        store.verify()
        assert store.n_bytes == sum(len(text.encode()) for text in texts_of(store))
    assert train.manifest.n_duplicates == 3
    listed = {file.file for shard in train.shards for file in (shard.tokens, shard.documents)}
    assert {path.name for path in train.path.glob("*.bin")} == listed


def test_a_shard_of_copies_alone_vanishes(tokenizer, tmp_path):
    write_jsonl(tmp_path / "corpus/train/a.jsonl", GOOD[:4])
    write_jsonl(tmp_path / "corpus/train/b.jsonl", GOOD[:4], ["copies"])
    write_jsonl(tmp_path / "corpus/validation/c.jsonl", GOOD[8:])
    prepare_folder(
        tmp_path / "corpus", tmp_path / "out", tokenizer, drop_duplicates=True, shard_tokens=1
    )
    assert texts_of(TokenStore.open(tmp_path / "out/train")) == GOOD[:4]


def test_a_split_of_copies_alone(tokenizer, tmp_path):
    for name in ("train", "validation"):
        write_jsonl(tmp_path / f"corpus/{name}.jsonl", GOOD)
    with pytest.raises(UserError, match=r"^no document for the split train"):
        prepare_folder(tmp_path / "corpus", tmp_path / "out", tokenizer, drop_duplicates=True)
    write_jsonl(tmp_path / "corpus/test.jsonl", GOOD[:3])
    write_jsonl(tmp_path / "corpus/train.jsonl", make_texts(5, seed=8))
    prepare_folder(tmp_path / "corpus", tmp_path / "out", tokenizer, drop_duplicates=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "preparation.json",
        "train",
        "validation",
    ]


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_split_without_documents(split, tokenizer, tmp_path):
    for name in ("train", "validation"):
        write_jsonl(tmp_path / f"corpus/{name}.jsonl", [] if name == split else GOOD)
    with pytest.raises(UserError, match=f"^no document for the split {split}"):
        prepare_folder(tmp_path / "corpus", tmp_path / "out", tokenizer)
    assert not (tmp_path / "out").exists()


def test_no_document_at_all(tokenizer, tmp_path):
    write_jsonl(tmp_path / "corpus/a.jsonl", [""])
    with pytest.raises(UserError, match=r"^no document with text"):
        prepare_folder(tmp_path / "corpus", tmp_path / "out", tokenizer)


@pytest.mark.slow
def test_a_document_of_100_megabytes(tokenizer, tmp_path):
    # Of the words that the tokenizer was trained on, it knows most as one token.
    long = " ".join(make_texts(1_000_000, seed=9))
    assert 100e6 < len(long.encode()) < 200e6
    write_jsonl(tmp_path / "corpus/train.jsonl.zst", [GOOD[0], long, GOOD[1]])
    write_jsonl(tmp_path / "corpus/validation.jsonl", GOOD[2:])
    prepare_folder(tmp_path / "corpus", tmp_path / "out", tokenizer, Manner(n_workers=2))
    store = TokenStore.open(tmp_path / "out/train")
    found = texts_of(store)
    assert found[0::2] == GOOD[:2]
    assert found[1] == long
