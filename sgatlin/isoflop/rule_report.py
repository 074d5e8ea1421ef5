# SPDX-License-Identifier: Apache-2.0
"""The page of a study whose learning rates follow a rule: stages, rates, surfaces, variants."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sgatlin.errors import UserError
from sgatlin.files import write_output
from sgatlin.isoflop import cost_tables, tables
from sgatlin.isoflop.budget import short
from sgatlin.isoflop.curve_figure import draw_curves
from sgatlin.isoflop.curves import SETTLED, comparable
from sgatlin.isoflop.estimates import INTERVAL, Estimate
from sgatlin.isoflop.execute import pending
from sgatlin.isoflop.onset_tables import onset_section
from sgatlin.isoflop.rate_fit import RateFit, fit_rates
from sgatlin.isoflop.rate_groups import judge_rates, judgments_table, rate_groups
from sgatlin.isoflop.rates import FILE_NAME as RULE_FILE
from sgatlin.isoflop.rates import RateRule, read_rule
from sgatlin.isoflop.records import Record, Results, Run, StepTimeMissing
from sgatlin.isoflop.report import study_records
from sgatlin.isoflop.resample import resample, seed_noise
from sgatlin.isoflop.scaling_page import scaling_sections
from sgatlin.isoflop.study import Study
from sgatlin.isoflop.tables import DRAWS, Table, interval


def sweep_names(study: Study, results: Results) -> set[str]:
    """Names of the runs of the sweep: those of grids that list their rates."""
    swept = {grid.stage for grid in study.grids if isinstance(grid.learning_rates, tuple)}
    stages = study.expand(results).stages
    return {name for stage in swept for name in stages.get(stage, ())}


def sweep(study: Study, results: Results) -> list[Record]:
    """The finished runs that the rate rule is fitted to."""
    names = sweep_names(study, results)
    return [record for record in results.records() if record.run.name in names]


def unfinished(study: Study, results: Results, rule: RateRule) -> list[str]:
    """What a rule that is fitted now would lack, a line each."""
    lines = []
    names = sweep_names(study, results)
    n_finished = len(sweep(study, results))
    if n_finished < len(names):
        lines.append(f"{n_finished} of {len(names)} runs of the sweep are finished.")
    ruled = [g.layers for g in study.grids if g.learning_rates == "rule"]
    wanted = dict.fromkeys(study.rate_layer(layer) for layers in ruled for layer in layers)
    if missing := [layer for layer in wanted if layer not in rule.intercepts]:
        lines.append(f"No rate for {', '.join(missing)}: their runs wait.")
    return lines


def fit_rule(study: Study, results: Results) -> RateFit:
    """The rate rule of a study's finished sweep.

    Raises:
      UserError: the study takes no rates from a rule, or its sweep does not show one.
    """
    if not study.has_rule:
        raise UserError(
            f'study {study.name} takes no rates from a rule: give a grid learning_rates="rule"'
        )
    records = sweep(study, results)
    if not records:
        raise UserError(
            f"{results.path} has no finished run of the sweep of {study.name}: run it with "
            "`sgatlin isoflop run`, or name the folder with --results"
        )
    # On the onset of copying the best rate is the one that brings the onset forward.
    return fit_rates(comparable(records))


def write_rule_report(
    study: Study,
    results: Results,
    out: Path,
    *,
    spec: str,
    notes: str = "",
    forecast: str = "",
) -> list[Path]:
    """Writes the page and its figures beside it; returns their paths.

    `notes` is Markdown below the title, `forecast` Markdown at the end; `spec` is how the study is
    named in commands.
    """
    records = study_records(study, results)
    stem = out.with_suffix("")
    layers = study.layers if study.compared is None else study.compared
    main = study.main_runs(records)
    first = [record for record in main or records if record.run.seed == 0]
    curves = draw_curves(first, stem.with_name(f"{stem.name}-curves"), layers=layers)
    surfaces = scaling_sections(study, results, records, stem=stem)
    lines = [f"# {study.title}", "", *_how(results, records, spec), ""]
    lines += [notes, ""] if notes else []
    lines += ["## Stages", "", *STAGES, "", *stages_table(study, results).markdown(), ""]
    lines += surfaces.lines
    lines += _all_runs(main)
    lines += onset_section(records, *(path for path in curves if path.suffix == ".png"))
    lines += _rates(study, results, records)
    if (table := variants_table(study, records)) is not None:
        lines += ["## Variants", "", *VARIANTS, "", *table.markdown(), ""]
    for times in results.step_times():
        lines += [f"## Time and memory on {times.device}", ""]
        lines += ["Time and memory of a training step, alone on the device:", ""]
        lines += [*cost_tables.step_costs(study, times).markdown(), ""]
    lines += [forecast, ""] if forecast else []
    write_output(out, "\n".join(lines[:-1]) + "\n")
    return [out, *curves, *surfaces.figures]


STAGES = (
    "Seconds are those of training steps, by the step times below; a branch counts the steps that",
    "it adds to its trunk. A run that several stages share counts in each of them.",
)
KEPT = (
    f"Runs take their rates from the rule in `{RULE_FILE}`, which was fitted to another state of "
    "the sweep and differs from the fit above. Brackets are judged by that rule."
)
SWEEP = ("Loss in nats at each rate of the sweep, with the copy score at the end in parentheses:",)
VARIANTS = (
    "Loss of a variant minus that of the layer that it changes, mean over the seeds that both ran.",
    "Negative is better. Their step times are in the tables of time and memory below.",
)


def stages_table(study: Study, results: Results) -> Table:
    """Of each stage the runs that are finished, and the seconds of steps done and left."""
    expansion = study.expand(results)
    runs = {run.name: run for run in expansion.runs}
    rows = []
    for stage, names in expansion.stages.items():
        own = [run for name, run in runs.items() if name in names]
        left = {run.name for run in pending(own, results)}
        seconds = [(_seconds(study, run, results, own), run.name in left) for run in own]
        untimed = sum(s is None for s, _ in seconds)
        done, to_do = (
            sum(s for s, is_left in seconds if s is not None and is_left == wanted)
            for wanted in (False, True)
        )
        waiting = "waits for the rule or best sizes" if not own else ""
        rows.append(
            (
                stage or "(none)",
                f"{len(own) - len(left)} of {len(own)}" if own else waiting,
                f"{done:,.0f}",
                f"{to_do:,.0f}",
                f"{untimed}" if untimed else "",
            )
        )
    return Table(("stage", "runs finished", "seconds done", "seconds left", "runs not timed"), rows)


def _seconds(study: Study, run: Run, results: Results, own: Sequence[Run]) -> float | None:
    """Of the steps that a run takes itself, on the first device that its step was timed on."""
    try:
        config = study.config_of(run, results)
        device = next(t.device for t in results.step_times() if t.row(run.layer, run.scale))
        per_step = results.step_seconds(run.layer, run.scale, device)
    except (StepTimeMissing, StopIteration):
        return None
    except UserError:  # a run that cannot be, such as one that is all warm-up
        return None
    windows = study.config(run.layer, run.scale).data.batch_size
    steps = config.train.steps
    smaller = [
        study.config_of(other, results).step_before_decay or 0
        for other in own
        if run.nested
        and (other.layer, other.scale, other.seed) == (run.layer, run.scale, run.seed)
        and (other.learning_rate, other.nested) == (run.learning_rate, run.nested)
        and other.budget.amount < run.budget.amount
    ]
    return (steps - max(smaller, default=0)) * per_step * config.data.batch_size / windows


def _how(results: Results, records: Sequence[Record], spec: str) -> list[str]:
    devices = " and ".join(sorted({record.result.device for record in records}))
    versions = ", ".join(sorted({f"JAX {record.versions['jax']}" for record in records}))
    n_documents = len(records[0].documents.tokens)
    n_tokens = sum(records[0].documents.tokens)
    options = f"{spec} --results {results.path}"
    commands = ("run", "rates", "run", "time", "report")
    return [
        *(f"    sgatlin isoflop {command} {options}" for command in commands),
        "",
        f"{len(records)} runs on {devices}, {versions}. Losses are of all {n_tokens:,} held-out "
        f"tokens in {n_documents:,} documents, the same for every run.",
    ]


def _all_runs(main: Sequence[Record]) -> list[str]:
    if not main:
        return []
    lines = ["## All runs at the rule's rate", ""]
    for budget in sorted({record.run.budget for record in main}, key=lambda b: b.amount):
        lines += [f"Perplexity at {budget.described}:", ""]
        lines += [*tables.all_runs(main, budget).markdown(), ""]
    return lines


def _rates(study: Study, results: Results, records: Sequence[Record]) -> list[str]:
    swept = sweep(study, results)
    lines = ["## Learning rates", "", *SWEEP, "", *sweep_table(swept).markdown(), ""]
    try:
        fit = fit_rule(study, results)
    except UserError as error:
        return [*lines, f"There is no rate rule yet: {error}.", ""]
    names = {record.run.name for record in swept}
    rest = [record for record in records if record.run.name not in names]
    rule, kept = fit.rule, results.path / RULE_FILE
    stored: list[str] = []
    if kept.exists() and (used := read_rule(results.path)) != fit.rule:
        rule, stored = used, [KEPT, ""]
    brackets = judge_rates(rate_groups(rest), rule, fit.curvature.value)
    lines += [
        "ln(rate) = a[layer] + b ln(d_model) + c ln(steps), with b and c shared by all layers, "
        "fitted to the sweep with one parabola in ln(rate) per size and budget. Left out are runs "
        f"that end before {SETTLED:g} times the steps to their onset of copying, where others do "
        "not.",
        "",
        *fit.coefficients_table().markdown(),
        "",
        *fit.notes(),
        "",
        *fit.groups_table().markdown(),
        "",
        *stored,
    ]
    if brackets:
        lines += ["Brackets, which the rule was not fitted to:", ""]
        lines += [*judgments_table(brackets).markdown(), ""]
    return lines


def sweep_table(records: Sequence[Record]) -> Table:
    """Loss and copy score of each layer, size and budget by learning rate."""
    rates = sorted({record.run.learning_rate for record in records})
    groups: dict[tuple[str, str, int], dict[float, str]] = {}
    for record in records:
        run, score = record.run, record.copying
        cell = f"{record.loss:.3f}" + (f" ({score.score:.1f})" if score is not None else "")
        key = run.layer, f"s={run.scale:g}, {run.budget.name}", record.result.steps
        groups.setdefault(key, {})[run.learning_rate] = cell
    rows = [
        (layer, size, f"{steps:,}", *(cells.get(rate, "") for rate in rates))
        for (layer, size, steps), cells in sorted(groups.items())
    ]
    return Table(("layer", "size, budget", "steps", *map(short, rates)), rows)


def variants_table(study: Study, records: Sequence[Record]) -> Table | None:
    """Each variant against the layer that it changes, by size and budget; None without any."""
    own = [record for record in records if record.run.default_rate]
    by_run = {(r.run.layer, r.run.scale, r.run.budget, r.run.seed): r for r in own}
    rows = []
    for layer, base in study.switched.items():
        sizes = {(r.run.scale, r.run.budget) for r in own if r.run.layer == layer}
        for scale, budget in sorted(sizes, key=lambda size: (size[0], size[1].amount)):
            pairs = [
                (record, by_run[base, scale, budget, seed])
                for (name, s, b, seed), record in by_run.items()
                if (name, s, b) == (layer, scale, budget) and (base, s, b, seed) in by_run
            ]
            cell = _change(pairs, own) if pairs else "not run"
            rows.append((layer, f"s={scale:g}, {budget.name}", base, f"{len(pairs)}", cell))
    heading = ("variant", "size, budget", "changes", "seeds", "change of loss, nats")
    return Table(heading, rows) if rows else None


def _change(pairs: Sequence[tuple[Record, Record]], records: Sequence[Record]) -> str:
    chosen = [record for pair in pairs for record in pair]
    loss_PR = resample(chosen, seed_noise(records), draws=DRAWS, seed=0)
    change_P = (loss_PR[:, 0::2] - loss_PR[:, 1::2]).mean(axis=1)
    low, high = np.percentile(change_P[1:], INTERVAL).tolist()
    return interval(Estimate(float(change_P[0]), low, high), 3)
