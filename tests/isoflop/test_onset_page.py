# SPDX-License-Identifier: Apache-2.0
"""The page marks gaps that lie across the onset of copying."""

import dataclasses

import pytest

from sgatlin.config import Config
from sgatlin.isoflop.curves import CROSSING_MARK, CROSSING_NOTE, ONSET_SCORE
from sgatlin.isoflop.fit import fit_study
from sgatlin.isoflop.records import Copying, Curve, Record, Results
from sgatlin.isoflop.report import fit_lines, write_report
from sgatlin.isoflop.study import Study
from sgatlin.isoflop.tables import optima, switches
from tests.isoflop.made import record
from tests.isoflop.tiny import tiny, write_studies

# Least at the middle size, and which of the layers copies there.
LOSSES = {"mlp": (3.1, 3.0, 3.1), "swiglu": (3.0, 2.9, 3.0)}
COPIES, DOES_NOT = 3 * ONSET_SCORE, ONSET_SCORE / 3


@pytest.fixture(scope="module")
def two(toy: Config, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Of mlp and swiglu with one budget of tokens."""
    return tiny(write_studies(tmp_path_factory.mktemp("studies") / "studies.py", toy), "two")


def scored(made: Record, score: float) -> Record:
    curve = Curve(steps=(50, 100), losses=(4.0, 3.0), copy_scores=(0.0, score))
    return dataclasses.replace(made, curve=curve, copying=Copying(first=9.0, second=9.0 - score))


def records_of(study: Study, scores: dict[str, tuple[float, ...]]) -> list[Record]:
    """Three sizes of each layer, with these copy scores."""
    (budget,) = study.grids[0].budgets
    config = {"optimizer": {"schedule": {"warmup_steps": 4}}}
    made = [
        scored(record(layer, scale, budget, loss, parameters=round(1000 * scale)), score)
        for layer, losses in LOSSES.items()
        for scale, loss, score in zip((1.0, 2.0, 3.0), losses, scores[layer], strict=True)
    ]
    return [dataclasses.replace(one, config=config) for one in made]


def gap_cells(study: Study, scores: dict[str, tuple[float, ...]]) -> list[str]:
    records = records_of(study, scores)
    fit = fit_study(records, budgets=study.grids[0].budgets, draws=20)
    table = optima(fit, study.grids[0].budgets[0], records)
    column = table.heading.index("gap to the best other layer, nats")
    return [row[column] for row in table.rows]


@pytest.mark.parametrize(
    ("scores", "marked"),
    [
        ({"mlp": (DOES_NOT, DOES_NOT, COPIES), "swiglu": (COPIES,) * 3}, True),
        # Of mlp's sizes only one that is not compared lies before the onset.
        ({"mlp": (DOES_NOT, COPIES, DOES_NOT), "swiglu": (COPIES,) * 3}, False),
        ({"mlp": (DOES_NOT,) * 3, "swiglu": (DOES_NOT,) * 3}, False),
    ],
)
def test_gaps_across_the_onset_are_marked(two, scores, marked):
    cells = gap_cells(two, scores)
    assert len(cells) == 2
    assert [cell.endswith(f" {CROSSING_MARK}") for cell in cells] == [marked] * 2


def test_one_seed_on_the_other_side_marks_a_gap(two):
    copying = {"mlp": (COPIES,) * 3, "swiglu": (COPIES,) * 3}
    records = records_of(two, copying)
    second = dataclasses.replace(records[1], run=dataclasses.replace(records[1].run, seed=1))
    records.append(scored(second, DOES_NOT))
    fit = fit_study(records, budgets=two.grids[0].budgets, draws=20)
    rows = optima(fit, two.grids[0].budgets[0], records).rows
    assert all(any(CROSSING_MARK in cell for cell in row) for row in rows)


def test_switches_across_the_onset_are_marked(two):
    study = dataclasses.replace(two, compared=("swiglu",), switched={"mlp": "swiglu"})
    scores = {"mlp": (DOES_NOT, COPIES, COPIES), "swiglu": (COPIES,) * 3}
    table = switches(study, records_of(study, scores))
    assert [row[-1].endswith(CROSSING_MARK) for row in table.rows] == [True, False, False]


def test_page_figures_and_marks(two, tmp_path):
    results = Results(tmp_path / "results")
    for made in records_of(two, {"mlp": (DOES_NOT,) * 3, "swiglu": (COPIES,) * 3}):
        results.write(made)
    written = write_report(two, results, tmp_path / "page.md", spec="tiny")
    page = (tmp_path / "page.md").read_text()
    assert {tmp_path / "page-curves.svg", tmp_path / "page-curves.png"} <= set(written)
    section = page.partition("\n## Before the onset of copying\n")[2].partition("\n## ")[0]
    assert "3 of 6 runs end before it." in section
    assert "](page-curves.png)\n" in section
    assert [line.split(" |")[0] for line in section.splitlines() if "| mlp-s" in line] == [
        f"| mlp-s{scale}-1280tok" for scale in (1, 2, 3)
    ]
    assert page.count("page-curves.png") == 1
    assert page.count(CROSSING_NOTE) == 1
    assert fit_lines(two, results).count(CROSSING_NOTE) == 1


def test_a_page_of_old_records_has_neither(two, tmp_path):
    results = Results(tmp_path / "results")
    for made in records_of(two, {"mlp": (DOES_NOT,) * 3, "swiglu": (COPIES,) * 3}):
        results.write(dataclasses.replace(made, curve=None, copying=None))
    written = write_report(two, results, tmp_path / "page.md", spec="tiny")
    page = (tmp_path / "page.md").read_text()
    assert not any("curves" in path.name for path in written)
    assert "onset" not in page
    assert CROSSING_MARK not in page
