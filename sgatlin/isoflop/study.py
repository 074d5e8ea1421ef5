# SPDX-License-Identifier: Apache-2.0
"""What a study is: which layers, at which scales, with which budgets, and the runs that makes.

A study file is a Python file with `STUDIES`, a dict from a variant's name to a function that
returns a `Study`; the first is the default. `load_study("name:variant")` finds it.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from sgatlin.config import Config, check_types, configs_folder, load_from_file
from sgatlin.errors import UserError
from sgatlin.isoflop.budget import Budget, FlopBudget, TimeBudget, TokenBudget
from sgatlin.isoflop.records import Record, Results, Run

FOLDER = "studies"


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
    learning_rates: tuple[float, ...] | None = None
    """Peak rates; None for the study's own alone."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """A comparison of layers."""

    name: str
    """Names its folders of runs and results."""
    title: str
    """Heads its page."""
    config: Callable[[str, float], Config]
    """The config of a layer at a scale. Its steps, seed and rate are set by each run."""
    grids: tuple[Grid, ...]
    """In the order in which they are to be run."""
    reference: str = "swiglu"
    """The layer that others are compared with."""
    compared: tuple[str, ...] | None = None
    """Layers that are fitted and drawn; None for all."""
    switched: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Layers that differ from another in one thing, and which: they have a table of their own."""
    branch: bool = False
    """Each run continues the stable phase of the same model's run with the next smaller FLOP
    budget, instead of beginning anew: the same result for a fraction less time."""

    def __post_init__(self) -> None:
        for grid in self.grids:
            if grid.scales == "best" and grid is self.grids[0]:
                raise UserError(f"study {self.name}: the first grid cannot be of the best scales")
            if not (grid.budgets and grid.layers and grid.scales and grid.seeds):
                raise UserError(
                    f"study {self.name}: a grid without budgets, layers, scales or seeds"
                )

    @property
    def layers(self) -> tuple[str, ...]:
        """All, in the order of the grids."""
        return tuple(dict.fromkeys(layer for grid in self.grids for layer in grid.layers))

    def main_runs(self, records: Sequence[Record]) -> list[Record]:
        """Those of the comparison itself: of its layers, at the study's own rate."""
        return [
            record
            for record in records
            if record.run.default_rate
            and record.run.layer in (self.layers if self.compared is None else self.compared)
        ]

    def config_of(self, run: Run, results: Results, *, steps: int | None = None) -> Config:
        """The config of one run, of as many steps as its budget pays for unless they are given.

        Raises:
          StepTimeMissing: its step has not been measured.
          UserError: it cannot be, such as a run that is all warm-up.
        """
        config = self.config(run.layer, run.scale)

        def step_seconds(device: str) -> float:
            return results.step_seconds(run.layer, run.scale, device)

        if steps is None:
            steps = run.budget.steps(config, step_seconds)
        warmup = config.optimizer.schedule.warmup_steps
        if steps <= warmup:
            raise UserError(
                f"{run.name}: {run.budget.described} pays for {steps} steps, and {warmup} of them "
                "would be warm-up: leave out this scale at this budget"
            )
        train = dataclasses.replace(
            config.train, steps=steps, seed=run.seed, eval_every=max(1, -(-steps // 8))
        )
        optimizer = dataclasses.replace(config.optimizer, learning_rate=run.learning_rate)
        checkpoint = dataclasses.replace(config.checkpoint, before_decay=self.branch)
        return dataclasses.replace(
            config, name=run.name, train=train, optimizer=optimizer, checkpoint=checkpoint
        )

    def expand(self, results: Results) -> "Expansion":
        """The runs of all grids, in order and each once; UserError if two others share a name."""
        runs: dict[str, Run] = {}
        waiting = 0
        for grid in _by_rate(self.grids):
            for layer in grid.layers:
                for budget in grid.budgets:
                    scales = grid.scales
                    if scales == "best":
                        best = self._best_scale(grid, layer, budget, runs.values(), results)
                        if best is None:
                            waiting += len(grid.seeds) * len(grid.learning_rates or (0,))
                            continue
                        scales = (best,)
                    for run in self._product(grid, layer, budget, scales):
                        if runs.setdefault(run.name, run) != run:
                            raise UserError(
                                f"study {self.name}: two different runs would be named {run.name}: "
                                "budgets of equal seconds on two devices are for two studies"
                            )
        return Expansion(tuple(runs.values()), waiting)

    def _product(
        self, grid: Grid, layer: str, budget: Budget, scales: Sequence[float]
    ) -> Iterator[Run]:
        for scale in scales:
            own_rate = self.config(layer, scale).optimizer.learning_rate
            for rate in grid.learning_rates or (own_rate,):
                for seed in grid.seeds:
                    yield Run(
                        layer=layer,
                        scale=float(scale),
                        budget=budget,
                        seed=seed,
                        learning_rate=float(rate),
                        default_rate=rate == own_rate,
                    )

    def _best_scale(
        self, grid: Grid, layer: str, budget: Budget, before: Iterable[Run], results: Results
    ) -> float | None:
        """The scale of the lowest loss at the grid's one rate; None until all are finished.

        Only runs of seed 0 count. Sizes are compared at one rate: that of the grid, or the
        study's own if no size was run at it.
        """
        sizes = [r for r in before if (r.layer, r.budget, r.seed) == (layer, budget, 0)]
        rates = grid.learning_rates if isinstance(grid.learning_rates, tuple) else ()
        runs = [run for run in sizes if run.learning_rate in rates]
        runs = runs or [run for run in sizes if run.default_rate]
        if not runs:
            raise UserError(
                f"study {self.name}: no grid before that of the best scales has {layer} at "
                f"{budget.described}"
            )
        if not all(results.file(run).exists() for run in runs):
            return None
        return min(runs, key=lambda run: results.read(run).loss).scale


def _by_rate(grids: Iterable[Grid]) -> Iterator[Grid]:
    """The grids in order; one of best scales as a grid for each rate, since sizes are of a rate."""
    for grid in grids:
        if grid.scales == "best" and isinstance(grid.learning_rates, tuple):
            for rate in grid.learning_rates:
                yield dataclasses.replace(grid, learning_rates=(rate,))
        else:
            yield grid


@dataclasses.dataclass(frozen=True)
class Expansion:
    """The runs that a study's grids make."""

    runs: tuple[Run, ...]
    waiting: int
    """Runs that cannot be named before others are finished: those of best scales."""


def load_study(spec: str) -> Study:
    """The study that `spec` names: NAME, NAME:VARIANT, PATH.py or PATH.py:VARIANT."""
    study = load_from_file(
        spec,
        known={path.stem: path for path in sorted((configs_folder() / FOLDER).glob("[!_]*.py"))},
        attribute="STUDIES",
        kind=Study,
        noun="study",
    )
    for layer, scale in models(study):
        _check_config(study, layer, scale, origin=f"{spec}: {layer} at s={scale:g}")
    return study


def _check_config(study: Study, layer: str, scale: float, *, origin: str) -> None:
    try:
        config = study.config(layer, scale)
    except Exception as error:  # whatever a user's function raises
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        raise UserError(f"{origin}: {kind}{str(error).partition(chr(10))[0]}") from error
    if not isinstance(config, Config):
        raise UserError(f"{origin}: returns {type(config).__name__}, not a Config")
    check_types(config, origin=origin)


def programs(runs: Sequence[Run]) -> dict[tuple[str, float], list[Run]]:
    """Runs by layer and scale: those of one can share what is compiled."""
    groups: dict[tuple[str, float], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.layer, run.scale), []).append(run)
    return groups


def models(study: Study) -> list[tuple[str, float]]:
    """Every layer and scale that the grids name outright."""
    return [(layer, s) for layer in study.layers for s in _scales(study.grids, layer)]


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


def budgets_of(records: Sequence[Record]) -> dict[str, list[Budget]]:
    """The budgets of records by kind, FLOPs first and each convention apart, smallest first."""
    kinds: dict[str, list[Budget]] = {}
    for budget in sorted({r.run.budget for r in records}, key=lambda budget: budget.amount):
        kinds.setdefault(_kind(budget), []).append(budget)
    return dict(sorted(kinds.items(), key=lambda kind: not kind[0].startswith("FLOPs")))


def _kind(budget: FlopBudget | TimeBudget | TokenBudget) -> str:
    if isinstance(budget, FlopBudget):
        return f"FLOPs ({budget.convention})"
    if isinstance(budget, TimeBudget):
        return f"seconds on {budget.device}"
    return "tokens"


def _scales(grids: Sequence[Grid], layer: str) -> list[float]:
    named = (s for g in grids if layer in g.layers and g.scales != "best" for s in g.scales)
    return sorted({float(scale) for scale in named})


def results_folder(study: Study, results: Path | None) -> Results:
    """Where a study's results are: as given, or results/NAME."""
    return Results(results or Path("results") / study.name)
