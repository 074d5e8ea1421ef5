# SPDX-License-Identifier: Apache-2.0
"""Power laws across budgets, checked against every measured loss, and budget multipliers.

P passes: as measured, then each draw; B budgets.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from sgatlin.isoflop.budget import short
from sgatlin.isoflop.estimates import Estimate, Multiplier, Optimum, PowerLaw

RESOLUTION = 0.01
"""Nats. A law that misses a measured loss by less than this is not refused: seeds of one size
differ by as much."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """An optimum, and its numbers in every pass: NaN where the pass has no interior minimum."""

    optimum: Optimum
    best_P: Float[np.ndarray, " P"]
    """Loss of the size with the lowest measured loss: always a number."""
    loss_P: Float[np.ndarray, " P"]
    """The fitted minimum."""
    log_parameters_P: Float[np.ndarray, " P"]

    @property
    def amount(self) -> float:
        return self.optimum.budget.amount

    @property
    def measured_P(self) -> Float[np.ndarray, " P"]:
        """The fitted minimum, or the best run where there is none: laws are checked against it."""
        return self.best_P if self.optimum.refused else self.loss_P


@dataclasses.dataclass(frozen=True)
class Law:
    """A power law, and its numbers in every pass; the exponent is positive if the loss falls."""

    law: PowerLaw
    exponent_P: Float[np.ndarray, " P"]
    log_coefficient_P: Float[np.ndarray, " P"]


def fit_laws(curves: Sequence[Curve]) -> list[Law]:
    """The laws of all layers with a minimum at two budgets or more, refused ones among them."""
    laws = []
    for layer in dict.fromkeys(curve.optimum.layer for curve in curves):
        own = [curve for curve in curves if curve.optimum.layer == layer]
        found = [curve for curve in own if curve.optimum.refused is None]
        if len(found) > 1:
            law = _fit(found)
            refused = _contradiction(law, own)
            laws.append(dataclasses.replace(law, law=dataclasses.replace(law.law, refused=refused)))
    return laws


def multipliers(
    curves: Sequence[Curve], laws: Sequence[Law], reference: str
) -> tuple[Multiplier, ...]:
    """How many times each layer's budget the reference needs for the same loss.

    Between the reference's measured best losses they are interpolated, best run against best run.
    Beyond them its law is continued, fitted minimum against fitted minimum, unless it is refused.
    Otherwise there is none.
    """
    own = sorted((c for c in curves if c.optimum.layer == reference), key=lambda c: c.amount)
    law = next((law for law in laws if law.law.layer == reference), None)
    if law is not None and (law.law.refused or not law.exponent_P[0] > 0):
        law = None
    found = []
    for curve in curves:
        if curve.optimum.layer == reference:
            continue
        log_needed_P, extrapolated = _interpolated(curve, own), False
        if log_needed_P is None and law is not None:
            log_needed_P, extrapolated = _continued(curve, law), True
        if log_needed_P is None:
            continue
        # Of logarithms: a nearly flat law asks for more than a float can hold.
        with np.errstate(over="ignore"):
            factor = np.exp(Estimate.of(log_needed_P - np.log(curve.amount)))
        found.append(
            Multiplier(
                layer=curve.optimum.layer,
                budget=curve.optimum.budget,
                factor=Estimate(*factor.tolist()),
                extrapolated=extrapolated,
            )
        )
    return tuple(found)


def _fit(curves: Sequence[Curve]) -> Law:
    """Through one layer's minima at two budgets or more, by least squares in logarithms."""
    amounts = tuple(curve.amount for curve in curves)
    log_amount_B = np.log(amounts)
    middle = log_amount_B.mean()
    fit_2B = np.linalg.pinv(np.vander(log_amount_B - middle, 2, increasing=True))
    with np.errstate(invalid="ignore"):  # noise can draw a loss below 0, which has no logarithm
        log_loss_BP = np.log([curve.loss_P for curve in curves])
    log_middle_P, slope_P = fit_2B @ log_loss_BP
    log_coefficient_P = log_middle_P - slope_P * middle
    _, size_exponent_P = fit_2B @ np.stack([curve.log_parameters_P for curve in curves])
    law = PowerLaw(
        layer=curves[0].optimum.layer,
        coefficient=float(np.exp(log_coefficient_P[0])),
        exponent=Estimate.of(-slope_P),
        size_exponent=Estimate.of(size_exponent_P),
        budgets=amounts,
    )
    return Law(law, -slope_P, log_coefficient_P)


def _contradiction(law: Law, curves: Sequence[Curve]) -> str | None:
    """The measured losses of the layer that its law misses by more than noise; None if none."""
    missed = []
    for curve in curves:
        predicted_P = np.exp(law.log_coefficient_P - law.exponent_P * np.log(curve.amount))
        miss = Estimate.of(predicted_P - curve.measured_P)
        if abs(miss.value) > RESOLUTION and not miss.low <= 0 <= miss.high:
            what = "the best run" if curve.optimum.refused else "the fitted minimum"
            missed.append(
                f"{predicted_P[0]:.3f} nats at {curve.optimum.budget.described}, where {what} has "
                f"{curve.measured_P[0]:.3f}"
            )
    if not missed:
        return None
    return f"its power law through {', '.join(map(short, law.law.budgets))} gives " + " and ".join(
        missed
    )


def _interpolated(curve: Curve, reference: Sequence[Curve]) -> Float[np.ndarray, " P"] | None:
    """ln of the budget at which the reference's best runs reach a layer's, linear in logarithms.

    Between the first two neighboring budgets whose losses lie around it; None if there are none.
    """
    loss = curve.best_P[0]
    for before, after in itertools.pairwise(reference):
        if before.best_P[0] >= loss >= after.best_P[0] and before.best_P[0] > after.best_P[0]:
            with np.errstate(invalid="ignore", divide="ignore"):
                fall_P = np.log(before.best_P / after.best_P)
                fall_P = np.where(fall_P > 0, fall_P, np.nan)
                share_P = np.log(before.best_P / curve.best_P) / fall_P
            log_before = np.log(before.amount)
            result: np.ndarray = log_before + share_P * (np.log(after.amount) - log_before)
            return result
    return None


def _continued(curve: Curve, law: Law) -> Float[np.ndarray, " P"] | None:
    """ln of the budget at which the reference's law has a layer's fitted minimum.

    None without a minimum, or among the law's own budgets: no run of the reference has that loss
    there. A draw in which the reference's loss does not fall with the budget is NaN.
    """
    if curve.optimum.refused:
        return None
    exponent_P = np.where(law.exponent_P > 0, law.exponent_P, np.nan)
    with np.errstate(invalid="ignore"):
        log_needed_P: np.ndarray = (law.log_coefficient_P - np.log(curve.loss_P)) / exponent_P
    low, high = np.log(law.law.budgets[0]), np.log(law.law.budgets[-1])
    return None if low <= log_needed_P[0] <= high else log_needed_P
