# SPDX-License-Identifier: Apache-2.0
"""What befalls a run: damaged checkpoints, full disks, a second trainer, a clock set back."""

import dataclasses
import errno
import itertools
import json
import os
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from sgatlin.errors import RunStopped, UserError
from sgatlin.train import checkpoint, manifest
from sgatlin.train.checkpoint import CheckpointConfig, Checkpointer
from sgatlin.train.lock import is_locked
from sgatlin.train.loop import Trainer, TrainOptions
from sgatlin.train.run import RunDirectory
from tests.toy import STEPS
from tests.train.disk import largest_file
from tests.train.runs import assert_same, train

pytestmark = pytest.mark.usefixtures("compiled_once")


def losses(path: Path) -> list[tuple[int, float]]:
    """Step and loss of each line of metrics.jsonl that has one."""
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]


@pytest.fixture(scope="module")
def whole(toy, tmp_path_factory) -> Trainer:
    """A run that nothing befell."""
    return train(toy, tmp_path_factory.mktemp("runs") / "whole")


@pytest.mark.slow
def test_a_damaged_checkpoint_is_skipped_and_its_steps_trained_again(toy, whole, tmp_path, capsys):
    path = tmp_path / "run"
    train(toy, path, until=10)
    file = path / "checkpoints/10/state/data/data.json"
    file.write_bytes(file.read_bytes().replace(b"4", b"5"))
    with pytest.raises(UserError, match=f"^--strict: {file} is damaged"):
        Trainer(toy, path, TrainOptions(strict=True))
    capsys.readouterr()

    rest = train(toy, path)
    told = capsys.readouterr().out
    assert f"{file} is damaged" in told
    assert "goes on from step 8" in told
    assert_same(rest.state, whole.state)
    assert losses(path) == losses(whole.run.path)
    assert (path / "checkpoints/10.damaged").is_dir()


def test_no_run_begins_anew_over_damaged_checkpoints(toy, tmp_path):
    train(toy, tmp_path, until=5)
    before = losses(tmp_path)
    (tmp_path / "checkpoints/5/manifest.json").write_text("")
    for _ in range(2):
        with pytest.raises(UserError, match=r"^no checkpoint in .* is intact: .*manifest.json is"):
            Trainer(toy, tmp_path, TrainOptions())
    assert losses(tmp_path) == before


def test_a_clock_that_goes_backwards_changes_nothing(toy, whole, tmp_path, monkeypatch):
    config = dataclasses.replace(toy, log=dataclasses.replace(toy.log, tensorboard=True))
    clock = itertools.count(2e9, -3600.0)
    monkeypatch.setattr(time, "time", lambda: next(clock))
    train(config, tmp_path, until=10)
    rest = train(config, tmp_path)
    assert next(clock) < 2e9 - 3600 * 2 * STEPS  # it was asked at every step
    assert_same(rest.state, whole.state)
    assert losses(tmp_path) == losses(whole.run.path)


def test_one_trainer_at_a_time(toy, whole, tmp_path):
    path = tmp_path / "run"
    first = Trainer(toy, path, TrainOptions())
    before = sorted(path.rglob("*"))
    with pytest.raises(UserError, match=f"^{path} is being trained by process {os.getpid()} on "):
        Trainer(dataclasses.replace(toy, name="another"), path, TrainOptions())
    assert sorted(path.rglob("*")) == before
    first.train()
    assert not is_locked(path)
    assert_same(first.state, whole.state)
    assert Trainer(toy, path, TrainOptions()).finished


def test_a_full_disk_ends_the_run_in_one_line(toy, whole, tmp_path):
    train(toy, tmp_path, until=10)
    trainer = Trainer(toy, tmp_path, TrainOptions())
    file = tmp_path / "metrics.jsonl"
    with largest_file(file.stat().st_size + 10), pytest.raises(RunStopped) as caught:
        trainer.train()
    told = str(caught.value)
    assert told.startswith("stopped: ")
    assert f"'{file}'; the last good checkpoint is step 10 in {tmp_path}/checkpoints: mend" in told
    assert "\n" not in told
    assert checkpoint.saved_steps(tmp_path / "checkpoints") == [8, 10]
    assert_same(train(toy, tmp_path).state, whole.state)
    assert losses(tmp_path) == losses(whole.run.path)


def test_a_disk_that_fills_while_a_save_is_written_stops_the_next_step(toy, whole, tmp_path):
    saving = CheckpointConfig(every_steps=10)
    trainer = Trainer(dataclasses.replace(toy, checkpoint=saving), tmp_path, TrainOptions())

    def fail(step):
        if step == 12:
            raise RunStopped("saving step 10 failed")

    trainer.checkpointer.poll = lambda: fail(trainer.step)
    with pytest.raises(RunStopped, match="saving step 10 failed"):
        trainer.train()
    assert trainer.step == 12


def test_a_result_for_which_there_is_no_room(toy, whole, tmp_path, monkeypatch):
    def full(run, result, documents):
        raise OSError(errno.ENOSPC, "No space left on device", str(run.result_file))

    with monkeypatch.context() as context:
        context.setattr(RunDirectory, "write_result", full)
        with pytest.raises(RunStopped, match=r"result.json'; the last good checkpoint is step 20"):
            train(toy, tmp_path)
    assert losses(tmp_path) == losses(whole.run.path)
    result = train(toy, tmp_path).run.result()
    assert result["val_loss"] == whole.run.result()["val_loss"]


def test_a_manifest_for_which_there_is_no_room_makes_no_step_good(tmp_path, monkeypatch):
    def full(path, text):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    state = {"params": {"w": jnp.ones(3)}, "train": {"step": jnp.int32(0)}, "data": {}}
    with Checkpointer(tmp_path, CheckpointConfig()) as checkpointer:
        checkpointer.save(1, **state, wait=True)
        with monkeypatch.context() as context:
            context.setattr(manifest, "write_atomically", full)
            with pytest.raises(RunStopped) as caught:
                checkpointer.save(2, **state, wait=True)
        assert "No space left on device" in str(caught.value)
        assert "; the last good step is 1: mend the disk" in str(caught.value)
        assert [path.name for path in tmp_path.iterdir()] == ["1"]
        checkpointer.save(2, **state, wait=True)
    checkpoint.verify(tmp_path, 2)


def test_a_failed_save_is_seen_without_waiting(tmp_path):
    big = {"w": jax.random.normal(jax.random.key(0), (512, 512))}
    with Checkpointer(tmp_path, CheckpointConfig()) as checkpointer:
        checkpointer.poll()
        with largest_file(100_000):
            checkpointer.save(1, params=big, train={"step": jnp.int32(1)}, data={})
            _, written = checkpointer._pending
            written.exception(timeout=30)
            with pytest.raises(RunStopped, match=r"^saving step 1 in .*; no step is good yet"):
                checkpointer.poll()
        checkpointer.poll()
