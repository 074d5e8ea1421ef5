# SPDX-License-Identifier: Apache-2.0
"""Compiled once for runs of other lengths, rates and seeds, which come out as if compiled alone."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sgatlin.config import Config
from sgatlin.nn.mlp import MlpConfig
from sgatlin.train.checkpoint import CheckpointConfig
from sgatlin.train.loop import Trainer, TrainOptions
from sgatlin.train.optimizer import MuonConfig, RoleConfig
from sgatlin.train.programs import ProgramCache, Programs, compile_programs, what_is_compiled
from sgatlin.train.schedules import CosineSchedule
from sgatlin.train.step import (
    StepInputs,
    abstract_inputs,
    abstract_state,
    init_state,
    make_train_step,
    run_schedule,
)
from sgatlin.train.usage import UsageConfig
from sgatlin.train.watch import make_watch
from tests.toy import QUICK_TO_COMPILE
from tests.train.runs import assert_same


def with_optimizer(config: Config, **fields) -> Config:
    return dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, **fields))


def with_train(config: Config, **fields) -> Config:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **fields))


def dense(config: Config) -> Config:
    model = dataclasses.replace(config.model, feed_forward=MlpConfig(d_hidden=8))
    return dataclasses.replace(config, model=model)


def other_run(config: Config) -> Config:
    """Of the same model: all that runs of a study differ in, and more."""
    return dataclasses.replace(
        with_optimizer(
            with_train(config, steps=33, seed=5, eval_every=7, eval_tokens=64),
            learning_rate=3e-3,
            schedule=CosineSchedule(warmup_steps=2),
        ),
        name="other",
        checkpoint=CheckpointConfig(every_steps=1),
    )


@pytest.mark.slow
def test_runs_of_another_length_seed_and_rate_share_their_programs(toy, tmp_path):
    def counted(config, mesh):
        compiled.append(config.name)
        return compile_programs(config, mesh)

    def trained(config: Config, **options) -> Trainer:
        path = tmp_path / f"{config.name}-{len(options)}"
        trainer = Trainer(config, path, TrainOptions(), **options)
        trainer.train()
        return trainer

    compiled: list[str] = []
    cache = ProgramCache(counted)
    first = with_train(toy, steps=6)
    other = with_optimizer(with_train(toy, steps=9, seed=1), learning_rate=3e-3)
    other = dataclasses.replace(other, name="other")
    shared = [trained(config, programs=cache) for config in (first, other)]
    assert compiled == ["toy"]
    alone = trained(other)
    assert_same(shared[1].state, alone.state)
    assert shared[1].run.result()["val_loss"] == alone.run.result()["val_loss"]
    embeddings = [np.asarray(trainer.state.params["embedding"]) for trainer in shared]
    assert not np.array_equal(*embeddings)


def test_another_layer_is_compiled_and_the_last_programs_alone_are_kept(toy):
    """Others would hold a device's memory while the next model trains."""

    def compiled(config, mesh):
        made.append(config.model.feed_forward.kind)
        return Programs(train_step=print, eval_step=print, watch=None)

    made: list[str] = []
    cache = ProgramCache(compiled)
    for config in (toy, other_run(toy), dense(toy), other_run(dense(toy)), toy):
        cache(config, None)
    assert made == ["sgatlin", "mlp", "sgatlin"]


def test_programs_that_could_not_be_made_are_made_again(toy):
    def fails(config, mesh):
        calls.append(config)
        raise MemoryError

    calls: list[Config] = []
    cache = ProgramCache(fails)
    for _ in range(2):
        with pytest.raises(MemoryError):
            cache(toy, None)
    assert len(calls) == 2


OPTIMIZERS = {
    "adamw": {},
    "muon": {
        "muon": MuonConfig(learning_rate=2e-2),
        "pool": RoleConfig(learning_rate_multiplier=2.0),
    },
}


@pytest.mark.parametrize("fields", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_no_program_depends_on_what_the_key_leaves_out(toy, fields):
    """Equal keys, equal programs: those of a run are, word for word, those of its key."""
    config = with_optimizer(toy, **fields)
    assert program(config) == program(what_is_compiled(config))


def program(config: Config) -> str:
    """What is compiled for a step, as text."""
    rate = jax.ShapeDtypeStruct((), jnp.float32)
    step = jax.jit(make_train_step(config))
    return step.lower(abstract_state(config), abstract_inputs(config), rate).as_text()


def watch_program(config: Config) -> str:
    return jax.jit(make_watch(config)).lower(abstract_state(config)).as_text()


@pytest.mark.slow
def test_resampling_depends_on_seed_and_length(toy):
    resampling = dataclasses.replace(toy, usage=UsageConfig(every=5, dead_after=5, resample=True))
    for config, same in ((toy, True), (resampling, False)):
        assert watch_program(config) == watch_program(what_is_compiled(config))
        for other in (with_train(config, seed=5), with_train(config, steps=33)):
            assert (watch_program(config) == watch_program(other)) == same
            assert (what_is_compiled(config) == what_is_compiled(other)) == same


DIFFERENT: dict[str, Callable[[Config], Config]] = {
    "layer": dense,
    "batch": lambda c: dataclasses.replace(c, data=dataclasses.replace(c.data, batch_size=8)),
    "accumulation": lambda c: with_train(c, accumulate=2),
    "weight decay": lambda c: with_optimizer(c, weight_decay=0.2),
    "guard": lambda c: dataclasses.replace(c, guard=dataclasses.replace(c.guard, action="skip")),
}


@pytest.mark.parametrize("change", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_what_a_program_depends_on_is_in_the_key(toy, change):
    assert what_is_compiled(change(toy)) != what_is_compiled(toy)
    assert what_is_compiled(other_run(change(toy))) == what_is_compiled(change(toy))


def test_the_ratio_of_two_rates_is_in_the_key(toy):
    config = with_optimizer(toy, muon=MuonConfig(learning_rate=2e-2))
    other = with_optimizer(config, learning_rate=2e-2)
    assert what_is_compiled(config) != what_is_compiled(other)


def test_a_step_at_a_given_rate_is_that_of_the_schedule(toy):
    """Through warm-up and decay; the second program has neither the rate nor the length in it."""
    config = with_optimizer(with_train(toy, steps=8), **OPTIMIZERS["muon"])
    step = jax.jit(make_train_step(config), compiler_options=QUICK_TO_COMPILE)
    given = jax.jit(make_train_step(what_is_compiled(config)), compiler_options=QUICK_TO_COMPILE)
    shape = (config.data.batch_size, config.data.seq_len)
    tokens = np.random.default_rng(0).integers(0, config.model.vocab_size, (2, *shape), np.int32)
    batch = StepInputs(*map(jnp.asarray, tokens), jnp.ones(shape, jnp.float32))
    by_schedule = at_rate = jax.jit(init_state, static_argnums=0)(config)
    rates = np.asarray(jax.vmap(run_schedule(config))(jnp.arange(config.train.steps)), np.float32)
    for rate in rates:
        by_schedule, metrics = step(by_schedule, batch)
        at_rate, its_own = given(at_rate, batch, rate)
        assert metrics["learning_rate"] == its_own["learning_rate"]
    assert rates[0] < rates[4] > rates[-1] > 0
    for a, b in zip(jax.tree.leaves(by_schedule), jax.tree.leaves(at_rate), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=0, atol=1e-6)
