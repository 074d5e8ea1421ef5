# SPDX-License-Identifier: Apache-2.0
"""The layer's cost against N, K, C and the number of tokens, around one shape, as a picture."""

import dataclasses
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from sgatlin.bench.case import Shape, random_case
from sgatlin.bench.layer import NAIVE, layer_functions, with_gradients
from sgatlin.bench.measure import measure, reason
from sgatlin.errors import UserError, require_one_of
from sgatlin.ops.neurons import Implementation

AXES = {
    "n_neurons": "N: neurons of a channel",
    "top_k": "K: neurons chosen of each channel",
    "n_channels": "C: channels",
    "tokens": "tokens",
}
FACTORS = {
    "n_neurons": (0.25, 0.5, 1, 2, 4),
    "top_k": (0.25, 0.5, 1, 2),
    "n_channels": (0.25, 0.5, 1, 2),
    "tokens": (0.125, 0.25, 0.5, 1),
}
"""What the shape's own number is multiplied with."""
# Told apart in black and white too.
STYLES = ("o-", "s--", "^-.", "D:")


def check_can_draw(path: Path) -> None:
    """UserError where a picture could not be written there after all was measured."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("--plot needs matplotlib, which is not installed: pip install matplotlib")
    from matplotlib.backend_bases import FigureCanvasBase

    endings = FigureCanvasBase.get_supported_filetypes()
    require_one_of(endings, plot=path.suffix.removeprefix("."))


def sweep(
    shape: Shape,
    n_tokens: int,
    dtype: jnp.dtype,
    implementations: Sequence[Implementation],
    repeats: int,
    report: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Milliseconds forward and backward, own routing, at each point: one number changed at a time.

    Each is `axis` (of AXES), its value `at`, and either `ms` by implementation or what `errors`.
    """
    points = []
    middle: dict[str, Any] | None = None
    for axis, at, changed, tokens in sweep_points(shape, n_tokens):
        is_middle = (changed, tokens) == (shape, n_tokens)
        if is_middle and middle is not None:
            points.append(middle | {"axis": axis, "at": at})
            continue
        point: dict[str, Any] = {"axis": axis, "at": at}
        point |= _measure_point(changed, tokens, dtype, implementations, repeats)
        middle = point if is_middle else middle
        points.append(point)
        times = ", ".join(f"{name} {ms:.3f} ms" for name, ms in point["ms"].items())
        report(f"{axis}={at:,}: {times}")
    return points


def sweep_points(shape: Shape, n_tokens: int) -> Iterator[tuple[str, int, Shape, int]]:
    """(axis, its value, shape, tokens) of each point that can be."""
    layer = shape.layer
    middle = {name: getattr(layer, name) for name in AXES if name != "tokens"}
    middle["tokens"] = n_tokens
    for axis, factors in FACTORS.items():
        for factor in factors:
            at = round(middle[axis] * factor)
            if axis == "tokens":
                if at:
                    yield axis, at, shape, at
                continue
            if axis == "n_neurons":
                at = layer.group * round((at / layer.group) ** 0.5) ** 2
            try:
                changed = dataclasses.replace(layer, **{axis: at})
            except UserError:  # no layer has this: top_k is too large, or nothing is left
                continue
            yield axis, at, shape._replace(layer=changed), n_tokens


def _measure_point(
    shape: Shape,
    n_tokens: int,
    dtype: jnp.dtype,
    implementations: Sequence[Implementation],
    repeats: int,
) -> dict[str, Any]:
    case = random_case(shape, n_tokens, dtype, "uniform")
    dy_TD = jax.random.normal(jax.random.key(2), case.x_TD.shape, dtype)
    times, errors = {}, {}
    for name, layer in layer_functions(shape, implementations, routed=True).items():
        try:
            both = with_gradients(layer)
            times[name] = measure(both, (dy_TD, case.params, case.x_TD), repeats).ms
        except Exception as error:  # such as too little memory for this point alone
            errors[name] = reason(error)
    return {"ms": times, "errors": errors}


def draw(points: Sequence[dict[str, Any]], title: str, path: Path) -> None:
    """Four panels, a line for each implementation, both axes logarithmic."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    figure = Figure(figsize=(9, 6.5), layout="constrained")
    panels = figure.subplots(2, 2, sharey=True).flat
    names = list(dict.fromkeys(name for point in points for name in point["ms"]))
    names.sort(key=lambda name: name != NAIVE)
    for panel, (axis, label) in zip(panels, AXES.items(), strict=True):
        for name, style in zip(names, STYLES * len(names), strict=False):
            line = sorted(
                (point["at"], point["ms"][name])
                for point in points
                if point["axis"] == axis and name in point["ms"]
            )
            if line:
                panel.plot(*zip(*line, strict=True), style, label=name, markersize=4)
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_xlabel(label)
        ticks = sorted({point["at"] for point in points if point["axis"] == axis})
        panel.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        panel.minorticks_off()
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        panel.spines[["top", "right"]].set_visible(False)
    figure.supylabel("ms, forward and backward", fontsize=10)
    figure.suptitle(title, fontsize=10)
    figure.axes[0].legend(frameon=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=160)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another") from None
