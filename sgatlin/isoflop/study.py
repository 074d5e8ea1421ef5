# SPDX-License-Identifier: Apache-2.0
"""What a study is: which layers, at which scales, with which budgets, and the runs that makes.

A study file is a Python file with `STUDIES`, a dict from a variant's name to a function that
returns a `Study`; the first is the default. `load_study("name:variant")` finds it.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sgatlin.config import Config, check_types, configs_folder, load_from_file
from sgatlin.errors import UserError
from sgatlin.isoflop.budget import Budget, kind_of
from sgatlin.isoflop.expansion import Expansion, expand
from sgatlin.isoflop.grid import Grid
from sgatlin.isoflop.records import Record, Results, Run

FOLDER = "studies"


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
    warmup: Callable[[Sequence[int]], int] | None = None
    """Warm-up steps, from the steps of the budgets that share a trunk, fewest first, or of the one
    budget of a run of its own; None for those of `config`."""
    windows: Callable[[Budget], int] | None = None
    """Windows of a batch, from the budget (of a trunk the largest); None for those of `config`."""
    rate_layer: Callable[[str], str] = str
    """The layer whose rate a layer takes from the rate rule: itself, or what it is a variant of."""
    validations: int = 8
    """Validations during a run, at equal distances."""
    branch: bool = False
    """Each run continues the stable phase of the same model's run with the next smaller FLOP
    budget, instead of beginning anew: the same result for a fraction less time."""

    def __post_init__(self) -> None:
        for grid in self.grids:
            if grid.scales == "best" and grid is self.grids[0]:
                raise UserError(f"study {self.name}: the first grid cannot be of the best scales")
            grid.check(self.name)

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
        budgets = run.nested or (run.budget,)
        config = self.batched(run.layer, run.scale, budgets)
        if steps is None:
            steps = self.steps(config, run.layer, run.scale, run.budget, results)
        schedule = config.optimizer.schedule
        if self.warmup is not None:
            others = (
                self.steps(config, run.layer, run.scale, budget, results) for budget in budgets
            )
            warmup = self.warmup(list(others) if run.nested else [steps])
            schedule = dataclasses.replace(schedule, warmup_steps=warmup)
        if steps <= schedule.warmup_steps:
            raise UserError(
                f"{run.name}: {run.budget.described} pays for {steps} steps, and "
                f"{schedule.warmup_steps} of them would be warm-up: leave out this scale at this "
                "budget"
            )
        train = dataclasses.replace(
            config.train,
            steps=steps,
            seed=run.seed,
            eval_every=max(1, -(-steps // self.validations)),
        )
        optimizer = dataclasses.replace(
            config.optimizer, learning_rate=run.learning_rate, schedule=schedule
        )
        before_decay = self.branch or bool(run.nested)
        checkpoint = dataclasses.replace(config.checkpoint, before_decay=before_decay)
        return dataclasses.replace(
            config, name=run.name, train=train, optimizer=optimizer, checkpoint=checkpoint
        )

    def batched(self, layer: str, scale: float, budgets: Sequence[Budget]) -> Config:
        """The config of a layer at a scale, with the batch size of the largest budget."""
        config = self.config(layer, scale)
        if self.windows is None:
            return config
        data = dataclasses.replace(config.data, batch_size=self.windows(budgets[-1]))
        return dataclasses.replace(config, data=data)

    def steps(
        self, config: Config, layer: str, scale: float, budget: Budget, results: Results
    ) -> int:
        """Optimizer steps that a budget pays for; StepTimeMissing if its step is not measured."""

        def step_seconds(device: str) -> float:
            return results.step_seconds(layer, scale, device)

        return budget.steps(config, step_seconds)

    def expand(self, results: Results) -> Expansion:
        """The runs of all grids, in order and each once; UserError if two others share a name."""
        return expand(self, results)

    @property
    def has_rule(self) -> bool:
        """Whether the study's own rates are those of its rate rule."""
        return any(grid.learning_rates == "rule" for grid in self.grids)


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


def budgets_of(records: Sequence[Record]) -> dict[str, list[Budget]]:
    """The budgets of records by kind, FLOPs first and each convention apart, smallest first."""
    kinds: dict[str, list[Budget]] = {}
    for budget in sorted({r.run.budget for r in records}, key=lambda budget: budget.amount):
        kinds.setdefault(kind_of(budget), []).append(budget)
    return dict(sorted(kinds.items(), key=lambda kind: not kind[0].startswith("FLOPs")))


def _scales(grids: Sequence[Grid], layer: str) -> list[float]:
    named = (s for g in grids if layer in g.layers and g.scales != "best" for s in g.scales)
    return sorted({float(scale) for scale in named})


def results_folder(study: Study, results: Path | None) -> Results:
    """Where a study's results are: as given, or results/NAME."""
    return Results(results or Path("results") / study.name)
