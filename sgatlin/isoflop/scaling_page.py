# SPDX-License-Identifier: Apache-2.0
"""The sections of a study's page that rest on loss surfaces, in Markdown, and their figures."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from sgatlin.errors import UserError
from sgatlin.isoflop import scaling_tables as tables
from sgatlin.isoflop.budget import FlopBudget
from sgatlin.isoflop.curves import SETTLED, comparable
from sgatlin.isoflop.frontier import FULL, PAPER, Cost, flop_budgets, flops_by, seconds
from sgatlin.isoflop.records import Record, Results, StepTimes
from sgatlin.isoflop.redraw import N_QUARTERS, Noise
from sgatlin.isoflop.scaling_figures import draw_bytes, draw_frontiers
from sgatlin.isoflop.study import Study
from sgatlin.isoflop.surface import STARTS, Coefficient
from sgatlin.isoflop.surface_fit import DRAWS, SurfaceFit, fit_surfaces

POOR = 2.0
"""Times the noise between seeds from which the residuals say that the form does not fit."""
OTHER_FORMS: tuple[frozenset[Coefficient], ...] = (frozenset({"E", "alpha", "beta"}), frozenset())
"""What layers share in further fits, to see what depends on it."""


class Sections(NamedTuple):
    """Lines of a page, and the figures that they show."""

    lines: list[str]
    figures: list[Path]


def scaling_sections(
    study: Study,
    results: Results,
    records: Sequence[Record],
    *,
    stem: Path | None = None,
    noise: Noise | None = None,
    between: tables.Sides | None = None,
    draws: int = DRAWS,
) -> Sections:
    """Everything that the surfaces of a study's main runs say, and what is missing for the rest.

    Args:
      records: of the study; those of its comparison, at FLOP budgets, that are `comparable`, are
        fitted.
      stem: where figures go, and how their names begin; None for no figures.
      noise: between seeds, for each run; pooled by default.
      between: which layers are compared; by default those that are neither dense, a mixture nor
        PEER with the best dense layer, the best mixture, and each of these layers.

    Raises:
      UserError: records that do not fit together, or figures that cannot be drawn.
    """
    main = [r for r in study.main_runs(records) if isinstance(r.run.budget, FlopBudget)]
    late = comparable(main)
    early = [record for record in main if record not in late]
    lines = ["## Loss surfaces", ""]
    try:
        fit = fit_surfaces(late, noise=noise, draws=draws)
    except UserError as error:
        return Sections([*lines, f"There is no surface yet: {error}.", ""], [])
    between = tables.sides(fit.layers) if between is None else between
    all_times = results.step_times()
    costs = [PAPER, FULL, flops_by(study, "causal"), *(seconds(study, t) for t in all_times)]
    lines += [*_method(fit), "", *_missing(study, fit, early, all_times), ""]
    figures = [] if stem is None else _figures(study, fit, costs, all_times, stem)
    lines += [f"![{path.stem}]({path.name})\n" for path in figures if path.suffix == ".png"]
    lines += [*tables.coefficients(fit).markdown(), ""]
    lines += [
        "Measured less fitted loss, in brackets less the prediction of a fit without the run:"
    ]
    lines += ["", *tables.residuals(fit).markdown(), ""]
    lines += _gaps(fit, between, costs)
    lines += _forms(late, between, fit, noise, draws)
    lines += _crossings(fit, between, costs)
    lines += _bytes(fit, between, all_times)
    lines += _quarters(late, between, fit, noise, draws)
    return Sections(lines, figures)


def _method(fit: SurfaceFit) -> list[str]:
    shared = " and ".join(sorted(fit.shared)) or "nothing"
    seeds = "no size has several seeds"
    if fit.seed_deviation:
        seeds = f"between seeds the loss has a deviation of {fit.seed_deviation:.4f}"
    known = "as measured" if fit.is_correlation_known else "assumed"
    lines = [
        "L(N, D) = E + A / N^alpha + B / D^beta, where N is the forward FLOPs per token without "
        "the unembedding and D the training tokens (Hoffmann et al. 2022). One fit with "
        f"{fit.n_coefficients} coefficients to {len(fit.records)} runs of {len(fit.layers)} "
        f"layers, which share {shared}. {fit.n_agreeing} of {len(STARTS)} starts end at this fit, "
        f"and {fit.converged:.0%} of the fits to draws converge. The residuals are {fit.rms:.4f} "
        "nats (RMS), the errors of predictions for runs that were left out "
        f"{fit.left_out_rms:.4f}; {seeds}. Intervals are of 95 % over "
        f"{len(fit.loss_PR) - 1} draws of documents, the same for all layers, and of noise, with "
        "the deviation between seeds or that of the residuals "
        f"({fit.deviation:.4f} nats), whichever is larger. Runs that branch off one trunk share "
        f"{fit.correlation:.0%} of the noise's variance ({known}).",
    ]
    if fit.seed_deviation and fit.deviation > POOR * fit.seed_deviation:
        lines += [
            "",
            "**The residuals are far above the noise between seeds: surfaces of this form do not "
            "describe these runs, and what rests on the fit is uncertain beyond its intervals.**",
        ]
    return lines


def _missing(
    study: Study, fit: SurfaceFit, early: Sequence[Record], all_times: Sequence[StepTimes]
) -> list[str]:
    """What is not there yet, or was left out, a line each."""
    compared = study.layers if study.compared is None else study.compared
    seen = {*fit.layers, *fit.refused}
    lines = [f"* {layer} has no surface: {why}." for layer, why in fit.refused.items()]
    if absent := [layer for layer in compared if layer not in seen]:
        lines.append(f"* No run of {', '.join(absent)} is finished.")
    if early:
        names = ", ".join(record.run.name for record in early)
        lines.append(
            f"* Left out, since they end before {SETTLED:g} times the steps to the onset of "
            f"copying: {names}."
        )
    if not all_times:
        lines.append("* No step is timed: nothing is said about seconds and training memory.")
    for times in all_times:
        untimed = [
            layer
            for layer in fit.layers
            if any(times.row(layer, fit.records[i].run.scale) is None for i in fit.of(layer))
        ]
        if untimed:
            lines.append(f"* On {times.device} some steps of {', '.join(untimed)} are not timed.")
    return lines


def _figures(
    study: Study,
    fit: SurfaceFit,
    costs: Sequence[Cost],
    all_times: Sequence[StepTimes],
    stem: Path,
) -> list[Path]:
    layers = study.layers if study.compared is None else study.compared
    drawn = [PAPER, *(cost for cost in costs if cost.unit == "s")]
    budget = _shared_budget(fit)
    return [
        *draw_frontiers(fit, drawn, stem.with_name(f"{stem.name}-frontiers"), layers=layers),
        *draw_bytes(
            fit,
            budget,
            _quantities(all_times),
            stem.with_name(f"{stem.name}-bytes"),
            layers=layers,
        ),
    ]


def _gaps(fit: SurfaceFit, between: tables.Sides, costs: Sequence[Cost]) -> list[str]:
    budgets = flop_budgets(fit.records)
    amounts = [budget.flops for budget in budgets]
    lines = ["## Gaps at equal FLOPs", ""]
    if not between.pairs(one_by_one=True):
        return [*lines, "There are no two sides to compare yet.", ""]
    lines += [
        "Loss of the first layer minus that of the second, in nats, by the surfaces. Each is at "
        "its best size among those that were run. Below 0 the first is better.",
        "",
    ]
    for cost in (cost for cost in costs if cost.unit == "FLOPs"):
        table, has_edge = tables.gaps(fit, between, cost, amounts)
        if table.rows:
            lines += [f"**{cost.name}**", "", *table.markdown(), ""]
            if has_edge:
                lines += [
                    f"{tables.EDGE} The first layer's best size is the smallest or the largest "
                    "that was run.",
                    "",
                ]
    lines += ["The same without the surfaces: the best run of each at equal FLOPs (paper).", ""]
    lines += [*tables.measured_gaps(fit, between, budgets).markdown(), ""]
    return lines


def _forms(
    records: Sequence[Record],
    between: tables.Sides,
    fit: SurfaceFit,
    noise: Noise | None,
    draws: int,
) -> list[str]:
    """The same gaps by fits that share more or less."""
    fits = [fit]
    for shared in OTHER_FORMS:
        with contextlib.suppress(UserError):  # too few runs for as many coefficients
            fits.append(fit_surfaces(records, shared=shared, noise=noise, draws=draws))
    if len(fits) == 1 or not between.pairs(one_by_one=False):
        return []
    budget = _shared_budget(fit)
    return [
        f"How gaps at {budget.described} depend on which coefficients the layers share:",
        "",
        *tables.forms(fits, between, budget).markdown(),
        "",
    ]


def _crossings(fit: SurfaceFit, between: tables.Sides, costs: Sequence[Cost]) -> list[str]:
    found = tables.crossings(fit, between, costs)
    if not found:
        return []
    return [
        "## Where one layer overtakes another",
        "",
        "The budget from which the first layer has the lower loss, up to the longest budget that "
        "both have runs for. Each is at its best size among those that were run. A place beyond "
        "the longest run is an extrapolation, without larger sizes. Step times count as exact.",
        "",
        *tables.crossings_table(found).markdown(),
        "",
    ]


def _bytes(fit: SurfaceFit, between: tables.Sides, all_times: Sequence[StepTimes]) -> list[str]:
    budget = _shared_budget(fit)
    lines = []
    for name, reference in between.baselines.items():
        table = tables.equal_loss(fit, reference, budget, _quantities(all_times))
        if table is not None:
            lines += [f"To have the lowest loss of {name} ({' or '.join(reference)}):", ""]
            lines += [*table.markdown(), ""]
    if not lines:
        return []
    return [
        "## Bytes at equal loss",
        "",
        f"The smallest model with a given loss at {budget.described}, by the surfaces: its "
        "parameters in training (float32), and all that a training step holds.",
        "",
        *lines,
    ]


def _quarters(
    records: Sequence[Record],
    between: tables.Sides,
    fit: SurfaceFit,
    noise: Noise | None,
    draws: int,
) -> list[str]:
    if not between.pairs(one_by_one=False):
        return []
    lines = ["## Gaps by repetition", ""]
    kept = [r for r in records if r.quarters is not None and None not in r.quarters.losses]
    if len(kept) < len(records):
        n_without = len(records) - len(kept)
        lines += [f"{n_without} of {len(records)} runs have no loss by quarter of repetition.", ""]
    try:
        fits = [
            fit_surfaces(kept, noise=noise, quarter=quarter, draws=draws)
            for quarter in range(N_QUARTERS)
        ]
    except UserError as error:
        return [*lines, f"There is no surface of each quarter yet: {error}.", ""]
    budget = _shared_budget(fit)
    lines += [
        f"Gaps at {budget.described} in quarters of the held-out text, from the least repetitive "
        "(Q1) to the most, each with surfaces of its own. The records do not say which documents a "
        "quarter holds: its deviation between draws of documents is taken to be twice that of all.",
        "",
    ]
    by_surface = tables.quarter_gaps(fits, between, budget, measured=False)
    by_runs = tables.quarter_gaps(fits, between, budget, measured=True)
    lines += [*by_surface.markdown(), "", "The same gaps from the runs alone:", ""]
    return [*lines, *by_runs.markdown(), ""]


def _shared_budget(fit: SurfaceFit) -> FlopBudget:
    """The FLOP budget that most layers were run with, of several the largest."""
    layers: dict[FlopBudget, set[str]] = {}
    for record in fit.records:
        if isinstance(record.run.budget, FlopBudget):
            layers.setdefault(record.run.budget, set()).add(record.run.layer)
    return max(layers, key=lambda budget: (len(layers[budget]), budget.flops))


def _quantities(all_times: Sequence[StepTimes]) -> dict[str, Callable[[Record], float | None]]:
    return {
        "parameters": tables.parameter_bytes,
        **{f"training memory on {times.device}": _memory(times) for times in all_times},
    }


def _memory(times: StepTimes) -> Callable[[Record], float | None]:
    def of(record: Record) -> float | None:
        row = times.row(record.run.layer, record.run.scale)
        return None if row is None else row.memory

    return of
