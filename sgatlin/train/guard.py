# SPDX-License-Identifier: Apache-2.0
"""Steps that go wrong: a loss or gradient that is not finite, or a loss far above the last ones.

The step itself judges, from numbers that are equal on all devices: every process of a run comes to
the same verdict, and none waits for it.
"""

import dataclasses
import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sgatlin.errors import UserError, require_at_least

MEAN_DECAY = 0.98
"""Of the running mean of losses: that of some fifty steps."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuardConfig:
    """What becomes of a step whose loss or gradient is not finite, or whose loss is a spike."""

    action: Literal["stop", "skip"] = "stop"
    """stop ends the run, whose last checkpoint is from before. skip leaves parameters and moments
    as they were, notes the batch in skipped.jsonl, and goes on with the next."""
    spike_nats: float | None = 3.0
    """How far a batch's loss may lie above the running mean of those before; None sets no limit."""
    most_in_a_row: int = 10
    """So many skipped steps, one after another, end the run all the same."""

    def __post_init__(self) -> None:
        if self.spike_nats is not None and not 0 < self.spike_nats < math.inf:
            raise UserError(f"spike_nats={self.spike_nats} must be above 0, or None")
        require_at_least(1, most_in_a_row=self.most_in_a_row)


class Guard(NamedTuple):
    """What the next step is judged by, and how many were skipped."""

    mean_loss: Float[Array, ""]
    """Nats; of the steps that were not bad. Infinite before the first."""
    skipped: Int[Array, ""]
    in_a_row: Int[Array, ""]
    """How many of the last steps were skipped, without one between them that was not."""


class Verdict(NamedTuple):
    """On one step: the metrics `guard/...`, arrays or, once they are read, numbers."""

    bad: Any
    above_mean: Any
    """Nats that the loss lies above the running mean."""
    skipped: Any
    """Bad steps up to this one, as a float: the count of the state is the next step's."""
    in_a_row: Any
    """The same of those without a good one between them."""

    def why(self, loss: float, grad_norm: float) -> str:
        """What is wrong with a bad step."""
        if math.isfinite(loss) and math.isfinite(grad_norm):
            above, mean = self.above_mean, loss - self.above_mean
            return f"loss {loss:.3f} is {above:.2f} nats above the mean before, {mean:.3f}"
        return f"loss {loss}, gradient norm {grad_norm}"


def initial_guard() -> Guard:
    skipped, in_a_row = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
    return Guard(jnp.full((), jnp.inf, jnp.float32), skipped, in_a_row)


def judge(
    guard: Guard, loss: Array, grad_norm: Array, config: GuardConfig
) -> tuple[Verdict, Guard]:
    """On the step that showed these; and what the next is judged by."""
    above = loss - guard.mean_loss
    bad = ~(jnp.isfinite(loss) & jnp.isfinite(grad_norm))
    if config.spike_nats is not None:
        bad |= above > config.spike_nats
    mean = MEAN_DECAY * guard.mean_loss + (1 - MEAN_DECAY) * loss
    mean = jnp.where(jnp.isinf(guard.mean_loss), loss, mean)
    after = Guard(
        mean_loss=jnp.where(bad, guard.mean_loss, mean).astype(jnp.float32),
        skipped=guard.skipped + bad,
        in_a_row=jnp.where(bad, guard.in_a_row + 1, 0),
    )
    skipped, in_a_row = (x.astype(jnp.float32) for x in (after.skipped, after.in_a_row))
    return Verdict(bad, above, skipped, in_a_row), after


def kept(bad: Bool[Array, ""], old: Any, new: Any) -> Any:
    """The tree `new`, or `old` after a bad step."""
    return jax.tree.map(lambda old, new: jnp.where(bad, old, new), old, new)


def kept_but_counts(bad: Bool[Array, ""], old: Any, new: Any) -> Any:
    """The same of an optimizer's state, whose counts of steps go on: its schedule ends in time."""

    def one(old: Array, new: Array) -> Array:
        return new if jnp.issubdtype(new.dtype, jnp.integer) else jnp.where(bad, old, new)

    return jax.tree.map(one, old, new)
