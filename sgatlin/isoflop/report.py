# SPDX-License-Identifier: Apache-2.0
"""The page of a study, in Markdown: what was run, tables, figures, and what a reader wrote."""

from collections.abc import Sequence
from pathlib import Path

from sgatlin.errors import UserError
from sgatlin.files import write_output
from sgatlin.isoflop import cost_tables, tables
from sgatlin.isoflop.budget import Budget, FlopBudget
from sgatlin.isoflop.curve_figure import draw_curves
from sgatlin.isoflop.curves import CROSSING_MARK, CROSSING_NOTE
from sgatlin.isoflop.estimates import StudyFit
from sgatlin.isoflop.execute import pending
from sgatlin.isoflop.figures import draw_best, draw_sizes
from sgatlin.isoflop.fit import fit_study
from sgatlin.isoflop.onset_tables import onset_section
from sgatlin.isoflop.records import Record, Results, StepTimes
from sgatlin.isoflop.study import Study, budgets_of

CONVENTIONS = (
    "Training FLOPs as multiples of those in the convention `paper`, which counts attention",
    "without its causal mask and leaves out the unembedding: first with the unembedding (`full`),",
    "then with causal attention (`causal`: half of the tokens on average). Of two layers at one",
    "`paper` budget the one with the smaller multiple spends less in that convention.",
)
SECONDS = (
    "Lowest perplexity within a limit on the seconds of steps, and the seconds of that run. A dash",
    "means that the layer's best run took less: what it reaches in more time is not known. A run",
    "that takes a little longer than the limit is not counted, so compare cells by their seconds.",
)
CURVES = "-curves"
MUCH_WARMUP = 0.1
RATES = (
    "Perplexity, one seed. At rates outside the last column only one size was run, the best one at",
    "the rates in it: layers may have other best sizes at their own best rates.",
)


def fits(study: Study, results: Results) -> dict[str, StudyFit]:
    """Fits for each kind of budget, by its name; UserError where nothing is finished."""
    records = study.main_runs(known_records(study, results))
    return {
        kind: fit_study(records, budgets=budgets, reference=study.reference)
        for kind, budgets in budgets_of(records).items()
    }


def known_records(study: Study, results: Results) -> list[Record]:
    """As `study_records`; UserError also where no run of the comparison itself is finished."""
    records = study_records(study, results)
    if not study.main_runs(records):
        raise _no_run(study, results)
    return records


def study_records(study: Study, results: Results) -> list[Record]:
    """Of the study's layers; UserError where there is none, or two read different data."""
    records = [r for r in results.records() if r.run.layer in study.layers]
    if not records:
        raise _no_run(study, results)
    for record in records:
        if record.data != records[0].data:
            raise UserError(
                f"{results.file(record.run)} is of a run on other data than that of "
                f"{records[0].run.name}: remove the one that does not belong, and run it again"
            )
    return records


def _no_run(study: Study, results: Results) -> UserError:
    return UserError(
        f"{results.path} has no finished run of {study.name}: run some with `sgatlin isoflop run`, "
        "or name the folder with --results"
    )


def fit_lines(study: Study, results: Results) -> list[str]:
    """Everything fitted, for a terminal."""
    lines: list[str] = []
    main = study.main_runs(known_records(study, results))
    for kind, fit in fits(study, results).items():
        for budget in _budgets(fit):
            table = tables.optima(fit, budget, main).lines()
            lines += ["", f"{budget.described}:", *_explained(table)]
        if (laws := tables.laws(fit)) is not None:
            lines += ["", f"Across {kind}:", *laws.lines()]
        lines += ["", *_seeds(fit), *tables.refusals(fit), *tables.refused_laws(fit)]
    return lines[1:]


def draw(study: Study, results: Results, stem: Path) -> list[Path]:
    """Figures STEM-sizes and STEM-best, and the like for other kinds of budgets than FLOPs.

    And STEM-curves, of the runs of seed 0, where records have curves.
    """
    records = study.main_runs(known_records(study, results))
    layers = study.layers if study.compared is None else study.compared
    drawn: list[Path] = []
    for kind, fit in fits(study, results).items():
        name = "" if isinstance(fit.optima[0].budget, FlopBudget) else f"-{kind.partition(' ')[0]}"
        drawn += draw_sizes(fit, stem.with_name(f"{stem.name}{name}-sizes"), layers=layers)
        if not name:
            best = stem.with_name(f"{stem.name}-best")
            drawn += draw_best(fit, records, results.step_times(), best, layers=layers)
    curves = stem.with_name(f"{stem.name}{CURVES}")
    first = [record for record in records if record.run.seed == 0]
    return [*drawn, *draw_curves(first, curves, layers=layers)]


def write_report(
    study: Study, results: Results, out: Path, *, spec: str, notes: str = ""
) -> list[Path]:
    """Writes the page and its figures beside it; returns their paths.

    `notes` is Markdown that goes below the title; `spec` is how the study is named in commands.
    """
    figures = draw(study, results, out.with_suffix(""))
    lines = page(study, results, spec, notes, figures)
    write_output(out, "\n".join(lines) + "\n")
    return [out, *figures]


def page(
    study: Study, results: Results, spec: str, notes: str, figures: Sequence[Path]
) -> list[str]:
    """Lines of the page."""
    records = known_records(study, results)
    main = study.main_runs(records)
    lines = [f"# {study.title}", "", *_how(study, results, records, spec), ""]
    lines += [notes, ""] if notes else []
    for kind, fit in fits(study, results).items():
        lines += [f"## Equal {kind}", ""]
        word = "" if isinstance(fit.optima[0].budget, FlopBudget) else kind.partition(" ")[0]
        lines += [
            f"![{kind}]({figure.name})\n"
            for figure in figures
            if figure.suffix == ".png" and (word in figure.stem if word else _is_main(figure))
        ]
        for budget in _budgets(fit):
            optima = tables.optima(fit, budget, main).markdown()
            lines += [f"**{budget.described}**", "", *_explained(optima), ""]
        lines += _reliability(fit)
        for budget in _budgets(fit):
            lines += [f"All runs at {budget.described}, perplexity:", ""]
            lines += [*tables.all_runs(main, budget).markdown(), ""]
    curves = [path for path in figures if path.name.endswith(f"{CURVES}.png")]
    lines += onset_section(records, *curves)
    lines += _costs(study, main, results.step_times())
    if (table := cost_tables.conventions(study, main)) is not None:
        lines += ["## FLOPs in other conventions", "", *CONVENTIONS, "", *table.markdown(), ""]
    if rates := tables.rates(records):
        lines += ["## Learning rates", "", *RATES, "", *rates.markdown(), ""]
    if switches := tables.switches(study, records):
        lines += ["## One switch at a time", "", *_explained(switches.markdown()), ""]
    return lines[:-1]


def _how(study: Study, results: Results, records: Sequence[Record], spec: str) -> list[str]:
    config = study.config(records[0].run.layer, records[0].run.scale)
    devices = " and ".join(sorted({record.result.device for record in records}))
    versions = sorted({f"JAX {record.versions['jax']}" for record in records})
    left = pending(study.expand(results).runs, results)
    waiting = f"; {len(left)} of the study's runs are still to be made" if left else ""
    schedule = config.optimizer.schedule
    warming = sum(_warmup(record) > MUCH_WARMUP * record.result.steps for record in records)
    n_documents = len(records[0].documents.tokens)
    n_tokens = sum(records[0].documents.tokens)
    options = f"{spec} --results {results.path}"
    return [
        f"    sgatlin isoflop run {options}",
        f"    sgatlin isoflop time {options}",
        f"    sgatlin isoflop report {options}",
        "",
        f"{len(records)} runs on {devices}, {', '.join(versions)}{waiting}. Steps of "
        f"{config.data.batch_size} windows of {config.data.seq_len:,} tokens; rate "
        f"{config.optimizer.learning_rate:g} unless the text names another; "
        f"{schedule.warmup_steps} steps of warm-up, which are more than {MUCH_WARMUP:.0%} of the "
        f"steps in {warming} of the runs; schedule {schedule.kind}. Perplexity is of all "
        f"{n_tokens:,} held-out tokens, the same for every run. Intervals cover 95 % of draws of "
        f"{n_documents:,} documents and of the noise between seeds; all layers get the same draws "
        "of documents, so gaps are known better than perplexities.",
    ]


def _warmup(record: Record) -> int:
    steps: int = record.config["optimizer"]["schedule"]["warmup_steps"]
    return steps


def _reliability(fit: StudyFit) -> list[str]:
    """What is known of laws and seeds, and which minima and laws are refused."""
    lines: list[str] = []
    if (laws := tables.laws(fit)) is not None:
        lines += ["Power laws through the parabolas' minima, loss ~ budget^-exponent:", ""]
        lines += [*laws.markdown(), ""]
    if refused := tables.refused_laws(fit):
        lines += ["Refused power laws, from which nothing is computed:", ""]
        lines += [*(f"* {line}" for line in refused), ""]
    lines += [*_seeds(fit), ""]
    if fit.seeds:
        lines += [*tables.seeds(fit).markdown(), ""]
    if refused := tables.refusals(fit):
        lines += ["No minimum is fitted for these, and the best run stands for them:", ""]
        lines += [*(f"* {line}" for line in refused), ""]
    return lines


def _seeds(fit: StudyFit) -> list[str]:
    if not fit.seeds:
        return ["No size has several seeds: intervals cover documents alone, and are too narrow."]
    largest = fit.seeds[0]
    sizes = "1 size" if len(fit.seeds) == 1 else f"{len(fit.seeds)} sizes"
    onset = ""
    if fit.onset_deviation is not None:
        onset = f", and {fit.onset_deviation:.4f} for runs on the onset of copying"
    return [
        f"Noise between seeds: a standard deviation of {fit.seed_deviation:.4f} nats{onset}, from "
        f"the median difference of two seeds ({sizes} with several). The largest difference is "
        f"{largest.difference:.4f} nats ({largest.layer} at s={largest.scale:g}, "
        f"{largest.budget.name}). Intervals take the median noise, or for a size whose seeds "
        "differ by more its own: they do not cover jumps of sizes with one seed."
    ]


def _costs(study: Study, records: Sequence[Record], all_times: Sequence[StepTimes]) -> list[str]:
    lines: list[str] = []
    for times in all_times:
        lines += [f"## Time and memory on {times.device}", ""]
        lines += ["Time and memory of a training step, alone on the device:", ""]
        lines += [*cost_tables.step_costs(study, times).markdown(), ""]
        timed = [r for r in records if times.row(r.run.layer, r.run.scale) is not None]
        seconds: dict[str, list[float]] = {}
        for record in timed:
            row = times.row(record.run.layer, record.run.scale)
            assert row is not None
            seconds.setdefault(record.run.layer, []).append(1e-3 * row.ms * record.result.steps)
        if seconds:
            lines += [*SECONDS, ""]
            table = cost_tables.reached(timed, seconds, "s", more_was_run=False)
            lines += [*table.markdown(), ""]
        lines += _memory(records, times)
    return lines


def _memory(records: Sequence[Record], times: StepTimes) -> list[str]:
    """Lowest perplexity by memory, at the largest of the FLOP budgets that most layers ran."""
    layers: dict[Budget, set[str]] = {}
    for record in records:
        if isinstance(record.run.budget, FlopBudget):
            layers.setdefault(record.run.budget, set()).add(record.run.layer)
    if not layers:
        return []
    largest = max(layers, key=lambda budget: (len(layers[budget]), budget.amount))
    gigabytes: dict[str, list[float]] = {}
    found = []
    for record in records:
        row = times.row(record.run.layer, record.run.scale)
        if record.run.budget == largest and row is not None and row.memory is not None:
            gigabytes.setdefault(record.run.layer, []).append(row.memory / 1e9)
            found.append(record)
    if not found:
        return []
    title = (
        f"Lowest perplexity at {largest.described} within a limit on training memory, and the "
        "memory of that run:"
    )
    table = cost_tables.reached(found, gigabytes, "GB", more_was_run=True)
    return [title, "", *table.markdown(), ""]


def _explained(table: list[str]) -> list[str]:
    """The lines of a table, and below it what its marks mean."""
    marked = any(CROSSING_MARK in line for line in table)
    return [*table, "", CROSSING_NOTE] if marked else table


def _budgets(fit: StudyFit) -> list[Budget]:
    return list(dict.fromkeys(optimum.budget for optimum in fit.optima))


def _is_main(figure: Path) -> bool:
    return not any(word in figure.stem for word in ("-seconds", "-tokens", CURVES))
