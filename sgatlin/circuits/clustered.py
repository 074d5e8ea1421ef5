# SPDX-License-Identifier: Apache-2.0
"""Intervals for means over pairs that share members.

B pairs, R resamples.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

RESAMPLES = 2000


class Interval(NamedTuple):
    """An estimate, and the 2.5 and 97.5 % quantiles of its bootstrap."""

    value: float
    low: float
    high: float


def clustered_weights(
    pairs: Sequence[tuple[int, int]], seed: int = 0
) -> Float64[np.ndarray, "R B"]:
    """How often each pair counts in each resample of the nouns.

    Pairs that share a noun are not independent: nouns are drawn with replacement, and a pair counts
    as often as the product of how often its two were drawn.
    """
    numbers, members = np.unique(np.array(pairs), return_inverse=True)
    members = members.reshape(-1, 2)
    n = len(numbers)
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    return (counts[:, members[:, 0]] * counts[:, members[:, 1]]).astype(np.float64)


def ratio_interval(above: np.ndarray, below: np.ndarray, weights_RB: np.ndarray) -> Interval:
    """Of sum(above) / sum(below); resamples with nothing below are left out."""
    if not below.sum():
        return Interval(math.nan, math.nan, math.nan)
    tops, bottoms = weights_RB @ above, weights_RB @ below
    drawn = tops[bottoms != 0] / bottoms[bottoms != 0]
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (math.nan, math.nan)
    return Interval(float(above.sum() / below.sum()), float(low), float(high))
