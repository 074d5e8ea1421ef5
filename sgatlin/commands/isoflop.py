# SPDX-License-Identifier: Apache-2.0
"""`sgatlin isoflop run`, `time`, `rates`, `fit`, `plot` and `report`."""

import dataclasses
import fnmatch
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from sgatlin.errors import RunStopped, UserError, require_at_least
from sgatlin.isoflop.slurm import JobConfig

if TYPE_CHECKING:
    from sgatlin.isoflop.expansion import Expansion
    from sgatlin.isoflop.pool import Pool
    from sgatlin.isoflop.records import Results, Run
    from sgatlin.isoflop.study import Study


@dataclasses.dataclass(frozen=True, kw_only=True)
class _OfStudy:
    """What every command of a study takes."""

    study: tyro.conf.Positional[str]
    """NAME or NAME:VARIANT of configs/studies, or a path to a Python file with STUDIES."""
    results: Path | None = None
    """Folder of the records, results/NAME by default."""

    def _open(self) -> "tuple[Study, Results]":
        from sgatlin.isoflop.study import load_study, results_folder

        study = load_study(self.study)
        return study, results_folder(study, self.results)


@dataclasses.dataclass(frozen=True, kw_only=True)
class IsoflopRun(_OfStudy):
    """Train the runs of a study that are not finished yet."""

    runs: Path | None = None
    """Folder of the run directories, runs/NAME by default."""
    only: tuple[str, ...] = ()
    """Only the runs of these stages of the study, and those whose name is one of these or matches a
    pattern such as 'sgatlin-*'."""
    workers: int | None = None
    """Train in so many processes, dealt out to this machine's GPUs or TPU chips; by default in
    this one, one run after another."""
    slurm: bool = False
    """Train in jobs of Slurm's; needs the extra `slurm`."""
    job: JobConfig = dataclasses.field(default_factory=JobConfig)
    """With --slurm."""
    dry_run: bool = False
    """List the runs, with their steps and epochs' worth of tokens, and exit."""

    def __call__(self) -> None:
        from sgatlin.isoflop.drive import drive, list_runs

        study, results = self._open()
        require_at_least(1, workers=self.workers)
        if self.workers is not None and self.slurm:
            raise UserError("--workers is of this machine, --slurm of others: choose one")
        if self.dry_run:
            runs = self._chosen(study.expand(results))
            print("\n".join(list_runs(study, runs, results)))
            return
        folder = self.runs or Path("runs") / study.name
        keep_compiled(folder)
        pool = self._pool(results, folder)
        if n_failed := drive(study, results, folder, choose=self._chosen, pool=pool):
            many = "1 run" if n_failed == 1 else f"{n_failed} runs"
            raise RunStopped(f"{many} failed, as told above; the same command tries again")

    def _chosen(self, expansion: "Expansion") -> "list[Run]":
        names = {name for stage in self.only for name in expansion.stages.get(stage, ())}
        patterns = [word for word in self.only if word not in expansion.stages]
        chosen = [
            run
            for run in expansion.runs
            if not self.only or run.name in names or (patterns and _fits(run.name, patterns))
        ]
        if self.only and not chosen:
            stages = ", ".join(filter(None, expansion.stages)) or "none"
            raise UserError(
                f"--only {' '.join(self.only)}: no run of the study has such a name or stage "
                f"(stages: {stages}), or none yet: runs at best scales or at the rule's rate have "
                "names once the runs before them are finished and the rule is fitted"
            )
        return chosen

    def _pool(self, results: "Results", folder: Path) -> "Pool | None":
        from sgatlin.isoflop.execute import LOGS
        from sgatlin.isoflop.pool import LocalPool, own_command
        from sgatlin.isoflop.slurm import SlurmPool

        places = ["--results", str(results.path), "--runs", str(folder)]
        command, logs = own_command(self.study, places), folder / LOGS
        if self.slurm:
            return SlurmPool(self.job, command, logs)
        return None if self.workers is None else LocalPool(self.workers, command, logs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class IsoflopTime(_OfStudy):
    """Measure the training steps of a study's models on this device, alone on it."""

    runs: Path | None = None
    """Folder of the run directories, runs/NAME by default: what they compiled is used."""
    only: tuple[str, ...] = ()
    """Only models whose name, such as sgatlin-s1.5, is one of these or fits a pattern."""
    repeats: int = 10
    """Measurements of each, of which the median is kept."""
    again: bool = False
    """Measure also what has been measured on such a device before."""

    def __call__(self) -> None:
        import jax

        from sgatlin.isoflop.steps import measure_steps, unmeasured
        from sgatlin.isoflop.study import models

        study, results = self._open()
        require_at_least(1, repeats=self.repeats)
        chosen = [(layer, s) for layer, s in models(study) if _fits(f"{layer}-s{s:g}", self.only)]
        if not chosen:
            raise UserError(f"--only {' '.join(self.only)}: no model of the study has such a name")
        device = jax.devices()[0].device_kind
        todo = chosen if self.again else unmeasured(results, device, chosen)
        keep_compiled(self.runs or Path("runs") / study.name)
        print(f"{device}: {len(chosen) - len(todo)} of {len(chosen)} models are measured")
        if n_failed := measure_steps(study, results, todo, repeats=self.repeats):
            raise RunStopped(f"{n_failed} of {len(todo)} could not be measured, as told above")


def keep_compiled(folder: Path) -> None:
    """What is compiled is kept in the folder of a study's runs, for all processes that train it."""
    import jax

    if jax.config.values["jax_compilation_cache_dir"] is None:
        jax.config.update("jax_compilation_cache_dir", str((folder / ".compiled").resolve()))


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


@dataclasses.dataclass(frozen=True, kw_only=True)
class IsoflopFit(_OfStudy):
    """Fit the finished runs of a study: best sizes, laws, gaps, each with its interval."""

    def __call__(self) -> None:
        from sgatlin.isoflop.report import fit_lines

        print("\n".join(fit_lines(*self._open())))


@dataclasses.dataclass(frozen=True, kw_only=True)
class IsoflopPlot(_OfStudy):
    """Draw the finished runs of a study, as .svg and .png."""

    out: Path | None = None
    """Where figures go, and how their names begin; NAME in this folder by default."""

    def __call__(self) -> None:
        from sgatlin.isoflop.report import draw

        study, results = self._open()
        for path in draw(study, results, self.out or Path(study.name)):
            print(path)


@dataclasses.dataclass(frozen=True, kw_only=True)
class IsoflopRates(_OfStudy):
    """Fit the rate rule of a study to its finished sweep and write it beside the records.

    Runs take their rates from the rule, so a study that already has a rule keeps it. `--again`
    replaces it.
    """

    again: bool = False
    """Replace the rule that the study already has. Runs at its rates must then be run again."""

    def __call__(self) -> None:
        from sgatlin.isoflop.rates import FILE_NAME, write_rule
        from sgatlin.isoflop.rule_report import fit_rule, unfinished

        study, results = self._open()
        fit = fit_rule(study, results)
        for table in (fit.coefficients_table(), fit.groups_table()):
            print("\n".join([*table.lines(), ""]))
        print("\n".join([*fit.notes(), *unfinished(study, results, fit.rule)]))
        file = results.path / FILE_NAME
        if file.exists() and not self.again:
            print(f"{file} is kept; --again replaces it, and runs at its rates must be run again")
            return
        print(write_rule(results.path, fit.rule))


@dataclasses.dataclass(frozen=True, kw_only=True)
class IsoflopReport(_OfStudy):
    """Write the page of a study, with its tables and figures."""

    out: Path | None = None
    """Markdown file; NAME.md in this folder by default. Figures go beside it."""
    notes: Path | None = None
    """Markdown file whose text goes below the title: what the numbers say."""
    forecast: Path | None = None
    """Markdown file whose text goes at the end of the page: what was expected before the runs. Only
    for studies whose rates follow a rule."""

    def __call__(self) -> None:
        from sgatlin.isoflop.report import write_report
        from sgatlin.isoflop.rule_report import write_rule_report

        study, results = self._open()
        out = self.out or Path(f"{study.name}.md")
        if out.is_dir():
            raise UserError(f"--out {out} is a folder: name a file")
        notes = _text(self.notes, "--notes")
        if study.has_rule:
            forecast = _text(self.forecast, "--forecast")
            written = write_rule_report(
                study, results, out, spec=self.study, notes=notes, forecast=forecast
            )
        elif self.forecast is not None:
            raise UserError(f"--forecast: study {study.name} has no rate rule; use --notes")
        else:
            written = write_report(study, results, out, spec=self.study, notes=notes)
        for path in written:
            print(path)


def _text(path: Path | None, option: str) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {option} {path}: {error}") from None
