# SPDX-License-Identifier: Apache-2.0
"""Surfaces and runs in figures: loss against FLOPs and seconds, and against bytes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sgatlin.isoflop.budget import Budget, FlopBudget
from sgatlin.isoflop.frontier import PAPER, Cost, frontier, track
from sgatlin.isoflop.panels import Style, files, legend, log_axis, panels, plain, styles
from sgatlin.isoflop.scaling_tables import Quantity
from sgatlin.isoflop.surface_fit import SurfaceFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOSS = "held-out loss, nats per token"
CURVE_POINTS = 60
WORST = 1.12
"""Runs whose loss is this times the highest shown on a frontier are outside the panel."""


def draw_frontiers(
    fit: SurfaceFit, costs: Sequence[Cost], path: Path, *, layers: Iterable[str] = ()
) -> tuple[Path, Path]:
    """Draws loss against each cost, a panel for each, as PATH.svg and PATH.png.

    Markers are the best size of each layer at each budget, the mean of its seeds; specks are the
    other runs. Lines are the lowest loss of the surfaces, from a layer's cheapest run to its
    longest: they end there. A layer looks the same in all figures that are given the same `layers`.

    Returns the files. UserError without matplotlib, without a cost that is known of a layer, or
    where they cannot be written.
    """
    looks = styles((*layers, *fit.layers))
    known = [cost for cost in costs if any(track(fit, layer, cost) for layer in fit.layers)]
    with panels(path, len(known), share="y") as axes:
        shown: list[float] = []
        for panel, cost in zip(axes, known, strict=True):
            amounts = []
            for layer in fit.layers:
                xs, ys = _draw_frontier(panel, fit, layer, cost, looks[layer])
                amounts += xs
                shown += ys
            log_axis(panel, "x", amounts, plain)
            panel.set(title="best size for each amount", xlabel=cost.name)
        log_axis(axes[0], "y", shown, plain)
        for panel in axes[::2]:
            panel.set_ylabel(LOSS)
        legend(axes, {layer: looks[layer] for layer in sorted(fit.layers)}, has_hollow=False)
    return files(path)


def draw_bytes(
    fit: SurfaceFit,
    budget: FlopBudget,
    quantities: Mapping[str, Quantity],
    path: Path,
    *,
    layers: Iterable[str] = (),
) -> tuple[Path, Path]:
    """Draws loss against bytes at one budget, a panel for each kind, as PATH.svg and PATH.png.

    Markers are the sizes that were run, the mean of their seeds; lines are the surfaces. Files,
    errors and `layers` as of `draw_frontiers`.
    """
    looks = styles((*layers, *fit.layers))
    curves = {name: _by_bytes(fit, budget, quantity) for name, quantity in quantities.items()}
    curves = {name: of_layers for name, of_layers in curves.items() if of_layers}
    with panels(path, len(curves), share="y") as axes:
        shown: list[float] = []
        for panel, (name, of_layers) in zip(axes, curves.items(), strict=True):
            amounts = []
            for layer, (at_S, loss_S, at_G, loss_G) in of_layers.items():
                look = looks[layer]
                panel.plot(at_G, loss_G, color=look.colour, linestyle=look.line, linewidth=1.2)
                panel.plot(
                    at_S,
                    loss_S,
                    color=look.colour,
                    marker=look.marker,
                    markersize=4,
                    linestyle="none",
                )
                amounts += at_S
                shown += [*loss_S, *loss_G]
            log_axis(panel, "x", amounts, plain)
            panel.set(title=f"all sizes, {budget.described}", xlabel=f"MB of {name}")
        log_axis(axes[0], "y", shown, plain)
        for panel in axes[::2]:
            panel.set_ylabel(LOSS)
        legend(axes, {layer: looks[layer] for layer in sorted(fit.layers)}, has_hollow=False)
    return files(path)


def _draw_frontier(
    panel: "Axes", fit: SurfaceFit, layer: str, cost: Cost, look: Style
) -> tuple[list[float], list[float]]:
    """Draws one layer; returns the amounts and losses that the panel must show."""
    found = track(fit, layer, cost)
    if found is None:
        return [], []
    amount_C = np.geomspace(found.cheapest, found.dearest, CURVE_POINTS)
    line_C = frontier(fit, found, amount_C).loss_PC[0]
    panel.plot(amount_C, line_C, color=look.colour, linestyle=look.line, linewidth=1.2)
    highest = WORST * float(line_C[0])
    best: dict[Budget, tuple[float, float]] = {}
    for (_, budget), places in _sizes(fit, layer).items():
        amount = cost.of(fit.records[places[0]])
        loss = float(fit.loss_PR[0, places].mean())
        if amount is None or loss > highest:
            continue
        panel.plot([amount], [loss], ".", color=look.colour, markersize=2.5, alpha=0.6)
        if budget not in best or loss < best[budget][1]:
            best[budget] = amount, loss
    points = sorted(best.values())
    panel.plot(
        [amount for amount, _ in points],
        [loss for _, loss in points],
        color=look.colour,
        marker=look.marker,
        markersize=5,
        linestyle="none",
        markeredgecolor="white",
        markeredgewidth=0.5,
    )
    return amount_C.tolist(), [*line_C.tolist(), *(loss for _, loss in points)]


_Curve = tuple[list[float], list[float], list[float], list[float]]


def _by_bytes(fit: SurfaceFit, budget: FlopBudget, quantity: Quantity) -> dict[str, _Curve]:
    """Of each layer (MB, loss) of its runs at a budget, and of its surface between them."""
    curves = {}
    for layer in fit.layers:
        found = track(fit, layer, PAPER)
        points = []
        for (_, of_run), places in _sizes(fit, layer).items():
            record = fit.records[places[0]]
            amount = quantity(record)
            if of_run == budget and amount is not None:
                size = record.result.flops_paper / record.result.tokens / 3
                points.append((size, 1e-6 * amount, float(fit.loss_PR[0, places].mean())))
        if found is None or not points:
            continue
        size_S, at_S, loss_S = np.array(sorted(points)).T
        size_G = np.geomspace(size_S[0], size_S[-1], CURVE_POINTS)
        tokens_G = budget.flops / found.per_token(size_G)
        at_G = np.exp(np.interp(np.log(size_G), np.log(size_S), np.log(at_S)))
        loss_G = fit.surface.loss(layer, size_G, tokens_G)[0]
        curves[layer] = (at_S.tolist(), loss_S.tolist(), at_G.tolist(), loss_G.tolist())
    return curves


def _sizes(fit: SurfaceFit, layer: str) -> dict[tuple[float, Budget], list[int]]:
    """Places of a layer's runs by scale and budget: they differ by seed alone."""
    sizes: dict[tuple[float, Budget], list[int]] = defaultdict(list)
    for place in fit.of(layer):
        run = fit.records[place].run
        sizes[run.scale, run.budget].append(place)
    return sizes
