# SPDX-License-Identifier: Apache-2.0
"""`sgatlin bench step`: whole training steps of several configs, one after another."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sgatlin.bench.measure import median_ms, reason, temporary_bytes
from sgatlin.bench.rows import Column, Table
from sgatlin.bench.trace import Cost, costs
from sgatlin.config import Config, load_config, load_variants, shipped_configs
from sgatlin.errors import UserError
from sgatlin.mesh import AXES, BATCH_SPEC, MeshConfig, check_shared, everywhere, make_mesh, placed
from sgatlin.nn.feed_forward import LayerConfig, with_each_layer
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.transformer import LogitsDtype, Remat
from sgatlin.ops.neurons import Implementation
from sgatlin.train.memory import training_memory
from sgatlin.train.step import (
    StepInputs,
    abstract_state,
    init_state,
    make_train_step,
    state_shardings,
)

TRACED_STEPS = 3
_HAS_NEURONS = (SgatlinConfig, PeerConfig)
ONE_DEVICE = MeshConfig(data=1)


def table(name_width: int) -> Table:
    columns = (
        Column("ms", "ms a step", ",.2f"),
        Column("tokens_per_second", "k tokens/s", ",.1f", 1e3),
        Column("temporaries", "temporaries, MiB", ",.0f", 2**20),
        Column("estimate", "estimate, MiB", ",.0f", 2**20),
        Column("estimate_over_temporaries", "over those", ".2f"),
        Column("over_first", "of the first", ".2f"),
    )
    return Table(columns, name_width)


class Changes(NamedTuple):
    """What is timed in the place of a config's own."""

    batch_size: int | None = None
    seq_len: int | None = None
    remat: Remat | None = None
    implementations: Sequence[Implementation] = ()
    """Of the neurons, each by itself; without any the config's own."""
    unroll: int | None = None
    logits_dtype: LogitsDtype | None = None
    meshes: Sequence[str] = ()
    """DATAxFSDPxTENSOR, each by itself; without any one device."""


def named_configs(
    specs: Sequence[str], changes: Changes, *, all_variants: bool = False
) -> dict[str, Config]:
    """By name the configs to time; UserError for one that there is not or cannot be."""
    if all_variants:
        specs = [f"{spec}:{variant}" for spec in specs for variant in _variants(spec)]
    meshes = {f", {name}": parse_mesh(name) for name in changes.meshes} or {"": ONE_DEVICE}
    configs = {}
    for spec in specs:
        for mesh_name, mesh in meshes.items():
            config = dataclasses.replace(changed(load_config(spec), changes), mesh=mesh)
            has_neurons = any(isinstance(one, _HAS_NEURONS) for one in config.model.period)
            if not (changes.implementations and has_neurons):
                configs[f"{spec}{mesh_name}"] = config
                continue
            for name in changes.implementations:
                layer = with_each_layer(config.model.feed_forward, partial(_computed_by, name))
                model = dataclasses.replace(config.model, feed_forward=layer)
                configs[f"{spec}, {name}{mesh_name}"] = dataclasses.replace(config, model=model)
    return configs


def _computed_by(name: Implementation, layer: LayerConfig) -> LayerConfig:
    if isinstance(layer, _HAS_NEURONS):
        return dataclasses.replace(layer, implementation=name)
    return layer


def parse_mesh(text: str) -> MeshConfig:
    """The mesh that DATAxFSDPxTENSOR names; UserError if it is none, or has too many devices."""
    numbers = text.split("x")
    if len(numbers) != len(AXES) or not all(n.isdecimal() and int(n) for n in numbers):
        raise UserError(f"--meshes {text!r}: give DATAxFSDPxTENSOR, such as 2x1x1")
    mesh = MeshConfig(**dict(zip(AXES, map(int, numbers), strict=True)))
    if (devices := mesh.planned(1).devices) > jax.device_count():
        raise UserError(f"--meshes {text} has {devices} devices; there are {jax.device_count()}")
    return mesh


def _variants(spec: str) -> list[str]:
    known = shipped_configs()
    if spec not in known:
        raise UserError(f"--all-variants {spec!r} is not one of {', '.join(known)}")
    return list(load_variants(known[spec]))


def changed(config: Config, changes: Changes) -> Config:
    """The config with these changes, and its batch in one part."""
    data, model = config.data, config.model
    return dataclasses.replace(
        config,
        model=dataclasses.replace(
            model,
            remat=changes.remat or model.remat,
            unroll=model.unroll if changes.unroll is None else changes.unroll,
            logits_dtype=changes.logits_dtype or model.logits_dtype,
        ),
        data=dataclasses.replace(
            data,
            batch_size=data.batch_size if changes.batch_size is None else changes.batch_size,
            seq_len=data.seq_len if changes.seq_len is None else changes.seq_len,
        ),
        train=dataclasses.replace(config.train, accumulate=1),
    )


class Step:
    """A compiled training step with its state, on random tokens that are the same for all."""

    def __init__(self, config: Config):
        sizes = config.mesh.planned(1)
        check_shared(config.data.batch_size, sizes, 1)
        self._mesh = None if sizes.devices == 1 else make_mesh(sizes)
        shape = (config.data.batch_size, config.data.seq_len)
        ids_BT = jax.random.randint(jax.random.key(0), shape, 0, config.model.vocab_size)
        segments_BT = jnp.zeros_like(ids_BT) if config.data.document_boundaries else None
        batch = StepInputs(ids_BT, ids_BT, jnp.ones(shape), segments_BT)
        shardings = placed(self._mesh, jax.tree.map(lambda _: BATCH_SPEC, batch))
        self._batch = batch if self._mesh is None else jax.device_put(batch, shardings)
        state = abstract_state(config, self._mesh)
        outputs = state_shardings(config, self._mesh), everywhere(self._mesh)
        on_mesh: dict[str, Any] = {} if self._mesh is None else {"out_shardings": outputs}
        step = jax.jit(make_train_step(config, self._mesh), donate_argnums=0, **on_mesh)
        # As training takes it, with the rate as an input.
        self._rate = np.float32(config.optimizer.learning_rate)
        self.compiled = step.lower(state, self._batch, self._rate).compile()
        self._config = config
        self._state: Any = None

    def __call__(self) -> Any:
        """Takes a step, and returns what shows when it is done."""
        if self._state is None:
            self._state = init_state(self._config, mesh=self._mesh)
        self._state, metrics = self.compiled(self._state, self._batch, self._rate)
        return metrics["loss"], self._state.step


def step_rows(
    configs: Mapping[str, Config], repeats: int, *, trace: bool = False
) -> Iterator[tuple[dict[str, Any], list[Cost]]]:
    """A row for each config as it is timed, and with `trace` its operations' costs.

    With no repeats nothing is run, and rows tell of memory only. A row may have an `error`, or a
    `trace_error` beside its numbers.
    """
    first_ms: float | None = None
    for name, config in configs.items():
        row: dict[str, Any] = {"name": name}
        found: list[Cost] = []
        step = None
        try:
            row["estimate"] = training_memory(config, sizes=config.mesh.planned(1)).temporaries
            step = Step(config)
            row["temporaries"] = temporary_bytes(step.compiled)
            if row["temporaries"]:
                row["estimate_over_temporaries"] = row["estimate"] / row["temporaries"]
            if repeats:
                ms = median_ms(step, repeats)
                first_ms = first_ms or ms
                row |= {
                    "ms": ms,
                    "tokens_per_second": 1e3 * config.tokens_per_step / ms,
                    "over_first": ms / first_ms,
                }
        except Exception as error:  # one that fails must not end the table
            row["error"] = reason(error)
        if trace and step is not None and "ms" in row:
            try:
                found = costs(step, TRACED_STEPS, step.compiled.as_text())
            except Exception as error:  # nor take its own times away
                row["trace_error"] = reason(error)
        yield row, found
