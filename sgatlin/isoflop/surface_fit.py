# SPDX-License-Identifier: Apache-2.0
"""The surfaces of a study's layers fitted to its records, with draws, residuals and refusals.

P passes (as measured, then each draw), R runs.
"""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from sgatlin.errors import UserError
from sgatlin.isoflop.records import Record
from sgatlin.isoflop.redraw import (
    DEFAULT_CORRELATION,
    Level,
    Noise,
    pooled_noise,
    quarter_loss,
    redraw,
    trunk_correlation,
)
from sgatlin.isoflop.resample import seed_noise
from sgatlin.isoflop.surface import Coefficient, Form, Minimum, Surface, minimize

SHARED: frozenset[Coefficient] = frozenset({"E", "beta"})
DRAWS = 400
AGREE = 1e-3
"""Starts agree that end within this share of the lowest Huber loss."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SurfaceFit:
    """One surface for each layer that has enough runs."""

    surface: Surface
    records: tuple[Record, ...]
    """Those that were fitted."""
    shared: frozenset[Coefficient]
    loss_PR: Float[np.ndarray, "P R"]
    """Nats per token that the passes were fitted to."""
    residual_R: Float[np.ndarray, " R"]
    """Measured less fitted, in nats."""
    left_out_R: Float[np.ndarray, " R"]
    """Measured less what a fit to all other runs predicts, in nats."""
    n_coefficients: int
    deviation: float
    """Of the residuals with the degrees of freedom that are left, in nats."""
    degrees: int
    """Degrees of freedom: runs less coefficients."""
    seed_deviation: float
    """Of the loss between seeds, in nats, robust (`seed_noise`); 0 where no size has several."""
    correlation: float
    """Of the seed's noise in runs of one trunk."""
    is_correlation_known: bool
    """Whether that was measured, and is not the default."""
    n_agreeing: int
    """Of STARTS, how many ended at the same fit."""
    converged: float
    """Share of the draws whose fit stood still at the end."""
    refused: Mapping[str, str]
    """Layers that have no surface, and why."""

    @property
    def layers(self) -> tuple[str, ...]:
        return self.surface.layers

    @property
    def rms(self) -> float:
        """Root mean square of the residuals, in nats."""
        return math.sqrt(float((self.residual_R**2).mean()))

    @property
    def left_out_rms(self) -> float:
        """Root mean square of the errors of predictions of runs left out, in nats."""
        return math.sqrt(float((self.left_out_R**2).mean()))

    def of(self, layer: str) -> list[int]:
        """Places of a layer's runs."""
        return [i for i, record in enumerate(self.records) if record.run.layer == layer]


def size_of(record: Record) -> float:
    """N: forward FLOPs per token without the unembedding; training takes three times as many."""
    return record.result.flops_paper / record.result.tokens / 3


def fit_surfaces(
    records: Sequence[Record],
    *,
    shared: Collection[Coefficient] = SHARED,
    noise: Noise | None = None,
    quarter: int | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> SurfaceFit:
    """Fits all layers of the records at once, as measured and once to each draw.

    A draw has the noise between seeds or the deviation of the fit's own residuals, whichever is
    larger: runs that no surface of this form can go through are not known better than that.

    Args:
      records: of runs at tuned rates that a smooth surface can go through.
      shared: coefficients that all layers have in common; none for separate fits.
      noise: between seeds, for each run; `redraw.pooled_noise` by default.
      quarter: of repetition, whose losses are fitted in place of the means (`redraw`).
      draws: of documents and seeds.

    Raises UserError for too few runs, or for records that do not fit together.
    """
    refused = _refused(records, shared := frozenset(shared))
    kept = _kept(records, refused)
    form = _form(kept, shared)
    measured_R = np.array([_loss(record, quarter) for record in kept])
    first, n_agreeing = _fit_once(form, np.log(measured_R))
    residual_R = measured_R - _fitted(form, first)[0]
    degrees = len(kept) - form.n_coefficients
    deviation = math.sqrt(float((residual_R**2).sum()) / degrees)
    of_seeds = pooled_noise(kept) if noise is None else noise
    measured = trunk_correlation(kept)
    correlation = DEFAULT_CORRELATION if measured is None else measured
    loss_PR = redraw(
        kept,
        lambda record: max(of_seeds(record), Level(deviation, degrees)),
        correlation=correlation,
        draws=draws,
        seed=seed,
        quarter=quarter,
    )
    passes = _refit(form, first, np.log(np.maximum(loss_PR[1:], 1e-6)))
    return SurfaceFit(
        surface=form.surface(np.concatenate([first.theta_PF, passes.theta_PF])),
        records=tuple(kept),
        shared=shared,
        loss_PR=loss_PR,
        residual_R=residual_R,
        left_out_R=_left_out(form, first, measured_R),
        n_coefficients=form.n_coefficients,
        deviation=deviation,
        degrees=degrees,
        seed_deviation=seed_noise(kept).deviation,
        correlation=correlation,
        is_correlation_known=measured is not None,
        n_agreeing=n_agreeing,
        converged=float(passes.converged_P.mean()),
        refused=refused,
    )


def _loss(record: Record, quarter: int | None) -> float:
    return record.loss if quarter is None else quarter_loss(record, quarter)


def _fit_once(form: Form, y_R: Float[np.ndarray, " R"]) -> tuple[Minimum, int]:
    """The lowest of the starts' ends, as one pass, and how many ended there."""
    start_PF = form.start(y_R)
    y_PR = np.tile(y_R, (len(start_PF), 1))
    found = minimize(form, start_PF, y_PR, np.ones_like(y_PR))
    best = int(np.argmin(found.objective_P))
    limit = found.objective_P[best] * (1 + AGREE) + 1e-12
    chosen = Minimum(*(array[best : best + 1] for array in found))
    return chosen, int((found.objective_P <= limit).sum())


def _refit(form: Form, first: Minimum, y_PR: Float[np.ndarray, "P R"]) -> Minimum:
    start_PF = np.repeat(first.theta_PF, len(y_PR), axis=0)
    return minimize(form, start_PF, y_PR, np.ones_like(y_PR))


def _left_out(
    form: Form, first: Minimum, measured_R: Float[np.ndarray, " R"]
) -> Float[np.ndarray, " R"]:
    n_runs = len(measured_R)
    start_PF = np.repeat(first.theta_PF, n_runs, axis=0)
    y_PR = np.tile(np.log(measured_R), (n_runs, 1))
    found = minimize(form, start_PF, y_PR, 1 - np.eye(n_runs))
    return measured_R - np.diag(_fitted(form, found))


def _fitted(form: Form, found: Minimum) -> Float[np.ndarray, "P R"]:
    return form.terms(found.theta_PF).sum(axis=1)


def _refused(records: Sequence[Record], shared: frozenset[Coefficient]) -> dict[str, str]:
    """Layers whose runs do not determine a surface, and what they lack."""
    sizes, budgets, points = 2 + ("alpha" not in shared), 2, 6 - len(shared)
    refused = {}
    for layer in dict.fromkeys(record.run.layer for record in records):
        own = [record.run for record in records if record.run.layer == layer]
        has = {
            "sizes": (len({run.scale for run in own}), sizes),
            "budgets": (len({run.budget for run in own}), budgets),
            "sizes and budgets together": (len({(r.scale, r.budget) for r in own}), points),
        }
        for what, (count, needed) in has.items():
            if count < needed:
                refused[layer] = f"a surface needs {needed} {what}, and {count} are finished"
                break
    return refused


def _kept(records: Sequence[Record], refused: Mapping[str, str]) -> list[Record]:
    """Those of the layers that are not refused; UserError if there are none."""
    if not records:
        raise UserError(
            "no run is finished that a surface can be fitted to: it needs several sizes and "
            "budgets of a layer"
        )
    kept = [record for record in records if record.run.layer not in refused]
    if not kept:
        reasons = "; ".join(f"{layer}: {why}" for layer, why in refused.items())
        raise UserError(f"no layer has enough runs for a surface: {reasons}")
    return kept


def _form(kept: Sequence[Record], shared: frozenset[Coefficient]) -> Form:
    """The fit of some runs; UserError if it has no degree of freedom."""
    layers = tuple(dict.fromkeys(record.run.layer for record in kept))
    form = Form(
        layers,
        np.array([layers.index(record.run.layer) for record in kept], int),
        np.array([size_of(record) for record in kept]),
        np.array([float(record.result.tokens) for record in kept]),
        shared,
    )
    n_points = len({(r.run.layer, r.run.scale, r.run.budget) for r in kept})
    if n_points <= form.n_coefficients:
        raise UserError(
            f"the surfaces of {', '.join(layers)} have {form.n_coefficients} coefficients, and "
            f"{n_points} sizes and budgets are finished: run at least {form.n_coefficients + 1}, "
            "or share more coefficients between layers"
        )
    return form
