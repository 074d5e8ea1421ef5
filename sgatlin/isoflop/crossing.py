# SPDX-License-Identifier: Apache-2.0
"""How one layer compares with others by their surfaces: gaps, crossings, bytes at equal loss.

P passes (as measured, then each draw), C amounts, G sizes of the search.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from sgatlin.isoflop.budget import Budget
from sgatlin.isoflop.estimates import Estimate
from sgatlin.isoflop.frontier import (
    Cost,
    Track,
    common_range,
    frontier,
    joint_frontier,
    track,
)
from sgatlin.isoflop.panels import plain
from sgatlin.isoflop.records import Record
from sgatlin.isoflop.surface_fit import SurfaceFit

BEYOND = 100.0
"""A crossing is looked for up to so many times the longest run."""
N_AMOUNTS = 241
"""Amounts of the search for it, evenly in logarithms."""

State = Literal["ahead", "within", "beyond", "never"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Crossing:
    """From which budget on one layer has the lower loss than the best of some others."""

    layer: str
    others: tuple[str, ...]
    cost: Cost
    measured: tuple[float, float]
    """The budgets for which both sides have runs."""
    at: Estimate
    """The budget: 0 if the layer is ahead of all measured budgets, infinite if it never crosses up
    to BEYOND times the longest."""
    within: float
    """Share of the draws in which the layer is ahead at the longest run."""
    ahead: float
    """Share of the draws in which it is so at every measured budget."""

    @property
    def state(self) -> State:
        """By the runs as measured."""
        if self.at.value == 0:
            return "ahead"
        if self.at.value <= self.measured[1]:
            return "within"
        return "beyond" if math.isfinite(self.at.value) else "never"

    def described(self) -> str:
        """The result in words."""
        shortest, longest = (f"{plain(amount)} {self.cost.unit}" for amount in self.measured)
        limits = f"[{self._told(self.at.low)}, {self._told(self.at.high)}]"
        if self.state == "within":
            return f"{plain(self.at.value)} {self.cost.unit} {limits}"
        if self.state == "ahead":
            also = "" if self.at.high == 0 else f"; crossing {limits}"
            return (
                f"already ahead at the shortest run ({shortest}), in {self.ahead:.0%} of "
                f"draws{also}"
            )
        fitted = f"no crossing fitted up to {BEYOND:.0f} times that, {limits}"
        if self.state == "beyond":
            fitted = f"fitted at {plain(self.at.value)} {self.cost.unit} {limits}"
        return (
            f"beyond the longest run ({longest}); {fitted}; {self.within:.0%} of draws cross before"
        )

    def _told(self, amount: float) -> str:
        if amount == 0:
            return f"below {plain(self.measured[0])}"
        return plain(amount) if math.isfinite(amount) else "never"


def find_crossing(
    fit: SurfaceFit, layer: str, others: Sequence[str], cost: Cost
) -> Crossing | None:
    """Where a layer overtakes the best of others; None where the cost is not known of both.

    In each pass it is the budget from which on the layer stays ahead up to the longest run, or, if
    it is behind there, the first budget beyond at which the surfaces cross. Beyond the longest
    runs no larger sizes than those that were run are considered.
    """
    mine, theirs = _tracks(fit, [layer], cost), _tracks(fit, others, cost)
    if not (mine and theirs):
        return None
    low, high = common_range(mine, theirs)
    inside_C = np.geomspace(low, high, N_AMOUNTS)
    amount_C = np.concatenate([inside_C, np.geomspace(high, BEYOND * high, N_AMOUNTS)[1:]])
    gap_PC = joint_frontier(fit, mine, amount_C) - joint_frontier(fit, theirs, amount_C)
    at_P = np.array([_crossing(np.log(amount_C), gap_C, N_AMOUNTS) for gap_C in gap_PC])
    at = np.percentile(at_P[1:], (2.5, 97.5), method="inverted_cdf")  # some are infinite
    return Crossing(
        layer=layer,
        others=tuple(track.layer for track in theirs),
        cost=cost,
        measured=(low, high),
        at=Estimate(float(at_P[0]), *at.tolist()),
        within=float((at_P[1:] <= high).mean()),
        ahead=float((at_P[1:] == 0).mean()),
    )


def _crossing(
    log_amount_C: Float[np.ndarray, " C"], gap_C: Float[np.ndarray, " C"], n_inside: int
) -> float:
    """The budget at which the gap turns negative, the first `n_inside` amounts being measured."""
    behind_C = gap_C >= 0
    if not behind_C[n_inside - 1]:
        if not behind_C[:n_inside].any():
            return 0.0
        before = int(np.flatnonzero(behind_C[:n_inside])[-1])
    else:
        beyond = np.flatnonzero(~behind_C[n_inside:])
        if not len(beyond):
            return math.inf
        before = n_inside + int(beyond[0]) - 1
    return math.exp(_zero(log_amount_C, gap_C, before))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SurfaceGap:
    """Loss of a layer less that of the best of some others, at one amount of a cost."""

    layer: str
    others: tuple[str, ...]
    cost: Cost
    amount: float
    nats: Estimate
    """Of the surfaces, each layer at its best size."""
    is_edge: bool
    """Whether the layer's own best size is the smallest or the largest that was run."""


def surface_gap(
    fit: SurfaceFit, layer: str, others: Sequence[str], cost: Cost, amount: float
) -> SurfaceGap | None:
    """The gap of two frontiers; None where one side has no runs on both sides of the amount."""
    mine, theirs = _tracks(fit, [layer], cost), _tracks(fit, others, cost)
    if not (mine and theirs):
        return None
    low, high = common_range(mine, theirs)
    if not low / 1.02 <= amount <= high * 1.02:
        return None
    amount_C = np.array([amount])
    own = frontier(fit, mine[0], amount_C)
    gap_P = own.loss_PC[:, 0] - joint_frontier(fit, theirs, amount_C)[:, 0]
    return SurfaceGap(
        layer=layer,
        others=tuple(track.layer for track in theirs),
        cost=cost,
        amount=amount,
        nats=Estimate.of(gap_P),
        is_edge=bool(own.is_edge_C[0]),
    )


def measured_gap(
    fit: SurfaceFit, layer: str, others: Sequence[str], budget: Budget
) -> Estimate | None:
    """The gap of runs, each side at its best size and mean of seeds, without the surface.

    The sizes, and the best of the others, are those with the lowest measured loss, the same in all
    draws. None where one side has no run at the budget.
    """
    mine, theirs = _best_runs(fit, [layer], budget), _best_runs(fit, others, budget)
    return None if mine is None or theirs is None else Estimate.of(mine - theirs)


def _best_runs(
    fit: SurfaceFit, layers: Sequence[str], budget: Budget
) -> Float[np.ndarray, " P"] | None:
    sizes: dict[tuple[str, float], list[int]] = {}
    for place, record in enumerate(fit.records):
        run = record.run
        if run.layer in layers and run.budget == budget:
            sizes.setdefault((run.layer, run.scale), []).append(place)
    losses = [fit.loss_PR[:, places].mean(axis=1) for places in sizes.values()]
    return min(losses, key=lambda loss_P: float(loss_P[0]), default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EqualLoss:
    """How small a layer can be and still have a given loss within a budget."""

    layer: str
    amounts: Estimate | None
    """Bytes, or whatever was asked for; None where the layer does not have the loss at any size."""
    reached: float
    """Share of the draws in which it has."""
    is_smallest: bool
    """Whether already the smallest size that was run has it: smaller ones may do."""


def at_equal_loss(
    fit: SurfaceFit,
    layer: str,
    target_P: Float[np.ndarray, " P"],
    cost: Cost,
    amount: float,
    quantity: Callable[[Record], float | None],
) -> EqualLoss | None:
    """The least of a quantity with which a layer has a loss, within an amount of a cost.

    Args:
      target_P: nats per token, such as a reference's lowest loss for that amount.
      quantity: what a size takes, such as bytes of its parameters; interpolated in logarithms.

    Returns:
      None where the cost or the quantity is not known of the layer.
    """
    found = track(fit, layer, cost)
    by_size = {
        record.run.scale: value
        for record in (fit.records[place] for place in fit.of(layer))
        if (value := quantity(record)) is not None
    }
    scales = sorted({fit.records[place].run.scale for place in fit.of(layer)})
    if found is None or len(by_size) < len(found.size_S) or len(found.size_S) < len(scales):
        return None
    size_G = found.sizes()
    value_S = [by_size[scale] for scale in scales]
    log_value_G = np.interp(np.log(size_G), np.log(found.size_S), np.log(value_S))
    gap_PG = fit.surface.loss(layer, size_G, amount / found.per_token(size_G))
    gap_PG -= target_P[:, None] + 1e-9  # a reference has its own lowest loss
    value_P = np.array([_first_below(log_value_G, gap_G) for gap_G in gap_PG])
    return EqualLoss(
        layer=layer,
        amounts=None if np.isnan(value_P[0]) else Estimate.of(value_P),
        reached=float((~np.isnan(value_P[1:])).mean()),
        is_smallest=bool(gap_PG[0, 0] <= 0),
    )


def _first_below(log_value_G: Float[np.ndarray, " G"], gap_G: Float[np.ndarray, " G"]) -> float:
    """exp of the value where the gap first falls to 0; NaN where it does nowhere."""
    below = np.flatnonzero(gap_G <= 0)
    if not len(below):
        return math.nan
    after = int(below[0])
    if after == 0:
        return math.exp(log_value_G[0])
    return math.exp(_zero(log_value_G, gap_G, after - 1))


def _zero(x_C: Float[np.ndarray, " C"], gap_C: Float[np.ndarray, " C"], before: int) -> float:
    """Where a gap is 0 between a place and the next, by a straight line."""
    share = float(gap_C[before] / (gap_C[before] - gap_C[before + 1]))
    return float(x_C[before]) + share * float(x_C[before + 1] - x_C[before])


def _tracks(fit: SurfaceFit, layers: Sequence[str], cost: Cost) -> list[Track]:
    found = (track(fit, layer, cost) for layer in layers if layer in fit.layers)
    return [one for one in found if one is not None]
