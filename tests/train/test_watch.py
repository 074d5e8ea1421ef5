# SPDX-License-Identifier: Apache-2.0
"""The usage watch of a run: what is counted, reported, restored and resampled."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sgatlin.config import Config
from sgatlin.errors import UserError
from sgatlin.nn.mlp import MlpConfig
from sgatlin.nn.moe import MoeConfig
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.transformer import bind
from sgatlin.train.loop import Trainer, TrainOptions
from sgatlin.train.step import StepInputs, init_state, make_train_step
from sgatlin.train.usage import UsageConfig
from sgatlin.train.watch import make_watch
from tests.toy import QUICK_TO_COMPILE

TABLES = (2, 2)  # layers and channels of the toy


def with_layer(config: Config, feed_forward, **changed) -> Config:
    model = dataclasses.replace(config.model, feed_forward=feed_forward)
    return dataclasses.replace(config, model=model, **changed)


def batch_of(config: Config) -> StepInputs:
    tokens = np.random.default_rng(0).integers(0, config.model.vocab_size, (4, 17), np.int32)
    return StepInputs(
        jnp.asarray(tokens[:, :-1]), jnp.asarray(tokens[:, 1:]), jnp.ones((4, 16), jnp.float32)
    )


def compiled(fn):
    return jax.jit(fn, compiler_options=QUICK_TO_COMPILE)


def test_a_step_counts_the_choices_of_all_its_tokens(toy):
    config = dataclasses.replace(toy, train=dataclasses.replace(toy.train, accumulate=2))
    state, batch = init_state(config), batch_of(config)
    indices = bind(config.model, state.params)(batch.inputs_BT, return_gates=True).gates.indices
    expected = np.zeros((*TABLES, 16), int)
    for (layer, _, _, channel, _), neuron in np.ndenumerate(np.asarray(indices)):
        expected[layer, channel, neuron] += 1
    after, _ = compiled(make_train_step(config))(state, batch)
    np.testing.assert_array_equal(after.usage.counts, expected)
    np.testing.assert_array_equal(after.usage.last_used, expected > 0)
    assert expected.sum() == 4 * 16 * 2 * 2 * 2  # tokens, layers, channels, choices


def reports(path) -> list[dict]:
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if "usage/used" in row]


@pytest.mark.usefixtures("compiled_once")
def test_a_run_reports_every_so_many_steps_and_at_its_end(toy, tmp_path):
    config = dataclasses.replace(
        toy,
        usage=UsageConfig(every=8, dead_after=8),
        log=dataclasses.replace(toy.log, every=7),
    )
    trainer = Trainer(config, tmp_path, TrainOptions())
    trainer.train()
    found = reports(tmp_path)
    assert [row["step"] for row in found] == [8, 16, 20]
    for row in found:
        names = {name for name in row if name.startswith("usage/")}
        assert names == {
            f"usage/{name}" for name in ("used", "entropy", "gini", "load_cv", "load_max", "dead")
        }
        for name in names:
            assert np.shape(row[name]) == TABLES
        assert 0 < np.min(row["usage/used"]) <= np.max(row["usage/used"]) <= 1
    # Counts begin anew after each report.
    assert not trainer.state.usage.counts.any()
    # Of 16 neurons as many were used or are not known to be dead.
    assert (16 * np.array(found[0]["usage/used"]) + found[0]["usage/dead"] == 16).all()


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_once")
def test_a_run_that_goes_on_reports_what_one_without_a_break_does(toy, tmp_path):
    config = dataclasses.replace(toy, usage=UsageConfig(every=16, dead_after=6))
    Trainer(config, tmp_path / "whole", TrainOptions()).train()
    trainer = Trainer(config, tmp_path / "broken", TrainOptions())
    with pytest.raises(Exception, match="saved step 7"):
        trainer.train(lambda: trainer.step == 7)
    Trainer(config, tmp_path / "broken", TrainOptions()).train()

    def without_time(path):
        return [{k: v for k, v in row.items() if k != "time"} for row in reports(path)]

    assert without_time(tmp_path / "broken") == without_time(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_once")
def test_resampling_is_part_of_what_a_break_does_not_change(toy, tmp_path):
    usage = UsageConfig(every=4, dead_after=3, resample=True, resample_share=0.25)
    config = dataclasses.replace(toy, usage=usage)
    whole = Trainer(config, tmp_path / "whole", TrainOptions())
    whole.train()
    assert np.sum([row["usage/resampled"] for row in reports(tmp_path / "whole")]) > 0
    broken = Trainer(config, tmp_path / "broken", TrainOptions())
    with pytest.raises(Exception, match="saved step 10"):
        broken.train(lambda: broken.step == 10)
    again = Trainer(config, tmp_path / "broken", TrainOptions())
    again.train()
    for ours, theirs in zip(
        jax.tree.leaves(again.state), jax.tree.leaves(whole.state), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("step", "replaces"), [(17, True), (18, False)])
def test_copies_have_time_to_part_before_the_run_ends(toy, step, replaces):
    """The run ends at step 20, and a neuron is dead after three steps."""
    config = dataclasses.replace(toy, usage=UsageConfig(dead_after=3, resample=True))
    state = init_state(config)
    # Only the first neuron of each table was ever chosen.
    counts = state.usage.counts.at[..., 0].set(5)
    usage = state.usage._replace(counts=counts, last_used=jnp.where(counts > 0, step, 0))
    state = state._replace(step=jnp.int32(step), usage=usage)
    after, report = compiled(make_watch(config))(state)
    # In each half three sub-keys are dead, and the first, which is in use, is copied once.
    assert (np.asarray(report["usage/resampled"]) > 0).all() == replaces
    same = [
        bool((a == b).all())
        for a, b in zip(jax.tree.leaves(after.params), jax.tree.leaves(state.params), strict=True)
    ]
    assert all(same) != replaces


def test_the_watch_alone_changes_nothing_but_the_counts(toy):
    state = init_state(toy)
    after, _ = compiled(make_train_step(toy))(state, batch_of(toy))
    watched, _ = compiled(make_watch(toy))(after)
    assert not watched.usage.counts.any()
    for ours, theirs in zip(
        jax.tree.leaves(watched._replace(usage=watched.usage.last_used)),
        jax.tree.leaves(after._replace(usage=after.usage.last_used)),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("layer", "table"),
    [
        (PeerConfig(n_channels=2, n_neurons=16, top_k=2, d_key=4, balance_weight=0.1), (2, 1, 16)),
        (MoeConfig(n_experts=4, top_k=2, d_hidden=8, routing="sigmoid_bias"), (2, 1, 4)),
        (MlpConfig(d_hidden=8), None),
    ],
    ids=["peer", "moe", "mlp"],
)
def test_the_tables_of_other_layers(toy, layer, table):
    config = with_layer(toy, layer)
    state = init_state(config)
    before = jax.tree.map(np.asarray, state.params)
    after, metrics = compiled(make_train_step(config))(state, batch_of(config))
    if table is None:
        assert after.usage is None
        return
    assert after.usage.counts.shape == table
    if isinstance(layer, MoeConfig):
        # The offset of an expert with less than the mean load goes up by the update's speed.
        load = np.asarray(after.usage.counts)[:, 0]
        moved = after.params["blocks"]["feed_forward"]["balance"]
        assert not before["blocks"]["feed_forward"]["balance"].any()
        np.testing.assert_allclose(
            moved, 1e-3 * np.sign(load.mean(axis=1, keepdims=True) - load), atol=1e-8
        )
    else:
        # A loss of 1 for equal loads, times its weight; the loss that is told is without it.
        assert metrics["aux/balance"].shape == (2,)
        assert (np.asarray(metrics["aux/balance"]) > 0.09).all()


@pytest.mark.slow
def test_what_is_minimised_is_the_loss_and_the_layers_own_terms(toy):
    accumulate = 2
    layer = dataclasses.replace(toy.model.feed_forward, balance_weight=0.5)
    config = with_layer(toy, layer, train=dataclasses.replace(toy.train, accumulate=accumulate))
    state, batch = init_state(config), batch_of(config)

    def total(params) -> jax.Array:
        losses = []
        for part in range(accumulate):
            rows = slice(part * 4 // accumulate, (part + 1) * 4 // accumulate)
            output = bind(config.model, params)(batch.inputs_BT[rows])
            log_p = jax.nn.log_softmax(output.logits)
            chosen = jnp.take_along_axis(log_p, batch.targets_BT[rows][..., None], axis=-1)
            losses.append(-chosen.mean() + output.losses["balance"].sum())
        return sum(losses) / accumulate

    _, metrics = compiled(make_train_step(config))(state, batch)
    gradient = compiled(jax.grad(total))(state.params)
    norm = np.sqrt(sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(gradient)))
    assert float(metrics["grad_norm"]) == pytest.approx(norm, rel=1e-4)
    expected = float(compiled(total)(state.params) - metrics["aux/balance"].sum())
    assert float(metrics["loss"]) == pytest.approx(expected, rel=1e-5)


def test_a_layer_that_cannot_be_resampled_is_refused(toy):
    message = (
        r"^usage\.resample needs a router and a table for each channel, which the layer 'moe' here "
        r"has not: set it to False$"
    )
    with pytest.raises(UserError, match=message):
        with_layer(toy, MoeConfig(), usage=UsageConfig(resample=True))
