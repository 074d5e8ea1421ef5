# SPDX-License-Identifier: Apache-2.0
"""Verifying stores: whatever is changed, the file that was changed is named, and all of them."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sgatlin.errors import UserError
from sgatlin.input import verify as module
from sgatlin.input.store import TokenStore
from sgatlin.input.tokenizer import train_bpe
from sgatlin.input.verify import verify
from sgatlin.input.write import write_store

# Of equal lengths in bytes and so in tokens: shards can be swapped without a change of size.
TEXTS = ["a red fox", "the river", "", "mice play", "an oak ☂"]
N_TOKENS = {"train": 9 + 9 + 0 + 9 + 10 + 5, "validation": 9 + 9 + 0 + 9 + 10 + 5}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("made")
    tokenizer = train_bpe([], vocab_size=257)
    for split in N_TOKENS:
        write_store(path / split, TEXTS, tokenizer, source="a test", max_shard_tokens=11)
    return path


@pytest.fixture
def data(made, tmp_path) -> Path:
    """A data set of two stores, of four shards each."""
    shutil.copytree(made, tmp_path / "data")
    return tmp_path / "data"


def verified(path: Path) -> str:
    """The line that `verify` ends with."""
    lines: list[str] = []
    verify(path, tell=lines.append)
    (line,) = lines
    return line


def faults(path: Path) -> list[str]:
    """What `verify` says is wrong, fault by fault."""
    with pytest.raises(UserError) as caught:
        verify(path)
    message = str(caught.value)
    assert "\n" not in message
    head, _, told = message.partition(", prepare or copy it again: ")
    found = told.split("; ")
    assert head == f"{len(found)} fault{'s' if len(found) > 1 else ''} in {path}"
    return found


def rewrite(file: Path, change: Callable[[bytearray], object]) -> None:
    content = bytearray(file.read_bytes())
    change(content)
    file.write_bytes(content)


def flip(content: bytearray) -> None:
    content[2] ^= 1


def edit(store: Path, change: Callable[[dict], object]) -> None:
    manifest = json.loads((store / "manifest.json").read_text())
    change(manifest)
    (store / "manifest.json").write_text(json.dumps(manifest))


def forge(store: Path, shard: int, kind: str, values: np.ndarray) -> None:
    """Another content of a file, with the hash that it has."""

    def change(manifest: dict) -> None:
        record = manifest["shards"][shard][kind]
        (store / record["file"]).write_bytes(values.tobytes())
        record["sha256"] = hashlib.sha256(values.tobytes()).hexdigest()

    edit(store, change)


def test_whole_stores_are_counted(data):
    n_tokens = N_TOKENS["train"]
    # Two bytes a token, eight a document.
    n_bytes = 2 * n_tokens + 8 * len(TEXTS)
    assert n_tokens == TokenStore.open(data / "train").n_tokens
    line = verified(data / "train")
    assert line == f"ok: 10 files, {n_tokens} tokens, 5 documents, {n_bytes / 1e6:,.1f} MB"
    assert verified(data).startswith(f"ok: 20 files, {2 * n_tokens} tokens, 10 documents, ")


@pytest.mark.parametrize("chunk", [2, 6, 1 << 18])
def test_chunks_do_not_matter(data, monkeypatch, chunk):
    monkeypatch.setattr(module, "_CHUNK_BYTES", chunk)
    assert verified(data).startswith("ok: ")
    forge(data / "train", 0, "documents", np.array([1], "<i8"))
    forge(data / "validation", 1, "tokens", np.array([0, 5, 5, 5, 300, 0, 1, 2, 3, 4, 5], "<u2"))
    first, second = faults(data)
    assert first.startswith(f"{data}/train/documents-00000.bin does not fit its tokens")
    assert second == (
        f"{data}/validation/tokens-00001.bin holds token 300, outside the vocabulary of 257"
    )


@pytest.mark.parametrize("name", ["tokens-00001.bin", "documents-00003.bin"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: rewrite(file, flip), "is damaged: its hash differs"),
        (lambda file: rewrite(file, lambda content: content.pop()), "bytes, not"),
        (lambda file: rewrite(file, lambda content: content.append(0)), "bytes, not"),
        (Path.unlink, "is missing"),
        (lambda file: file.unlink() or file.mkdir(), "is missing"),
    ],
    ids=["bit", "truncated", "longer", "gone", "folder"],
)
def test_a_changed_file_is_named_and_no_other(data, name, change, message):
    change(data / "train" / name)
    (fault,) = faults(data)
    assert fault.startswith(f"{data}/train/{name} ")
    assert message in fault


def test_every_file_at_fault_is_named(data):
    rewrite(data / "train/tokens-00000.bin", flip)
    (data / "train/documents-00002.bin").unlink()
    rewrite(data / "validation/documents-00001.bin", lambda content: content.pop())
    (data / "validation/tokenizer.json").unlink()
    assert faults(data) == [
        f"{data}/train/tokens-00000.bin is damaged: its hash differs",
        f"{data}/train/documents-00002.bin is missing",
        f"no tokenizer at {data}/validation/tokenizer.json",
        f"{data}/validation/documents-00001.bin has 15 bytes, not 16",
    ]


def test_swapped_files_are_both_named(data):
    a, b = data / "train/tokens-00000.bin", data / "validation/tokens-00002.bin"
    contents = a.read_bytes(), b.read_bytes()
    assert len(contents[0]) == len(contents[1])
    a.write_bytes(contents[1])
    b.write_bytes(contents[0])
    assert faults(data) == [f"{file} is damaged: its hash differs" for file in (a, b)]


def test_a_file_listed_twice_is_found(data):
    def repeat(manifest: dict) -> None:
        manifest["shards"][2] = manifest["shards"][0]

    edit(data / "train", repeat)
    listed = "manifest.json lists {}-00000.bin twice"
    assert faults(data) == [
        f"{data}/train/{listed.format(kind)}" for kind in ("tokens", "documents")
    ]


# Shard 1 of the store is "the river", an empty document: 0, nine ids, 0.
@pytest.mark.parametrize("starts", [[0, 9], [1, 10], [0, 0], [10, 0], [0, 11], [-11, 10], [0, 5]])
def test_wrong_document_starts_are_found(data, starts):
    forge(data / "train", 1, "documents", np.array(starts, "<i8"))
    (fault,) = faults(data)
    assert fault.startswith(f"{data}/train/documents-00001.bin does not fit its tokens")


def test_a_document_without_a_start_is_found(data):
    """Two documents told as one, with all counts and hashes to match."""
    forge(data / "train", 1, "documents", np.array([0], "<i8"))

    def merge(manifest: dict) -> None:
        manifest["n_documents"] -= 1
        manifest["shards"][1]["n_documents"] -= 1
        manifest["shards"][1]["documents"]["size"] = 8

    edit(data / "train", merge)
    (fault,) = faults(data)
    assert fault.startswith(f"{data}/train/documents-00001.bin does not fit its tokens")


def test_another_tokenizer_is_named(data):
    other = train_bpe(["aa aa"], vocab_size=258)
    other.save(data / "train/tokenizer.json")
    name = f"{data}/train/tokenizer.json"
    assert faults(data) == [f"{name} is not the tokenizer that made this store"]
    edit(data / "train", lambda manifest: manifest.update(tokenizer_hash=other.hash))
    assert faults(data) == [
        f"{data}/train/manifest.json says that the vocabulary has 257 entries, its tokenizer has "
        "258",
        f"the stores of {data} were made with different tokenizers",
    ]


def test_bad_manifests_are_named(data):
    (data / "validation/manifest.json").unlink()
    edit(data / "train", lambda m: m["shards"][0]["tokens"].update(file="../tokens-00000.bin"))
    first, second = faults(data)
    assert f"{data}/train/manifest.json is damaged, shards.0.tokens.file" in first
    assert "leads out of the store" in first
    assert second.startswith(f"{data}/validation has no manifest.json")


def test_a_missing_store_is_a_fault_and_a_third_one_is_verified(data):
    shutil.copytree(data / "train", data / "test")
    assert verified(data).startswith("ok: 30 files")
    rewrite(data / "test/tokens-00000.bin", flip)
    shutil.rmtree(data / "validation")
    first, second = faults(data)
    assert first.startswith(f"{data}/validation has no manifest.json")
    assert second.startswith(f"{data}/test/tokens-00000.bin is damaged")


def test_no_folder_is_told(tmp_path):
    with pytest.raises(UserError, match=r"no token store at .*absent: prepare it"):
        verify(tmp_path / "absent")
    with pytest.raises(UserError, match=r"has no manifest\.json"):
        verify(tmp_path)


def test_a_store_verifies_its_own_shards(data):
    rewrite(data / "train/tokens-00000.bin", flip)
    rewrite(data / "train/documents-00001.bin", flip)
    with pytest.raises(UserError) as caught:
        TokenStore.open(data / "train").verify()
    for name in ("tokens-00000.bin", "documents-00001.bin"):
        assert f"{data}/train/{name} is damaged" in str(caught.value)
    TokenStore.open(data / "validation").verify()


def test_all_bytes_are_told_as_they_are_read(data):
    read: list[int] = []
    manifest = TokenStore.open(data / "train").manifest
    assert module.store_faults(data / "train", manifest, manifest.shards, read.append) == []
    assert sum(read) == sum(file.stat().st_size for file in (data / "train").glob("*.bin"))
