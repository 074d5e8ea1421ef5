# SPDX-License-Identifier: Apache-2.0
"""Interrupted at any point and started again, a preparation ends with the same bytes."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sgatlin.errors import RunStopped, UserError
from sgatlin.input.preparation import local, prepare
from sgatlin.input.preparation.manner import Manner
from sgatlin.input.preparation.prepare import work_folder
from sgatlin.input.shard import ShardWriter
from sgatlin.input.store import TokenStore, split_stores
from tests.input.preparation.corpus import (
    SETS,
    hashes_of,
    make_texts,
    prepare_folder,
    small_tokenizer,
    write_jsonl,
)

SETTINGS = {"set_field": "meta.redpajama_set_name", "shard_tokens": 2000}


@pytest.fixture(scope="module")
def tokenizer():
    return small_tokenizer()


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Six files in as many groups, of several pieces each."""
    monkeypatch.setattr("sgatlin.input.preparation.plan._GROUP_BYTES", (1, 1))
    monkeypatch.setattr("sgatlin.input.preparation.group._BATCH_CHARACTERS", 2000)
    folder = tmp_path / "corpus"
    for number in range(5):
        write_jsonl(folder / f"train/{number}.jsonl.zst", make_texts(100, seed=number), SETS)
    write_jsonl(folder / "validation/a.jsonl", make_texts(100, seed=9), SETS)
    return folder


class Killed(BaseException):
    """What a signal would do, at a place that a test chooses."""


def test_every_step_can_be_the_last(corpus, tokenizer, tmp_path, monkeypatch):
    """Whatever writes, renames or removes a file is interrupted, each time one later."""
    prepare_folder(corpus, tmp_path / "whole", tokenizer, **SETTINGS)
    expected = hashes_of(tmp_path / "whole")
    calls, allowed = 0, 0

    def counted(owner: object, name: str) -> None:
        original = getattr(owner, name)

        def limited(*args: object, **kwargs: object) -> object:
            nonlocal calls
            calls += 1
            if calls == allowed:
                raise Killed
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, limited)

    for owner, name in (
        (Path, "replace"),
        (Path, "rename"),
        (Path, "unlink"),
        (os, "fsync"),
        (ShardWriter, "add"),
    ):
        counted(owner, name)

    out = tmp_path / "out"
    rng = random.Random(0)
    interruptions = 0
    while not out.exists():
        calls, allowed = 0, rng.randrange(1, 120)
        try:
            prepare_folder(corpus, out, tokenizer, **SETTINGS)
        except Killed:
            interruptions += 1
            with pytest.raises(UserError, match=r"^no prepared data at"):
                split_stores(out)
        assert interruptions < 500
    assert interruptions > 10
    assert hashes_of(out) == expected


@pytest.mark.parametrize("moment", ["make_stores", "move_into_place"])
def test_interrupted_at_the_end(corpus, tokenizer, tmp_path, monkeypatch, moment):
    prepare_folder(corpus, tmp_path / "whole", tokenizer, drop_duplicates=True, **SETTINGS)

    def die(*args: object, **kwargs: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(prepare, moment, die)
        with pytest.raises(Killed):
            prepare_folder(corpus, tmp_path / "out", tokenizer, drop_duplicates=True, **SETTINGS)
    assert not (tmp_path / "out").exists()
    with monkeypatch.context() as patch:
        # Nothing is read or encoded again.
        patch.setattr(local, "prepare_group", die)
        prepare_folder(corpus, tmp_path / "out", tokenizer, drop_duplicates=True, **SETTINGS)
    assert hashes_of(tmp_path / "out") == hashes_of(tmp_path / "whole")


def test_a_full_disk_is_told_and_what_is_done_is_kept(corpus, tokenizer, tmp_path, monkeypatch):
    prepare_folder(corpus, tmp_path / "whole", tokenizer, **SETTINGS)
    add, calls = ShardWriter.add, 0

    def full(self: ShardWriter, *args: object) -> None:
        nonlocal calls
        calls += 1
        if calls > 250:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        add(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "add", full)
        with pytest.raises(RunStopped, match=r"No space left on device.*is kept"):
            prepare_folder(corpus, tmp_path / "out", tokenizer, **SETTINGS)
    n_done = len(list(work_folder(tmp_path / "out").rglob("groups/*/*.json")))
    assert n_done > 2
    calls = -1000
    prepare_folder(corpus, tmp_path / "out", tokenizer, **SETTINGS)
    assert hashes_of(tmp_path / "out") == hashes_of(tmp_path / "whole")


def test_a_file_that_is_mended_is_read_again_and_no_other(corpus, tokenizer, tmp_path, monkeypatch):
    whole = (corpus / "train/3.jsonl.zst").read_bytes()
    (corpus / "train/3.jsonl.zst").write_bytes(whole[:-50])
    with pytest.raises(UserError, match=r"^train/3.jsonl.zst, line \d+: the zstd data end"):
        prepare_folder(corpus, tmp_path / "out", tokenizer, **SETTINGS)
    (corpus / "train/3.jsonl.zst").write_bytes(whole)
    read: list[str] = []
    original = local.prepare_group

    def noted(work, plan, group, **kwargs):
        read.extend(file.file for file in group.inputs)
        original(work, plan, group, **kwargs)

    monkeypatch.setattr(local, "prepare_group", noted)
    told = prepare_folder(corpus, tmp_path / "out", tokenizer, **SETTINGS)
    assert "goes on: 4 of 6 parts are done" in told
    assert read == ["train/3.jsonl.zst", "train/4.jsonl.zst"]
    prepare_folder(corpus, tmp_path / "whole", tokenizer, **SETTINGS)
    assert hashes_of(tmp_path / "out") == hashes_of(tmp_path / "whole")


def test_other_settings_do_not_go_on(corpus, tokenizer, tmp_path):
    (corpus / "train/9.jsonl").write_bytes(b"x\n")
    with pytest.raises(UserError, match="not JSON"):
        prepare_folder(corpus, tmp_path / "out", tokenizer, **SETTINGS)
    (corpus / "train/9.jsonl").unlink()
    with pytest.raises(UserError, match=r"other settings .*: shard_tokens 2000, 3000; .*--restart"):
        prepare_folder(corpus, tmp_path / "out", tokenizer, **(SETTINGS | {"shard_tokens": 3000}))
    manner = Manner(n_workers=1, restart=True)
    settings = SETTINGS | {"shard_tokens": 3000}
    prepare_folder(corpus, tmp_path / "out", tokenizer, manner, **settings)
    assert TokenStore.open(tmp_path / "out/train").n_documents == 500


def test_what_is_prepared_is_not_prepared_again(corpus, tokenizer, tmp_path, monkeypatch):
    out = tmp_path / "out"
    prepare_folder(corpus, out, tokenizer, **SETTINGS)
    before = hashes_of(out)
    assert prepare_folder(corpus, out, tokenizer, **SETTINGS) == [f"{out} is already prepared"]
    with pytest.raises(UserError, match=r"was prepared otherwise .*set_field 'meta.* None; remove"):
        prepare_folder(corpus, out, tokenizer, **(SETTINGS | {"set_field": None}))
    write_jsonl(corpus / "train/new.jsonl", ["more"], SETS)
    with pytest.raises(UserError, match=r"was prepared from other files"):
        prepare_folder(corpus, out, tokenizer, **SETTINGS)
    assert hashes_of(out) == before
    (tmp_path / "else").mkdir()
    (tmp_path / "else/notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"else exists and is no prepared data set"):
        prepare_folder(corpus, tmp_path / "else", tokenizer, **SETTINGS)


def test_one_process_at_a_time(corpus, tokenizer, tmp_path, monkeypatch):
    def second(*args: object, **kwargs: object) -> None:
        prepare_folder(corpus, tmp_path / "out", tokenizer, **SETTINGS)

    monkeypatch.setattr(local, "prepare_group", second)
    with pytest.raises(UserError, match=r"^another process is preparing .*: wait for it"):
        prepare_folder(corpus, tmp_path / "out", tokenizer, **SETTINGS)


def test_a_killed_worker_is_told(corpus, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(local, "_prepare_in_worker", die_in_worker)
    with pytest.raises(RunStopped, match=r"a worker process was killed.*fewer --workers"):
        prepare_folder(corpus, tmp_path / "out", tokenizer, Manner(n_workers=2), **SETTINGS)


def die_in_worker(index: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


PROGRAM = """
import sys
from pathlib import Path
from sgatlin.input.preparation import group, plan
from tests.input.preparation.corpus import prepare_folder, small_tokenizer
from sgatlin.input.preparation.manner import Manner
plan._GROUP_BYTES = (1, 1)
if __name__ == "__main__":
    corpus, out = map(Path, sys.argv[1:])
    settings = {"set_field": "meta.redpajama_set_name", "shard_tokens": 60_000}
    prepare_folder(corpus, out, small_tokenizer(), Manner(n_workers=2), **settings)
"""


@pytest.mark.slow
def test_killed_at_eight_random_moments(tmp_path):
    """kill -9 of the parent alone: its workers end by themselves."""
    folder = tmp_path / "corpus"
    for number in range(8):
        write_jsonl(folder / f"train/{number}.jsonl.zst", make_texts(5000, seed=number), SETS)
    write_jsonl(folder / "validation/a.jsonl.gz", make_texts(5000, seed=9), SETS)
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)

    def start(out: Path) -> subprocess.Popen:
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
        return subprocess.Popen([sys.executable, script, folder, out], env=environment)

    begin = time.monotonic()
    assert start(tmp_path / "whole").wait(timeout=300) == 0
    duration = time.monotonic() - begin
    expected = hashes_of(tmp_path / "whole")
    rng = random.Random(0)
    n_killed = n_with_pieces = 0
    for attempt in range(8):
        out = tmp_path / f"out{attempt}"
        process = start(out)
        time.sleep(rng.uniform(0.2, 0.9) * duration)
        process.kill()
        n_killed += process.wait() == -signal.SIGKILL
        n_with_pieces += any(work_folder(out).rglob("groups/*/*.json"))
        assert start(out).wait(timeout=300) == 0
        assert hashes_of(out) == expected
        assert not work_folder(out).exists()
    # Most were killed before their end, some in the middle of their groups.
    assert n_killed >= 4
    assert n_with_pieces >= 1
