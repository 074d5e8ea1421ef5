# SPDX-License-Identifier: Apache-2.0
"""Tables of surfaces: coefficients, residuals, gaps, crossings, bytes at equal loss."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from sgatlin.isoflop.budget import Budget, FlopBudget, short
from sgatlin.isoflop.crossing import (
    Crossing,
    at_equal_loss,
    find_crossing,
    measured_gap,
    surface_gap,
)
from sgatlin.isoflop.estimates import Estimate
from sgatlin.isoflop.frontier import PAPER, Cost, joint_frontier, track
from sgatlin.isoflop.records import Record
from sgatlin.isoflop.surface_fit import SurfaceFit
from sgatlin.isoflop.tables import Table, interval

EDGE = "‡"
"""Marks a gap whose layer has its best size at an end of those that were run."""

Quantity = Callable[[Record], float | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sides:
    """Which layers are compared with which."""

    subjects: tuple[str, ...]
    """The layers in question."""
    baselines: Mapping[str, tuple[str, ...]]
    """By a name for the best of them, such as "the best dense layer"."""
    others: tuple[str, ...] = ()
    """Further layers that subjects are compared with one by one."""

    def pairs(self, *, one_by_one: bool) -> list[tuple[str, str, tuple[str, ...]]]:
        """(layer, name of the other side, its layers) of all comparisons."""
        sides = {side[0] if len(side) == 1 else name: side for name, side in self.baselines.items()}
        if one_by_one:
            named = (layer for side in self.baselines.values() for layer in side)
            sides |= {layer: (layer,) for layer in (*named, *self.others)}
        return [(layer, name, side) for layer in self.subjects for name, side in sides.items()]


def sides(layers: Iterable[str]) -> Sides:
    """The usual sides among some layers: dense ones, mixtures and PEER against all others."""
    layers = tuple(layers)
    dense = tuple(layer for layer in layers if layer in ("mlp", "swiglu"))
    mixtures = tuple(layer for layer in layers if layer.startswith("moe"))
    peers = tuple(layer for layer in layers if layer.startswith("peer"))
    named = {"the best dense layer": dense, "the best mixture": mixtures}
    return Sides(
        subjects=tuple(la for la in layers if la not in (*dense, *mixtures, *peers)),
        baselines={name: side for name, side in named.items() if side},
        others=peers,
    )


def coefficients(fit: SurfaceFit) -> Table:
    """A row for each layer: its surface, and how far its runs lie off it."""
    surface = fit.surface
    rows = []
    for i, layer in enumerate(fit.layers):
        places = fit.of(layer)
        cells = [
            interval(Estimate.of(value_PL[:, i]))
            for value_PL in (surface.e_PL, surface.alpha_PL, surface.beta_PL)
        ]
        log_a, log_b = float(surface.log_a_PL[0, i]), float(surface.log_b_PL[0, i])
        off = [_rms(of_R[places]) for of_R in (fit.residual_R, fit.left_out_R)]
        rows.append(
            (layer, f"{len(places)}", *cells, _exp(log_a), _exp(log_b), *(f"{x:.4f}" for x in off))
        )
    heading = (
        "layer",
        "runs",
        _shared(fit, "E", "E, nats"),
        _shared(fit, "alpha", "alpha"),
        _shared(fit, "beta", "beta"),
        "A",
        "B",
        "residual, nats (RMS)",
        "when left out (RMS)",
    )
    return Table(heading, rows)


def residuals(fit: SurfaceFit) -> Table:
    """Measured less fitted loss of each size and budget, mean of seeds; in brackets left out."""
    budgets = sorted({r.run.budget for r in fit.records}, key=lambda budget: budget.amount)
    cells: dict[tuple[str, float], dict[Budget, list[int]]] = {}
    for place, record in enumerate(fit.records):
        of_size = cells.setdefault((record.run.layer, record.run.scale), {})
        of_size.setdefault(record.run.budget, []).append(place)
    rows = []
    for (layer, scale), by_budget in sorted(
        cells.items(), key=lambda item: (fit.layers.index(item[0][0]), item[0][1])
    ):
        row = [layer, f"s={scale:g}"]
        for budget in budgets:
            places = by_budget.get(budget, [])
            off = (
                of_R[places].mean() if places else 0 for of_R in (fit.residual_R, fit.left_out_R)
            )
            row.append("{:+.3f} ({:+.3f})".format(*off) if places else "")
        rows.append(row)
    return Table(("layer", "size", *(budget.name for budget in budgets)), rows)


def gaps(
    fit: SurfaceFit, between: Sides, cost: Cost, amounts: Sequence[float]
) -> tuple[Table, bool]:
    """Loss of each subject less that of the others by the surfaces; whether any cell has EDGE."""
    rows, has_edge = [], False
    for layer, name, side in between.pairs(one_by_one=True):
        row = [layer, name]
        for amount in amounts:
            gap = surface_gap(fit, layer, side, cost, amount)
            if gap is None:
                row.append("")
                continue
            has_edge |= gap.is_edge
            row.append(f"{interval(gap.nats, 3)}{EDGE if gap.is_edge else ''}")
        rows.append(row)
    heading = ("layer", "less", *(f"{short(amount)} {cost.unit}" for amount in amounts))
    return _filled(Table(heading, rows)), has_edge


def measured_gaps(fit: SurfaceFit, between: Sides, budgets: Sequence[FlopBudget]) -> Table:
    """The same of the runs alone, at the best size of each side."""
    rows = []
    for layer, name, side in between.pairs(one_by_one=True):
        found = [measured_gap(fit, layer, side, budget) for budget in budgets]
        rows.append((layer, name, *("" if gap is None else interval(gap, 3) for gap in found)))
    return _filled(Table(("layer", "less", *(budget.name for budget in budgets)), rows))


def crossings(fit: SurfaceFit, between: Sides, costs: Sequence[Cost]) -> list[Crossing]:
    """Of each subject with the best of each baseline, by each cost that is known."""
    found = (
        find_crossing(fit, layer, side, cost)
        for cost in costs
        for layer, _, side in between.pairs(one_by_one=False)
    )
    return [crossing for crossing in found if crossing is not None]


def crossings_table(found: Sequence[Crossing]) -> Table:
    """A row for each."""
    rows = [
        (crossing.layer, " or ".join(crossing.others), crossing.cost.name, crossing.described())
        for crossing in found
    ]
    return Table(("layer", "overtakes", "by", "at"), rows)


def equal_loss(
    fit: SurfaceFit,
    reference: Sequence[str],
    budget: FlopBudget,
    quantities: Mapping[str, Quantity],
) -> Table | None:
    """The least bytes with which each layer has the lowest loss of a reference at one budget.

    None where no layer of the reference has a surface.
    """
    tracks = [t for layer in reference if layer in fit.layers and (t := track(fit, layer, PAPER))]
    if not tracks:
        return None
    target_P = joint_frontier(fit, tracks, np.array([budget.flops]))[:, 0]
    rows = []
    for layer in fit.layers:
        row = [layer]
        for quantity in quantities.values():
            found = at_equal_loss(fit, layer, target_P, PAPER, budget.flops, quantity)
            if found is None:
                row.append("")
            elif found.amounts is None:
                row.append(f"not reached, in {found.reached:.0%} of draws")
            else:
                megabytes = Estimate(*(1e-6 * amount for amount in found.amounts))
                row.append(f"{'at most ' if found.is_smallest else ''}{interval(megabytes, 0)}")
        rows.append(row)
    return _filled(Table(("layer", *(f"MB of {name}" for name in quantities)), rows))


def quarter_gaps(
    fits: Sequence[SurfaceFit], between: Sides, budget: FlopBudget, *, measured: bool
) -> Table:
    """Gaps in each quarter of repetition at one budget, of surfaces or of runs."""
    rows = []
    for layer, name, side in between.pairs(one_by_one=False):
        row = [layer, name]
        for fit in fits:
            nats = None
            if measured:
                nats = measured_gap(fit, layer, side, budget)
            elif gap := surface_gap(fit, layer, side, PAPER, budget.flops):
                nats = gap.nats
            row.append("" if nats is None else interval(nats, 3))
        rows.append(row)
    return _filled(Table(("layer", "less", *(f"Q{i + 1}" for i in range(len(fits)))), rows))


def forms(fits: Sequence[SurfaceFit], between: Sides, budget: FlopBudget) -> Table:
    """How gaps at one budget depend on what the layers share, a column for each fit."""
    rows = [
        ("coefficients", "", *(f"{fit.n_coefficients}" for fit in fits)),
        ("residuals, nats (RMS)", "", *(f"{fit.rms:.4f}" for fit in fits)),
        ("when left out, nats (RMS)", "", *(f"{fit.left_out_rms:.4f}" for fit in fits)),
    ]
    for layer, name, side in between.pairs(one_by_one=False):
        found = [surface_gap(fit, layer, side, PAPER, budget.flops) for fit in fits]
        cells = ("" if gap is None else interval(gap.nats, 3) for gap in found)
        rows.append((layer, name, *cells))
    shared = [f"shared: {', '.join(sorted(fit.shared)) or 'none'}" for fit in fits]
    return Table(("", "less", *shared), rows)


def parameter_bytes(record: Record) -> float:
    """Of the parameters in training, which are kept in float32."""
    return 4.0 * record.result.parameters


def _filled(table: Table) -> Table:
    """Without the rows and columns that say nothing besides the names."""
    named = sum(heading in ("layer", "less") for heading in table.heading)
    rows = [row for row in table.rows if any(row[named:])]
    kept = [i for i in range(len(table.heading)) if i < named or any(row[i] for row in rows)]
    return Table([table.heading[i] for i in kept], [[row[i] for i in kept] for row in rows])


def _shared(fit: SurfaceFit, name: str, label: str) -> str:
    return f"{label}, shared" if name in fit.shared else label


def _exp(logarithm: float) -> str:
    return f"{math.exp(min(logarithm, 700.0)):.3g}"


def _rms(value_R: np.ndarray) -> float:
    return math.sqrt(float((value_R**2).mean()))
