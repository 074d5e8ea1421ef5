# SPDX-License-Identifier: Apache-2.0
"""Validation during the runs of a study: loss and copy score against steps, a column per layer."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgatlin.isoflop.curves import ONSET_SCORE, is_before_onset
from sgatlin.isoflop.panels import counted, drawing, files, log_axis
from sgatlin.isoflop.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLUMNS = 4
COLUMN_INCHES, LOSS_INCHES, SCORE_INCHES = 2.6, 2.3, 1.6
LEGEND_INCHES = 1.6
# Sizes from small to large, from light to dark: they differ in lightness too.
COLOR_MAP, LIGHTEST = "viridis_r", 0.15
# The losses of the first steps would hide all others.
MOST_ABOVE_BEST = 2.5


def draw_curves(
    records: Sequence[Record], path: Path, *, layers: Sequence[str]
) -> tuple[Path, ...]:
    """Draws loss and copy score against steps as PATH.svg and PATH.png; returns the files.

    Each layer has a panel for its loss and one below for its copy score. A line is a run, its color
    the size. Runs that share a trunk share its line, and part where their decays begin. A disk
    ends a run, hollow if the run ended before the onset of copying. Only runs with a curve are
    drawn; without any, no file is written. Errors as of `panels.drawing`.
    """
    drawn = [record for record in records if record.curve is not None]
    names = [layer for layer in layers if any(record.run.layer == layer for record in drawn)]
    if not names:
        return ()
    blocks = math.ceil(len(names) / MOST_COLUMNS)
    columns = math.ceil(len(names) / blocks)
    size = (columns * COLUMN_INCHES + LEGEND_INCHES, blocks * (LOSS_INCHES + SCORE_INCHES))
    with drawing(path, size) as figure:
        cells = figure.subplots(
            2 * blocks,
            columns,
            squeeze=False,
            sharex=True,
            height_ratios=[LOSS_INCHES, SCORE_INCHES] * blocks,
        )
        colors = _colors(drawn)
        for number in range(blocks * columns):
            block, column = divmod(number, columns)
            loss_panel, score_panel = cells[2 * block, column], cells[2 * block + 1, column]
            if number >= len(names):
                loss_panel.set_axis_off()
                score_panel.set_axis_off()
                continue
            layer = names[number]
            loss_panel.set_title(layer)
            for record in (record for record in drawn if record.run.layer == layer):
                _draw_run(loss_panel, score_panel, record, colors[record.run.scale])
            score_panel.axhline(ONSET_SCORE, color="0.6", linewidth=0.7, linestyle="--", zorder=0)
            if column == 0:
                loss_panel.set_ylabel("validation loss, nats")
                score_panel.set_ylabel("copy score, nats")
        _set_axes(cells, drawn, len(names))
        _legend(figure, colors)
    return files(path)


def _draw_run(loss_panel: "Axes", score_panel: "Axes", record: Record, color: str) -> None:
    curve, hollow = record.curve, is_before_onset(record)
    assert curve is not None
    end: dict[str, Any] = {"marker": "o", "markersize": 4, "color": color, "zorder": 3}
    end["markerfacecolor"] = "white" if hollow else color
    loss_panel.plot(curve.steps, curve.losses, color=color, linewidth=1)
    loss_panel.plot(curve.steps[-1:], curve.losses[-1:], **end)
    scored = [
        (step, score)
        for step, score in zip(curve.steps, curve.copy_scores, strict=True)
        if score is not None
    ]
    if scored:
        score_panel.plot(*zip(*scored, strict=True), color=color, linewidth=1)
        score_panel.plot(*scored[-1], **end)


def _set_axes(cells: Any, records: Sequence[Record], n_layers: int) -> None:
    """The same axes for all panels of a kind, with what they are where nothing lies below."""
    curves = [record.curve for record in records if record.curve is not None]
    steps = [step for curve in curves for step in curve.steps]
    losses = [loss for curve in curves for loss in curve.losses]
    scores = [score for curve in curves for score in curve.copy_scores if score is not None]
    columns = len(cells[0])
    margin = 0.05 * MOST_ABOVE_BEST
    top = min(max(losses), min(losses) + MOST_ABOVE_BEST) + margin
    low, high = min([0, *scores]), max([2 * ONSET_SCORE, *scores])
    for row, panels in enumerate(cells):
        for column, panel in enumerate(panels):
            if row % 2:
                panel.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
            else:
                panel.set_ylim(min(losses) - margin, top)
            log_axis(panel, "x", steps, counted)
            panel.tick_params(labelbottom=bool(row % 2), labelleft=column == 0)
            is_lowest = (row // 2 + 1) * columns + column >= n_layers
            if row % 2 and is_lowest:
                panel.set_xlabel("steps")


def _colors(records: Sequence[Record]) -> dict[float, str]:
    """A color for each size, the smallest the lightest."""
    import matplotlib
    from matplotlib.colors import to_hex

    scales = sorted({record.run.scale for record in records})
    shade = matplotlib.colormaps[COLOR_MAP]
    return {
        scale: to_hex(shade(LIGHTEST + (1 - LIGHTEST) * number / max(1, len(scales) - 1)))
        for number, scale in enumerate(scales)
    }


def _legend(figure: "Figure", colors: dict[float, str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=color, marker="o", markersize=4, label=f"s={scale:g}")
        for scale, color in colors.items()
    ]
    hollow = "ends before the\nonset of copying"
    handles += [
        Line2D(
            [], [], color="0.3", linestyle="none", marker="o", markersize=4,
            markerfacecolor="white", label=hollow,
        ),
        Line2D([], [], color="0.6", linestyle="--", linewidth=0.7, label="the onset"),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside right center")
