# SPDX-License-Identifier: Apache-2.0
"""Which gates of a run are replaced, and by whose: the rows of a table of patches.

L layers, T time, C channels.
"""

import functools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool

from sgatlin.circuits.facts import Template
from sgatlin.circuits.model import CircuitModel
from sgatlin.errors import UserError

Source = Literal["counterfactual", "own", "other noun", "third noun", "other context"]

AT_NOUN = "all layers, noun"
OTHER_NOUN = "control: another noun's"
THIRD_NOUN = "control: a third noun's"


class Intervention(NamedTuple):
    """Which gates are replaced, and by whose."""

    name: str
    source: Source
    replace: Bool[np.ndarray, "L T C"]


def interventions(model: CircuitModel, template: Template) -> list[Intervention]:
    """The table: all layers at the noun and at the end, each layer and each channel; controls."""
    noun, n_layers = template.position, model.n_layers
    mask = functools.partial(_mask, model, template)
    every = slice(None)
    all_at_noun = mask(every, noun)
    table = [
        Intervention(AT_NOUN, "counterfactual", all_at_noun),
        Intervention("all layers, last", "counterfactual", mask(every, -1)),
    ]
    table += [
        Intervention(f"layer {layer}, noun", "counterfactual", mask(layer, noun))
        for layer in range(n_layers)
    ]
    table += [
        Intervention(f"channel {channel}, noun", "counterfactual", mask(every, noun, channel))
        for channel in range(model.layer.n_channels)
    ]
    return [
        *table,
        Intervention("control: identity", "own", mask(every, every)),
        Intervention(OTHER_NOUN, "other noun", all_at_noun),
        Intervention(THIRD_NOUN, "third noun", all_at_noun),
        Intervention("control: same noun elsewhere", "other context", all_at_noun),
    ]


def chosen(
    model: CircuitModel,
    template: Template,
    *,
    layers: Sequence[int] = (),
    channels: Sequence[int] = (),
    positions: Sequence[int] = (),
) -> Intervention:
    """The counterfactual's gates at some layers, channels and positions; of what is empty, at all.

    Positions are counted from 0, the beginning-of-sequence token's. UserError if there is no such
    layer, channel or position.
    """
    shape = _shape(model, template)
    replace = np.zeros(shape, bool)
    named = {"layers": layers, "positions": positions, "channels": channels}
    for (name, numbers), n in zip(named.items(), shape, strict=True):
        if wrong := [number for number in numbers if not 0 <= number < n]:
            raise UserError(f"{name}={wrong[0]}: there are 0 to {n - 1}")
    places = (
        list(numbers) or list(range(n)) for numbers, n in zip(named.values(), shape, strict=True)
    )
    replace[np.ix_(*places)] = True
    told = [f"{name} {' '.join(map(str, numbers))}" for name, numbers in named.items() if numbers]
    return Intervention(", ".join(told), "counterfactual", replace)


def heat_map(model: CircuitModel, template: Template) -> list[Intervention]:
    """Each layer at each position from the noun on: before it the two runs are the same."""
    return [
        Intervention(
            f"layer {layer}, position {position}",
            "counterfactual",
            _mask(model, template, layer, position),
        )
        for layer in range(model.n_layers)
        for position in range(template.position, template.length)
    ]


def _mask(
    model: CircuitModel, template: Template, layer: Any, position: Any, channel: Any = slice(None)
) -> Bool[np.ndarray, "L T C"]:
    replace = np.zeros(_shape(model, template), bool)
    replace[layer, position, channel] = True
    return replace


def _shape(model: CircuitModel, template: Template) -> tuple[int, int, int]:
    return model.n_layers, template.length, model.layer.n_channels
