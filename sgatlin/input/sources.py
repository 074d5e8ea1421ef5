# SPDX-License-Identifier: Apache-2.0
"""Where a run's tokens come from, as a part of its config."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal

from sgatlin.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoryWorld:
    """The built-in story world, written to `path` when it is first needed."""

    kind: Literal["storyworld"] = "storyworld"
    path: str = "data/prepared/storyworld"
    """Folder of the token stores `train` and `validation`."""
    train_megabytes: float = 8.0
    """Text to train on, in 10^6 bytes."""
    validation_megabytes: float = 0.4
    """Text held out, in 10^6 bytes."""
    seed: int = 0
    """Which stories."""

    def __post_init__(self) -> None:
        for name in ("train_megabytes", "validation_megabytes"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name}={getattr(self, name)} must be above 0")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
    """Token stores that were prepared before."""

    kind: Literal["prepared"] = "prepared"
    path: str
    """Folder of the token stores `train` and `validation`."""
    set_weights: tuple[tuple[str, float], ...] = ()
    """Train on these sets of it alone, each with its weight; without any, on all as they come."""
    tokenizer_hash: str | None = None
    """SHA-256 that the data's tokenizer must have; None takes any."""

    def __post_init__(self) -> None:
        for name, weight in self.set_weights:
            _check_weight(weight, f"set_weights of {name}")
        _check_distinct([name for name, _ in self.set_weights], "set_weights")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixturePart:
    """What a mixture has of one prepared data set."""

    path: str
    """Folder of the token stores `train` and `validation`, of which it is the first."""
    weight: float
    """Its share of the windows is this over the sum of all weights, in steps of 1/10,000."""
    set: str | None = None
    """Only this set of it."""

    def __post_init__(self) -> None:
        _check_weight(self.weight, f"weight of {self.path}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mixture:
    """Several prepared data sets, or sets of them, by weight; made with one tokenizer."""

    kind: Literal["mixture"] = "mixture"
    parts: tuple[MixturePart, ...]
    """What is trained on: each part in shuffled epochs of its own."""
    validation: str
    """Folder of the prepared data set whose `validation` is validated on."""
    tokenizer_hash: str | None = None
    """SHA-256 that the data's tokenizer must have; None takes any."""

    def __post_init__(self) -> None:
        if not self.parts:
            raise UserError("parts=() of a mixture must be at least one")
        _check_distinct([(part.path, part.set) for part in self.parts], "parts")


Source = StoryWorld | Prepared | Mixture


def _check_weight(weight: float, field: str) -> None:
    if not 0 < weight < math.inf:
        raise UserError(f"{field}={weight} must be above 0 and finite")


def _check_distinct(names: Sequence[Any], field: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{field} name {name!r} twice: add its weights up")
