# SPDX-License-Identifier: Apache-2.0
"""`sgatlin bench step`: whole training steps of several configs, one after another."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from sgatlin.bench.measure import median_ms, reason, temporary_bytes
from sgatlin.bench.rows import Column, Table
from sgatlin.bench.trace import Cost, costs
from sgatlin.config import Config, load_config, load_variants, shipped_configs
from sgatlin.errors import UserError
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.transformer import LogitsDtype, Remat
from sgatlin.ops.neurons import Implementation
from sgatlin.train.memory import training_memory
from sgatlin.train.step import StepInputs, abstract_state, init_state, make_train_step

TRACED_STEPS = 3


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


def named_configs(
    specs: Sequence[str], changes: Changes, *, all_variants: bool = False
) -> dict[str, Config]:
    """By name the configs to time; UserError for one that there is not or cannot be."""
    if all_variants:
        specs = [f"{spec}:{variant}" for spec in specs for variant in _variants(spec)]
    configs = {}
    for spec in specs:
        config = changed(load_config(spec), changes)
        layer = config.model.feed_forward
        if not (changes.implementations and isinstance(layer, SgatlinConfig | PeerConfig)):
            configs[spec] = config
            continue
        for name in changes.implementations:
            one = dataclasses.replace(layer, implementation=name)
            model = dataclasses.replace(config.model, feed_forward=one)
            configs[f"{spec}, {name}"] = dataclasses.replace(config, model=model)
    return configs


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
        shape = (config.data.batch_size, config.data.seq_len)
        ids_BT = jax.random.randint(jax.random.key(0), shape, 0, config.model.vocab_size)
        segments_BT = jnp.zeros_like(ids_BT) if config.data.document_boundaries else None
        self._batch = StepInputs(ids_BT, ids_BT, jnp.ones(shape), segments_BT)
        step = jax.jit(make_train_step(config), donate_argnums=0)
        self.compiled = step.lower(abstract_state(config), self._batch).compile()
        self._config = config
        self._state: Any = None

    def __call__(self) -> Any:
        """Takes a step, and returns what shows when it is done."""
        if self._state is None:
            self._state = init_state(self._config)
        self._state, metrics = self.compiled(self._state, self._batch)
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
            row["estimate"] = training_memory(config).temporaries
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
