# SPDX-License-Identifier: Apache-2.0
"""The page of a study whose rates follow a rule: stages, the sweep, variants, and its commands."""

import dataclasses
import math
import re
from pathlib import Path

import pytest

from sgatlin.errors import UserError
from sgatlin.isoflop.curves import comparable, is_past_onset
from sgatlin.isoflop.rates import RateRule, read_rule, write_rule
from sgatlin.isoflop.records import Copying, Curve, Record, Results, Run, StepRow, StepTimes
from sgatlin.isoflop.rule_report import (
    fit_rule,
    stages_table,
    sweep,
    sweep_table,
    unfinished,
    variants_table,
    write_rule_report,
)
from sgatlin.isoflop.study import Study
from tests.isoflop.made import record, three_documents
from tests.isoflop.test_study import LARGE, SMALL, grid, results, study_of

__all__ = ["results"]  # the fixture

TRUNK = (SMALL, LARGE)  # 100 and 200 steps
RULE = RateRule(intercepts={"a": math.log(4e-3)}, width_exponent=0.0, steps_exponent=0.0)
BEST, CURVATURE = 4e-3, 0.1


def study() -> Study:
    return study_of(
        grid((1.0,), budgets=(LARGE,), learning_rates=(2e-3, 4e-3, 8e-3), stage="A"),
        grid(
            (1.0, 2.0),
            budgets=TRUNK,
            trunk=TRUNK,
            layers=("a", "a-wide"),
            learning_rates="rule",
            stage="B",
        ),
        rate_layer=lambda layer: layer.removesuffix("-wide"),
        switched={"a-wide": "a"},
    )


def finished(run: Run, loss: float, *, steps: int = 200, onset: int | None = 50) -> Record:
    """The record of a run whose copy score passes the onset at that step."""
    made = record(
        run.layer, run.scale, run.budget, loss, parameters=1000, steps=steps, seed=run.seed
    )
    scores = tuple(0.0 if onset is None or step < onset else 3.0 for step in (25, 50, 100, steps))
    return dataclasses.replace(
        made,
        run=run,
        documents=three_documents(loss),
        config={"model": {"d_model": int(16 * run.scale)}},
        curve=Curve(steps=(25, 50, 100, steps), losses=(loss,) * 4, copy_scores=scores),
        copying=Copying(first=9.0, second=9.0 - scores[-1]),
    )


def swept_loss(rate: float) -> float:
    return 3.0 + CURVATURE * math.log(rate / BEST) ** 2


@pytest.fixture
def made(results) -> Study:
    """A study whose sweep is finished."""
    of = study()
    for run in of.expand(results).runs:
        results.write(finished(run, swept_loss(run.learning_rate)))
    return of


def test_the_rule_is_fitted_to_the_sweep_alone(made, results):
    write_rule(results.path, RULE)
    for run in made.expand(results).runs:
        if run.name in made.expand(results).stages["B"]:
            results.write(finished(run, 9.0))
    assert {record.run.learning_rate for record in sweep(made, results)} == {2e-3, 4e-3, 8e-3}
    fit = fit_rule(made, results)
    assert fit.rule.rate("a", 16, 200) == BEST
    assert fit.curvature.value == pytest.approx(CURVATURE)


def test_runs_on_the_onset_of_copying_do_not_decide_rates(made, results):
    """A run at a low rate that reached the onset late is left out of the fit, not the page."""
    slow = next(run for run in made.expand(results).runs if run.learning_rate == 2e-3)
    late = finished(slow, 5.0, onset=200)
    assert is_past_onset(late) is False
    results.write(late)
    (row,) = sweep_table(sweep(made, results)).rows
    assert row == ("a", "s=1, 12800tok", "200", "5.000 (3.0)", "3.000 (3.0)", "3.048 (3.0)")
    # Of the two rates left 4e-3 is the better one.
    with pytest.raises(UserError, match="does not show where the loss is lowest"):
        fit_rule(made, results)


@pytest.mark.parametrize(("onset", "past"), [(None, False), (50, True), (100, True), (200, False)])
def test_past_the_onset_is_twice_its_steps(results, onset, past):
    run = study().expand(results).runs[0]
    assert is_past_onset(finished(run, 3.0, onset=onset)) is past
    assert is_past_onset(record("a", 1.0, SMALL, 3.0, parameters=10)) is None


def test_runs_before_the_onset_are_compared_where_none_is_past_it(made, results):
    late, early, unknown = (
        finished(run, 3.0, onset=onset)
        for run, onset in zip(made.expand(results).runs, (50, None, 200), strict=True)
    )
    unknown = dataclasses.replace(unknown, copying=None, curve=None)
    assert comparable([late, early, unknown]) == [late, unknown]
    assert comparable([early, unknown]) == [early, unknown]


def test_stages_have_their_seconds(made, results):
    write_rule(results.path, RULE)
    rows = tuple(
        StepRow(layer=layer, scale=scale, ms=ms, state_bytes=1, temporary_bytes=1)
        for layer, scale, ms in (("a", 1.0, 100.0), ("a", 2.0, 200.0), ("a-wide", 1.0, 300.0))
    )
    results.write_step_times(StepTimes(device="NVIDIA H200", versions={}, rows=rows))
    first = next(r for r in made.expand(results).runs if r.nested and r.budget == SMALL)
    results.write(finished(first, 3.0, steps=100))
    # A: three runs of 200 steps of .1 s. B: the trunk of 100 steps decays from step 80 on, so that
    # the branch adds 120. Done is a at s = 1: 10 s; left are its branch, 12, a at s = 2, 44, and
    # a-wide at s = 1, 66; a-wide at s = 2 is not timed.
    assert [tuple(row) for row in stages_table(made, results).rows] == [
        ("A", "3 of 3", "60", "0", ""),
        ("B", "1 of 8", "10", "122", "2"),
    ]


def test_a_stage_that_waits_says_so(results):
    rows = stages_table(study(), results).rows
    assert [tuple(row[:2]) for row in rows] == [
        ("A", "0 of 3"),
        ("B", "waits for the rule or best sizes"),
    ]


def test_a_variant_is_compared_with_the_layer_that_it_changes(made, results):
    write_rule(results.path, RULE)
    losses = {("a", 1.0): 3.2, ("a-wide", 1.0): 3.1, ("a-wide", 2.0): 3.0}
    for run in made.expand(results).runs:
        if run.nested and run.budget == LARGE and (run.layer, run.scale) in losses:
            results.write(finished(run, losses[run.layer, run.scale]))
    table = variants_table(made, results.records())
    assert table is not None
    first, second = table.rows
    assert first[:4] == ("a-wide", "s=1, 12800tok", "a", "1")
    assert first[4].startswith("-0.100 [")
    assert second[3:] == ("0", "not run")
    assert variants_table(made, sweep(made, results)) is None


def test_the_page_says_what_is_missing(made, results, tmp_path):
    out = tmp_path / "page.md"
    written = write_rule_report(
        made, results, out, spec="made", notes="Read this.", forecast="## Forecast\n\nNone."
    )
    assert written[0] == out
    assert {path.name for path in written[1:]} == {"page-curves.svg", "page-curves.png"}
    text = out.read_text()
    assert text.index("Read this.") < text.index("## Stages") < text.index("## Forecast")
    assert "There is no surface yet" in text
    assert re.search(r"rate of a at d_model 16, 200 steps \| 0\.004 ", text)
    assert "## Variants" not in text


def test_a_page_without_a_rule_says_why(results, tmp_path):
    of = study()
    slowest = of.expand(results).runs[0]
    results.write(finished(slowest, 3.0))
    write_rule_report(of, results, tmp_path / "page.md", spec="made")
    text = (tmp_path / "page.md").read_text()
    assert "There is no rate rule yet: no layer was run at two learning rates" in text


def test_what_cannot_be_fitted_is_told_in_a_line(results):
    with pytest.raises(UserError, match=r"^study made takes no rates from a rule: give a grid"):
        fit_rule(study_of(grid((1.0,))), results)
    with pytest.raises(UserError, match="has no finished run of the sweep of made"):
        fit_rule(study(), results)
    with pytest.raises(UserError, match="has no finished run of made"):
        write_rule_report(study(), results, Path("page.md"), spec="made")


def test_the_rule_is_written_once(made, results, monkeypatch, capsys):
    from sgatlin.commands.isoflop import IsoflopRates

    monkeypatch.setattr(IsoflopRates, "_open", lambda self: (made, results))
    IsoflopRates(study="made")()
    assert read_rule(results.path).rate("a", 16, 200) == BEST
    write_rule(results.path, dataclasses.replace(RULE, steps_exponent=-0.5))
    IsoflopRates(study="made")()
    assert "is kept; --again replaces it" in capsys.readouterr().out
    assert read_rule(results.path).steps_exponent == -0.5
    IsoflopRates(study="made", again=True)()
    assert read_rule(results.path).steps_exponent == 0


def test_a_rule_of_a_part_of_the_sweep_says_what_it_lacks(results):
    of = dataclasses.replace(study(), rate_layer=str)
    runs = of.expand(results).runs
    for run in runs[:2]:
        results.write(finished(run, swept_loss(run.learning_rate)))
    assert unfinished(of, results, RULE) == [
        "2 of 3 runs of the sweep are finished.",
        "No rate for a-wide: their runs wait.",
    ]
    results.write(finished(runs[2], 3.1))
    assert unfinished(study(), results, RULE) == []


def test_the_page_judges_by_the_rule_that_runs_have_used(made, results, tmp_path):
    """The stored rule has half the rate of the fit: a bracket loses k ln(2)^2 by it."""
    half = dataclasses.replace(RULE, intercepts={"a": math.log(BEST / 2)})
    write_rule(results.path, half)
    bracket = next(run for run in made.expand(results).runs if run.nested and run.budget == LARGE)
    for rate in (2e-3, 4e-3, 8e-3):
        run = dataclasses.replace(bracket, learning_rate=rate, default_rate=rate == 2e-3, seed=7)
        results.write(finished(run, swept_loss(rate)))
    write_rule_report(made, results, tmp_path / "page.md", spec="made")
    text = (tmp_path / "page.md").read_text()
    assert "which was fitted to another state of the sweep" in text
    lost = f"{CURVATURE * math.log(2) ** 2:.4f}"
    assert f"| 0.004 | 0.002 | {lost} |" in text.partition("Brackets, which")[2]


def test_old_results_are_still_read(made, results):
    assert len(Results(results.path).records()) == 3
