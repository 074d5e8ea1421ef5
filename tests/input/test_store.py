# SPDX-License-Identifier: Apache-2.0
"""The token store: what is written comes back, and what is damaged is refused by name."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from sgatlin.errors import UserError
from sgatlin.input.store import TokenStore
from sgatlin.input.tokenizer import END_OF_TEXT, Tokenizer, train_bpe
from sgatlin.input.write import StoreWriter

DOCUMENTS = [[5, 6, 7], [], [8], [9, 10, 11, 12, 13, 14], [256], [1, 2]]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe([], vocab_size=257)


def save_large_tokenizer(path: Path, vocab_size: int) -> None:
    """A tokenizer of the 257 usual entries and further ones that spell numbers."""
    train_bpe([], vocab_size=257).save(path)
    content = json.loads(path.read_text())
    content["model"]["vocab"] |= {f"n{i}": i for i in range(257, vocab_size)}
    path.write_text(json.dumps(content))


def write(path: Path, tokenizer: Tokenizer, documents=DOCUMENTS, **options) -> TokenStore:
    with StoreWriter(path, tokenizer, source="a test", **options) as writer:
        for ids in documents:
            writer.add(ids, n_bytes=10 * len(ids))
    return TokenStore.open(path)


def flat(documents) -> list[int]:
    return [token for ids in documents for token in (0, *ids)]


@pytest.mark.parametrize(("max_shard_tokens", "n_shards"), [(1000, 1), (9, 3), (1, 6)])
def test_documents_and_slices_come_back(tmp_path, tokenizer, max_shard_tokens, n_shards):
    store = write(tmp_path / "store", tokenizer, max_shard_tokens=max_shard_tokens)
    tokens = flat(DOCUMENTS)
    assert len(store.manifest.shards) == n_shards
    assert (store.n_tokens, store.n_documents, store.n_bytes) == (len(tokens), 6, 130)
    assert (store.vocab_size, store.tokenizer_hash) == (257, tokenizer.hash)
    assert [store.document(i).tolist() for i in range(6)] == [[0, *ids] for ids in DOCUMENTS]
    for start in range(len(tokens) + 1):
        for stop in range(start, len(tokens) + 1):
            assert store.slice(start, stop).tolist() == tokens[start:stop]
    store.verify()
    assert store.tokenizer().hash == tokenizer.hash


def test_files_are_what_the_format_says(tmp_path, tokenizer):
    write(tmp_path, tokenizer, max_shard_tokens=9)
    first = np.array(flat(DOCUMENTS[:3]), dtype="<u2").tobytes()
    assert (tmp_path / "tokens-00000.bin").read_bytes() == first
    offsets = np.array([0, 4, 5], dtype="<i8").tobytes()
    assert (tmp_path / "documents-00000.bin").read_bytes() == offsets
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert (manifest["source"], manifest["dtype"]) == ("a test", "uint16")
    assert [shard["n_tokens"] for shard in manifest["shards"]] == [7, 9, 3]


@pytest.mark.parametrize(("vocab_size", "dtype"), [(65_536, np.uint16), (65_537, np.uint32)])
def test_ids_take_four_bytes_only_when_they_must(tmp_path, vocab_size, dtype):
    documents = [[vocab_size - 1, 300], [65_535]]
    save_large_tokenizer(tmp_path / "large.json", vocab_size)
    store = write(tmp_path / "store", Tokenizer.load(tmp_path / "large.json"), documents)
    assert store.dtype == dtype
    assert store.slice(0, 5).tolist() == flat(documents)
    assert store.slice(0, 5).dtype == dtype
    store.verify()


def test_out_of_range_access_is_an_index_error(tmp_path, tokenizer):
    store = write(tmp_path, tokenizer)
    for start, stop in ((-1, 3), (0, 20), (5, 4)):
        with pytest.raises(IndexError):
            store.slice(start, stop)
    for index in (-1, 6):
        with pytest.raises(IndexError):
            store.document(index)


def test_threads_read_the_same(tmp_path, tokenizer):
    rng = np.random.default_rng(0)
    documents = rng.integers(1, 257, (200, 50)).tolist()
    store = write(tmp_path, tokenizer, documents, max_shard_tokens=1000)
    tokens = np.array(flat(documents))
    starts = rng.integers(0, len(tokens) - 200, 500).tolist()
    with ThreadPoolExecutor(8) as pool:
        slices = list(pool.map(lambda start: store.slice(start, start + 200), starts))
    for start, got in zip(starts, slices, strict=True):
        np.testing.assert_array_equal(got, tokens[start : start + 200])


def test_same_documents_give_the_same_manifest(tmp_path, tokenizer):
    write(tmp_path / "a", tokenizer)
    write(tmp_path / "b", tokenizer)
    a, b = ((tmp_path / name / "manifest.json").read_bytes() for name in "ab")
    assert a == b


def test_tokens_outside_the_vocabulary_are_not_written(tmp_path, tokenizer):
    for bad in (-1, 257, 70_000):
        with pytest.raises(ValueError, match=r"outside 0\.\.256"):
            write(tmp_path, tokenizer, [[5, bad]])
    assert not (tmp_path / "manifest.json").exists()


def test_store_without_documents_is_refused(tmp_path, tokenizer):
    with pytest.raises(UserError, match="no documents in a test"):
        write(tmp_path, tokenizer, [])
    assert not (tmp_path / "manifest.json").exists()


def interrupt(path: Path, tokenizer: Tokenizer, **options) -> None:
    def documents():
        yield [5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(path, tokenizer, documents(), **options)


def test_interrupted_store_is_refused_and_can_be_written_again(tmp_path, tokenizer):
    interrupt(tmp_path, tokenizer)
    with pytest.raises(UserError, match=r"has no manifest.json.*prepare it again"):
        TokenStore.open(tmp_path)
    assert write(tmp_path, tokenizer).n_documents == 6


def test_complete_store_is_kept_unless_told(tmp_path, tokenizer):
    write(tmp_path, tokenizer, max_shard_tokens=1)
    with pytest.raises(UserError, match="already holds a token store"):
        write(tmp_path, tokenizer, [[1]])
    assert TokenStore.open(tmp_path).n_documents == 6
    assert write(tmp_path, tokenizer, [[1]], overwrite=True).n_documents == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "documents-00000.bin",
        "manifest.json",
        "tokenizer.json",
        "tokens-00000.bin",
    ]


def test_interrupted_overwriting_leaves_no_store(tmp_path, tokenizer):
    write(tmp_path, tokenizer)
    interrupt(tmp_path, tokenizer, overwrite=True)
    with pytest.raises(UserError, match=r"has no manifest.json"):
        TokenStore.open(tmp_path)


def test_missing_store_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no token store at .*absent: prepare it"):
        TokenStore.open(tmp_path / "absent")


FILES = ["tokens-00000.bin", "tokens-00001.bin", "documents-00000.bin", "documents-00002.bin"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", ["shorter", "longer", "gone"])
def test_wrong_size_is_found_on_opening(tmp_path, tokenizer, name, change):
    write(tmp_path, tokenizer, max_shard_tokens=9)
    file = tmp_path / name
    if change == "gone":
        file.unlink()
    else:
        content = file.read_bytes()
        file.write_bytes(content[:-1] if change == "shorter" else content + b"\0")
    with pytest.raises(
        UserError, match=f"{name} (is missing|has [0-9]+ bytes, not [0-9]+)"
    ) as told:
        TokenStore.open(tmp_path)
    assert f"`sgatlin data verify {tmp_path}`" in str(told.value)


@pytest.mark.parametrize("name", FILES)
def test_flipped_bit_is_found_by_verify(tmp_path, tokenizer, name):
    write(tmp_path, tokenizer, max_shard_tokens=9)
    content = bytearray((tmp_path / name).read_bytes())
    content[-2] ^= 1
    (tmp_path / name).write_bytes(content)
    store = TokenStore.open(tmp_path)
    with pytest.raises(UserError, match=f"{name} is damaged"):
        store.verify()


def test_other_tokenizer_is_found(tmp_path, tokenizer):
    store = write(tmp_path, tokenizer)
    save_large_tokenizer(tmp_path / "tokenizer.json", 300)
    for read in (store.tokenizer, store.verify):
        with pytest.raises(UserError, match=r"tokenizer.json is not the tokenizer"):
            read()


def edit(path: Path, change) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    change(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


def test_verify_finds_tokens_outside_the_vocabulary(tmp_path, tokenizer):
    write(tmp_path, tokenizer)
    edit(tmp_path, lambda manifest: manifest.update(vocab_size=256))
    with pytest.raises(UserError, match=r"tokens-00000.bin holds token 256, .* of 256"):
        TokenStore.open(tmp_path).verify()


@pytest.mark.parametrize("offsets", [[0, 4, 4], [1, 4, 5], [0, 3, 5], [0, 4, 7], [0, 5, 4]])
def test_verify_finds_offsets_that_do_not_fit(tmp_path, tokenizer, offsets):
    write(tmp_path, tokenizer, [[1, 2, 3], [], [4]])
    file = tmp_path / "documents-00000.bin"
    file.write_bytes(np.array(offsets, dtype="<i8").tobytes())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    edit(tmp_path, lambda manifest: manifest["shards"][0]["documents"].update(sha256=digest))
    with pytest.raises(UserError, match=r"documents-00000.bin does not fit"):
        TokenStore.open(tmp_path).verify()


@pytest.mark.parametrize("name", ["../tokens.bin", "/tokens.bin", "a/b", "..", "", "..\\x", "C:x"])
def test_paths_cannot_leave_the_store(tmp_path, tokenizer, name):
    write(tmp_path / "store", tokenizer)
    (tmp_path / "tokens.bin").write_bytes((tmp_path / "store/tokens-00000.bin").read_bytes())
    edit(tmp_path / "store", lambda manifest: manifest["shards"][0]["tokens"].update(file=name))
    with pytest.raises(UserError, match=r"shards.0.tokens.file: .* leads out of the store"):
        TokenStore.open(tmp_path / "store")


def drop(name):
    return lambda manifest: manifest.pop(name)


def put(**values):
    return lambda manifest: manifest.update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put(format_version=2), "of format 2, this program reads 1"),
        (drop("format_version"), "of format None"),
        (drop("n_tokens"), "n_tokens: Field required"),
        (put(n_tokens=18), "n_tokens is not the sum over the shards"),
        (put(n_bytes=0), "n_bytes is not the sum"),
        (put(dtype="uint32"), "counts and sizes of tokens-00000.bin disagree"),
        (put(dtype="float16"), "dtype: "),
        (put(shards=[]), "shards: "),
        (put(extra=1), "extra: "),
    ],
)
def test_bad_manifest_is_told_in_one_line(tmp_path, tokenizer, change, message):
    write(tmp_path, tokenizer)
    edit(tmp_path, change)
    with pytest.raises(UserError, match="manifest.json .*" + message) as caught:
        TokenStore.open(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "null", "[1]", "\xff"])
def test_unreadable_manifest_is_named(tmp_path, tokenizer, content):
    write(tmp_path, tokenizer)
    (tmp_path / "manifest.json").write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=r"manifest.json"):
        TokenStore.open(tmp_path)


def test_document_that_says_end_of_text_stays_one_document(tmp_path, tokenizer):
    ids = tokenizer.encode(f"a {END_OF_TEXT} b")
    store = write(tmp_path, tokenizer, [ids, ids])
    assert np.flatnonzero(store.slice(0, store.n_tokens) == 0).tolist() == [0, len(ids) + 1]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files by /proc")
def test_a_store_of_many_shards_holds_few_files_open(tmp_path):
    n_shards = 600
    tokenizer = train_bpe([], vocab_size=257)
    with StoreWriter(tmp_path / "store", tokenizer, source="test", max_shard_tokens=1) as writer:
        for number in range(n_shards):
            writer.add([1 + number % 256], n_bytes=1)
    store = TokenStore.open(tmp_path / "store")
    assert len(store.shards) == n_shards
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(2):
        ids = [store.document(number)[1] for number in range(n_shards)]
        assert ids == [1 + number % 256 for number in range(n_shards)]
    assert len(list(Path("/proc/self/fd").iterdir())) - before < 300
