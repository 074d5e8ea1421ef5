# SPDX-License-Identifier: Apache-2.0
"""What ablation found, as a table, as JSON, and as two curves."""

import json
from collections.abc import Sequence
from pathlib import Path

from sgatlin.circuits.ablation import Point
from sgatlin.circuits.clustered import Interval
from sgatlin.circuits.pictures import check_matplotlib, save
from sgatlin.tables import aligned

COLUMNS = ("cluster", "others", "cluster, control", "others, control")
_TITLES = {
    "necessity": "strongest neurons left out",
    "sufficiency": "strongest neurons alone",
}
_MARKS = (("o", "-", "black"), ("s", "--", "black"), ("o", "-", "0.6"), ("s", "--", "0.6"))


def text(points: Sequence[Point], about: str) -> str:
    """For a terminal."""
    parts = [about]
    for kind, title in _TITLES.items():
        rows: list[tuple[str, ...]] = [(title, *COLUMNS)]
        rows += [(f"{p.r}", *map(_told, p.intervals)) for p in points if p.kind == kind]
        parts += ["", *aligned(rows)]
    return "\n".join(parts)


def markdown(points: Sequence[Point], about: str) -> str:
    """The same tables."""
    parts = [about]
    for kind, title in _TITLES.items():
        parts += ["", f"| {title} | {' | '.join(COLUMNS)} |", "| ---: " * (1 + len(COLUMNS)) + "|"]
        parts += [
            f"| {p.r} | {' | '.join(map(_told, p.intervals))} |" for p in points if p.kind == kind
        ]
    return "\n".join(parts) + "\n"


def as_json(points: Sequence[Point], **about: object) -> str:
    """All numbers, with what they are of."""
    rows = [
        {name: value._asdict() if isinstance(value, Interval) else value for name, value in found}
        for found in (point._asdict().items() for point in points)
    ]
    return json.dumps({**about, "points": rows}, indent=2) + "\n"


def draw(points: Sequence[Point], path: Path, title: str) -> list[Path]:
    """Writes PATH.png and PATH.svg.

    UserError without matplotlib, or where a file cannot be written.
    """
    check_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, (kind, name) in zip(figure.subplots(1, 2), _TITLES.items(), strict=True):
        some = [point for point in points if point.kind == kind]
        for column, (mark, line, colour) in enumerate(_MARKS):
            found = [point.intervals[column] for point in some]
            values = [one.value for one in found]
            below = [one.value - one.low for one in found]
            above = [one.high - one.value for one in found]
            axes.errorbar(
                [point.r for point in some],
                values,
                yerr=[below, above],
                fmt=mark + line,
                color=colour,
                markersize=4,
                linewidth=1,
                label=COLUMNS[column],
            )
        axes.set_xscale("log", base=2)
        axes.set_xlabel("neurons of each layer")
        axes.set_title(name, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    figure.axes[0].set_ylabel("nats per token more")
    figure.axes[1].legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=10)
    return save(figure, path)


def _told(interval: Interval) -> str:
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"
