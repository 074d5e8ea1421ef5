# SPDX-License-Identifier: Apache-2.0
"""What patching found, as a table, as JSON and as a heat map of layers and positions."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from sgatlin.circuits.clustered import Interval
from sgatlin.circuits.facts import Nouns
from sgatlin.circuits.patching import Effect, Pairs
from sgatlin.circuits.pictures import check_matplotlib, save
from sgatlin.tables import aligned

COLUMNS = ("mean of ratios", "ratio of means", "rank flip")


@dataclasses.dataclass(frozen=True)
class Report:
    """The effects of a model's patches, with what they are of."""

    model: str
    template: str
    nouns: Nouns
    pairs: Pairs
    effects: Sequence[Effect]

    def text(self) -> str:
        """For a terminal."""
        rows: list[tuple[str, ...]] = [("gates replaced", *COLUMNS)]
        rows += [(effect.name, *map(_told, effect[1:])) for effect in self.effects]
        return "\n".join([self._about(), "", *aligned(rows)])

    def markdown(self) -> str:
        """One row an intervention."""
        lines = [f"| gates replaced | {' | '.join(COLUMNS)} |", "| --- | ---: | ---: | ---: |"]
        lines += [f"| {one.name} | {' | '.join(map(_told, one[1:]))} |" for one in self.effects]
        return "\n".join([self._about(), "", *lines])

    def json(self, **settings: object) -> str:
        """The same; an interval that is not defined has nulls."""
        counts = {
            "pairs": len(self.pairs.chosen),
            "pairs_left_out": self.pairs.n_left_out,
            "nouns": len(self.nouns.chosen),
            "nouns_left_out": self.nouns.n_left_out,
        }
        rows = [
            {"name": effect.name}
            | {
                column.replace(" ", "_"): {
                    end: number if math.isfinite(number) else None
                    for end, number in interval._asdict().items()
                }
                for column, interval in zip(COLUMNS, effect[1:], strict=True)
            }
            for effect in self.effects
        ]
        about = {"model": self.model, "template": self.template, **settings, **counts}
        return json.dumps({**about, "effects": rows}, indent=2) + "\n"

    def _about(self) -> str:
        return (
            f"{self.model}: {len(self.pairs.chosen)} pairs of {len(self.nouns.chosen)} nouns in "
            f'"{self.template}". {self.nouns.n_left_out} nouns are left out, which are not single '
            "tokens or have no adjective that is, and of all their pairs "
            f"{self.pairs.n_left_out}, where the model does not rank the noun's own answer above "
            "the other's. In brackets 95 % of a bootstrap over nouns."
        )


def draw_heat_map(
    effects_LT: Float[np.ndarray, "L T"], positions: Sequence[str], path: Path, title: str
) -> list[Path]:
    """Writes PATH.png and PATH.svg, with the numbers in the cells.

    UserError without matplotlib, or where a file cannot be written.
    """
    check_matplotlib()
    from matplotlib.figure import Figure

    n_layers, n_positions = effects_LT.shape
    figure = Figure(figsize=(2 + 1.1 * n_positions, 1.4 + 0.5 * n_layers), layout="constrained")
    axes = figure.add_subplot()
    scale = max(float(np.abs(effects_LT).max()), 1e-9)
    # Grey tells magnitudes apart in print; the sign is in the number.
    axes.imshow(np.abs(effects_LT), cmap="Greys", vmin=0, vmax=scale, aspect="auto")
    for layer, position in np.ndindex(n_layers, n_positions):
        value = float(effects_LT[layer, position])
        colour = "white" if abs(value) > 0.6 * scale else "black"
        axes.text(position, layer, f"{value:.2f}", ha="center", va="center", color=colour)
    axes.set_xticks(range(n_positions), [text.replace("$", r"\$") for text in positions])
    axes.set_yticks(range(n_layers))
    axes.set_ylabel("layer")
    axes.set_title(title)
    return save(figure, path)


def _told(interval: Interval) -> str:
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"
