# SPDX-License-Identifier: Apache-2.0
"""The rate rule, fitted to a sweep of learning rates.

All groups of runs that differ in their rate alone are fitted at once:

    loss = m[group] + k (ln rate - ln rate*)^2,
    ln rate* = a[layer] + b ln d_model + c ln steps.

Multiplied out, every term that does not hold the rate goes into m[group], and what is left is
linear in k and -2 k (a, b, c): one least-squares problem with one solution. One curvature k serves
all groups. A sweep has two to four rates in a group and noise of .01 to .03 nats between seeds, so
that a curvature of its own would cost each layer more than it gains, and a group of two rates
would say nothing. The groups' table shows where this matters: it has each group's own parabola.

R runs of all groups, F features: the layers, then ln d_model and ln steps as far as they are free.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from scipy import stats

from sgatlin.errors import UserError
from sgatlin.isoflop.estimates import Estimate
from sgatlin.isoflop.rate_groups import (
    Judgment,
    RateGroup,
    judge_rates,
    judgments_table,
    rate_groups,
)
from sgatlin.isoflop.rates import RateRule
from sgatlin.isoflop.records import Record
from sgatlin.isoflop.tables import Table, interval

ROUNDING = 1e-9
"""Length of a column, in units of ln(rate), below which it is zero."""
MOST_HALF_WIDTH = 1.0
"""Half of an exponent's 95 % interval above which the sweep does not identify it. At 1, a doubling
of the width, or of the steps, leaves the rate unknown by a factor of two."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RateFit:
    """A rate rule and how well it is known."""

    rule: RateRule
    curvature: Estimate
    """k, in nats per squared e-fold of the rate."""
    width_exponent: Estimate | None
    """None if the sweep does not identify it: the rule then has the default."""
    steps_exponent: Estimate | None
    """None if the sweep does not identify it: the rule then has the default."""
    middle: tuple[float, float]
    """(d_model, steps): geometric means over the groups."""
    middle_rates: dict[str, Estimate]
    """Best rate of each layer at `middle`, where it is known best."""
    judgments: tuple[Judgment, ...]
    """Of each group that was fitted."""
    residual: float
    """Standard deviation of the losses about the fit, in nats; NaN without a degree of freedom."""
    degrees: int
    """Degrees of freedom of the fit: fitted runs less parameters."""

    def notes(self) -> list[str]:
        """What a reader must know beside the tables, a line each."""
        lines = [
            f"The sweep does not identify the exponent of {name}: it is fixed to {used:g}."
            for name, estimate, used in self._exponents()
            if estimate is None
        ]
        n_open = sum(judgment.group.is_open for judgment in self.judgments)
        if n_open:
            lines.append(
                f"In {n_open} of {len(self.judgments)} groups the best rate is the lowest or the "
                "highest that was run: it may lie beyond."
            )
        if not self.degrees:
            return [*lines, "The fit has no degree of freedom: its intervals are unlimited."]
        return [
            *lines,
            f"Losses scatter by {self.residual:.4f} nats about the fit ({self.degrees} degrees of "
            "freedom).",
        ]

    def coefficients_table(self) -> Table:
        """Exponents, curvature, and each layer's rate in the middle of the sweep."""
        rows = [
            (f"exponent of {name}", f"{used:g}, fixed" if estimate is None else interval(estimate))
            for name, estimate, used in self._exponents()
        ]
        rows.append(("curvature, nats per squared e-fold", interval(self.curvature, 4)))
        d_model, steps = self.middle
        for layer, rate in self.middle_rates.items():
            value, low, high = (f"{number:.2g}" for number in rate)
            name = f"rate of {layer} at d_model {d_model:.0f}, {steps:,.0f} steps"
            rows.append((name, f"{value} [{low}, {high}]"))
        return Table(("coefficient", "value and 95 % interval"), rows)

    def groups_table(self) -> Table:
        """Each group's own best rate beside the rule's."""
        return judgments_table(self.judgments)

    def _exponents(self) -> tuple[tuple[str, Estimate | None, float], ...]:
        return (
            ("d_model", self.width_exponent, self.rule.width_exponent),
            ("steps", self.steps_exponent, self.rule.steps_exponent),
        )


def fit_rates(
    records: Sequence[Record],
    *,
    default_width_exponent: float = 0.0,
    default_steps_exponent: float = 0.0,
) -> RateFit:
    """Fits the rate rule to all groups of records that were run at two rates or more.

    An exponent that the sweep does not identify (MOST_HALF_WIDTH, or no way to separate it from the
    rest) is fixed to its default. Intervals are those of least squares with Student's t, and
    unlimited without a degree of freedom.

    Args:
      records: any runs; groups of one rate are ignored.

    Raises:
      UserError: too few rates, or losses without a minimum in ln(rate).
    """
    groups = rate_groups(records)
    if not groups:
        raise UserError(
            "no layer was run at two learning rates of one size, budget and seed: a rate rule "
            "needs a sweep, such as a grid with learning_rates"
        )
    defaults = {"width": default_width_exponent, "steps": default_steps_exponent}
    for free in (("width", "steps"), ("width",), ("steps",), ()):
        fixed = {name: value for name, value in defaults.items() if name not in free}
        solution = _solve(groups, free, fixed)
        if solution is not None and solution.is_known():
            return _rate_fit(groups, solution, fixed)
    raise UserError(
        f"the sweep ({len(groups)} groups of two rates or more) does not show where the loss is "
        "lowest: run at least three learning rates of one size, on both sides of the best, and "
        "two of every layer"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Solution:
    """Coefficients with their 95 % intervals; rates are of the middle of the sweep."""

    middle: Mapping[str, float]
    """Means over the groups of ln d_model (`width`) and ln steps (`steps`)."""
    curvature: Estimate
    log_rates: Mapping[str, Estimate]
    """By layer."""
    exponents: Mapping[str, Estimate]
    """Of those of `width` and `steps` that are free."""
    deviation: float
    degrees: int

    def is_known(self) -> bool:
        halves = ((e.high - e.low) / 2 for e in self.exponents.values())
        return all(half <= MOST_HALF_WIDTH for half in halves)


def _solve(
    groups: Sequence[RateGroup], free: Sequence[str], fixed: Mapping[str, float]
) -> _Solution | None:
    """None where the runs leave a coefficient open, or the losses have no minimum."""
    layers = tuple(dict.fromkeys(group.key.layer for group in groups))
    logs = [{"width": math.log(g.d_model), "steps": math.log(g.steps)} for g in groups]
    middle = {name: float(np.mean([log[name] for log in logs])) for name in ("width", "steps")}
    center = float(np.mean(np.concatenate([group.near()[0] for group in groups])))
    designs, targets = [], []
    for group, log in zip(groups, logs, strict=True):
        x_R, loss_R = group.near()
        x_R = x_R - center - sum(e * (log[name] - middle[name]) for name, e in fixed.items())
        feature_F = np.array(
            [float(group.key.layer == layer) for layer in layers]
            + [log[name] - middle[name] for name in free]
        )
        design_RF = np.column_stack([x_R**2, np.outer(x_R, feature_F)])
        # Less the group's mean: that is what m[group] takes up.
        designs.append(design_RF - design_RF.mean(axis=0))
        targets.append(loss_R - loss_R.mean())
    found = _least_squares(np.concatenate(designs), np.concatenate(targets), len(groups))
    if found is None:
        return None
    curvature, theta, deviation, degrees = found
    log_rates = [Estimate(*(center + number for number in e)) for e in theta[: len(layers)]]
    return _Solution(
        middle=middle,
        curvature=curvature,
        log_rates=dict(zip(layers, log_rates, strict=True)),
        exponents=dict(zip(free, theta[len(layers) :], strict=True)),
        deviation=deviation,
        degrees=degrees,
    )


def _least_squares(
    design_RF: Float[np.ndarray, "R F"], target_R: Float[np.ndarray, " R"], n_groups: int
) -> tuple[Estimate, list[Estimate], float, int] | None:
    """Curvature k, coefficients of ln(rate*), residual deviation and degrees of freedom."""
    length_F = np.linalg.norm(design_RF, axis=0)
    n_coefficients = design_RF.shape[1]
    # Squares about the mean of two rates are equal, so their column is zero but for rounding.
    if length_F.min() < ROUNDING or np.linalg.matrix_rank(design_RF / length_F) < n_coefficients:
        return None
    inverse_FR = np.linalg.pinv(design_RF)
    k, *slopes = (inverse_FR @ target_R).tolist()
    if k <= 0:
        return None
    degrees = len(target_R) - n_groups - n_coefficients
    squares = float(((target_R - design_RF @ [k, *slopes]) ** 2).sum())
    deviation = math.sqrt(squares / degrees) if degrees else math.nan
    scale = deviation * float(stats.t.ppf(0.975, degrees)) if degrees else math.inf
    theta_F = np.array(slopes) / (-2 * k)
    # The gradient of theta in (k, slopes) carries their covariance over (delta method).
    gradient_FF = np.column_stack([-theta_F / k, np.eye(len(theta_F)) / (-2 * k)])
    covariance_FF = inverse_FR @ inverse_FR.T
    half_F = scale * np.sqrt(np.diag(gradient_FF @ covariance_FF @ gradient_FF.T))
    theta = [_around(*pair) for pair in zip(theta_F.tolist(), half_F.tolist(), strict=True)]
    return _around(k, scale * math.sqrt(covariance_FF[0, 0])), theta, deviation, degrees


def _rate_fit(
    groups: Sequence[RateGroup], solution: _Solution, fixed: Mapping[str, float]
) -> RateFit:
    free = solution.exponents
    exponents = {**fixed, **{name: estimate.value for name, estimate in free.items()}}
    shift = sum(exponents[name] * solution.middle[name] for name in exponents)
    rule = RateRule(
        intercepts={layer: rate.value - shift for layer, rate in solution.log_rates.items()},
        width_exponent=exponents["width"],
        steps_exponent=exponents["steps"],
    )
    return RateFit(
        rule=rule,
        curvature=solution.curvature,
        width_exponent=free.get("width"),
        steps_exponent=free.get("steps"),
        middle=(math.exp(solution.middle["width"]), math.exp(solution.middle["steps"])),
        middle_rates={layer: _exp(rate) for layer, rate in solution.log_rates.items()},
        judgments=judge_rates(groups, rule, solution.curvature.value),
        residual=solution.deviation,
        degrees=solution.degrees,
    )


def _around(value: float, half: float) -> Estimate:
    return Estimate(value, value - half, value + half)


def _exp(log_rate: Estimate) -> Estimate:
    """Of a logarithm whose interval may be too wide for a float."""
    with np.errstate(over="ignore"):
        return Estimate(*np.exp(log_rate).tolist())
