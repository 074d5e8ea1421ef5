# SPDX-License-Identifier: Apache-2.0
"""Noise between seeds and between documents is what was planted, and jumps do not set it."""

import dataclasses
import math

import numpy as np
import pytest

from sgatlin.isoflop.budget import FlopBudget
from sgatlin.isoflop.records import Copying, Documents, Record
from sgatlin.isoflop.resample import SeedNoise, resample, seed_noise
from tests.isoflop.made import record, with_documents

BUDGET = FlopBudget(flops=1e15)


def seeds_of(scale: float, *losses: float) -> list[Record]:
    return [
        record("mlp", scale, BUDGET, loss, parameters=round(9 * scale), seed=seed)
        for seed, loss in enumerate(losses)
    ]


def test_seed_deviation_is_of_the_median_difference():
    """|x - y| of normal x, y of deviation 1 has the median 0.6745 sqrt(2) = 0.9539."""
    records = [*seeds_of(1.0, 3.2, 3.0), *seeds_of(2.0, 2.0, 2.3, 2.6), *seeds_of(3.0, 4.0)]
    noise = seed_noise(records)  # differences of 0.2, 0.3, 0.3 and 0.6
    assert noise.deviation == pytest.approx(0.3 / 0.9539, rel=1e-4)
    assert noise.degrees == 3
    assert [(s.scale, s.losses, s.difference) for s in noise.spreads] == [
        (2.0, (2.0, 2.3, 2.6), pytest.approx(0.6)),
        (1.0, (3.2, 3.0), pytest.approx(0.2)),
    ]
    assert seed_noise(records[-1:]) == SeedNoise(0.0, 0, (), None)


def test_one_pair_that_jumps_does_not_set_the_noise():
    steady = [run for s in range(1, 6) for run in seeds_of(s, 3.0, 3.0 + 0.01 * s)]
    calm, jumped = seed_noise(steady), seed_noise([*steady, *seeds_of(6, 3.0, 5.0)])
    assert calm.deviation == pytest.approx(0.03 / 0.9539, rel=1e-4)
    assert jumped.deviation == pytest.approx(0.035 / 0.9539, rel=1e-4)
    assert jumped.spreads[0].difference == 2.0
    rng = np.random.default_rng(0)
    normal = [run for s in range(2000) for run in seeds_of(s + 1, *(5 + rng.normal(size=2)))]
    assert seed_noise(normal).deviation == pytest.approx(1, rel=0.05)


def test_a_size_whose_seeds_jump_has_noise_of_its_own():
    """Two seeds 0.6 apart have the deviation 0.6 / sqrt(2); the other sizes the median's."""
    even = Documents(nats=(3.0, 3.0), tokens=(1, 1))
    made = [run for s in range(1, 40) for run in seeds_of(s, 4.0, 4.02)]
    made += seeds_of(40, 4.0, 4.6)
    records = [dataclasses.replace(run, documents=even) for run in made]
    noise = seed_noise(records)
    assert noise.deviation == pytest.approx(0.02 / 0.9539, rel=1e-4)
    loss_PR = resample(records, noise, draws=20_000, seed=0)[1:]
    # Quartiles of a normal draw are 1.349 deviations apart, and of Student's t slightly more.
    quartiles = np.diff(np.percentile(loss_PR, (25, 75), axis=0), axis=0)[0]
    assert quartiles[0] == pytest.approx(1.349 * noise.deviation, rel=0.06)
    assert quartiles[-1] == pytest.approx(1.349 * 0.6 / math.sqrt(2), rel=0.06)


def copying(run: Record, score: float) -> Record:
    """That record with that copy score."""
    return dataclasses.replace(run, copying=Copying(first=9.0, second=9.0 - score))


def test_sizes_on_the_onset_of_copying_have_a_noise_of_their_own():
    """Scores far below and above 1 nat are off the onset; one near it, or on both sides, on it."""
    before = [copying(run, 0.01) for run in seeds_of(1.0, 4.0, 4.01)]
    after = [copying(run, 8.0) for run in seeds_of(2.0, 3.0, 3.01)]
    on, across = seeds_of(3.0, 3.5, 3.8), seeds_of(4.0, 3.4, 3.8)
    on = [copying(run, score) for run, score in zip(on, (1.5, 8.0), strict=True)]
    across = [copying(run, score) for run, score in zip(across, (8.0, 0.1), strict=True)]
    alone = copying(seeds_of(5.0, 3.6)[0], 2.0)
    records = [*before, *after, *on, *across, alone, *seeds_of(6.0, 3.0)]
    noise = seed_noise(records)
    assert noise.deviation == pytest.approx(0.01 / 0.9539, rel=1e-4)
    assert noise.degrees == 2
    assert noise.onset_deviation == pytest.approx(0.35 / 0.9539, rel=1e-4)
    assert [(spread.scale, spread.near_onset) for spread in noise.spreads] == [
        (4.0, True),
        (3.0, True),
        (1.0, False),
        (2.0, False),
    ]
    even = Documents(nats=(3.0, 3.0), tokens=(1, 1))
    records = [dataclasses.replace(run, documents=even) for run in records]
    quartiles = np.diff(
        np.percentile(resample(records, noise, draws=20_000, seed=0)[1:], (25, 75), axis=0), axis=0
    )[0]
    # The run of one seed that is on the onset is as noisy there as those of two seeds.
    assert quartiles[-2] / quartiles[-1] == pytest.approx(0.35 / 0.01, rel=0.06)
    assert quartiles[0] / quartiles[-1] == pytest.approx(1, rel=0.06)


def test_old_records_are_of_no_regime():
    noise = seed_noise([*seeds_of(1.0, 4.0, 4.01), *seeds_of(2.0, 4.0, 4.5)])
    assert noise.onset_deviation is None
    assert [spread.near_onset for spread in noise.spreads] == [None, None]


def test_a_seed_without_a_copy_score_is_on_no_side_of_the_onset():
    new, old = seeds_of(1.0, 4.0, 4.01)
    (spread,) = seed_noise([copying(new, 8.0), old]).spreads
    assert spread.near_onset is False


def test_noise_of_few_seeds_is_as_wide_as_students_t():
    """A median of 27 differences is worth 10 degrees of freedom: t at 97.5 % is 2.228."""
    even = Documents(nats=(3.0, 3.0), tokens=(1, 1))
    records = [
        dataclasses.replace(run, documents=even)
        for s in range(1, 28)
        for run in seeds_of(s, 4.0, 4.1)
    ]
    noise = seed_noise(records)
    loss_P = resample(records[:1], noise, draws=40_000, seed=0)[1:, 0]
    low, high = np.percentile(loss_P, (2.5, 97.5))
    assert (4 - low, high - 4) == pytest.approx((2.228 * noise.deviation,) * 2, rel=0.05)


def test_document_error_is_the_analytical_one():
    """Of a ratio of sums: the root of sum (nats - loss tokens)^2, over all tokens."""
    rng = np.random.default_rng(2)
    tokens_N = rng.integers(100, 1000, 200)
    nats_N = tokens_N * (3 + rng.normal(size=200))
    run = with_documents(record("mlp", 1.0, BUDGET, 3.0, parameters=1), tokens_N, nats_N)
    loss_P = resample([run], seed_noise([run]), draws=4000, seed=0)[:, 0]
    expected = math.sqrt(((nats_N - run.loss * tokens_N) ** 2).sum()) / tokens_N.sum()
    assert loss_P[0] == run.loss
    assert loss_P[1:].std() == pytest.approx(expected, rel=0.06)
    assert loss_P[1:].mean() == pytest.approx(run.loss, abs=0.1 * expected)
