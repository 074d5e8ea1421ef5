# SPDX-License-Identifier: Apache-2.0
"""What a run leaves where not every end is saved: the step before the decay, or a result alone."""

import dataclasses
import json

import pytest

from sgatlin.train import checkpoint
from sgatlin.train.checkpoint import CheckpointConfig
from sgatlin.train.loop import Trainer
from sgatlin.train.schedules import ConstantSchedule, CosineSchedule
from tests.toy import STEPS
from tests.train.runs import assert_same, train

pytestmark = pytest.mark.usefixtures("compiled_once")

RESULT_ONLY = CheckpointConfig(every_steps=1000, keep_best=0, at_end=False)


@pytest.fixture(scope="module")
def whole(toy, tmp_path_factory) -> Trainer:
    """A run that nothing interrupted, with checkpoints as usual."""
    return train(toy, tmp_path_factory.mktemp("runs") / "whole")


@pytest.mark.slow
def test_the_step_before_the_decay_stays(toy, whole, tmp_path):
    """The last four of twenty steps decay; it stays though later steps are saved, twice started."""
    saving = CheckpointConfig(every_steps=9, keep_last=1, keep_best=0, before_decay=True)
    config = dataclasses.replace(toy, checkpoint=saving)
    folder = tmp_path / "checkpoints"
    train(config, tmp_path, until=17)
    assert checkpoint.good_steps(folder) == [16, 17]
    trainer = train(config, tmp_path)
    assert checkpoint.good_steps(folder) == [16, STEPS]
    assert_same(trainer.state, whole.state)


def test_a_schedule_without_a_decay_has_no_step_before_it(toy):
    saving = CheckpointConfig(before_decay=True)
    config = dataclasses.replace(toy, checkpoint=saving)
    assert (toy.step_before_decay, config.step_before_decay) == (None, 16)
    for schedule in (CosineSchedule(warmup_steps=4), ConstantSchedule(warmup_steps=4)):
        optimizer = dataclasses.replace(toy.optimizer, schedule=schedule)
        assert dataclasses.replace(config, optimizer=optimizer).step_before_decay is None


@pytest.mark.parametrize("before_decay", [False, True])
def test_without_a_save_at_the_end_there_is_the_result_alone(
    toy, whole, tmp_path, monkeypatch, before_decay
):
    saving = dataclasses.replace(RESULT_ONLY, before_decay=before_decay)
    config = dataclasses.replace(toy, checkpoint=saving)
    assert_same(train(config, tmp_path).state, whole.state)
    assert checkpoint.good_steps(tmp_path / "checkpoints") == ([16] if before_decay else [])
    before = (tmp_path / "result.json").read_text()
    assert json.loads(before)["val_loss"] == whole.run.result()["val_loss"]

    monkeypatch.setattr(Trainer, "_compile", None)
    assert train(config, tmp_path).run.result() == json.loads(before)
    assert (tmp_path / "result.json").read_text() == before


@pytest.mark.parametrize("until", [12, STEPS])
def test_a_stopped_run_saves_even_if_it_would_not_at_the_end(toy, whole, tmp_path, until):
    config = dataclasses.replace(toy, checkpoint=RESULT_ONLY)
    train(config, tmp_path, until=until)
    assert checkpoint.good_steps(tmp_path / "checkpoints") == [until]
    trainer = train(config, tmp_path)
    assert_same(trainer.state, whole.state)
    assert trainer.run.result()["val_loss"] == whole.run.result()["val_loss"]
