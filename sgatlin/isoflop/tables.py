# SPDX-License-Identifier: Apache-2.0
"""The results of a study as tables: the same rows for a terminal and for Markdown."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sgatlin.isoflop.budget import Budget, short
from sgatlin.isoflop.curves import CROSSING_MARK, crosses_onset
from sgatlin.isoflop.estimates import Estimate, Gap, Optimum, StudyFit
from sgatlin.isoflop.figures import seed_means
from sgatlin.isoflop.records import Record
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


def optima(fit: StudyFit, budget: Budget, records: Iterable[Record] = ()) -> Table:
    """The best size of each layer at one budget, best first.

    Gaps across the onset of copying are marked, as far as `records`, those of the fit, have scores.
    """
    at_budget = [record for record in records if record.run.budget == budget]
    rows = []
    for optimum in sorted((o for o in fit.optima if o.budget == budget), key=_best_loss):
        best = optimum.best
        gap = next((g for g in fit.gaps if (g.layer, g.budget) == (optimum.layer, budget)), None)
        factor = next(
            (m for m in fit.multipliers if (m.layer, m.budget) == (optimum.layer, budget)), None
        )
        fitted, parameters, points = "none", "", ""
        if optimum.loss is not None and optimum.parameters is not None:
            fitted = interval(optimum.loss.exp())
            parameters = f"{optimum.parameters.value / 1e6:.2f} M"
            points = f"{len(optimum.fitted)}"
            if optimum.interior_share < 0.95:
                fitted += f", in {optimum.interior_share:.0%} of draws"
        rows.append(
            (
                optimum.layer,
                f"s={best.scale:g}",
                interval(best.loss.exp()),
                fitted,
                points,
                parameters,
                "" if gap is None else _gap(fit, gap, at_budget),
                "" if factor is None else _factor(factor.factor, factor.extrapolated),
            )
        )
    heading = (
        "layer",
        "best size run",
        "perplexity of it",
        "minimum of the parabola",
        "sizes in the parabola",
        "parameters at the minimum",
        "gap to the best other layer, nats",
        f"times the budget {fit.reference} needs for this loss",
    )
    return _without_empty_columns(Table(heading, rows))


def refusals(fit: StudyFit) -> list[str]:
    """Layers without a minimum: a line for each budget and reason, with what to run."""
    layers: dict[tuple[str, str], list[str]] = {}
    for optimum in fit.optima:
        if optimum.refused is not None:
            reason = optimum.budget.described, optimum.refused
            layers.setdefault(reason, []).append(optimum.layer)
    return [
        f"{', '.join(names)} at {budget}: {refused}" for (budget, refused), names in layers.items()
    ]


def refused_laws(fit: StudyFit) -> list[str]:
    """A line for each power law that measured losses contradict."""
    return [f"{law.layer}: {law.refused}" for law in fit.laws if law.refused is not None]


def laws(fit: StudyFit) -> Table | None:
    """Exponents across budgets of the laws that no measured loss contradicts."""
    rows = [
        (
            law.layer,
            interval(law.exponent, 4),
            interval(law.size_exponent),
            f"{short(law.budgets[0])} to {short(law.budgets[-1])}",
        )
        for law in fit.laws
        if law.refused is None
    ]
    if not rows:
        return None
    return Table(("layer", "loss falls with exponent", "best size grows with", "measured"), rows)


def seeds(fit: StudyFit) -> Table:
    """The sizes with several seeds, the largest difference first."""
    rows = [
        (
            spread.layer,
            f"s={spread.scale:g}, {spread.budget.name}",
            ", ".join(f"{loss:.4f}" for loss in spread.losses),
            f"{spread.difference:.4f}",
            {True: "yes", False: "no", None: ""}[spread.near_onset],
        )
        for spread in fit.seeds
    ]
    heading = ("layer", "size, budget", "losses, nats", "difference", "on the onset of copying")
    return _without_empty_columns(Table(heading, rows))


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
    """Perplexity at each learning rate of the sizes that were run with several.

    Sizes were compared only at the rates of the last column: at another rate another size may be
    the best, so that layers compare fairly there only at equal size.
    """
    tuned = {(r.run.layer, r.run.scale, r.run.budget) for r in records if not r.run.default_rate}
    losses: dict[tuple[str, float, Budget], dict[float, float]] = {}
    scales: dict[tuple[str, Budget], dict[float, set[float]]] = {}
    for record in records:
        run = record.run
        at = scales.setdefault((run.layer, run.budget), {})
        at.setdefault(run.learning_rate, set()).add(run.scale)
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
        compared = ", ".join(
            short(rate) for rate, sizes in sorted(scales[layer, budget].items()) if len(sizes) > 1
        )
        size = f"s={scale:g}, {budget.name}"
        rows.append((layer, size, *cells, f"{short(best)}{edge}", compared or "none"))
    heading = ("layer", "size, budget", *map(short, known), "best rate", "sizes compared at rate")
    return Table(heading, rows)


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
            mark = crossing_mark(crosses_onset(record, base))
            cells = [f"{interval(Estimate.of(loss_PR[:, 0] - loss_PR[:, 1]), 3)}{mark}"]
        size = f"s={record.run.scale:g}, {record.run.budget.name}"
        rows.append((record.run.layer, size, f"{math.exp(record.loss):.2f}", base_name, *cells))
    heading = ("layer", "size, budget", "perplexity", "switched from", "change of loss, nats")
    return Table(heading, rows)


def crossing_mark(crosses: bool) -> str:
    """What follows a gap across the onset of copying; nothing otherwise."""
    return f" {CROSSING_MARK}" if crosses else ""


def _gap(fit: StudyFit, gap: Gap, records: Sequence[Record]) -> str:
    sides = []
    for layer in (gap.layer, gap.other):
        optimum = fit.optimum(layer, gap.budget)
        assert optimum is not None
        sides.append([r for r in _of(records, layer) if r.run.scale == optimum.best.scale])
    # Each size is the mean of its seeds.
    crosses = any(crosses_onset(one, other) for one in sides[0] for other in sides[1])
    return f"{interval(gap.nats, 3)} vs {gap.other}{crossing_mark(crosses)}"


def _without_empty_columns(table: Table) -> Table:
    kept = [i for i in range(len(table.heading)) if any(row[i] for row in table.rows)]
    rows = [[row[i] for i in kept] for row in table.rows]
    return Table([table.heading[i] for i in kept], rows)


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
