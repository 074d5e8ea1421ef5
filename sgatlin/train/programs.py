# SPDX-License-Identifier: Apache-2.0
"""What a run executes, compiled: once for all runs that differ in length, rate or seed alone."""

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from sgatlin.config import Config, LogConfig, StoryWorld
from sgatlin.eval.loss import make_eval_step
from sgatlin.mesh import everywhere
from sgatlin.train.checkpoint import CheckpointConfig
from sgatlin.train.schedules import ConstantSchedule
from sgatlin.train.step import abstract_inputs, abstract_state, make_train_step, state_shardings
from sgatlin.train.watch import make_watch


class Programs(NamedTuple):
    """The compiled functions of a run."""

    train_step: Callable[..., Any]
    """`make_train_step`'s, with the learning rate given."""
    eval_step: Callable[..., Any]
    watch: Callable[..., Any] | None
    """None for a layer without gates."""


def compile_programs(config: Config, mesh: Mesh | None = None) -> Programs:
    """All that a run needs; the state is donated."""
    state, batch = abstract_state(config, mesh), abstract_inputs(config, mesh)
    # Metrics are everywhere, so that any process can read them.
    placed = state_shardings(config, mesh), everywhere(mesh)
    on_mesh: dict[str, Any] = {} if mesh is None else {"out_shardings": placed}
    step = jax.jit(make_train_step(config, mesh), donate_argnums=0, **on_mesh)
    rate = jax.ShapeDtypeStruct((), jnp.float32)
    eval_step = jax.jit(make_eval_step(config.model, mesh))
    read = [array for array in batch if array is not None]
    lowered = [step.lower(state, batch, rate), eval_step.lower(state.params, *read)]
    if state.usage is not None:
        watch = jax.jit(make_watch(config), donate_argnums=0, **on_mesh)
        lowered.append(watch.lower(state))
    # Side by side on a CPU, where the compiler leaves cores idle for much of its time. On a GPU it
    # times kernels, which must not disturb one another.
    at_once = len(lowered) if jax.default_backend() == "cpu" else 1
    with ThreadPoolExecutor(at_once) as threads:
        train, evaluate, *watches = threads.map(lambda program: program.compile(), lowered)
    return Programs(train, evaluate, *(watches or [None]))


class ProgramCache:
    """Compiles for a run what the run before it, on the same mesh, had not compiled already."""

    def __init__(self, compile: Callable[[Config, Mesh | None], Programs] = compile_programs):
        self._compile = compile
        self._key: tuple[Config, Mesh | None] | None = None
        self._programs: Programs | None = None

    def __call__(self, config: Config, mesh: Mesh | None) -> Programs:
        key = what_is_compiled(config), mesh
        if self._programs is None or key != self._key:
            self._programs = None  # before the next are made: they hold memory
            self._key, self._programs = key, self._compile(config, mesh)
        return self._programs


def what_is_compiled(config: Config) -> Config:
    """The config with all that no program depends on set to one value: equal ones share theirs."""
    optimizer, train = config.optimizer, config.train
    # Muon's own rate is in the program as a multiple of the general one.
    has_ratio = optimizer.muon is not None and optimizer.muon.learning_rate is not None
    # Neurons are replaced at random, and no longer near the end.
    seed, steps = (train.seed, train.steps) if config.usage.resample else (0, 1)
    return dataclasses.replace(
        config,
        name="",
        data=dataclasses.replace(config.data, source=StoryWorld()),
        optimizer=dataclasses.replace(
            optimizer,
            learning_rate=optimizer.learning_rate if has_ratio else 1.0,
            schedule=ConstantSchedule(warmup_steps=0),
        ),
        train=dataclasses.replace(train, seed=seed, steps=steps, eval_every=1, eval_tokens=1),
        checkpoint=CheckpointConfig(),
        log=LogConfig(),
    )
