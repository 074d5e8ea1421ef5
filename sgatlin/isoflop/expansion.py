# SPDX-License-Identifier: Apache-2.0
"""The runs that the grids of a study make, as far as they can be named yet."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sgatlin.errors import UserError
from sgatlin.isoflop.budget import Budget, FlopBudget
from sgatlin.isoflop.grid import Grid, by_rate
from sgatlin.isoflop.rates import FILE_NAME as RULE_FILE
from sgatlin.isoflop.rates import RateRule, read_rule
from sgatlin.isoflop.records import Results, Run

if TYPE_CHECKING:
    from sgatlin.isoflop.study import Study


@dataclasses.dataclass(frozen=True)
class Expansion:
    """The runs that a study's grids make."""

    runs: tuple[Run, ...]
    waiting: int
    """Runs that cannot be named yet: those of best scales, until the runs before them are finished,
    and those at the rule's rate, until it is fitted to their layer."""
    stages: Mapping[str, frozenset[str]]
    """Names of the runs of each stage."""


def expand(study: "Study", results: Results) -> Expansion:
    """The runs of all grids, in order and each once; UserError if two others share a name."""
    runs: dict[str, Run] = {}
    stages: dict[str, set[str]] = {}
    waiting = 0
    rule = None
    if study.has_rule and (results.path / RULE_FILE).exists():
        rule = read_rule(results.path)
    for grid in by_rate(study.grids):
        names = stages.setdefault(grid.stage, set())
        for layer in grid.layers:
            for budget in grid.budgets:
                scales = grid.scales
                if grid.learning_rates == "rule" and not _knows(rule, study.rate_layer(layer)):
                    scales = ()
                elif scales == "best":
                    best = _best_scale(study, grid, layer, budget, [*runs.values()], results)
                    scales = () if best is None else (best,)
                if not scales:
                    n_scales = 1 if grid.scales == "best" else len(grid.scales)
                    waiting += n_scales * grid.runs_per_model
                for run in _product(study, grid, layer, budget, scales, rule, results):
                    names.add(run.name)
                    if runs.setdefault(run.name, run) != run:
                        raise UserError(
                            f"study {study.name}: two different runs would be named {run.name}: "
                            "give them budgets, seeds or rates that differ, or put them into two "
                            "studies"
                        )
    frozen = {stage: frozenset(names) for stage, names in stages.items()}
    return Expansion(tuple(runs.values()), waiting, frozen)


def _knows(rule: RateRule | None, layer: str) -> bool:
    """Whether a rule has the rate of a layer: one fitted to a part of the sweep lacks some."""
    return rule is not None and layer in rule.intercepts


def _product(
    study: "Study",
    grid: Grid,
    layer: str,
    budget: Budget,
    scales: Sequence[float],
    rule: RateRule | None,
    results: Results,
) -> Iterator[Run]:
    for scale in scales:
        for rate, is_default in _rates(study, grid, layer, budget, scale, rule, results):
            for seed in grid.seeds:
                yield Run(
                    layer=layer,
                    scale=float(scale),
                    budget=budget,
                    seed=seed,
                    learning_rate=rate,
                    default_rate=is_default,
                    nested=grid.trunk,
                )


def _rates(
    study: "Study",
    grid: Grid,
    layer: str,
    budget: Budget,
    scale: float,
    rule: RateRule | None,
    results: Results,
) -> Iterator[tuple[float, bool]]:
    """A grid's rates for one model, and whether each is the study's own."""
    budgets = grid.trunk or (budget,)
    if rule is not None and grid.learning_rates == "rule":
        config = study.batched(layer, scale, budgets)
        steps = study.steps(config, layer, scale, budgets[-1], results)
        own = rule.rate(study.rate_layer(layer), config.model.d_model, steps)
        for factor in grid.rate_factors:
            yield float(f"{factor * own:.2g}"), factor == 1
    elif grid.learning_rates != "rule":
        own = study.config(layer, scale).optimizer.learning_rate
        for rate in grid.learning_rates or (own,):
            yield float(rate), rate == own and not study.has_rule


def _best_scale(
    study: "Study",
    grid: Grid,
    layer: str,
    budget: Budget,
    before: Sequence[Run],
    results: Results,
) -> float | None:
    """The scale of the lowest loss at the grid's one rate; None until all are finished.

    Only runs of seed 0 count. Sizes are compared at one rate: that of the grid, or the study's own
    if no size was run at it.
    """
    sizes = [r for r in before if (r.layer, r.budget, r.seed) == (layer, budget, 0)]
    rates = grid.learning_rates if isinstance(grid.learning_rates, tuple) else ()
    runs = [run for run in sizes if run.learning_rate in rates]
    runs = runs or [run for run in sizes if run.default_rate]
    if not runs:
        raise UserError(
            f"study {study.name}: no grid before that of the best scales has {layer} at "
            f"{budget.described}"
        )
    if not all(results.file(run).exists() for run in runs):
        return None
    return min(runs, key=lambda run: results.read(run).loss).scale


def trunk_of(run: Run, runs: Sequence[Run]) -> Run | None:
    """The run of the same model with the next smaller FLOP budget, whose stable phase it shares."""
    if not isinstance(run.budget, FlopBudget):
        return None
    smaller = [
        other
        for other in runs
        if dataclasses.replace(other, budget=run.budget) == run
        and isinstance(other.budget, FlopBudget)
        and other.budget.convention == run.budget.convention
        and other.budget.flops < run.budget.flops
    ]
    return max(smaller, key=lambda other: other.budget.amount, default=None)
