# SPDX-License-Identifier: Apache-2.0
"""What is shown of stores: their facts, and documents that cannot harm a terminal."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from sgatlin.errors import UserError
from sgatlin.input import show as module
from sgatlin.input.manifest import BadRecord, InputFile
from sgatlin.input.shard import ShardWriter
from sgatlin.input.show import Excerpts, printable, show
from sgatlin.input.store import TokenStore
from sgatlin.input.tokenizer import Tokenizer, train_bpe
from sgatlin.input.write import complete_store, write_store

# In bytes, which here are tokens: 3, 5, 0 and 4.
SETS = {"books": ["one", "seven"], "web": ["", "four"]}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe([], vocab_size=257)


def write(path: Path, tokenizer: Tokenizer, sets=SETS, **facts) -> Path:
    path.mkdir(parents=True)
    shards = []
    for number, (name, texts) in enumerate(sets.items()):
        writer = ShardWriter(path, f"{number:05d}", tokenizer, set=name)
        for text in texts:
            writer.add(tokenizer.encode(text), len(text.encode()))
        shards.append(writer.close())
    complete_store(path, tokenizer, shards, source="a test", **facts)
    return path


def shown(path: Path, **options) -> list[str]:
    """Lines."""
    blocks: list[str] = []
    show(path, Excerpts(**options), tell=blocks.append)
    return "\n".join(blocks).split("\n")


def rows(lines: list[str]) -> dict[str, str]:
    """The facts by name."""
    split = (line[2:].partition("  ") for line in lines if line[:2] == "  " and line[2:3] != " ")
    return {name.strip(): value.strip() for name, _, value in split}


def test_facts(tmp_path, tokenizer):
    bad = tuple(BadRecord(file=f"{i}.jsonl", record=i, reason="no JSON") for i in range(1, 23))
    inputs = tuple(InputFile(file=f"{i}.jsonl", size=1500, sha256="") for i in range(2))
    facts = {"n_duplicates": 3, "n_empty": 4, "bad_records": bad, "inputs": inputs}
    lines = shown(write(tmp_path / "store", tokenizer, **facts), documents=0)
    assert lines[0] == str(tmp_path / "store")
    found = rows(lines)
    # Documents are 4, 6, 1 and 5 tokens long with their bos.
    assert found["documents"] == "4 in 2 shards"
    assert found["tokens"] == "16 as uint16, 32 B"
    assert found["text"] == "12 bytes, 0.75 per token"
    assert found["length"] == "min 1, p5 1, p25 1, median 4, p75 5, p95 5, max 6 tokens"
    assert found["tokenizer"] == f"257 entries, SHA-256 {tokenizer.hash}"
    assert found["inputs"] == "2 files, 3.0 kB"
    assert (found["empty"], found["bad"]) == ("4 left out", "22 left out")
    assert found["duplicates"] == "3, beyond the first of each text"
    listed = [line.strip() for line in lines if ".jsonl" in line]
    assert listed == [f"{i}.jsonl, line {i}: no JSON" for i in range(1, 21)]
    assert "    and 2 more" in lines
    assert [line.split() for line in lines if line.startswith(("  books", "  web"))] == [
        ["books", "2", "10", "8", "0.80", "62.5", "%"],
        ["web", "2", "6", "4", "0.67", "37.5", "%"],
    ]


def test_a_store_without_sets_and_records(tmp_path, tokenizer):
    write_store(tmp_path, ["a", "bc"], tokenizer, source="a test")
    found = rows(shown(tmp_path))
    assert "set" not in found
    assert (found["duplicates"], found["inputs"]) == ("not counted", "not recorded")
    assert found["documents"] == "2 in 1 shard"
    assert shown(tmp_path)[-6:] == ["document 0, 2 tokens", "    a", "", *shown(tmp_path)[-3:]]
    assert shown(tmp_path)[-3:] == ["document 1, 3 tokens", "    bc", ""]


def heads(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("document ")]


def test_documents_are_evenly_spread_or_one(tmp_path, tokenizer):
    texts = [str(i) for i in range(100)]
    write_store(tmp_path / "many", texts, tokenizer, source="a test", max_shard_tokens=50)
    numbers = [head.split(",")[0] for head in heads(shown(tmp_path / "many", documents=4))]
    assert numbers == [f"document {i}" for i in (12, 37, 62, 87)]
    lines = shown(tmp_path / "many", document=99)
    assert heads(lines) == ["document 99, 3 tokens"]
    assert lines[-2] == "    99"
    path = write(tmp_path / "sets", tokenizer)
    assert heads(shown(path, documents=9)) == [
        "document 0, set books, 4 tokens",
        "document 1, set books, 6 tokens",
        "document 2, set web, 1 token",
        "document 3, set web, 5 tokens",
    ]


def test_documents_of_a_set(tmp_path, tokenizer):
    path = write(tmp_path / "store", tokenizer)
    lines = shown(path, set="web", document=1)
    assert lines[-3:-1] == ["document 1, set web, 5 tokens", "    four"]
    found = rows(lines)
    assert found["length of the set"] == "min 1, p5 1, p25 1, median 1, p75 1, p95 1, max 5 tokens"
    assert found["documents"] == "4 in 2 shards"
    with pytest.raises(UserError, match="has no set 'code'; its sets: books, web"):
        shown(path, set="code")


def test_a_missing_document_is_told(tmp_path, tokenizer):
    path = write(tmp_path / "store", tokenizer)
    with pytest.raises(UserError, match=r"^document=4 is not in .*: it has documents 0 to 3$"):
        shown(path, document=4)
    with pytest.raises(UserError, match=r"^document=2 of the set 'web' is not in .* 0 to 1$"):
        shown(path, document=2, set="web")
    for name, least in (("documents", 0), ("document", 0), ("characters", 1)):
        with pytest.raises(UserError, match=f"^{name}={least - 1} must be at least {least}$"):
            Excerpts(**{name: least - 1})


def test_all_stores_of_a_data_set_are_shown(tmp_path, tokenizer):
    write(tmp_path / "train", tokenizer)
    write(tmp_path / "validation", tokenizer, {"web": ["held out"]})
    lines = shown(tmp_path, documents=1)
    assert [line for line in lines if line.startswith(str(tmp_path))] == [
        str(tmp_path / "train"),
        str(tmp_path / "validation"),
    ]
    assert len(heads(lines)) == 2
    # A set that only one has.
    assert heads(shown(tmp_path, set="books", documents=1)) == ["document 1, set books, 6 tokens"]
    with pytest.raises(UserError, match="holds several stores, name one to see a document of: "):
        shown(tmp_path, document=0)
    with pytest.raises(UserError, match="has no set 'code'"):
        shown(tmp_path, set="code")


@pytest.mark.parametrize("characters", [1, 4, 5, 6])
@pytest.mark.parametrize("text", ["ääääää", "🎉🎉🎉🎉🎉🎉", "abcdef"])
def test_text_is_cut_to_characters(tmp_path, tokenizer, text, characters):
    write_store(tmp_path, [text, "x"], tokenizer, source="a test")
    lines = shown(tmp_path, document=0, characters=characters)
    assert lines[-2].strip() == text[:characters] + ("…" if characters < 6 else "")


def test_only_what_is_shown_is_decoded(tmp_path, tokenizer, monkeypatch):
    decoded = []
    original = Tokenizer.decode

    def decode(self, ids):
        decoded.append(len(ids))
        return original(self, ids)

    write_store(tmp_path, ["y" * 100_000], tokenizer, source="a test")
    monkeypatch.setattr(Tokenizer, "decode", decode)
    assert shown(tmp_path, characters=10)[-2] == "    " + 10 * "y" + "…"
    assert max(decoded) < 60


def test_text_is_data(tmp_path, tokenizer):
    evil = "\x1b[2J\x1b]0;x\x07 a\tb\r\x9b \u202eabc\u2028\n\ndocument 7, fine: naïve ☂ \\x"
    path = write(tmp_path / "store", tokenizer, {"\x1b[31mred": [evil]})
    lines = shown(path)
    assert all(line.isprintable() for line in lines)
    # A line of a text stays a line, and is set in: it cannot be taken for a heading.
    assert lines[-4:-1] == [
        "    \\x1b[2J\\x1b]0;x\\x07 a\\tb\\r\\x9b \\u202eabc\\u2028",
        "",
        "    document 7, fine: naïve ☂ \\x",
    ]
    assert heads(lines) == [f"document 0, set \\x1b[31mred, {len(evil.encode()) + 1} tokens"]


def test_printable_keeps_what_is_harmless():
    assert printable("Grüße, 世界 e\u0301 🎉") == "Grüße, 世界 e\u0301 🎉"
    assert printable("\0\x7f\u200f\ufeff\ud800") == "\\x00\\x7f\\u200f\\ufeff\\ud800"


def test_ids_that_are_no_tokens_are_told(tmp_path, tokenizer):
    write_store(tmp_path, ["abc"], tokenizer, source="a test")
    ids = np.array([0, 5, 300, 6], "<u2")
    (tmp_path / "tokens-00000.bin").write_bytes(ids.tobytes())
    with pytest.raises(UserError, match=r"^document 0 of .* holds ids outside the vocabulary"):
        shown(tmp_path)


@pytest.mark.parametrize(("start", "stop"), [(0, 40), (0, 0), (40, 40), (3, 4), (7, 31), (39, 40)])
def test_document_lengths_are_those_of_documents(tmp_path, tokenizer, start, stop):
    texts = [(i * 7 % 5) * "z" for i in range(40)]
    store = write_store(tmp_path, texts, tokenizer, source="a test", max_shard_tokens=12)
    assert len(store.shards) > 5
    expected = [len(text) + 1 for text in texts[start:stop]]
    assert store.document_lengths(start, stop).tolist() == expected
    for bad in ((-1, 2), (2, 1), (0, 41)):
        with pytest.raises(IndexError):
            store.document_lengths(*bad)
    with pytest.raises(IndexError):
        store.set_of(40)


def test_of_very_many_documents_lengths_are_sampled(tmp_path, tokenizer, monkeypatch):
    read: list[int] = []
    original = TokenStore.document_lengths

    def counted(self, start, stop):
        read.append(stop - start)
        return original(self, start, stop)

    texts = [i // 10 * "z" for i in range(1000)]
    store = write_store(tmp_path, texts, tokenizer, source="a test")
    monkeypatch.setattr(TokenStore, "document_lengths", counted)
    for name, value in (("_ALL_LENGTHS", 999), ("_RUNS", 11), ("_RUN", 4)):
        monkeypatch.setattr(module, name, value)
    told = module.lengths(store)
    assert read == 11 * [4]
    # The middle one of eleven runs begins at document 498.
    assert "median 50, " in told
    assert told.startswith("min 1, ")
    assert told.endswith("max 100 tokens (of a sample of 44 documents)")
    monkeypatch.setattr(module, "_ALL_LENGTHS", 1000)
    assert module.lengths(store).endswith("max 100 tokens")


def test_a_damaged_tokenizer_is_told_before_anything_is(tmp_path, tokenizer):
    write(tmp_path / "a", tokenizer)
    shutil.copy(tmp_path / "a/manifest.json", tmp_path / "a/tokenizer.json")
    blocks: list[str] = []
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        show(tmp_path / "a", tell=blocks.append)
    assert blocks == []
