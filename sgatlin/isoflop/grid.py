# SPDX-License-Identifier: Apache-2.0
"""A grid: the runs of every combination of layers, scales, budgets, seeds and rates."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Literal

from sgatlin.errors import UserError
from sgatlin.isoflop.budget import Budget, kind_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """Runs of every combination."""

    budgets: tuple[Budget, ...]
    layers: tuple[str, ...]
    scales: tuple[float, ...] | Literal["best"]
    """Scales of the ladder. `best` takes, for each layer, budget and rate, the scale of the lowest
    loss among the runs of earlier grids at that rate. A rate at which earlier grids ran no size
    takes the best scale at the study's own rate."""
    seeds: tuple[int, ...] = (0,)
    learning_rates: tuple[float, ...] | Literal["rule"] | None = None
    """Peak rates; None for the study's own alone; `rule` for that of the study's fitted rate rule,
    once `sgatlin isoflop rates` has written it."""
    rate_factors: tuple[float, ...] = (1.0,)
    """Multiples of the rule's rate."""
    trunk: tuple[Budget, ...] = ()
    """Budgets that share one trunk of constant rate per model, smallest first, off which each
    branches its decay: rate, warm-up and batch size are those of the largest. The grid's own
    budgets are among them. Empty: each run has its own."""
    stage: str = ""
    """Names the grid in `sgatlin isoflop run --only`."""

    @property
    def runs_per_model(self) -> int:
        """Runs of one layer at one scale and budget."""
        by_rule = self.learning_rates == "rule"
        rates = self.rate_factors if by_rule else self.learning_rates or (None,)
        return len(self.seeds) * len(rates)

    def check(self, study: str) -> None:
        """UserError if there is nothing to run, or its fields do not fit together."""
        if not (self.budgets and self.layers and self.scales and self.seeds):
            raise UserError(f"study {study}: a grid without budgets, layers, scales or seeds")
        if self.rate_factors != (1.0,) and self.learning_rates != "rule":
            raise UserError(f'study {study}: rate_factors need learning_rates="rule" in their grid')
        if not self.trunk:
            return
        if len({kind_of(budget) for budget in (*self.budgets, *self.trunk)}) > 1:
            raise UserError(f"study {study}: the budgets of a trunk must all be of one kind")
        if list(self.trunk) != sorted(self.trunk, key=lambda budget: budget.amount):
            raise UserError(f"study {study}: list the budgets of a trunk from the smallest up")
        if missing := [b.described for b in self.budgets if b not in self.trunk]:
            raise UserError(
                f"study {study}: a grid's trunk must hold its own budgets: add {', '.join(missing)}"
            )


def by_rate(grids: Iterable[Grid]) -> Iterator[Grid]:
    """The grids in order; one of best scales as a grid for each rate, since sizes are of a rate."""
    for grid in grids:
        if grid.scales == "best" and isinstance(grid.learning_rates, tuple):
            for rate in grid.learning_rates:
                yield dataclasses.replace(grid, learning_rates=(rate,))
        else:
            yield grid
