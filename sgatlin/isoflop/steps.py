# SPDX-License-Identifier: Apache-2.0
"""`sgatlin isoflop time`: what a training step of each model takes on this device, alone on it."""

import gc
from collections.abc import Callable, Sequence

import jax

from sgatlin.bench.measure import median_ms, reason, temporary_bytes
from sgatlin.bench.step import Step
from sgatlin.config import Config
from sgatlin.isoflop.execute import versions
from sgatlin.isoflop.records import Results, StepRow, StepTimes
from sgatlin.isoflop.study import Study
from sgatlin.train.memory import training_memory


def measure_steps(
    study: Study,
    results: Results,
    chosen: Sequence[tuple[str, float]],
    *,
    repeats: int,
    tell: Callable[[str], None] = print,
) -> int:
    """Measures models, layer and scale, and writes each as it is done; returns how many failed."""
    device = jax.devices()[0].device_kind
    n_failed = 0
    for layer, scale in chosen:
        name = f"{layer}-s{scale:g}"
        try:
            row = measure_step(study.config(layer, scale), layer, scale, repeats)
        except Exception as error:  # such as too little memory: the others must not wait for it
            tell(f"{name}: failed: {reason(error)}")
            n_failed += 1
            continue
        times = _so_far(results, device)
        results.write_step_times(times.with_row(row))
        memory = "" if row.memory is None else f", {row.memory / 1e9:.2f} GB"
        tell(f"{name}: {row.ms:.2f} ms a step{memory}")
        gc.collect()
    return n_failed


def measure_step(config: Config, layer: str, scale: float, repeats: int) -> StepRow:
    """One model's step, on random tokens."""
    step = Step(config)
    memory = training_memory(config)
    return StepRow(
        layer=layer,
        scale=scale,
        ms=round(median_ms(step, repeats), 4),
        state_bytes=memory.parameters + memory.optimizer + memory.counters,
        temporary_bytes=temporary_bytes(step.compiled),
    )


def unmeasured(
    results: Results, device: str, models: Sequence[tuple[str, float]]
) -> list[tuple[str, float]]:
    """The models that have no step time on a device."""
    times = _so_far(results, device)
    return [(layer, scale) for layer, scale in models if times.row(layer, scale) is None]


def _so_far(results: Results, device: str) -> StepTimes:
    for times in results.step_times():
        if times.device == device:
            return times
    return StepTimes(device=device, versions=versions(), rows=())
