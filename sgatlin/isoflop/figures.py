# SPDX-License-Identifier: Apache-2.0
"""A study in two figures, like the paper's.

Perplexity against parameters for each budget, and the best perplexity against what it costs: FLOPs,
seconds of a device, training memory, tokens. The paper is Schug 2026, arXiv 2606.07414.
"""

import math
import statistics
import textwrap
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sgatlin.isoflop.budget import Budget, FlopBudget, TimeBudget
from sgatlin.isoflop.estimates import Estimate, Optimum, StudyFit
from sgatlin.isoflop.panels import Style, counted, files, legend, log_axis, panels, plain, styles
from sgatlin.isoflop.records import Record, Result, StepTimes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = list[tuple[float, float]]
Looks = Mapping[str, Style]

PERPLEXITY = "validation perplexity"
# Points on a fitted curve.
CURVE_POINTS = 60


class Mean(NamedTuple):
    """The runs of a layer at a scale with a budget that differ in nothing but their seeds."""

    layer: str
    scale: float
    budget: Budget
    steps: float
    tokens: float
    perplexity: float
    """exp of the mean loss."""


class Spending(NamedTuple):
    """A panel of `draw_best` that has perplexity against a cost of runs."""

    title: str
    """Names what is held fixed."""
    label: str
    name: Callable[[float], str]
    """Of a tick."""
    costs: list[tuple[Mean, float]]

    def points(self) -> dict[str, Points]:
        """Of each layer (cost, perplexity)."""
        points: dict[str, Points] = defaultdict(list)
        for mean, cost in self.costs:
            points[mean.layer].append((cost, mean.perplexity))
        return points


def draw_sizes(fit: StudyFit, path: Path, *, layers: Iterable[str] = ()) -> tuple[Path, Path]:
    """Draws perplexity against parameters, a panel for each budget, as PATH.svg and PATH.png.

    Means of seeds with their 95 % intervals and exp of the parabola in ln(parameters), whose
    minimum is the large marker. Where the fit was refused the sizes are joined by dots, and the
    best that was run is marked hollow. A layer looks the same in all figures that are given the
    same `layers`; those of the fit are always among them.

    Returns the files. UserError without matplotlib, without runs, or where they cannot be written.
    """
    looks = styles((*layers, *(optimum.layer for optimum in fit.optima)))
    by_budget: dict[Budget, list[Optimum]] = defaultdict(list)
    for optimum in fit.optima:
        by_budget[optimum.budget].append(optimum)
    parameters = [size.parameters for optimum in fit.optima for size in optimum.sizes]
    with panels(path, len(by_budget), share="x") as axes:
        for panel, (budget, optima) in zip(axes, by_budget.items(), strict=True):
            drawn = [y for o in optima for y in _draw_curve(panel, o, looks[o.layer])]
            log_axis(panel, "x", parameters, counted)
            log_axis(panel, "y", drawn, plain)
            panel.set(title=budget.described, xlabel="parameters", ylabel=PERPLEXITY)
        legend(axes, looks, has_hollow=_has_refused(fit))
    return files(path)


def _draw_curve(panel: "Axes", optimum: Optimum, look: Style) -> list[float]:
    """Draws one layer at one budget; returns the perplexities that the panel must show."""
    at = [size.parameters for size in optimum.sizes]
    measured = [size.loss.exp() for size in optimum.sizes]
    _errorbar(panel, at, measured, look, markersize=3.5)
    if optimum.coefficients is None or optimum.parameters is None or optimum.loss is None:
        panel.plot(at, [e.value for e in measured], ":", color=look.colour, linewidth=0.9)
        best = optimum.best
        _mark(panel, best.parameters, math.exp(best.loss.value), look, hollow=True)
        return [e.value for e in measured]
    a, b, c = optimum.coefficients
    through = [size.parameters for size in optimum.sizes if size.scale in optimum.fitted]
    ends = math.log(min(through)), math.log(max(through))
    us = [ends[0] + (ends[1] - ends[0]) * i / (CURVE_POINTS - 1) for i in range(CURVE_POINTS)]
    curve = [math.exp(a + b * (u - c) ** 2) for u in us]
    panel.plot(
        [math.exp(u) for u in us], curve, color=look.colour, linestyle=look.line, linewidth=1.2
    )
    lowest = optimum.loss.exp()
    _mark(panel, optimum.parameters.value, lowest.value, look)
    return [*(e.value for e in measured), *curve, lowest.value]


def draw_best(
    fit: StudyFit,
    records: Sequence[Record],
    step_times: Sequence[StepTimes],
    path: Path,
    *,
    layers: Iterable[str] = (),
) -> tuple[Path, Path]:
    """Draws the best perplexity against each of its costs, as PATH.svg and PATH.png.

    * Against the budget: the fitted minimum with its 95 % interval, or hollow the best size that
      was run where the fit was refused. The power law is a line among the budgets measured; where
      there is none, or runs contradict it, dots join the points.
    * Against seconds of each device in `step_times` (steps times the step measured there), and
      against tokens: the runs at the study's rate that nothing cheaper of the same layer equals,
      joined by a line, and the others around them as specks. Seeds are averaged first, so that
      no lucky one leads.
    * Against training memory the same of one budget, the largest of those that most layers ran:
      otherwise the runs that spent most would hide the others.

    Panels without data are left out. Returns the files; errors and `layers` as of `draw_sizes`.
    """
    means = seed_means(records)
    looks = styles(
        (*layers, *(optimum.layer for optimum in fit.optima), *(mean.layer for mean in means))
    )
    spendings = _spendings(fit, means, step_times)
    has_optima = bool(fit.optima)
    with panels(path, has_optima + len(spendings), share="y") as axes:
        drawn = _draw_optima(axes[0], fit, looks) if has_optima else []
        for panel, spending in zip(axes[has_optima:], spendings, strict=True):
            shown = [
                point
                for layer, points in spending.points().items()
                for point in _draw_frontier(panel, points, looks[layer])
            ]
            log_axis(panel, "x", [cost for cost, _ in shown], spending.name)
            drawn += [perplexity for _, perplexity in shown]
            panel.set(title=spending.title, xlabel=textwrap.fill(spending.label, 42))
        log_axis(axes[0], "y", drawn, plain)
        for panel in axes[::2]:
            panel.set_ylabel(PERPLEXITY)
        legend(axes, looks, has_hollow=_has_refused(fit))
    return files(path)


def _draw_optima(panel: "Axes", fit: StudyFit, looks: Looks) -> list[float]:
    """The best of each layer against the budget; returns the perplexities to show."""
    drawn = []
    laws = [law for law in fit.laws if law.refused is None]
    for law in laws:
        low, high = math.log(law.budgets[0]), math.log(law.budgets[-1])
        xs = [math.exp(low + (high - low) * i / (CURVE_POINTS - 1)) for i in range(CURVE_POINTS)]
        look = looks[law.layer]
        ys = [math.exp(law.loss(x)) for x in xs]
        panel.plot(xs, ys, color=look.colour, linestyle=look.line, linewidth=1.2)
    without_law = {optimum.layer for optimum in fit.optima} - {law.layer for law in laws}
    for layer in sorted(without_law):
        points = [(o.budget.amount, _best(o).exp().value) for o in fit.optima if o.layer == layer]
        panel.plot(*zip(*points, strict=True), ":", color=looks[layer].colour, linewidth=0.9)
    for optimum in fit.optima:
        x, look = optimum.budget.amount, looks[optimum.layer]
        perplexity = _best(optimum).exp()
        _errorbar(panel, [x], [perplexity], look, markersize=0)
        _mark(panel, x, perplexity.value, look, hollow=optimum.loss is None, size=6)
        drawn.append(perplexity.value)
    amounts = sorted({optimum.budget.amount for optimum in fit.optima})
    log_axis(panel, "x", amounts, plain, ticks=amounts)
    panel.set(title="best size of each budget", xlabel=_budget_label(fit.optima[0].budget))
    return drawn


def _best(optimum: Optimum) -> Estimate:
    """The fitted minimum, or the best size that was run where there is none."""
    return optimum.best.loss if optimum.loss is None else optimum.loss


def _draw_frontier(panel: "Axes", points: Points, look: Style) -> Points:
    """Draws all points of a layer as specks and its frontier as a line; returns the frontier.

    The line ends at the best run: what the layer reaches at a higher cost is not known.
    """
    best = frontier(points)
    specks = zip(*points, strict=True)
    panel.plot(*specks, ".", color=look.colour, markersize=2, alpha=0.6)
    xs, ys = zip(*best, strict=True)
    panel.plot(
        xs,
        ys,
        color=look.colour,
        linestyle=look.line,
        linewidth=1.2,
        marker=look.marker,
        markersize=3.5,
    )
    return best


def _spendings(
    fit: StudyFit, means: Sequence[Mean], step_times: Sequence[StepTimes]
) -> list[Spending]:
    """The panels that there is data for."""
    fixed = shared_budget(fit)
    found = []
    for times in step_times:
        rows = [(mean, times.row(mean.layer, mean.scale)) for mean in means]
        seconds = [(mean, 1e-3 * row.ms * mean.steps) for mean, row in rows if row is not None]
        gigabytes = [
            (mean, 1e-9 * row.memory)
            for mean, row in rows
            if mean.budget == fixed and row is not None and row.memory is not None
        ]
        label = f"seconds on {times.device}"
        found.append(Spending("training time, all runs", label, plain, seconds))
        if fixed is not None:
            title, label = f"training memory, {fixed.described}", f"GB on {times.device}"
            found.append(Spending(title, label, plain, gigabytes))
    tokens = [(mean, mean.tokens) for mean in means]
    found.append(Spending("training tokens, all runs", "tokens", counted, tokens))
    return [spending for spending in found if spending.costs]


def shared_budget(fit: StudyFit) -> Budget | None:
    """The budget that most layers were run with, of several the largest; None without runs."""
    counts = Counter(optimum.budget for optimum in fit.optima)
    return max(counts, key=lambda budget: (counts[budget], budget.amount), default=None)


def seed_means(records: Iterable[Record]) -> list[Mean]:
    """Of the runs at the study's own rate."""
    seeds: dict[tuple[str, float, Budget], list[Result]] = defaultdict(list)
    for record in records:
        run = record.run
        if run.default_rate:
            seeds[run.layer, run.scale, run.budget].append(record.result)
    return [
        Mean(
            layer,
            scale,
            budget,
            steps=statistics.fmean(result.steps for result in results),
            tokens=statistics.fmean(result.tokens for result in results),
            perplexity=math.exp(statistics.fmean(result.val_loss for result in results)),
        )
        for (layer, scale, budget), results in seeds.items()
    ]


def frontier(points: Iterable[tuple[float, float]]) -> Points:
    """Those of (cost, perplexity) with a lower perplexity than all that cost as much or less."""
    best: Points = []
    for cost, perplexity in sorted(points):
        if not best or perplexity < best[-1][1]:
            best.append((cost, perplexity))
    return best


def _budget_label(budget: Budget) -> str:
    match budget:
        case FlopBudget():
            return f"training FLOPs ({budget.convention})"
        case TimeBudget():
            return f"seconds on {budget.device}"
    return "tokens"


def _errorbar(
    panel: "Axes",
    xs: Sequence[float],
    estimates: Sequence[Estimate],
    look: Style,
    markersize: float,
) -> None:
    """Points with thin bars over their intervals, which a point may lie beside."""
    values = [estimate.value for estimate in estimates]
    below = [max(0.0, estimate.value - estimate.low) for estimate in estimates]
    above = [max(0.0, estimate.high - estimate.value) for estimate in estimates]
    panel.errorbar(
        xs,
        values,
        yerr=(below, above),
        color=look.colour,
        marker=look.marker,
        markersize=markersize,
        linestyle="none",
        elinewidth=0.7,
    )


def _mark(
    panel: "Axes", x: float, y: float, look: Style, *, hollow: bool = False, size: float = 7
) -> None:
    """The best size: large, and hollow where it is no fitted minimum."""
    panel.plot(
        [x],
        [y],
        color=look.colour,
        marker=look.marker,
        markersize=size,
        markerfacecolor="white" if hollow else look.colour,
        # A rim tells markers apart that lie on one another.
        markeredgecolor=look.colour if hollow else "white",
        markeredgewidth=1 if hollow else 0.5,
        zorder=3,
    )


def _has_refused(fit: StudyFit) -> bool:
    return any(optimum.refused is not None for optimum in fit.optima)
