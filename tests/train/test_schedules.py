# SPDX-License-Identifier: Apache-2.0
"""Learning rates at points worked out by hand, on both sides of every border."""

import math
from collections.abc import Iterable

import jax.numpy as jnp
import pytest

from sgatlin.errors import UserError
from sgatlin.train.schedules import (
    ConstantSchedule,
    CosineSchedule,
    ScheduleConfig,
    StableDecaySchedule,
)

PEAK = 0.5

# Of 100 steps, 10 warm up; where there is a decay, it takes the last 20.
SQRT = StableDecaySchedule(warmup_steps=10, decay_fraction=0.2)
LINEAR = StableDecaySchedule(warmup_steps=10, decay_fraction=0.2, decay="linear")
COSINE = CosineSchedule(warmup_steps=10, final_fraction=0.2)
CONSTANT = ConstantSchedule(warmup_steps=10)

SHARES_OF_PEAK = [
    *[
        (schedule, step, share)
        for schedule in (SQRT, LINEAR, CONSTANT)
        for step, share in ((0, 0.1), (8, 0.9), (9, 1.0), (10, 1.0), (79, 1.0), (80, 1.0))
    ],
    (SQRT, 81, 1 - math.sqrt(1 / 20)),
    (SQRT, 85, 0.5),
    (SQRT, 99, 1 - math.sqrt(19 / 20)),
    (SQRT, 100, 0.0),
    (LINEAR, 81, 0.95),
    (LINEAR, 90, 0.5),
    (LINEAR, 99, 0.05),
    (LINEAR, 100, 0.0),
    (CONSTANT, 99, 1.0),
    # The cosine begins where the warm-up ends, so that both meet at the peak.
    (COSINE, 0, 0.1),
    (COSINE, 9, 1.0),
    (COSINE, 10, 1.0),
    (COSINE, 40, 0.2 + 0.8 * 0.75),  # a third of the way: cos(60 degrees) = 1/2
    (COSINE, 55, 0.2 + 0.8 * 0.5),
    (COSINE, 100, 0.2),
    (COSINE, 110, 0.2),
]


def rates(schedule: ScheduleConfig, n_steps: int, steps: Iterable[int]) -> list[float]:
    rate = schedule.build(PEAK, n_steps)
    return [float(rate(jnp.asarray(step))) for step in steps]


@pytest.mark.parametrize(("schedule", "step", "share"), SHARES_OF_PEAK)
def test_rate(schedule, step, share):
    assert rates(schedule, 100, [step])[0] == pytest.approx(PEAK * share, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize(
    "schedule",
    [
        StableDecaySchedule(warmup_steps=0, decay_fraction=0.0),
        CosineSchedule(warmup_steps=0, final_fraction=1.0),
        ConstantSchedule(warmup_steps=0),
    ],
)
def test_without_warmup_and_decay_every_step_has_the_peak_rate(schedule):
    assert rates(schedule, 5, range(6)) == [PEAK] * 6


@pytest.mark.parametrize(
    ("fraction", "n_steps", "start"), [(0.2, 100, 80), (0.2, 7, 6), (0.0, 7, 7), (1.0, 7, 0)]
)
def test_decay_start(fraction, n_steps, start):
    schedule = StableDecaySchedule(warmup_steps=0, decay_fraction=fraction)
    assert schedule.decay_start(n_steps) == start
    at_peak = [rate == PEAK for rate in rates(schedule, n_steps, range(n_steps))]
    assert at_peak == [step <= start for step in range(n_steps)]


@pytest.mark.parametrize(
    ("kind", "fields", "told"),
    [
        (
            StableDecaySchedule,
            {"decay_fraction": 1.1},
            "decay_fraction=1.1 must be between 0 and 1",
        ),
        (StableDecaySchedule, {"warmup_steps": -1}, "warmup_steps=-1 must be at least 0"),
        (CosineSchedule, {"final_fraction": -0.1}, "final_fraction=-0.1 must be between 0 and 1"),
        (CosineSchedule, {"warmup_steps": -1}, "warmup_steps=-1 must be at least 0"),
        (ConstantSchedule, {"warmup_steps": -1}, "warmup_steps=-1 must be at least 0"),
    ],
)
def test_bad_fields_are_named(kind, fields, told):
    with pytest.raises(UserError) as caught:
        kind(**fields)
    assert str(caught.value) == told
