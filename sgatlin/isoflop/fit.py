# SPDX-License-Identifier: Apache-2.0
"""The best size of each layer per budget, the laws across budgets, and how layers compare.

Every number is fitted once to the runs as measured and once to each draw of documents and seeds;
the first is its value, the draws are its interval (Approach 2 of Hoffmann et al. 2022,
arXiv 2203.15556, with intervals).

P passes: as measured, then each draw; S sizes of a layer, B budgets.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from sgatlin.errors import UserError
from sgatlin.isoflop.budget import Budget
from sgatlin.isoflop.estimates import Estimate, Gap, Optimum, Size, StudyFit
from sgatlin.isoflop.laws import Curve, fit_laws, multipliers
from sgatlin.isoflop.records import Record
from sgatlin.isoflop.resample import by_size, resample, seed_noise

MIN_SIZES = 4
"""Sizes that a parabola is fitted to, at least. It goes through any three points exactly, whether
or not the loss is a parabola: nothing checks its curvature then, and its minimum always lies below
the best run."""
NEAR = 0.3
"""Nats above the lowest loss up to which the loss is taken for a parabola. Far from the minimum it
rises much faster towards many parameters, which get few steps, than towards few."""


def fit_study(
    records: Sequence[Record],
    *,
    budgets: Sequence[Budget],
    reference: str = "swiglu",
    draws: int = 2000,
    seed: int = 0,
) -> StudyFit:
    """Fits the records of `budgets` that are at the study's own learning rate.

    Per budget and layer it fits a parabola in ln(parameters) to the mean losses of the sizes near
    the best (NEAR, and its neighbors in any case), all of equal weight. It refuses a minimum that
    fewer than MIN_SIZES sizes determine or that lies at their edge, and says why. Power laws go
    through the minima of each layer, and are refused if a measured loss contradicts them
    (`laws.fit_laws`). Multipliers are against `reference` (`laws.multipliers`).

    Args:
      budgets: of one kind: FLOPs of one convention, seconds of one device, or tokens.
      draws: of documents and seeds, for the intervals.
      seed: of the draws.

    Raises:
      UserError: budgets of several kinds, no record of any of them, or records that do not fit
        together (`resample`).
    """
    told = ", ".join(budget.described for budget in budgets)
    if len({_kind(budget) for budget in budgets}) > 1:
        raise UserError(
            f"budgets of several kinds ({told}) have no common law: fit each kind alone"
        )
    main = [r for r in records if r.run.default_rate and r.run.budget in budgets]
    if not main:
        raise UserError(
            f"no run at the study's own learning rate is finished at a budget of ({told}): first "
            "run the study with `sgatlin isoflop run`"
        )
    noise = seed_noise(main)
    curves = _curves(main, resample(main, noise, draws=draws, seed=seed))
    laws = fit_laws(curves)
    return StudyFit(
        reference=reference,
        seed_deviation=noise.deviation,
        seeds=noise.spreads,
        onset_deviation=noise.onset_deviation,
        optima=tuple(curve.optimum for curve in curves),
        laws=tuple(law.law for law in laws),
        multipliers=multipliers(curves, laws, reference),
        gaps=_gaps(curves),
    )


@dataclasses.dataclass(frozen=True)
class _Parabola:
    """loss = a + b (u - c)^2, u = ln(parameters), of every pass."""

    a_P: Float[np.ndarray, " P"]
    b_P: Float[np.ndarray, " P"]
    c_P: Float[np.ndarray, " P"]
    interior_P: Bool[np.ndarray, " P"]
    """Whether it has a minimum, and that among the sizes."""


def _curves(records: Sequence[Record], loss_PR: Float[np.ndarray, "P R"]) -> list[Curve]:
    """Of every budget, the smallest first, and of every layer that was run with it."""
    groups: dict[tuple[Budget, str], list[tuple[Size, np.ndarray]]] = {}
    for (layer, budget, scale), places in by_size(records).items():
        loss_P = loss_PR[:, places].mean(axis=1)
        size = Size(
            scale=scale,
            parameters=records[places[0]].result.parameters,
            loss=Estimate.of(loss_P),
            n_seeds=len(places),
        )
        groups.setdefault((budget, layer), []).append((size, loss_P))
    curves = []
    for budget, layer in sorted(groups, key=lambda group: group[0].amount):
        group = sorted(groups[budget, layer], key=lambda pair: pair[0].parameters)
        sizes = tuple(size for size, _ in group)
        loss_PS = np.stack([loss_P for _, loss_P in group], axis=1)
        curves.append(_curve(layer, budget, sizes, loss_PS))
    return curves


def _curve(
    layer: str, budget: Budget, sizes: tuple[Size, ...], loss_PS: Float[np.ndarray, "P S"]
) -> Curve:
    near = _near([size.loss.value for size in sizes])
    optimum = Optimum(
        layer=layer,
        budget=budget,
        sizes=sizes,
        fitted=tuple(size.scale for size in sizes[near]),
        refused=None,
        coefficients=None,
        parameters=None,
        loss=None,
        interior_share=0.0,
    )
    nothing_P = np.full(len(loss_PS), np.nan)
    best_P = loss_PS[:, np.argmin(loss_PS[0])]
    n_distinct = len({size.parameters for size in sizes})
    if n_distinct < MIN_SIZES:
        why = f"{n_distinct} of the {MIN_SIZES} sizes that a fit needs: add sizes"
        return Curve(dataclasses.replace(optimum, refused=why), best_P, nothing_P, nothing_P)
    fit = _parabola(np.log([size.parameters for size in sizes[near]]), loss_PS[:, near])
    share = float(fit.interior_P[1:].mean())
    refused = _refused(sizes, sizes[near], fit)
    if refused is not None:
        optimum = dataclasses.replace(optimum, refused=refused, interior_share=share)
        return Curve(optimum, best_P, nothing_P, nothing_P)
    loss_P = np.where(fit.interior_P, fit.a_P, np.nan)
    log_parameters_P = np.where(fit.interior_P, fit.c_P, np.nan)
    optimum = dataclasses.replace(
        optimum,
        coefficients=(float(fit.a_P[0]), float(fit.b_P[0]), float(fit.c_P[0])),
        parameters=Estimate.of(np.exp(log_parameters_P)),
        loss=Estimate.of(loss_P),
        interior_share=share,
    )
    return Curve(optimum, best_P, loss_P, log_parameters_P)


def _near(losses: Sequence[float]) -> slice:
    """The sizes, in their order, that the parabola goes through: around the best without a gap."""
    best = int(np.argmin(losses))
    first = last = best
    while first > 0 and (first == best or losses[first - 1] <= losses[best] + NEAR):
        first -= 1
    while last < len(losses) - 1 and (last == best or losses[last + 1] <= losses[best] + NEAR):
        last += 1
    return slice(first, last + 1)


def _parabola(u_S: Float[np.ndarray, " S"], loss_PS: Float[np.ndarray, "P S"]) -> _Parabola:
    middle = u_S.mean()  # about which the powers are far from collinear
    powers_S3 = np.vander(u_S - middle, 3, increasing=True)
    constant_P, slope_P, b_P = np.linalg.pinv(powers_S3) @ loss_PS.T
    with np.errstate(divide="ignore", invalid="ignore"):  # a straight line has no minimum
        off_P = -slope_P / (2 * b_P)
        a_P = constant_P - b_P * off_P**2
    c_P = middle + off_P
    interior_P = (b_P > 0) & (u_S.min() <= c_P) & (c_P <= u_S.max())
    return _Parabola(a_P, b_P, c_P, interior_P)


def _refused(sizes: tuple[Size, ...], near: tuple[Size, ...], fit: _Parabola) -> str | None:
    """Why the runs as measured determine no minimum, and what to add; None if they do."""
    smallest, largest = sizes[0], sizes[-1]
    best = min(sizes, key=lambda size: size.loss.value)
    if best is smallest:
        return f"the smallest size, s={smallest.scale:g}, has the lowest loss: add smaller sizes"
    if best is largest:
        return f"the largest size, s={largest.scale:g}, has the lowest loss: add larger sizes"
    if len({size.parameters for size in near}) < MIN_SIZES:
        scales = ", ".join(f"{size.scale:g}" for size in near)
        return (
            f"only the sizes s={scales} are near the best, and a parabola goes through any three "
            "points: add sizes between them"
        )
    if not fit.b_P[0] > 0:
        return "the parabola through the losses has no minimum: add sizes on both sides, or seeds"
    if not fit.interior_P[0]:
        below = fit.c_P[0] < np.log(smallest.parameters)
        end, add = (smallest, "smaller") if below else (largest, "larger")
        edge = "below the smallest" if below else "above the largest"
        return f"the parabola's minimum is {edge} size, s={end.scale:g}: add {add} sizes, or seeds"
    if not fit.interior_P[1:].any():
        return "no resampled parabola has its minimum among the sizes: add sizes, or seeds"
    return None


def _gaps(curves: Sequence[Curve]) -> tuple[Gap, ...]:
    """Of the best sizes that were run, to the best of the others: the same sizes in every draw."""
    gaps = []
    for curve in curves:
        layer, budget = curve.optimum.layer, curve.optimum.budget
        others = [c for c in curves if c.optimum.budget == budget and c is not curve]
        if others:
            best = min(others, key=lambda other: other.best_P[0])
            nats = Estimate.of(curve.best_P - best.best_P)
            gaps.append(Gap(layer=layer, other=best.optimum.layer, budget=budget, nats=nats))
    return tuple(gaps)


def _kind(budget: Budget) -> tuple[str, str]:
    """Budgets of one kind differ by their amount alone."""
    return budget.kind, getattr(budget, "convention", "") or getattr(budget, "device", "")
