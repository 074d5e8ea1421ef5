# SPDX-License-Identifier: Apache-2.0
"""What a fit comes to: numbers with their intervals, and where there is none, why."""

import dataclasses
import math
from typing import NamedTuple

from sgatlin.isoflop.budget import Budget


class Estimate(NamedTuple):
    """A number and its 95 % interval over resampled documents and seeds."""

    value: float
    low: float
    high: float

    def exp(self) -> "Estimate":
        """Of a loss in nats the perplexity."""
        return Estimate(*(math.exp(number) for number in self))


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
    """Scales of those that the parabola goes through."""
    refused: str | None
    """Why there is no minimum to tell of; the three fields after it are None then."""
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
    """Amounts of the budgets it goes through: at least two; beyond them it extrapolates."""

    def loss(self, amount: float) -> float:
        """Nats per token at a budget."""
        return self.coefficient * amount**-self.exponent.value

    def is_measured(self, amount: float) -> bool:
        """Whether a budget lies among those measured."""
        return self.budgets[0] <= amount * (1 + 1e-9) and amount <= self.budgets[-1] * (1 + 1e-9)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Multiplier:
    """How much more of the budget the reference layer would need for a layer's best loss."""

    layer: str
    budget: Budget
    factor: Estimate
    extrapolated: bool
    """The reference was not measured at that much: its power law was continued."""


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
    """Standard deviation of the loss between seeds, pooled over all sizes that have several."""
    n_repeated: int
    """How many sizes have several seeds; with none the deviation is 0, and intervals too narrow."""
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
