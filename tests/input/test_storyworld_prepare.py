# SPDX-License-Identifier: Apache-2.0
"""Preparation: complete or absent, the same whenever and however often it is run."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sgatlin.errors import UserError
from sgatlin.input.store import TokenStore, split_stores
from sgatlin.input.storyworld import Fact, prepare
from sgatlin.input.storyworld.prepare import prepare_storyworld
from sgatlin.input.tokenizer import train_bpe
from sgatlin.input.write import write_store

ARGUMENTS = {"train_megabytes": 0.05, "validation_megabytes": 0.01, "vocab_size": 300, "seed": 3}
WORDS = ["the", "slow", "turtle", "was", "happy", "under", "a", "big", "tree"]


class Stories:
    """A story world of random words that can be told to fail after so many stories."""

    def __init__(self, fail_after: int | None = None, error: BaseException | None = None):
        self.fail_after = fail_after
        self.error = error
        self.n_made = 0

    def stories(self, seed: int, split: str) -> Iterator[str]:
        rng = random.Random(f"{seed} {split}")
        while True:
            if self.n_made == self.fail_after:
                raise self.error or os.kill(os.getpid(), signal.SIGKILL)
            self.n_made += 1
            yield " ".join(rng.choices(WORDS, k=60))

    def lexicon(self) -> dict[str, str]:
        return {"turtle": "animal"}

    def facts(self) -> list[Fact]:
        return [Fact("turtle", "slow", "The turtle was slow.")]


@pytest.fixture(autouse=True)
def story_world(monkeypatch) -> Stories:
    world = Stories()
    monkeypatch.setattr(prepare, "storyworld", world)
    return world


def prepare_quietly(out: Path, **changes) -> list[str]:
    lines: list[str] = []
    prepare_storyworld(out, **ARGUMENTS | changes, report=lines.append)
    return lines


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_write_store_encodes_each_text(tmp_path):
    texts = [
        "The turtle was slow.",
        "",
        "naïve 猫 <|endoftext|>",
        *(f"story {i}" for i in range(3000)),
    ]
    tokenizer = train_bpe(texts, 280)
    store = write_store(tmp_path, iter(texts), tokenizer, source="here", max_shard_tokens=5000)
    assert len(store.manifest.shards) > 1
    assert store.manifest.source == "here"
    assert store.n_bytes == sum(len(text.encode()) for text in texts)
    decoder = store.tokenizer()
    assert [decoder.decode(store.document(i)) for i in range(store.n_documents)] == texts
    assert {int(store.document(i)[0]) for i in range(store.n_documents)} == {tokenizer.bos_id}


def test_prepared_data_set_is_whole(tmp_path):
    lines = prepare_quietly(tmp_path / "data/world")
    train, validation = split_stores(tmp_path / "data/world")
    for store, split, n_bytes in ((train, "train", 50_000), (validation, "validation", 10_000)):
        store.verify()
        texts = list(itertools.islice(Stories().stories(3, split), store.n_documents))
        assert [store.tokenizer().decode(store.document(i)) for i in range(len(texts))] == texts
        assert n_bytes <= store.n_bytes < n_bytes + len(texts[-1])
    first, *rest = lines
    assert first.startswith("making 0.1 MB of stories in ")
    assert [line.split(":")[0] for line in rest] == ["tokenizer", "train", "validation"]
    out = tmp_path / "data/world"
    assert json.loads((out / "lexicon.json").read_text()) == {"turtle": "animal"}
    facts = [{"noun": "turtle", "adjective": "slow", "sentence": "The turtle was slow."}]
    assert json.loads((out / "facts.json").read_text()) == facts


def test_tokenizer_sees_the_beginning_of_the_train_split_only(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "_TOKENIZER_MEGABYTES", 0.02)
    prepare_quietly(tmp_path / "world")
    texts, n_bytes = [], 0
    for text in Stories().stories(3, "train"):
        texts.append(text)
        n_bytes += len(text)
        if n_bytes >= 20_000:
            break
    train, validation = split_stores(tmp_path / "world")
    assert train.tokenizer_hash == validation.tokenizer_hash == train_bpe(texts, 300).hash


def test_preparing_twice_gives_the_same_bytes(tmp_path):
    prepare_quietly(tmp_path / "a")
    prepare_quietly(tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    prepare_quietly(tmp_path / "c", seed=4)
    a, c = (contents(tmp_path / name) for name in "ac")
    assert a["train/tokens-00000.bin"] != c["train/tokens-00000.bin"]


def test_prepared_data_set_is_left_alone(tmp_path, story_world):
    out = tmp_path / "world"
    prepare_quietly(out)
    before, story_world.n_made = contents(out), 0
    assert prepare_quietly(out) == [f"{out} is already prepared"]
    assert story_world.n_made == 0
    assert contents(out) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 4}, "seed=3, not 4"),
        ({"vocab_size": 400}, "vocab_size=300, not 400"),
        ({"train_megabytes": 1, "seed": 5}, "train_megabytes=0.05, not 1, seed=3, not 5"),
    ],
)
def test_other_arguments_in_the_same_folder_are_refused(tmp_path, changes, message):
    prepare_quietly(tmp_path / "world")
    with pytest.raises(UserError, match=f"world was prepared with {message}: remove it or choose"):
        prepare_quietly(tmp_path / "world", **changes)


@pytest.mark.parametrize("name", ["train_megabytes", "validation_megabytes"])
def test_sizes_must_be_positive_and_finite(tmp_path, name):
    for size in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match=f"{name}={size} must be above 0"):
            prepare_quietly(tmp_path / "world", **{name: size})


def test_folder_of_something_else_is_not_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds no prepared data"):
        prepare_quietly(tmp_path)
    assert contents(tmp_path) == {"thesis.txt": b"mine"}
    with pytest.raises(UserError, match="holds no prepared data"):
        prepare_quietly(tmp_path / "thesis.txt")


def test_empty_folder_is_filled(tmp_path):
    prepare_quietly(tmp_path / "expected")
    (tmp_path / "world").mkdir()
    prepare_quietly(tmp_path / "world")
    assert contents(tmp_path / "world") == contents(tmp_path / "expected")


# Some 190 train stories and 40 of validation: in the tokenizer's, the train and the last phase.
@pytest.mark.parametrize("fail_after", [0, 100, 200])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("no space left")], ids=repr)
def test_interrupted_preparation_leaves_nothing_and_completes(
    tmp_path, monkeypatch, fail_after, error
):
    prepare_quietly(tmp_path / "expected")
    monkeypatch.setattr(prepare, "storyworld", Stories(fail_after, error))
    with pytest.raises(type(error)):
        prepare_quietly(tmp_path / "world")
    assert [folder.name for folder in tmp_path.iterdir()] == ["expected"]
    monkeypatch.setattr(prepare, "storyworld", Stories())
    prepare_quietly(tmp_path / "world")
    assert contents(tmp_path / "world") == contents(tmp_path / "expected")


def test_killed_preparation_completes_at_the_next_start(tmp_path):
    program = (
        "import sys, pathlib\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_storyworld_prepare as test\n"
        "test.prepare.storyworld = test.Stories(fail_after=200)\n"
        "test.prepare_quietly(pathlib.Path(sys.argv[1]))\n"
    )
    out = tmp_path / "world"
    killed = subprocess.run(
        [sys.executable, "-c", program, str(out)],
        cwd=Path(prepare.__file__).parents[3],
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    (left_over,) = tmp_path.iterdir()  # hidden, and not `out`
    assert left_over.name.startswith(".world.")
    with pytest.raises(UserError, match=r"^no prepared data at .*world: make it with"):
        split_stores(out)
    day = 24 * 3600
    os.utime(left_over, times=(left_over.stat().st_mtime - 2 * day,) * 2)
    prepare_quietly(out)
    prepare_quietly(tmp_path / "expected")
    assert contents(out) == contents(tmp_path / "expected")
    assert not left_over.exists()


def test_two_at_the_same_time_agree(tmp_path, monkeypatch):
    out = tmp_path / "world"
    barrier = threading.Barrier(2)
    move = prepare._move_into_place

    def move_together(*arguments):
        barrier.wait(timeout=60)
        move(*arguments)

    monkeypatch.setattr(prepare, "_move_into_place", move_together)
    errors: list[Exception] = []

    def run():
        try:
            prepare_quietly(out)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [folder.name for folder in tmp_path.iterdir()] == ["world"]
    for store in split_stores(out):
        store.verify()


@pytest.mark.parametrize("name", ["train/tokens-00000.bin", "validation/manifest.json"])
def test_damaged_data_set_is_told(tmp_path, name):
    out = tmp_path / "world"
    prepare_quietly(out)
    (out / name).unlink()
    for use in (split_stores, prepare_quietly):
        with pytest.raises(UserError, match=name.split("/")[1]):
            use(out)


def test_a_missing_data_set_tells_what_it_must_hold(tmp_path):
    message = r"no prepared data at .*absent: make it with `sgatlin prepare`"
    with pytest.raises(UserError, match=message):
        split_stores(tmp_path / "absent")


def test_splits_of_two_tokenizers_are_refused(tmp_path):
    prepare_quietly(tmp_path / "world")
    tokenizer = train_bpe([], 257)
    path = tmp_path / "world/validation"
    write_store(path, ["a"], tokenizer, source="elsewhere", overwrite=True)
    assert TokenStore.open(path).tokenizer_hash == tokenizer.hash
    with pytest.raises(UserError, match="different tokenizers"):
        split_stores(tmp_path / "world")
