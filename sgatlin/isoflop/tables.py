# SPDX-License-Identifier: Apache-2.0
"""What a study came to, as tables: the same rows for a terminal and for Markdown."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sgatlin.isoflop.budget import Budget, short
from sgatlin.isoflop.estimates import Estimate, Optimum, StudyFit
from sgatlin.isoflop.figures import frontier, seed_means
from sgatlin.isoflop.fit import INTERVAL
from sgatlin.isoflop.panels import plain
from sgatlin.isoflop.records import Record, StepTimes
from sgatlin.isoflop.resample import resample, seed_noise
from sgatlin.isoflop.study import Study
from sgatlin.tables import aligned

DRAWS = 2000
MANY_EPOCHS = 2.0
"""Runs that see a token more often than this say so."""


class Table(NamedTuple):
    """A heading and rows of cells, of which the first is left, the others right."""

    heading: Sequence[str]
    rows: Sequence[Sequence[str]]

    def lines(self) -> list[str]:
        """For a terminal."""
        return aligned([self.heading, *self.rows])

    def markdown(self) -> list[str]:
        """For a page."""
        rule = ["---", *("---:" for _ in self.heading[1:])]
        return [f"| {' | '.join(cells)} |" for cells in (self.heading, rule, *self.rows)]


def interval(estimate: Estimate, digits: int = 2) -> str:
    """3.14 [3.10, 3.18]."""
    value, low, high = (f"{number:.{digits}f}" for number in estimate)
    return f"{value} [{low}, {high}]"


def optima(fit: StudyFit, budget: Budget) -> Table:
    """The best size of each layer at one budget, best first."""
    rows = []
    for optimum in sorted((o for o in fit.optima if o.budget == budget), key=_best_loss):
        best = optimum.best
        gap = next((g for g in fit.gaps if (g.layer, g.budget) == (optimum.layer, budget)), None)
        factor = next(
            (m for m in fit.multipliers if (m.layer, m.budget) == (optimum.layer, budget)), None
        )
        fitted, parameters = "none", ""
        if optimum.loss is not None and optimum.parameters is not None:
            fitted = interval(optimum.loss.exp())
            parameters = f"{optimum.parameters.value / 1e6:.2f} M"
            if optimum.interior_share < 0.95:
                fitted += f", in {optimum.interior_share:.0%} of draws"
        rows.append(
            (
                optimum.layer,
                f"s={best.scale:g}",
                interval(best.loss.exp()),
                fitted,
                parameters,
                "" if gap is None else f"{interval(gap.nats, 3)} vs {gap.other}",
                "" if factor is None else _factor(factor.factor, factor.extrapolated),
            )
        )
    heading = (
        "layer",
        "best size run",
        "perplexity of it",
        "least perplexity of the parabola",
        "parameters there",
        "loss less the best other's, nats",
        f"{fit.reference} needs so many times the budget",
    )
    return _without_empty_columns(Table(heading, rows))


def refusals(fit: StudyFit) -> list[str]:
    """Why layers have no minimum, a line each."""
    return [
        f"{optimum.layer} at {optimum.budget.described}: {optimum.refused}"
        for optimum in fit.optima
        if optimum.refused is not None
    ]


def laws(fit: StudyFit) -> Table:
    """Exponents across budgets."""
    rows = [
        (
            law.layer,
            interval(law.exponent, 4),
            interval(law.size_exponent),
            f"{short(law.budgets[0])} to {short(law.budgets[-1])}",
        )
        for law in fit.laws
    ]
    return Table(("layer", "loss falls with exponent", "best size grows with", "measured"), rows)


def all_runs(records: Sequence[Record], budget: Budget) -> Table:
    """Perplexity of every layer and scale at one budget, at the study's own rate."""
    means = [mean for mean in seed_means(records) if mean.budget == budget]
    epochs = {
        (r.run.layer, r.run.scale): r.result.epochs for r in records if r.run.budget == budget
    }
    scales = sorted({mean.scale for mean in means})
    rows = []
    for layer in dict.fromkeys(mean.layer for mean in means):
        cells = []
        for scale in scales:
            mean = next((m for m in means if (m.layer, m.scale) == (layer, scale)), None)
            if mean is None:
                cells.append("")
                continue
            seen = epochs[layer, scale]
            often = f", {seen:.1f} epochs" if seen > MANY_EPOCHS else ""
            cells.append(f"{mean.perplexity:.2f}{often}")
        rows.append((layer, *cells))
    return Table(("layer", *(f"s={scale:g}" for scale in scales)), rows)


def rates(records: Sequence[Record]) -> Table | None:
    """Perplexity at each learning rate of the sizes that were run with several."""
    tuned = {(r.run.layer, r.run.scale, r.run.budget) for r in records if not r.run.default_rate}
    losses: dict[tuple[str, float, Budget], dict[float, float]] = {}
    for record in records:
        run = record.run
        key = run.layer, run.scale, run.budget
        if key in tuned and run.seed == 0:
            losses.setdefault(key, {})[run.learning_rate] = record.loss
    if not losses:
        return None
    known = sorted({rate for by_rate in losses.values() for rate in by_rate})
    rows = []
    for (layer, scale, budget), by_rate in losses.items():
        best = min(by_rate, key=by_rate.__getitem__)
        cells = [f"{math.exp(by_rate[rate]):.2f}" if rate in by_rate else "" for rate in known]
        edge = ", the edge of the grid" if best in (min(by_rate), max(by_rate)) else ""
        rows.append((layer, f"s={scale:g}, {budget.name}", *cells, f"{short(best)}{edge}"))
    return Table(("layer", "size, budget", *map(short, known), "best rate"), rows)


def switches(study: Study, records: Sequence[Record]) -> Table | None:
    """Each layer with one switch against the one that it differs from, at its size and budget."""
    own = [r for r in records if r.run.default_rate and r.run.seed == 0]
    sizes = {(r.run.scale, r.run.budget) for r in own if r.run.layer in _only_switched(study)}
    switched = [
        r
        for layer in study.switched
        for r in _of(own, layer)
        if (r.run.scale, r.run.budget) in sizes
    ]
    if not switched:
        return None
    noise = seed_noise([r for r in records if r.run.default_rate])
    rows = []
    for record in switched:
        base_name = study.switched[record.run.layer]
        base = _same_size(own, record, base_name)
        cells = ["not run"]
        if base is not None:
            loss_PR = resample([record, base], noise, draws=DRAWS, seed=0)
            gap_P = loss_PR[:, 0] - loss_PR[:, 1]
            low, high = np.percentile(gap_P[1:], INTERVAL).tolist()
            cells = [interval(Estimate(float(gap_P[0]), low, high), 3)]
        size = f"s={record.run.scale:g}, {record.run.budget.name}"
        rows.append((record.run.layer, size, f"{math.exp(record.loss):.2f}", base_name, *cells))
    heading = ("layer", "size, budget", "perplexity", "switched from", "change of loss, nats")
    return Table(heading, rows)


def reached(records: Sequence[Record], costs: Mapping[str, Sequence[float]], unit: str) -> Table:
    """The least perplexity of each layer within so much of a cost, and who leads.

    `costs` are of each layer's runs, in the order of `records`.
    """
    points = {
        layer: frontier(
            (cost, math.exp(record.loss))
            for record, cost in zip(_of(records, layer), of_layer, strict=True)
        )
        for layer, of_layer in costs.items()
    }
    every = [x for line in points.values() for x, _ in line]
    # From where all layers have something to show.
    low, high = max(line[0][0] for line in points.values()), max(every)
    limits = sorted({round_up(low * (high / low) ** (i / 3)) for i in range(4)})
    rows = []
    for layer, line in points.items():
        cells = []
        for limit in limits:
            within = [y for x, y in line if x <= limit]
            cells.append(f"{min(within):.2f}" if within else "")
        rows.append((layer, *cells))
    return Table(("layer", *(f"{plain(limit)} {unit}" for limit in limits)), rows)


def step_costs(study: Study, times: StepTimes) -> Table:
    """Milliseconds and memory of a step, by layer and scale."""
    scales = sorted({row.scale for row in times.rows})
    rows = []
    for layer in [layer for layer in study.layers if any(r.layer == layer for r in times.rows)]:
        cells = []
        for scale in scales:
            row = times.row(layer, scale)
            memory = "" if row is None or row.memory is None else f", {row.memory / 1e9:.2f} GB"
            cells.append("" if row is None else f"{row.ms:.2f} ms{memory}")
        rows.append((layer, *cells))
    return Table(("layer", *(f"s={scale:g}" for scale in scales)), rows)


def _without_empty_columns(table: Table) -> Table:
    kept = [i for i in range(len(table.heading)) if any(row[i] for row in table.rows)]
    rows = [[row[i] for i in kept] for row in table.rows]
    return Table([table.heading[i] for i in kept], rows)


def round_up(value: float) -> float:
    """To two digits, upwards, so that what it is a limit of stays within."""
    digits = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / digits - 1e-9) * digits


def _of(records: Iterable[Record], layer: str) -> list[Record]:
    return [record for record in records if record.run.layer == layer]


def _same_size(records: Iterable[Record], record: Record, layer: str) -> Record | None:
    wanted = layer, record.run.scale, record.run.budget
    found = (r for r in records if (r.run.layer, r.run.scale, r.run.budget) == wanted)
    return next(found, None)


def _only_switched(study: Study) -> list[str]:
    """Layers that are in no other comparison, and tell at which size switches are compared."""
    compared = study.layers if study.compared is None else study.compared
    return [layer for layer in study.switched if layer not in compared]


def _best_loss(optimum: Optimum) -> float:
    return optimum.best.loss.value


def _factor(factor: Estimate, extrapolated: bool) -> str:
    return f"{interval(factor)}{', extrapolated' if extrapolated else ''}"
