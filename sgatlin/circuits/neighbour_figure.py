# SPDX-License-Identifier: Apache-2.0
"""The paper's figure: a text across, under each token those of its nearest circuits.

The nearer, the darker a cell is; greys, so that it prints. The paper is Schug 2026,
arXiv 2606.07414.
"""

import html
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sgatlin.circuits.neighbour_table import Found, short
from sgatlin.circuits.pictures import check_matplotlib, save
from sgatlin.files import write_output

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Tokens side by side before the text goes on below.
COLUMNS = 14
_CELL_INCHES = (0.92, 0.24)
_DARKEST = 0.2
# Where black and white letters have the same contrast with a grey.
_WHITE_BELOW = 0.46

_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "svg.hashsalt": "sgatlin",
    "svg.fonttype": "path",
}


def draw_neighbours(found: Found, path: Path, title: str) -> list[Path]:
    """Writes PATH.png, PATH.svg and PATH.html.

    Raises:
      UserError: without matplotlib, or where a file cannot be written.
    """
    page = path.with_name(f"{path.name}.html")
    write_output(page, neighbour_page(found, title))
    return [*_draw(found, path, title), page]


def grey(distance: float, longest: float) -> float:
    """Lightness of a cell, from nearly black for 0 to white for the longest distance."""
    return _DARKEST + (1 - _DARKEST) * min(distance / longest, 1)


def longest_distance(found: Found) -> float:
    """Where the scale ends: at a tenth, so that figures of like circuits have like scales."""
    distances = found.neighbours.distances
    known = distances[np.isfinite(distances)]
    return max(math.ceil(10 * float(known.max(initial=0)) - 1e-4), 1) / 10


def neighbour_page(found: Found, title: str) -> str:
    """One HTML page that needs no other file; a cell tells its excerpt when pointed at."""
    longest = longest_distance(found)
    ranks = range(found.neighbours.rows.shape[1])
    columns = [list(found.of(query)) for query in range(len(found.asked.texts))]
    head = "".join(f"<th scope=col>{html.escape(short(text, 24))}" for text in found.asked.texts)
    lines = [f"<tr><td>{head}"]
    for rank in ranks:
        cells = [_cell(found, column[rank : rank + 1], longest) for column in columns]
        lines.append(f"<tr><th scope=row>{rank + 1}{''.join(cells)}")
    scale = "".join(
        f'<span style="{_style(step / 5 * longest, longest)}">{step / 5 * longest:.2f}</span>'
        for step in range(6)
    )
    return _PAGE.format(title=html.escape(title), rows="\n".join(lines), scale=scale)


_PAGE = """<!doctype html>
<html lang=en><meta charset=utf-8><title>{title}</title>
<style>
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 2em; color: #000; background: #fff }}
div {{ overflow-x: auto }}
table {{ border-spacing: 2px }}
th {{ padding: .3em .5em; white-space: pre }}
th[scope=row] {{ color: #555; font-weight: normal }}
td, span {{ padding: .3em .5em; text-align: center; white-space: pre }}
</style>
<h1 style="font-size:1.2em">{title}</h1>
<div><table>
{rows}
</table></div>
<p>Distance: {scale}</p>
</html>
"""


def _cell(found: Found, at: list[tuple[int, float]], longest: float) -> str:
    if not at:
        return "<td>"
    row, distance = at[0]
    told = html.escape(f"{distance:.4f}  {found.excerpt(row)}")
    name = html.escape(short(found.token(row), 24))
    return f'<td style="{_style(distance, longest)}" title="{told}">{name}'


def _style(distance: float, longest: float) -> str:
    level = grey(distance, longest)
    byte = round(255 * level)
    colour = "#fff" if level < _WHITE_BELOW else "#000"
    return f"background:rgb({byte},{byte},{byte});color:{colour}"


def _draw(found: Found, path: Path, title: str) -> list[Path]:
    check_matplotlib()
    import matplotlib
    from matplotlib.figure import Figure

    n_tokens, n_ranks = found.neighbours.rows.shape
    n_bands = -(-n_tokens // COLUMNS)
    across = max(min(n_tokens, COLUMNS), 4)
    width = across * _CELL_INCHES[0] + 0.5
    height = n_bands * (n_ranks + 2.2) * _CELL_INCHES[1] + 0.9
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        # Tokens may be of any script; what the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.suptitle(title, fontsize=9, x=0.01, ha="left", parse_math=False)
        bands = figure.subplots(n_bands, squeeze=False)[:, 0]
        longest = longest_distance(found)
        for band, axes in enumerate(bands):
            _draw_band(axes, found, band * COLUMNS, across, longest)
        _draw_scale(bands[-1], longest)
        return save(figure, path, dpi=160)


def _draw_band(axes: "Axes", found: Found, first: int, across: int, longest: float) -> None:
    from matplotlib.patches import Rectangle

    n_ranks = found.neighbours.rows.shape[1]
    axes.set(xlim=(-0.4, across), ylim=(n_ranks, -1.2))
    axes.set_axis_off()
    middle: dict[str, Any] = {"ha": "center", "va": "center", "parse_math": False}
    for rank in range(n_ranks):
        axes.text(-0.2, rank + 0.5, str(rank + 1), color="0.35", fontsize=7, **middle)
    for column, text in enumerate(found.asked.texts[first : first + COLUMNS]):
        axes.text(column + 0.5, -0.55, short(text), fontweight="bold", **middle)
        for rank, (row, distance) in enumerate(found.of(first + column)):
            level = grey(distance, longest)
            box = Rectangle((column, rank), 1, 1, facecolor=str(level), edgecolor="white")
            axes.add_patch(box)
            colour = "white" if level < _WHITE_BELOW else "black"
            axes.text(column + 0.5, rank + 0.5, short(found.token(row)), color=colour, **middle)


def _draw_scale(axes: "Axes", longest: float) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    greys = LinearSegmentedColormap.from_list("distance", [str(_DARKEST), "1"])
    figure = axes.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, longest), greys),
        ax=axes,
        location="bottom",
        label="distance",
        aspect=40,
        shrink=0.5,
        pad=0.02,
    )
    bar.ax.tick_params(labelsize=7)
