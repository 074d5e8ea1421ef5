# SPDX-License-Identifier: Apache-2.0
"""Where runs begin: from another run's parameters, or as a branch of its stable phase."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from sgatlin.config import Config
from sgatlin.errors import UserError
from sgatlin.input.store import TokenStore
from sgatlin.nn.mlp import MlpConfig
from sgatlin.train import checkpoint
from sgatlin.train.checkpoint import CheckpointConfig
from sgatlin.train.load import find_checkpoint, load_run
from sgatlin.train.loop import Stopped, Trainer, TrainOptions
from sgatlin.train.run import RunDirectory
from sgatlin.train.schedules import CosineSchedule
from sgatlin.train.start import Start, start_run
from tests.toy import SCHEDULE, STEPS

pytestmark = pytest.mark.usefixtures("compiled_once")

# With a fifth of 15 steps for its decay, a branch is stable until step 12; the toy until step 16.
BRANCH_STEPS = 15


@pytest.fixture(scope="module")
def branch(toy: Config) -> Config:
    """The toy with fewer steps, and so with an earlier decay."""
    return dataclasses.replace(
        toy, name="branch", train=dataclasses.replace(toy.train, steps=BRANCH_STEPS)
    )


def start(config: Config, path: Path, **origin) -> Start:
    """The start of a run at `path`, without compiling it."""
    data = TokenStore.open(Path(config.data.source.path) / "train")
    given = {"init_from": None, "branch_from": None, "tokenizer_hash": data.tokenizer_hash}
    return start_run(config, RunDirectory(path), **given | origin)


def refusal(config: Config, path: Path, **origin) -> str:
    """The error of a run, which must not have begun."""
    with pytest.raises(UserError) as caught:
        Trainer(config, path, TrainOptions(**origin))
    assert not path.exists()
    return str(caught.value)


def assert_same(a, b) -> None:
    for ours, theirs in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()


@pytest.mark.parametrize("at", ["", "@10", "@best"])
def test_init_from_takes_the_parameters_and_nothing_else(toy, toy_run, tmp_path, at):
    begun = start(toy, tmp_path, init_from=f"{toy_run}{at}")
    assert_same(begun.state.params, load_run(f"{toy_run}{at}").params)
    assert (int(begun.state.step), begun.position) == (0, (0, 0.0))
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(begun.state.optimizer))


def test_which_checkpoint_a_name_means(toy_run):
    steps = [find_checkpoint(f"{toy_run}{at}")[1] for at in ("", "@10", "@best")]
    assert steps == [STEPS, 10, checkpoint.best(toy_run / "checkpoints")]


def test_a_run_with_checkpoints_of_its_own_goes_on_from_them(toy, toy_run, tmp_path):
    """So that the very same command, --init-from and all, goes on after an interruption."""
    trainer = Trainer(toy, tmp_path, TrainOptions(init_from=str(toy_run)))
    with pytest.raises(Stopped):
        trainer.train(lambda: trainer.step == 3)
    again = start(toy, tmp_path, init_from=str(toy_run))
    assert again.position.examples == 3 * toy.data.batch_size
    assert_same(again.state, trainer.state)


def test_branch_equals_a_run_with_that_decay_from_the_start(branch, toy_run, tmp_path):
    whole = Trainer(branch, tmp_path / "whole", TrainOptions())
    whole.train()
    branched = Trainer(branch, tmp_path / "branched", TrainOptions(branch_from=str(toy_run)))
    assert (branched.step, branched.position.examples) == (10, 10 * branch.data.batch_size)
    branched.train()

    assert_same(branched.state, whole.state)
    assert branched.run.result()["val_loss"] == whole.run.result()["val_loss"]
    # At step 15 the source had not begun to decay: the branch is not just the source again.
    embeddings = branched.state.params["embedding"], load_run(f"{toy_run}@15").params["embedding"]
    assert not np.array_equal(*map(np.asarray, embeddings))

    # Its metrics are whole too: the source's up to step 10, and then its own.
    rows, theirs = branched.run.metrics(), RunDirectory(toy_run).metrics()
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, BRANCH_STEPS + 1))
    assert [row for row in rows if row["step"] <= 10] == [r for r in theirs if r["step"] <= 10]
    assert rows[-1]["val_copy_score"] == whole.run.metrics()[-1]["val_copy_score"]


def test_branch_from_a_given_step(branch, toy_run, tmp_path):
    assert start(branch, tmp_path, branch_from=f"{toy_run}@5").state.step == 5


def test_branch_from_the_step_before_the_decay_of_a_run_without_other_checkpoints(toy, tmp_path):
    """A longer run takes over the whole stable phase: its own lasts until step 24."""
    saving = CheckpointConfig(every_steps=1000, keep_best=0, before_decay=True, at_end=False)
    short, path = dataclasses.replace(toy, checkpoint=saving), tmp_path / "short"
    Trainer(short, path, TrainOptions()).train()
    long = dataclasses.replace(short, train=dataclasses.replace(toy.train, steps=30))
    begun = start(long, tmp_path / "long", branch_from=str(path))
    assert (begun.state.step, begun.position.examples) == (16, 16 * toy.data.batch_size)
    assert begun.told == f"branches off {path} at step 16"
    whole = Trainer(long, tmp_path / "whole", TrainOptions())
    with pytest.raises(Stopped):
        whole.train(lambda: whole.step == 16)
    assert_same(begun.state, whole.state)


def test_branch_may_choose_another_form_and_length_of_decay(branch, toy_run, tmp_path):
    schedule = dataclasses.replace(SCHEDULE, decay="linear", decay_fraction=0.6)
    optimizer = dataclasses.replace(branch.optimizer, schedule=schedule)
    config = dataclasses.replace(branch, optimizer=optimizer)
    # Stable until step 6 only.
    assert start(config, tmp_path, branch_from=str(toy_run)).state.step == 5


@pytest.mark.parametrize(
    ("steps", "at", "limit"),
    [
        (BRANCH_STEPS, "@15", 12),  # the branch decays by then
        (100, "@20", 16),  # its source does
        (5, "", 4),  # before the first checkpoint
    ],
)
def test_branch_off_a_decay_is_refused(toy, toy_run, tmp_path, steps, at, limit):
    config = dataclasses.replace(toy, train=dataclasses.replace(toy.train, steps=steps))
    told = refusal(config, tmp_path / "run", branch_from=f"{toy_run}{at}")
    assert f"--branch-from {toy_run}{at}: no such checkpoint at or before step {limit}" in told
    assert "checkpoint.keep-every keeps some" in told


def with_schedule(config: Config, schedule) -> Config:
    return dataclasses.replace(
        config, optimizer=dataclasses.replace(config.optimizer, schedule=schedule)
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda c: dataclasses.replace(c, train=dataclasses.replace(c.train, seed=3)),
            "there is also (field: there, here): train.seed: 0, 3",
        ),
        (
            lambda c: dataclasses.replace(
                c, model=dataclasses.replace(c.model, feed_forward=MlpConfig(d_hidden=8))
            ),
            "model.feed_forward.kind: 'sgatlin', 'mlp'",
        ),
        (
            lambda c: with_schedule(c, dataclasses.replace(SCHEDULE, warmup_steps=3)),
            "optimizer.schedule.warmup_steps: 4, 3",
        ),
        (
            lambda c: with_schedule(c, CosineSchedule(warmup_steps=4)),
            "--branch-from needs the schedule stable_decay, in both runs",
        ),
    ],
)
def test_branch_of_another_run_than_one_s_own_is_refused(branch, toy_run, tmp_path, change, told):
    assert told in refusal(change(branch), tmp_path / "run", branch_from=str(toy_run))


def with_layer(config: Config, layer) -> Config:
    return dataclasses.replace(config, model=dataclasses.replace(config.model, feed_forward=layer))


def test_init_from_a_layer_of_another_size_is_refused(toy, toy_run, tmp_path):
    config = with_layer(toy, dataclasses.replace(toy.model.feed_forward, n_neurons=25))
    told = refusal(config, tmp_path / "run", init_from=str(toy_run))
    assert told.startswith(
        f"--init-from {toy_run}: the feed-forward layers differ (field: there, here): "
        "model.feed_forward.n_neurons: 16, 25: "
    )
    assert "params/blocks/feed_forward/router/key is float32[2,8,16] in the checkpoint" in told
    assert "float32[2,8,20] in the model" in told


def test_init_from_another_layer_is_refused(toy, toy_run, tmp_path):
    config = with_layer(toy, MlpConfig(d_hidden=8))
    told = refusal(config, tmp_path / "run", init_from=str(toy_run))
    assert "the feed-forward layers differ" in told
    assert "model.feed_forward.kind: 'sgatlin', 'mlp'" in told


def test_init_from_another_width_is_not_blamed_on_the_layer(toy, toy_run, tmp_path):
    config = dataclasses.replace(toy, model=dataclasses.replace(toy.model, d_model=24))
    told = refusal(config, tmp_path / "run", init_from=str(toy_run))
    assert "feed-forward layers differ" not in told
    assert "attention/w_key is float32[2,16,16] in the checkpoint" in told


def test_init_from_a_layer_with_another_top_k_may_be(toy, toy_run, tmp_path):
    config = with_layer(toy, dataclasses.replace(toy.model.feed_forward, top_k=3))
    begun = start(config, tmp_path, init_from=str(toy_run))
    assert_same(begun.state.params, load_run(str(toy_run)).params)


@pytest.mark.parametrize("option", ["init_from", "branch_from"])
def test_another_tokenizer_is_refused(toy, toy_run, tmp_path, option):
    with pytest.raises(UserError) as caught:
        start(toy, tmp_path, **{option: f"{toy_run}@10"}, tokenizer_hash="another")
    assert str(caught.value) == (
        f"--{option.replace('_', '-')} {toy_run}@10: its tokenizer is not that of this run's data: "
        f"prepare the data with {toy_run / 'tokenizer.json'}"
    )


def test_runs_and_checkpoints_that_are_not_there(toy, toy_run, tmp_path):
    path = tmp_path / "run"
    assert f"{path} is not a run directory" in refusal(toy, path, init_from=str(path))
    assert f"{toy_run} has no checkpoint '7': there are best and steps 5, 10, 15, 20" in refusal(
        toy, path, init_from=f"{toy_run}@7"
    )


def test_only_one_origin():
    with pytest.raises(UserError, match="--init-from and --branch-from exclude each other"):
        TrainOptions(init_from="a", branch_from="b")
