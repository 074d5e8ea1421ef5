# SPDX-License-Identifier: Apache-2.0
"""Groups of runs that differ in their learning rate alone, and how a rate rule does in each.

R runs of one group, in rising order of their rates.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from sgatlin.errors import UserError
from sgatlin.isoflop.budget import Budget, short
from sgatlin.isoflop.rates import RateRule
from sgatlin.isoflop.records import Record
from sgatlin.isoflop.tables import Table

NEAR = 0.15
"""Nats above a group's lowest loss up to which its runs are fitted: far from the best rate the loss
is no parabola in ln(rate). The two rates beside the best are fitted up to twice as far, since they
show on which side it lies."""


class GroupKey(NamedTuple):
    """What the runs of a group share."""

    layer: str
    scale: float
    budget: Budget
    seed: int


@dataclasses.dataclass(frozen=True)
class RateGroup:
    """The runs of one layer, scale, budget and seed at several rates."""

    key: GroupKey
    d_model: int
    steps: int
    rate_R: Float[np.ndarray, " R"]
    """In rising order."""
    loss_R: Float[np.ndarray, " R"]
    """Nats per token."""

    def near(self) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
        """ln(rate) and loss of the runs that are near enough to the best for a parabola."""
        above_R = self.loss_R - self.loss_R.min()
        near_R = above_R <= NEAR
        best = int(np.argmin(self.loss_R))
        beside = slice(max(0, best - 1), best + 2)
        near_R[beside] = above_R[beside] <= 2 * NEAR
        return np.log(self.rate_R[near_R]), self.loss_R[near_R]

    @property
    def is_open(self) -> bool:
        """Whether the best rate is the lowest or the highest run: it may lie beyond them."""
        return int(np.argmin(self.loss_R)) in (0, len(self.loss_R) - 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judgment:
    """How a rate rule does in a group."""

    group: RateGroup
    own_rate: float
    """Where a parabola through this group alone is lowest: one of its own curvature where it has
    three rates near the best and a minimum among them, else one with the sweep's curvature."""
    rule_rate: float
    """What the rule gives, not rounded."""
    lost: float
    """Nats by which that parabola is higher at the rule's rate than at its minimum."""
    residual: float
    """Root mean square, in nats, of the losses near the best about the rule's parabola."""


def rate_groups(records: Sequence[Record]) -> list[RateGroup]:
    """The groups that have two rates or more near the best, in order of their first records.

    A run whose loss is not finite is left out. UserError for a record that has no width.
    """
    found: dict[GroupKey, dict[float, Record]] = {}
    for record in records:
        run = record.run
        if math.isfinite(record.loss):
            key = GroupKey(run.layer, run.scale, run.budget, run.seed)
            found.setdefault(key, {})[run.learning_rate] = record
    groups = []
    for key, by_rate in found.items():
        if len(by_rate) > 1:
            rates = sorted(by_rate)
            first = by_rate[rates[0]]
            losses = np.array([by_rate[rate].loss for rate in rates])
            group = RateGroup(
                key, d_model_of(first), first.result.steps, np.array(rates, np.float64), losses
            )
            if len(group.near()[0]) > 1:
                groups.append(group)
    return groups


def d_model_of(record: Record) -> int:
    """The width of a run's model, by its config; UserError if that does not say."""
    model = record.config.get("model")
    d_model = model.get("d_model") if isinstance(model, dict) else None
    if not isinstance(d_model, int):
        raise UserError(f"{record.run.name}: its record has no config.model.d_model; run it again")
    return d_model


def judge_rates(
    groups: Iterable[RateGroup], rule: RateRule, curvature: float
) -> tuple[Judgment, ...]:
    """How a rule does in groups, such as brackets that it was not fitted to.

    Groups of layers that the rule does not know are left out.

    Args:
      curvature: in nats per squared e-fold, for groups without a parabola of their own.
    """
    judgments = []
    for group in groups:
        if group.key.layer not in rule.intercepts:
            continue
        x_R, loss_R = group.near()
        at_rule = rule.log_rate(group.key.layer, group.d_model, group.steps)
        own = _own_parabola(x_R, loss_R)
        own_curvature, lowest = own or (curvature, _lowest(curvature, x_R, loss_R))
        off_R = loss_R - curvature * (x_R - at_rule) ** 2
        judgments.append(
            Judgment(
                group=group,
                own_rate=math.exp(lowest),
                rule_rate=math.exp(at_rule),
                lost=own_curvature * (at_rule - lowest) ** 2,
                residual=float(off_R.std()),
            )
        )
    return tuple(judgments)


def judgments_table(judgments: Iterable[Judgment]) -> Table:
    """A row for each group: the rates run, its own best rate, the rule's, and what that loses."""
    rows = []
    for judgment in judgments:
        group = judgment.group
        key = group.key
        seed = f", seed {key.seed}" if key.seed else ""
        rows.append(
            (
                key.layer,
                f"s={key.scale:g}, {key.budget.name}{seed}",
                f"{group.steps:,}",
                " ".join(map(short, group.rate_R.tolist())),
                f"{len(group.near()[0])}",
                f"{judgment.own_rate:.2g}{', extrapolated' if group.is_open else ''}",
                f"{judgment.rule_rate:.2g}",
                f"{judgment.lost:.4f}",
                f"{judgment.residual:.4f}",
            )
        )
    heading = (
        "layer",
        "size, budget",
        "steps",
        "rates run",
        "near the best",
        "own best rate",
        "rule's rate",
        "rule loses, nats",
        "residual, nats",
    )
    return Table(heading, rows)


def _own_parabola(
    x_R: Float[np.ndarray, " R"], loss_R: Float[np.ndarray, " R"]
) -> tuple[float, float] | None:
    """(curvature, ln of the best rate); None without a minimum among three rates or more."""
    if len(x_R) < 3:
        return None
    powers_R3 = np.vander(x_R - x_R.mean(), 3, increasing=True)
    _, slope, curvature = (np.linalg.pinv(powers_R3) @ loss_R).tolist()
    if curvature <= 0:
        return None
    lowest = float(x_R.mean()) - slope / (2 * curvature)
    return (curvature, lowest) if x_R[0] <= lowest <= x_R[-1] else None


def _lowest(
    curvature: float, x_R: Float[np.ndarray, " R"], loss_R: Float[np.ndarray, " R"]
) -> float:
    """ln of the best rate of the parabola of that curvature through the runs."""
    centered_R = x_R - x_R.mean()
    slope = float(centered_R @ (loss_R - curvature * x_R**2)) / float(centered_R @ centered_R)
    return -slope / (2 * curvature)
