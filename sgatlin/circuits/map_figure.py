# SPDX-License-Identifier: Apache-2.0
"""A map of circuits as a page to point at, and as a picture."""

import html
import importlib.util
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from sgatlin.circuits.maps import NO_CLASS, Colour
from sgatlin.circuits.neighbour_table import short, visible
from sgatlin.errors import UserError
from sgatlin.files import write_output

# Every colour with every mark: 50 labels can be told apart, more are "others".
COLOURS = "#0072b2 #d55e00 #009e73 #cc79a7 #e69f00 #56b4e9 #6a3d9a #8c564b #222222 #b2182b".split()
MARKS = (("circle", "o"), ("square", "s"), ("diamond", "D"), ("triangle-up", "^"), ("x", "X"))
"""As Plotly and matplotlib name them."""
OTHERS = "others"
_GREY = "#bbbbbb"


class _Group(NamedTuple):
    label: str
    rows: np.ndarray
    colour: str
    mark: tuple[str, str]


def draw_map(table: pa.Table, colour: Colour, path: Path, title: str) -> list[Path]:
    """Writes PATH.png and PATH.html of a `map_table`.

    Raises:
      UserError: without plotly or matplotlib, or where a file cannot be written.
    """
    if missing := [name for name in ("plotly", "matplotlib") if not importlib.util.find_spec(name)]:
        raise UserError(f"maps need {missing[0]}: install it with `uv sync --extra circuits`")
    groups = _groups(table[colour].to_pylist())
    page = path.with_name(f"{path.name}.html")
    write_output(page, _page(table, groups, title))
    return [_picture(table, groups, path.with_name(f"{path.name}.png"), title), page]


def _groups(labels: list[str]) -> list[_Group]:
    """By falling frequency, and what is left over or of no class, in grey, first: below all."""
    counts = Counter(label for label in labels if label != NO_CLASS)
    kept = [label for label, _ in counts.most_common(len(COLOURS) * len(MARKS))]
    array = np.array(labels, object)
    groups = [
        _Group(
            label,
            np.flatnonzero(array == label),
            COLOURS[number % len(COLOURS)],
            MARKS[number // len(COLOURS)],
        )
        for number, label in enumerate(kept)
    ]
    left = np.flatnonzero(~np.isin(array, np.array(kept, object)))
    return [_Group(OTHERS, left, _GREY, MARKS[0]), *groups] if len(left) else groups


def _page(table: pa.Table, groups: list[_Group], title: str) -> str:
    import plotly.graph_objects as go

    x, y = table["x"].to_numpy(), table["y"].to_numpy()
    told = [
        html.escape(visible(text), quote=False) + f"<br>{sequence}:{position}"
        for text, sequence, position in zip(
            *(table[name].to_pylist() for name in ("excerpt", "sequence", "position")), strict=True
        )
    ]
    traces = [
        go.Scattergl(
            x=x[group.rows],
            y=y[group.rows],
            mode="markers",
            name=html.escape(short(group.label, 24), quote=False),
            text=[told[row] for row in group.rows],
            hovertemplate="%{text}<extra>%{fullData.name}</extra>",
            marker={"size": 6, "color": group.colour, "symbol": group.mark[0], "opacity": 0.75},
        )
        for group in groups
    ]
    figure = go.Figure(traces)
    figure.update_layout(
        title=html.escape(title, quote=False),
        template="simple_white",
        hoverlabel={"align": "left"},
        legend={"itemsizing": "constant"},
        # A double click shows what lies outside.
        xaxis={"visible": False, "range": _view(x)},
        yaxis={"visible": False, "range": _view(y), "scaleanchor": "x"},
    )
    # All of plotly.js goes into the page, so that it opens without a network.
    return figure.to_html(include_plotlyjs=True, div_id="map", config={"displaylogo": False})


def _picture(table: pa.Table, groups: list[_Group], file: Path, title: str) -> Path:
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke

    x, y = table["x"].to_numpy(), table["y"].to_numpy()
    size = 14 if len(table) < 2000 else 7
    with matplotlib.rc_context({"font.family": "DejaVu Sans"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure = Figure(figsize=(9, 7), layout="constrained")
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set_aspect("equal", "box")
        (left, right), (bottom, top) = view = _view(x), _view(y)
        axes.set(xlim=view[0], ylim=view[1])
        seen = (left <= x) & (x <= right) & (bottom <= y) & (y <= top)
        if n_outside := len(x) - int(seen.sum()):
            title += f"; {n_outside:,} lie outside the picture"
        axes.set_title(title, fontsize=10, loc="left", parse_math=False)
        for group in groups:
            axes.scatter(
                x[group.rows],
                y[group.rows],
                s=size,
                c=group.colour,
                marker=group.mark[1],
                linewidths=0,
                alpha=0.7,
                label=short(group.label, 16).replace("$", r"\$"),
            )
        for group in groups:
            if group.label != OTHERS:
                across, up = _densest(np.stack([x[group.rows], y[group.rows]], axis=1))
                axes.text(
                    across,
                    up,
                    short(group.label, 16),
                    fontsize=7,
                    ha="center",
                    va="center",
                    parse_math=False,
                    path_effects=[withStroke(linewidth=2, foreground="white")],
                )
        figure.legend(
            loc="outside right upper",
            fontsize=7,
            frameon=False,
            markerscale=1.6,
            ncols=2 if len(groups) > 30 else 1,
        )
        try:
            figure.savefig(file, dpi=160, metadata={"Software": None})
        except OSError as error:
            raise UserError(f"cannot write {file}: {error.strerror}: choose another") from None
    return file


def _view(values: np.ndarray) -> list[float]:
    """From where to where most of the map lies: a few equal circuits may lie far off."""
    low, high = np.quantile(values, [0.04, 0.96])
    margin = 0.25 * (high - low) + 0.5
    return [
        float(max(values.min() - 0.5, low - margin)),
        float(min(values.max() + 0.5, high + margin)),
    ]


def _densest(places: np.ndarray) -> np.ndarray:
    """The one of some of the places that is nearest to the others: a mean may lie between two."""
    some = places[:: max(len(places) // 200, 1)]
    apart = np.abs(some[:, None] - some[None]).sum(-1)
    return some[np.median(apart, axis=1).argmin()]
