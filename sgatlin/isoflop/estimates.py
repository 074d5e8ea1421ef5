# SPDX-License-Identifier: Apache-2.0
"""The results of a fit: numbers with their intervals, and the reason where there is none.

P passes: the runs as measured, then each draw of documents and seeds.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from sgatlin.isoflop.budget import Budget

INTERVAL = (2.5, 97.5)
"""Percentiles of the draws."""


class Estimate(NamedTuple):
    """A number and its 95 % interval over resampled documents and seeds."""

    value: float
    low: float
    high: float

    def exp(self) -> "Estimate":
        """The perplexity of a loss in nats."""
        return Estimate(*(math.exp(number) for number in self))

    @classmethod
    def of(cls, value_P: Float[np.ndarray, " P"]) -> "Estimate":
        """The value as measured, and the interval of the draws that are not NaN.

        The interval is everything if no draw has a value.
        """
        drawn_P = value_P[1:][~np.isnan(value_P[1:])]
        low, high = np.percentile(drawn_P, INTERVAL) if len(drawn_P) else (-np.inf, np.inf)
        return cls(float(value_P[0]), float(low), float(high))


class SeedSpread(NamedTuple):
    """The losses of one size that was run with several seeds."""

    layer: str
    budget: Budget
    scale: float
    losses: tuple[float, ...]
    """Nats per token, by seed."""
    near_onset: bool | None = None
    """Whether some of its runs ended on the onset of copying, or on both sides of it; None if they
    have no copy scores."""

    @property
    def difference(self) -> float:
        """Highest minus lowest loss."""
        return max(self.losses) - min(self.losses)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """One layer at one scale with one budget: the mean of its seeds."""

    scale: float
    parameters: int
    loss: Estimate
    """Nats per token."""
    n_seeds: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimum:
    """The best size of one layer at one budget."""

    layer: str
    budget: Budget
    sizes: tuple[Size, ...]
    """All that were run, by parameters."""
    fitted: tuple[float, ...]
    """Scales of the sizes near the best, which the parabola is fitted to."""
    refused: str | None
    """Why no minimum is given; the three fields after it are None then."""
    coefficients: tuple[float, float, float] | None
    """(a, b, c) of loss = a + b (u - c)^2, u = ln(parameters)."""
    parameters: Estimate | None
    """Where the fitted loss is least."""
    loss: Estimate | None
    """The fitted loss there, in nats per token."""
    interior_share: float
    """Of the resampled fits, how many have their minimum among the sizes."""

    @property
    def best(self) -> Size:
        """The size of the lowest measured loss."""
        return min(self.sizes, key=lambda size: size.loss.value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """loss = coefficient * budget ** -exponent, through the optima of one layer."""

    layer: str
    coefficient: float
    exponent: Estimate
    size_exponent: Estimate
    """Of the best size: parameters ~ budget ** size_exponent."""
    budgets: tuple[float, ...]
    """Amounts of the budgets that it is fitted to: at least two; beyond them it extrapolates."""
    refused: str | None = None
    """The measured losses that contradict the law; nothing may be computed from it then."""

    def loss(self, amount: float) -> float:
        """Nats per token at a budget."""
        return self.coefficient * amount**-self.exponent.value

    def is_measured(self, amount: float) -> bool:
        """Whether a budget lies among those measured."""
        return self.budgets[0] <= amount * (1 + 1e-9) and amount <= self.budgets[-1] * (1 + 1e-9)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Multiplier:
    """How many times a layer's budget the reference layer needs for the same loss."""

    layer: str
    budget: Budget
    factor: Estimate
    extrapolated: bool
    """The loss lies beyond those measured for the reference, whose power law was continued.
    Otherwise the factor is interpolated between the reference's own runs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gap:
    """The loss of one layer's best size minus that of another's, at one budget.

    Of sizes that were run, so that layers without a fitted minimum have it too; below 0 the layer
    is better.
    """

    layer: str
    other: str
    budget: Budget
    nats: Estimate


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyFit:
    """Everything that is fitted to budgets of one kind."""

    reference: str
    """The layer that multipliers are against."""
    seed_deviation: float
    """Standard deviation of the loss between seeds in nats, robust (`resample.seed_noise`); 0
    without repeated sizes, and the intervals are too narrow then."""
    seeds: tuple[SeedSpread, ...]
    """The sizes that have several seeds, the largest difference first."""
    onset_deviation: float | None = None
    """The standard deviation for runs on the onset of copying; None if no size there has several
    seeds. `seed_deviation` is of the other sizes then."""
    optima: tuple[Optimum, ...]
    """By budget, then layer."""
    laws: tuple[PowerLaw, ...]
    """Of the layers with a minimum at two budgets or more."""
    multipliers: tuple[Multiplier, ...]
    gaps: tuple[Gap, ...]
    """Of every layer to the best of the others, per budget."""

    def optimum(self, layer: str, budget: Budget) -> Optimum | None:
        """Of one layer at one budget, if it was run."""
        found = (o for o in self.optima if o.layer == layer and o.budget == budget)
        return next(found, None)
