# SPDX-License-Identifier: Apache-2.0
"""Learning-rate schedules: a linear warm-up, then stable-decay, cosine or constant."""

import dataclasses
from typing import Annotated, Literal

import jax.numpy as jnp
import optax
import pydantic
from jaxtyping import Array

from sgatlin.errors import UserError, require_at_least


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConstantSchedule:
    """Warm-up, then the peak rate to the end."""

    kind: Literal["constant"] = "constant"
    warmup_steps: int = 100
    """Steps of the linear warm-up."""

    def __post_init__(self) -> None:
        require_at_least(0, warmup_steps=self.warmup_steps)

    def build(self, peak: float, n_steps: int) -> optax.Schedule:
        return lambda step: peak * _warmup(step, self.warmup_steps)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CosineSchedule:
    """Warm-up, then half a cosine down to `final_fraction` of the peak."""

    kind: Literal["cosine"] = "cosine"
    warmup_steps: int = 100
    """Steps of the linear warm-up."""
    final_fraction: float = 0.1
    """Rate at the end over the peak rate."""

    def __post_init__(self) -> None:
        require_at_least(0, warmup_steps=self.warmup_steps)
        _check_fraction("final_fraction", self.final_fraction)

    def build(self, peak: float, n_steps: int) -> optax.Schedule:
        def schedule(step: Array) -> Array:
            progress = (step - self.warmup_steps) / max(1, n_steps - self.warmup_steps)
            cosine = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(progress, 0, 1)))
            level = self.final_fraction + (1 - self.final_fraction) * cosine
            return peak * level * _warmup(step, self.warmup_steps)

        return schedule


@dataclasses.dataclass(frozen=True, kw_only=True)
class StableDecaySchedule:
    """Warm-up, the peak rate, then a decay to zero over the last `decay_fraction` of the steps.

    A decay can be branched off any checkpoint of the stable phase, so that one long run serves
    several budgets (Haegele 2024, arXiv 2405.18392).
    """

    kind: Literal["stable_decay"] = "stable_decay"
    warmup_steps: int = 100
    """Steps of the linear warm-up."""
    decay_fraction: float = 0.2
    """Share of all steps that the decay takes."""
    decay: Literal["sqrt", "linear"] = "sqrt"
    """Form of the decay over its progress p: 1 - sqrt(p), or 1 - p."""

    def __post_init__(self) -> None:
        require_at_least(0, warmup_steps=self.warmup_steps)
        _check_fraction("decay_fraction", self.decay_fraction)

    def decay_start(self, n_steps: int) -> int:
        """First step of the decay."""
        return n_steps - round(self.decay_fraction * n_steps)

    def build(self, peak: float, n_steps: int) -> optax.Schedule:
        start = self.decay_start(n_steps)

        def schedule(step: Array) -> Array:
            progress = jnp.clip((step - start) / max(1, n_steps - start), 0, 1)
            level = 1 - (jnp.sqrt(progress) if self.decay == "sqrt" else progress)
            return peak * level * _warmup(step, self.warmup_steps)

        return schedule


ScheduleConfig = Annotated[
    StableDecaySchedule | CosineSchedule | ConstantSchedule, pydantic.Discriminator("kind")
]


def _warmup(step: Array, warmup_steps: int) -> Array:
    # The first step already moves: step 0 has rate peak / warmup_steps.
    return jnp.minimum(1.0, (step + 1) / max(1, warmup_steps))


def _check_fraction(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UserError(f"{name}={value} must be between 0 and 1")
