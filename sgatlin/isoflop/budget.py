# SPDX-License-Identifier: Apache-2.0
"""What a run may spend, in FLOPs, seconds of a device or tokens, and the steps that it pays for."""

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, Literal, get_args

import pydantic

from sgatlin.config import Config
from sgatlin.errors import UserError, require_one_of
from sgatlin.scaling.flops import training_flops

Convention = Literal["paper", "full", "causal"]

StepSeconds = Callable[[str], float]
"""Seconds of a training step on a device of that name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlopBudget:
    """Training FLOPs, in a convention of `scaling.flops`."""

    kind: Literal["flops"] = "flops"
    flops: float
    convention: Convention = "paper"

    def __post_init__(self) -> None:
        require_one_of(get_args(Convention), convention=self.convention)
        _check("flops", self.flops)

    @property
    def amount(self) -> float:
        return self.flops

    @property
    def name(self) -> str:
        """Names it in runs: 1e15, or 1e15full."""
        return f"{short(self.flops)}{'' if self.convention == 'paper' else self.convention}"

    @property
    def described(self) -> str:
        return f"{short(self.flops)} FLOPs ({self.convention})"

    def steps(self, config: Config, step_seconds: StepSeconds) -> int:
        """Optimizer steps of `config` that it pays for, rounded; at least 1."""
        flops = training_flops(config.model, config.data.seq_len)
        per_token = getattr(flops, self.convention)
        return max(1, round(self.flops / (per_token * config.tokens_per_step)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TimeBudget:
    """Seconds of training steps on one device, by the step's measured time."""

    kind: Literal["seconds"] = "seconds"
    seconds: float
    device: str
    """JAX's name for it, such as "NVIDIA H100 80GB HBM3"."""

    def __post_init__(self) -> None:
        _check("seconds", self.seconds)

    @property
    def amount(self) -> float:
        return self.seconds

    @property
    def name(self) -> str:
        """Names it in runs: 10s."""
        return f"{short(self.seconds)}s"

    @property
    def described(self) -> str:
        return f"{short(self.seconds)} s on {self.device}"

    def steps(self, config: Config, step_seconds: StepSeconds) -> int:
        """Optimizer steps that fit, rounded; at least 1."""
        return max(1, round(self.seconds / step_seconds(self.device)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenBudget:
    """Tokens to train on."""

    kind: Literal["tokens"] = "tokens"
    tokens: float

    def __post_init__(self) -> None:
        _check("tokens", self.tokens)

    @property
    def amount(self) -> float:
        return self.tokens

    @property
    def name(self) -> str:
        """Names it in runs: 2e7tok."""
        return f"{short(self.tokens)}tok"

    @property
    def described(self) -> str:
        return f"{short(self.tokens)} tokens"

    def steps(self, config: Config, step_seconds: StepSeconds) -> int:
        """Optimizer steps, rounded; at least 1."""
        return max(1, round(self.tokens / config.tokens_per_step))


Budget = Annotated[FlopBudget | TimeBudget | TokenBudget, pydantic.Discriminator("kind")]


def kind_of(budget: FlopBudget | TimeBudget | TokenBudget) -> str:
    """What budgets must share to be compared, such as "FLOPs (paper)"."""
    if isinstance(budget, FlopBudget):
        return f"FLOPs ({budget.convention})"
    if isinstance(budget, TimeBudget):
        return f"seconds on {budget.device}"
    return "tokens"


def short(number: float) -> str:
    """As few signs as tell it exactly: 3e14, 2e-3, 0.5, 10."""
    plain = f"{number:.12g}"
    mantissa, exponent = f"{number:.11e}".split("e")
    scientific = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return min(plain, scientific, key=len)


def _check(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise UserError(f"{name}={value} of a budget must be above 0 and finite")
