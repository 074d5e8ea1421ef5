# SPDX-License-Identifier: Apache-2.0
"""What a study's figures share: a look for each layer, plain ticks, a legend, two files of each."""

import contextlib
import importlib.util
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sgatlin.errors import UserError
from sgatlin.isoflop.budget import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Line = Literal["-", "--", "-."] | tuple[int, tuple[int, ...]]

# Names in matplotlib. Neighbours differ in lightness, and no two are equally light (CIE L* from 0
# to 75, at least 4 apart), so that the figure can be printed in grey.
COLOURS = (
    "#0072b2 #f0ad1e #000000 #00a67a #7a1f4d #56b4e9 "
    "#8c510a #d483b0 #1b1464 #d55e00 #0b5d3b #661100"
).split()
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "p", ">", "*", "h")
# Five, which shares no factor with twelve: sixty layers differ. Dots are for what was not fitted.
LINES: tuple[Line, ...] = ("-", "--", "-.", (0, (9, 2)), (0, (4, 1, 1, 1, 1, 1)))

SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": False,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # Outlines of letters: the same on a page whose reader lacks the font.
    "svg.fonttype": "path",
    # Ids inside the file, else random.
    "svg.hashsalt": "sgatlin",
}

PANEL_INCHES = (3.7, 3.1)
LEGEND_INCHES = 1.9
MOST_TICKS = 6


class Style(NamedTuple):
    """How a layer looks, told apart by any one of the three."""

    colour: str
    marker: str
    line: Line


def styles(layers: Iterable[str]) -> dict[str, Style]:
    """A look for each, by the order of names: figures of the same layers agree."""
    return {
        layer: Style(
            COLOURS[number % len(COLOURS)],
            MARKERS[number % len(MARKERS)],
            LINES[number % len(LINES)],
        )
        for number, layer in enumerate(sorted(set(layers)))
    }


@contextlib.contextmanager
def panels(path: Path, count: int, share: Literal["x", "y"]) -> Iterator[list["Axes"]]:
    """`count` panels, two a row, of one x or y axis (`share`); at the end they are written.

    An even number leaves the legend a column of its own, an odd one a cell. UserError with nothing
    to draw, and as of `drawing`.
    """
    columns = min(count, 2)
    rows = math.ceil(count / max(1, columns))
    width, height = PANEL_INCHES
    size = (columns * width + (0 if has_free_cell(count) else LEGEND_INCHES), rows * height)
    with drawing(path, size) as figure:
        if not count:
            raise UserError(
                f"nothing to draw in {path}: no run is finished; see `sgatlin isoflop run`"
            )
        cells = list(
            figure.subplots(
                rows, columns, squeeze=False, sharex=share == "x", sharey=share == "y"
            ).flat
        )
        for cell in cells[:count]:
            cell.tick_params(labelbottom=True)
        for cell in cells[count:]:
            cell.set_axis_off()
        yield cells[:count]


@contextlib.contextmanager
def drawing(path: Path, size: tuple[float, float]) -> Iterator["Figure"]:
    """An empty figure of so many inches, written as `files` of `path` at the end.

    UserError without matplotlib, or where the files cannot be written.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("figures need matplotlib, which is not installed: pip install matplotlib")
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        _save(figure, path)


def has_free_cell(count: int) -> bool:
    """Whether rows of two leave one over."""
    return count > 1 and count % 2 == 1


def files(path: Path) -> tuple[Path, Path]:
    """The vector and the pixel form of a figure: `path` with two endings."""
    return path.with_name(f"{path.name}.svg"), path.with_name(f"{path.name}.png")


def _save(figure: "Figure", path: Path) -> None:
    svg, png = files(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(svg, metadata={"Date": None, "Creator": None})
        figure.savefig(png, dpi=160, metadata={"Software": None})
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another") from None


def legend(axes: Sequence["Axes"], looks: Mapping[str, Style], *, has_hollow: bool) -> None:
    """Names of all layers beside the panels, and what hollow markers are."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle=look.line, label=layer)
        for layer, look in looks.items()
    ]
    if has_hollow:
        note = "hollow: best size run,\nno minimum fitted"
        hollow = Line2D(
            [], [], color="0.3", linestyle="none", marker="o", markerfacecolor="white", label=note
        )
        handles.append(hollow)
    figure = axes[0].get_figure(root=True)
    assert figure is not None
    cell = figure.axes[len(axes)] if has_free_cell(len(axes)) else None
    if cell is None:
        figure.legend(handles=handles, loc="outside right center", handlelength=3.4)
    else:
        cell.legend(handles=handles, loc="center", handlelength=3.4)


def log_axis(
    axes: "Axes",
    which: Literal["x", "y"],
    values: Iterable[float],
    name: Callable[[float], str],
    ticks: Sequence[float] = (),
) -> None:
    """A logarithmic axis around the values, with ticks in plain numbers: those given, if few."""
    values = tuple(values)
    low, high = min(values), max(values)
    margin = max((high / low) ** 0.06, 1.03)
    low, high = low / margin, high * margin
    if not 0 < len(ticks) <= MOST_TICKS:
        ticks = log_ticks(low, high)
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(ticks, [name(tick) for tick in ticks])
    axis.set_ticks([], minor=True)


def log_ticks(low: float, high: float, most: int = MOST_TICKS) -> list[float]:
    """Round numbers within low..high, at most so many.

    They are the same of each decade; where that leaves fewer than three, multiples of one number.
    """
    ticks: list[float] = []
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        ticks = [float(f"{digit}e{decade}") for decade in decades for digit in digits]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= most:
            break
    if len(ticks) >= 3:
        return ticks[:: math.ceil(len(ticks) / most)]
    from matplotlib.ticker import MaxNLocator

    multiples = MaxNLocator(most - 1, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in multiples if low <= tick <= high]


def counted(number: float) -> str:
    """300k, 1.5M, 20B."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.4g}{letter}"
    return f"{number:.4g}"


def plain(number: float) -> str:
    """20, 0.5, 1500, and 3e14 where that is shorter."""
    rounded = float(f"{number:.4g}")
    return f"{rounded:g}" if 1e-3 <= rounded < 1e5 else short(rounded)
