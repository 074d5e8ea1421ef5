# SPDX-License-Identifier: Apache-2.0
"""AdamW with decoupled weight decay by role and clipping by the global norm."""

import dataclasses
import math
from typing import Any

import jax
import optax

from sgatlin.errors import UserError
from sgatlin.train.schedules import ScheduleConfig, StableDecaySchedule

# Norm scales and biases set a level, and decaying them only moves it.
UNDECAYED_ROLES = frozenset({"Scale", "Bias"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101)."""

    learning_rate: float = 1e-3
    """Peak rate of the schedule."""
    schedule: ScheduleConfig = dataclasses.field(default_factory=StableDecaySchedule)
    """How the rate moves over a run."""
    weight_decay: float = 0.1
    """Decay per step is this times the learning rate; none on norm scales and biases."""
    b1: float = 0.9
    """Decay of the first moment."""
    b2: float = 0.999
    """Decay of the second moment."""
    epsilon: float = 1e-8
    """Added to the root of the second moment."""
    clip_norm: float | None = 1.0
    """Gradients of a larger global norm are scaled down to it; None clips nothing."""

    def __post_init__(self) -> None:
        for name in ("learning_rate", "epsilon", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UserError(f"{name}={value} must be above 0 and finite")
        for name in ("b1", "b2"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)} must be at least 0 and below 1")
        if not 0 <= self.weight_decay < math.inf:
            raise UserError(f"weight_decay={self.weight_decay} must be at least 0 and finite")


def make_optimizer(
    config: OptimizerConfig, roles: Any, n_steps: int
) -> optax.GradientTransformation:
    """The optimizer of a run of `n_steps`; `roles` is the parameters' `role_tree`."""
    decayed = jax.tree.map(lambda role: role not in UNDECAYED_ROLES, roles)
    adamw = optax.adamw(
        config.schedule.build(config.learning_rate, n_steps),
        b1=config.b1,
        b2=config.b2,
        eps=config.epsilon,
        weight_decay=config.weight_decay,
        mask=decayed,
    )
    if config.clip_norm is None:
        return adamw
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), adamw)
