# SPDX-License-Identifier: Apache-2.0
"""Draws of documents and seeds for runs that may share a trunk or differ in how noisy they are.

P passes: first the runs as measured, then each draw; R runs.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from sgatlin.errors import UserError
from sgatlin.isoflop.budget import Budget
from sgatlin.isoflop.records import Record
from sgatlin.isoflop.resample import (
    MEDIAN_EFFICIENCY,
    NEAR_ONSET,
    SeedNoise,
    resample,
    seed_noise,
)


class Level(NamedTuple):
    """How the loss of a run varies between seeds."""

    deviation: float
    """Nats per token; 0 for no noise."""
    degrees: float
    """Degrees of freedom with which the deviation is known."""


Noise = Callable[[Record], Level]
"""The noise of each run: by its regime, or the same for all."""

DEFAULT_CORRELATION = 0.5
"""Of the seed's noise in runs of one trunk, where no trunk has several seeds at two budgets."""
N_QUARTERS = 4

_Trunk = tuple[str, float, float, int, tuple[Budget, ...]]


def redraw(
    records: Sequence[Record],
    noise: Noise,
    *,
    correlation: float,
    draws: int,
    seed: int,
    quarter: int | None = None,
) -> Float[np.ndarray, "P R"]:
    """Losses in nats per token: row 0 as measured, then `draws` rows of what might have been.

    Documents are drawn as in `resample`, the same for all runs. The noise between seeds has a share
    `correlation` of its variance in common among runs that branched off one trunk. Each level of
    noise has its own draw from the chi-square distribution, as in `resample`.

    Args:
      quarter: of repetition, 0 the least repetitive: its losses in place of the means. Records do
        not say which documents it holds; as it has a quarter of the tokens, its deviation between
        draws of documents is taken to be twice that of all of them.

    Raises:
      UserError: records that do not fit together (`resample`), or one without that quarter.
    """
    loss_PR = resample(records, SeedNoise(0.0, 0, ()), draws=draws, seed=seed)
    if quarter is not None:
        change_PR = math.sqrt(N_QUARTERS) * (loss_PR - loss_PR[0])
        loss_PR = change_PR + np.array([quarter_loss(record, quarter) for record in records])
    rng = np.random.default_rng((seed, 1))
    trunks = [_trunk(record) for record in records]
    known = {trunk: place for place, trunk in enumerate(dict.fromkeys(trunks))}
    trunk_R = np.array([known[trunk] for trunk in trunks])
    common_PR = rng.normal(size=(draws, len(known)))[:, trunk_R]
    own_PR = rng.normal(size=(draws, len(records)))
    noise_PR = math.sqrt(correlation) * common_PR + math.sqrt(1 - correlation) * own_PR
    levels = [noise(record) for record in records]
    for level in dict.fromkeys(levels):
        of_level_R = np.array([other == level for other in levels])
        spread_P = np.sqrt(level.degrees / rng.chisquare(level.degrees, size=draws))
        noise_PR[:, of_level_R] *= level.deviation * spread_P[:, None]
    loss_PR[1:] += noise_PR
    return loss_PR


def pooled_noise(records: Sequence[Record]) -> Noise:
    """Of the sizes with several seeds, those on the onset of copying apart (`seed_noise`)."""
    pooled = seed_noise(records)
    degrees = max(1.0, MEDIAN_EFFICIENCY * pooled.degrees)

    def noise(record: Record) -> Level:
        deviation = pooled.deviation
        if pooled.onset_deviation is not None and record.copying is not None:
            low, high = NEAR_ONSET
            if low < record.copying.score < high:
                deviation = max(deviation, pooled.onset_deviation)
        return Level(deviation, degrees)

    return noise


def quarter_loss(record: Record, quarter: int) -> float:
    """A run's loss in a quarter of repetition; UserError where its record has none."""
    loss = None if record.quarters is None else record.quarters.losses[quarter]
    if loss is None:
        raise UserError(f"{record.run.name}: its record has no loss of quarter {quarter + 1}")
    return loss


def trunk_correlation(records: Sequence[Record]) -> float | None:
    """How alike the seed's noise is at two budgets of one trunk, from 0 to 1.

    Pooled over all models whose trunks have several seeds at two budgets or more; None where there
    is none.
    """
    models: dict[tuple, dict[Budget, dict[int, float]]] = {}
    for record in records:
        run = record.run
        if run.nested:
            layer, scale, rate, _, nested = _trunk(record)
            budgets = models.setdefault((layer, scale, rate, nested), {})
            budgets.setdefault(run.budget, {})[run.seed] = record.loss
    covariance = scale = 0.0
    for budgets in models.values():
        of_budgets = list(budgets.values())
        for i, first in enumerate(of_budgets):
            for second in of_budgets[i + 1 :]:
                seeds = sorted(first.keys() & second.keys())
                if len(seeds) > 1:
                    both = np.cov([first[s] for s in seeds], [second[s] for s in seeds])
                    covariance += float(both[0, 1])
                    scale += math.sqrt(float(both[0, 0] * both[1, 1]))
    return min(1.0, max(0.0, covariance / scale)) if scale else None


def _trunk(record: Record) -> _Trunk:
    """What runs of one trunk share; a run of its own shares it with none."""
    run = record.run
    return run.layer, run.scale, run.learning_rate, run.seed, run.nested or (run.budget,)
