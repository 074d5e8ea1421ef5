# SPDX-License-Identifier: Apache-2.0
"""AdamW with decoupled weight decay, or Muon for dense maps: chosen by role, clipped in one go."""

import dataclasses
import math
from typing import Any, Literal

import jax
import optax
import optax.contrib

from sgatlin.errors import UserError, require_at_least
from sgatlin.train.moments import in_bfloat16
from sgatlin.train.schedules import ScheduleConfig, StableDecaySchedule

# Norm scales and biases set a level, and decaying them only moves it; balance is set by its layer.
UNDECAYED_ROLES = frozenset({"Scale", "Bias", "Balance"})
# Dense maps from the last axis but one to the last. Pools, embeddings and a router's keys are
# tables of rows, and a step of an orthogonal matrix would move the rows that no token used too.
MUON_ROLES = frozenset({"Matrix", "Expert"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class RoleConfig:
    """How AdamW treats the parameters of one role."""

    learning_rate_multiplier: float = 1.0
    """The role's rate over the general one. The decay per step is multiplied as well."""
    weight_decay: float | None = None
    """In place of the general weight decay; None keeps that."""
    moments: Literal["float32", "bfloat16"] = "float32"
    """Type that both moments are kept in; bfloat16 ones are rounded at random."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MuonConfig:
    """Momentum made orthogonal, for the roles Matrix and Expert (Jordan 2024).

    Each layer's and each expert's matrix is orthogonalised by itself, and scaled as in Moonlight
    (Liu 2025, arXiv 2502.16982), so that AdamW's learning rate and weight decay serve it too.
    """

    learning_rate: float | None = None
    """Peak rate, on the same schedule; None takes AdamW's."""
    weight_decay: float | None = None
    """In place of the general weight decay; None keeps that."""
    momentum: float = 0.95
    """Decay of the first moment."""
    nesterov: bool = True
    """Orthogonalise the moment as it would be after this gradient once more."""
    newton_schulz_steps: int = 5
    """Iterations that bring all singular values near 1: between about 0.7 and 1.2."""
    update_rms: float = 0.2
    """Root mean square of an update's entries at rate 1; AdamW's is mostly 0.2 to 0.4."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), and for some roles another choice."""

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
    pool: RoleConfig = dataclasses.field(default_factory=RoleConfig)
    """Tables of single neurons."""
    router: RoleConfig = dataclasses.field(default_factory=RoleConfig)
    """Queries and keys that choose neurons or experts."""
    embedding: RoleConfig = dataclasses.field(default_factory=RoleConfig)
    """Token embedding, which is the unembedding too."""
    muon: MuonConfig | None = None
    """Muon for dense projections and experts; None gives them to AdamW."""

    def __post_init__(self) -> None:
        for name in ("learning_rate", "epsilon", "clip_norm"):
            _check_above_0(name, getattr(self, name))
        for name in ("b1", "b2"):
            _check_fraction(name, getattr(self, name))
        _check_decay("weight_decay", self.weight_decay)
        # Here and not in their own classes: only here has each field a name of its own.
        for role in ("pool", "router", "embedding"):
            own: RoleConfig = getattr(self, role)
            _check_above_0(f"{role}.learning_rate_multiplier", own.learning_rate_multiplier)
            _check_decay(f"{role}.weight_decay", own.weight_decay)
        if self.muon is not None:
            _check_above_0("muon.learning_rate", self.muon.learning_rate)
            _check_decay("muon.weight_decay", self.muon.weight_decay)
            _check_fraction("muon.momentum", self.muon.momentum)
            iterations = {"muon.newton_schulz_steps": self.muon.newton_schulz_steps}
            require_at_least(1, **iterations)
            _check_above_0("muon.update_rms", self.muon.update_rms)


def make_optimizer(
    config: OptimizerConfig, roles: Any, schedule: optax.Schedule
) -> optax.GradientTransformation:
    """The optimizer of a run; `roles` is the parameters' `role_tree`.

    `schedule` gives the learning rate of each step; roles have multiples of it.
    """
    optimizer = _by_role(config, roles, schedule)
    if config.clip_norm is None:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), optimizer)


def _by_role(
    config: OptimizerConfig, roles: Any, schedule: optax.Schedule
) -> optax.GradientTransformation:
    present = set(jax.tree.leaves(roles))
    special: dict[str, optax.GradientTransformation] = {}
    if "Balance" in present:
        special["Balance"] = optax.set_to_zero()
    if config.muon is not None:
        muon = _muon(config, config.muon, schedule)
        special |= dict.fromkeys(sorted(MUON_ROLES & present), muon)
    own = {"Pool": config.pool, "Router": config.router, "Embedding": config.embedding}
    for role, role_config in own.items():
        if role in present and role_config != RoleConfig():
            special[role] = _adamw(config, role_config, roles, schedule)

    general = _adamw(config, RoleConfig(), roles, schedule)
    if not special:
        return general
    labels = jax.tree.map(lambda role: role if role in special else "general", roles)
    return optax.partition({"general": general, **special}, labels)


def _adamw(
    config: OptimizerConfig, role_config: RoleConfig, roles: Any, schedule: optax.Schedule
) -> optax.GradientTransformation:
    adamw = optax.adamw(
        _times(role_config.learning_rate_multiplier, schedule),
        b1=config.b1,
        b2=config.b2,
        eps=config.epsilon,
        weight_decay=_own_or(config.weight_decay, role_config.weight_decay),
        mask=jax.tree.map(lambda role: role not in UNDECAYED_ROLES, roles),
    )
    return in_bfloat16(adamw) if role_config.moments == "bfloat16" else adamw


def _muon(
    config: OptimizerConfig, muon: MuonConfig, schedule: optax.Schedule
) -> optax.GradientTransformation:
    def last_two_axes(updates: Any) -> Any:
        # Layers and experts are stacked before them. By its own choice Optax takes 2-D leaves.
        axes = optax.contrib.MuonDimensionNumbers(reduction_axis=-2, output_axis=-1)
        return jax.tree.map(lambda _: axes, updates)

    def scaled(updates: Any, _: Any) -> Any:
        # All singular values 1: the mean square of the entries is 1 / the longer side.
        return jax.tree.map(lambda x: muon.update_rms * math.sqrt(max(x.shape[-2:])) * x, updates)

    factor = _own_or(config.learning_rate, muon.learning_rate) / config.learning_rate
    return optax.chain(
        optax.contrib.scale_by_muon(
            ns_steps=muon.newton_schulz_steps,
            beta=muon.momentum,
            nesterov=muon.nesterov,
            weight_dimension_numbers=last_two_axes,
        ),
        optax.stateless(scaled),
        optax.add_decayed_weights(_own_or(config.weight_decay, muon.weight_decay)),
        optax.scale_by_learning_rate(_times(factor, schedule)),
    )


def _times(factor: float, schedule: optax.Schedule) -> optax.Schedule:
    return schedule if factor == 1 else lambda count: factor * schedule(count)


def _own_or(general: float, own: float | None) -> float:
    return general if own is None else own


def _check_above_0(name: str, value: float | None) -> None:
    if value is not None and not 0 < value < math.inf:
        raise UserError(f"{name}={value} must be above 0 and finite")


def _check_fraction(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise UserError(f"{name}={value} must be at least 0 and below 1")


def _check_decay(name: str, value: float | None) -> None:
    if value is not None and not 0 <= value < math.inf:
        raise UserError(f"{name}={value} must be at least 0 and finite")
