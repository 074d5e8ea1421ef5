# SPDX-License-Identifier: Apache-2.0
"""Bad steps: what is one, what a skipped one leaves as it was, and what a run says and notes."""

import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sgatlin.errors import RunStopped, UserError
from sgatlin.train.guard import MEAN_DECAY, GuardConfig, Verdict, initial_guard, judge
from sgatlin.train.loop import Trainer, TrainOptions
from sgatlin.train.step import StepInputs, init_state, make_train_step
from tests.toy import QUICK_TO_COMPILE
from tests.train.runs import assert_same, poison_batches, train

SKIP = GuardConfig(action="skip")


def guarded(config, guard):
    return dataclasses.replace(config, guard=guard)


def verdicts(losses, grad_norms=None, **options):
    """Of one step after another: whether it is bad; and the guard at the end."""
    guard, found = initial_guard(), []
    for i, loss in enumerate(losses):
        grad_norm = jnp.float32(1.0 if grad_norms is None else grad_norms[i])
        verdict, guard = judge(guard, jnp.float32(loss), grad_norm, GuardConfig(**options))
        found.append(bool(verdict.bad))
    return found, guard


def test_what_is_not_finite_is_bad_and_moves_no_mean():
    found, guard = verdicts([2.0, np.nan, np.inf, 2.0, 2.0], [1.0, 1.0, 1.0, np.nan, 1.0])
    assert found == [False, True, True, True, False]
    assert guard.mean_loss == pytest.approx(2.0)
    assert (int(guard.skipped), int(guard.in_a_row)) == (3, 0)


def test_the_first_loss_is_no_spike_and_later_ones_are_held_against_the_mean():
    found, guard = verdicts([9.0, 4.0, 9.8, 9.95, 9.95], spike_nats=1.0)
    mean = MEAN_DECAY * 9.0 + (1 - MEAN_DECAY) * 4.0
    mean = MEAN_DECAY * mean + (1 - MEAN_DECAY) * 9.8
    assert found == [False, False, False, True, True]
    assert guard.mean_loss == pytest.approx(mean)
    assert (int(guard.skipped), int(guard.in_a_row)) == (2, 2)
    assert verdicts([1.0, 1e9], spike_nats=None)[0] == [False, False]
    assert verdicts([np.inf, 2.0])[0] == [True, False]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"spike_nats": 0.0}, "spike_nats=0.0 must be above 0, or None"),
        ({"spike_nats": math.nan}, "spike_nats=nan must be above 0, or None"),
        ({"most_in_a_row": 0}, "most_in_a_row=0 must be at least 1"),
    ],
)
def test_options_that_cannot_be(options, told):
    with pytest.raises(UserError, match=told):
        GuardConfig(**options)


def test_why():
    verdict = Verdict(bad=True, above_mean=3.5, skipped=0, in_a_row=0)
    assert verdict.why(5.5, 1.0) == "loss 5.500 is 3.50 nats above the mean before, 2.000"
    assert verdict.why(math.nan, 1.0) == "loss nan, gradient norm 1.0"


@pytest.fixture(scope="module")
def steps(toy):
    """Of each action the compiled step, the state that both begin with, and two batches."""
    shape = (toy.data.batch_size, toy.data.seq_len)
    ids_BT = jax.random.randint(jax.random.key(0), shape, 0, toy.model.vocab_size)
    good = StepInputs(ids_BT, ids_BT, jnp.ones(shape))
    bad = good._replace(weights_BT=good.weights_BT.at[1, 2].set(jnp.nan))
    compiled = {
        action: jax.jit(
            make_train_step(guarded(toy, GuardConfig(action=action))),
            compiler_options=QUICK_TO_COMPILE,
        )
        for action in ("stop", "skip")
    }
    state, _ = compiled["stop"](init_state(toy), good)
    return compiled, state, good, bad


def test_a_step_that_is_not_bad_is_the_same_to_the_bit(steps):
    compiled, state, good, _ = steps
    assert_same(compiled["skip"](state, good), compiled["stop"](state, good))


def test_a_skipped_step_leaves_all_but_counts_as_it_was(steps):
    compiled, state, _, bad = steps
    after, metrics = compiled["skip"](state, bad)
    assert math.isnan(metrics["loss"])
    assert (bool(metrics["guard/bad"]), int(metrics["guard/skipped"])) == (True, 1)
    assert_same((after.params, after.usage), (state.params, state.usage))
    assert after.step == state.step + 1
    n_counts = 0
    for old, new in zip(*map(jax.tree.leaves, (state.optimizer, after.optimizer)), strict=True):
        is_count = jnp.issubdtype(old.dtype, jnp.integer)
        n_counts += is_count
        assert_same(new, old + 1 if is_count else old)
    assert n_counts
    spoilt, metrics = compiled["stop"](state, bad)
    assert bool(metrics["guard/bad"])
    assert any(not np.isfinite(leaf).all() for leaf in jax.tree.leaves(spoilt.params))


def run(config, path, *bad_steps, until=None):
    trainer = Trainer(config, path, TrainOptions())
    poison_batches(trainer, *bad_steps)
    if until is None:
        trainer.train()
    else:
        with pytest.raises(Exception, match=f"^saved step {until}$"):
            trainer.train(lambda: trainer.step == until)
    return trainer


def rows(path):
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: row[name] for name in row if name != "time"} for row in found]


@pytest.mark.slow
def test_a_run_skips_notes_and_goes_on(toy, tmp_path, capsys):
    config = guarded(toy, SKIP)
    whole = run(config, tmp_path / "whole", 7, 8, 13)
    assert whole.run.result()["skipped_steps"] == 3
    told = [line for line in capsys.readouterr().out.splitlines() if "skipped" in line]
    assert [line.split(": ")[0] for line in told] == [
        "step 7 skipped, 1 in all",
        "step 8 skipped, 2 in all",
        "step 13 skipped, 3 in all",
    ]
    noted = rows(whole.run.skipped_file)
    assert [row["step"] for row in noted] == [7, 8, 13]
    assert {row["loss"] for row in noted} == {None}
    size = config.data.batch_size
    for row in noted:
        ids = whole.stream.windows_at(range((row["step"] - 1) * size, row["step"] * size))
        assert row["windows"] == {f"{toy.data.source.path}/train": ids}
    logged = [row for row in rows(whole.run.metrics_file) if "skipped_steps" in row]
    assert [(row["step"], row["skipped_steps"]) for row in logged] == [(7, 1), (8, 2), (13, 3)]

    run(config, tmp_path / "parts", 7, 8, 13, until=10)
    parts = run(config, tmp_path / "parts", 13)
    assert_same(parts.state, whole.state)
    assert rows(parts.run.skipped_file) == noted
    assert rows(parts.run.metrics_file)[-1] == rows(whole.run.metrics_file)[-1]


def test_too_many_in_a_row_end_the_run(toy, tmp_path):
    config = guarded(toy, dataclasses.replace(SKIP, most_in_a_row=3))
    with pytest.raises(RunStopped, match=r"^stopped at step 9: 3 steps skipped in a row; loss nan"):
        run(config, tmp_path, 2, 3, 7, 8, 9)
    assert [row["step"] for row in rows(tmp_path / "skipped.jsonl")] == [2, 3, 7, 8, 9]


@pytest.mark.slow
def test_a_spike_stops_a_run_which_may_go_on_otherwise(toy, tmp_path):
    """A limit that every unlucky batch is above."""
    config = guarded(toy, GuardConfig(spike_nats=1e-4))
    with pytest.raises(RunStopped, match=r"nats above the mean before, .*; .*\. Lower") as stopped:
        train(config, tmp_path)
    assert "(--guard.action skip)" in str(stopped.value)
    again = train(guarded(toy, GuardConfig(spike_nats=None)), tmp_path)
    assert again.run.result()["val_loss"] == train(toy, tmp_path / "x").run.result()["val_loss"]
