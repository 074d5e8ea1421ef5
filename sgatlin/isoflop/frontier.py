# SPDX-License-Identifier: Apache-2.0
"""The lowest loss of a layer within a budget, over the sizes of its ladder, from its surface.

A budget is an amount of any cost that grows in proportion to the tokens: FLOPs in a convention, or
seconds of a device. Between the sizes that were run the cost per token is interpolated in
logarithms; smaller and larger sizes are not considered, so that the best size may be the smallest
or the largest that was run.

P passes (as measured, then each draw), S sizes that were run, G sizes of the search, C amounts.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from sgatlin.isoflop.budget import Budget, Convention, FlopBudget
from sgatlin.isoflop.records import Record, StepTimes
from sgatlin.isoflop.study import Study
from sgatlin.isoflop.surface_fit import SurfaceFit, size_of
from sgatlin.scaling.flops import training_flops

N_SIZES = 33
"""Sizes of the search, evenly in ln N, besides those that were run."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """Something that a run spends in proportion to its tokens."""

    name: str
    """Such as "FLOPs (paper)"."""
    unit: str
    per_token: Callable[[Record], float | None]
    """Of a run's model; None where it is not known."""

    def of(self, record: Record) -> float | None:
        """What a run spent; None where it is not known."""
        per_token = self.per_token(record)
        return None if per_token is None else per_token * record.result.tokens


PAPER = Cost(
    name="FLOPs (paper)",
    unit="FLOPs",
    per_token=lambda record: record.result.flops_paper / record.result.tokens,
)
FULL = Cost(
    name="FLOPs (full)",
    unit="FLOPs",
    per_token=lambda record: record.result.flops_full / record.result.tokens,
)


def flops_by(study: Study, convention: Convention) -> Cost:
    """FLOPs in any convention, from the configs of a study."""

    @functools.cache
    def per_token(layer: str, scale: float) -> float:
        config = study.config(layer, scale)
        return float(getattr(training_flops(config.model, config.data.seq_len), convention))

    return Cost(
        name=f"FLOPs ({convention})",
        unit="FLOPs",
        per_token=lambda record: per_token(record.run.layer, record.run.scale),
    )


def seconds(study: Study, times: StepTimes) -> Cost:
    """Seconds of steps on a device, by the time measured of a step with the study's batch.

    A run with another batch size is taken to need as long for each token.
    """

    @functools.cache
    def per_token(layer: str, scale: float) -> float | None:
        row = times.row(layer, scale)
        if row is None:
            return None
        return 1e-3 * row.ms / study.config(layer, scale).tokens_per_step

    return Cost(
        name=f"seconds on {times.device}",
        unit="s",
        per_token=lambda record: per_token(record.run.layer, record.run.scale),
    )


@dataclasses.dataclass(frozen=True)
class Track:
    """The sizes of one layer, what a token costs with each, and what its runs spent."""

    layer: str
    size_S: Float[np.ndarray, " S"]
    """N, in rising order."""
    per_token_S: Float[np.ndarray, " S"]
    cheapest: float
    dearest: float
    """The longest run's."""

    def sizes(self) -> Float[np.ndarray, " G"]:
        """Those of the search: among the sizes that were run, and they themselves."""
        even_G = np.geomspace(self.size_S[0], self.size_S[-1], N_SIZES)
        return np.unique(np.concatenate([even_G[1:-1], self.size_S]))

    def per_token(self, size_G: Float[np.ndarray, " G"]) -> Float[np.ndarray, " G"]:
        """The cost of a token with each size."""
        return np.exp(np.interp(np.log(size_G), np.log(self.size_S), np.log(self.per_token_S)))


def track(fit: SurfaceFit, layer: str, cost: Cost) -> Track | None:
    """A layer's sizes by a cost; None where it is known of none of them."""
    by_scale: dict[float, tuple[float, float]] = {}
    spent = []
    for place in fit.of(layer):
        record = fit.records[place]
        per_token, total = cost.per_token(record), cost.of(record)
        if per_token is not None and total is not None:
            by_scale[record.run.scale] = size_of(record), per_token
            spent.append(total)
    if not spent:
        return None
    size_S, per_token_S = np.array(sorted(by_scale.values())).T
    return Track(layer, size_S, per_token_S, min(spent), max(spent))


class Frontier(NamedTuple):
    """The lowest loss within each amount."""

    loss_PC: Float[np.ndarray, "P C"]
    """Nats per token."""
    size_C: Float[np.ndarray, " C"]
    """N of the best size, as measured."""
    is_edge_C: np.ndarray
    """Whether that is the smallest or the largest size that was run."""


def frontier(fit: SurfaceFit, track: Track, amount_C: Float[np.ndarray, " C"]) -> Frontier:
    """The best of a layer's sizes for each amount of the track's cost."""
    size_G = track.sizes()
    per_token_G = track.per_token(size_G)
    of_size_PG = fit.surface.size_part(track.layer, size_G)
    best_PC = np.full((len(of_size_PG), len(amount_C)), np.inf)
    best_C = np.zeros(len(amount_C), int)
    for i, per_token in enumerate(per_token_G):
        of_tokens_PC = fit.surface.tokens_part(track.layer, amount_C / per_token)
        loss_PC = of_size_PG[:, i, None] + of_tokens_PC
        best_C[loss_PC[0] < best_PC[0]] = i
        best_PC = np.minimum(best_PC, loss_PC)
    return Frontier(best_PC, size_G[best_C], (best_C == 0) | (best_C == len(size_G) - 1))


def joint_frontier(
    fit: SurfaceFit, tracks: Sequence[Track], amount_C: Float[np.ndarray, " C"]
) -> Float[np.ndarray, "P C"]:
    """The lowest loss of several layers, the best of them in each pass."""
    return np.min([frontier(fit, track, amount_C).loss_PC for track in tracks], axis=0)


def flop_budgets(records: Iterable[Record]) -> list[FlopBudget]:
    """Budgets in the convention `paper`, the smallest first."""
    budgets: set[Budget] = {record.run.budget for record in records}
    paper = [b for b in budgets if isinstance(b, FlopBudget) and b.convention == "paper"]
    return sorted(paper, key=lambda budget: budget.flops)


def common_range(one: Sequence[Track], other: Sequence[Track]) -> tuple[float, float]:
    """From where on both sides have a run, and up to where both have one."""
    cheapest = max(min(track.cheapest for track in side) for side in (one, other))
    dearest = min(max(track.dearest for track in side) for side in (one, other))
    return cheapest, max(dearest, math.nextafter(cheapest, math.inf))
