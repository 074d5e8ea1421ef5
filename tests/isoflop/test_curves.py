# SPDX-License-Identifier: Apache-2.0
"""The onset of copying in curves, on the page, and in the figure below the losses."""

import dataclasses
import re
import xml.etree.ElementTree as ET

import pytest

from sgatlin.isoflop.budget import FlopBudget
from sgatlin.isoflop.curve_figure import draw_curves
from sgatlin.isoflop.curves import ONSET_SCORE, crosses_onset, is_before_onset, onset_step
from sgatlin.isoflop.onset_tables import onset_section
from sgatlin.isoflop.records import Copying, Curve, Record
from tests.isoflop.made import record

LOW, HIGH = ONSET_SCORE / 2, 2 * ONSET_SCORE
BUDGET = FlopBudget(flops=1e15)


def old(layer: str = "mlp", scale: float = 1.0) -> Record:
    return record(layer, scale, BUDGET, 3.0, parameters=1000, steps=400)


def curved(
    scores: tuple[float | None, ...], layer: str = "mlp", scale: float = 1.0, **fields
) -> Record:
    """Of a run that was validated every hundred steps with these copy scores."""
    steps = tuple(100 * (place + 1) for place in range(len(scores)))
    made = record(layer, scale, BUDGET, 3.0, parameters=1000, steps=steps[-1], **fields)
    losses = tuple(4 - 0.1 * place for place in range(len(scores)))
    last = scores[-1]
    copying = None if last is None else Copying(first=9.0, second=9.0 - last)
    curve = Curve(steps=steps, losses=losses, copy_scores=scores)
    return dataclasses.replace(made, curve=curve, copying=copying)


@pytest.mark.parametrize(
    ("scores", "step", "is_before"),
    [
        ((0.0, LOW, HIGH, HIGH), 300, False),
        ((0.0, LOW, LOW, LOW), None, True),
        ((HIGH, HIGH, HIGH, HIGH), 100, False),
        # On the threshold is not above it.
        ((0.0, ONSET_SCORE, ONSET_SCORE, ONSET_SCORE), None, True),
        # It copied for a while, and ended without.
        ((0.0, HIGH, LOW, LOW), 200, True),
        ((None, None, None, None), None, None),
    ],
)
def test_onset_is_the_first_step_above_the_threshold(scores, step, is_before):
    made = curved(scores)
    assert onset_step(made) == step
    assert is_before_onset(made) is is_before


def test_an_old_record_cannot_say():
    assert onset_step(old()) is None
    assert is_before_onset(old()) is None


def test_two_runs_on_different_sides_cross_the_onset():
    copies, does_not = curved((LOW, HIGH)), curved((0.0, LOW))
    assert crosses_onset(copies, does_not)
    assert crosses_onset(does_not, copies)
    assert not crosses_onset(copies, copies)
    assert not crosses_onset(does_not, does_not)
    assert not crosses_onset(old(), copies)
    assert not crosses_onset(old(), does_not)


def cells(lines: list[str], name: str) -> list[str]:
    (row,) = (line for line in lines if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_page_lists_onsets_and_runs_before_them():
    records = [
        curved((LOW, LOW, HIGH, HIGH), "mlp", 1.0),
        curved((LOW, HIGH), "mlp", 2.0),
        curved((0.0, 0.0, LOW), "peer", 1.0),
        # Neither another seed nor another rate counts for a size's onset.
        curved((HIGH,) * 9, "peer", 1.0, seed=1),
        curved((0.25,) * 9, "peer", 2.0, learning_rate=0.5, default_rate=False),
        old("swiglu"),
    ]
    lines = onset_section(records)
    assert lines[0] == "## Before the onset of copying"
    assert "2 of 5 runs end before it; 1 more have no copy score." in lines
    assert cells(lines, "layer") == ["layer", "s=1", "s=2"]
    assert cells(lines, "mlp") == ["mlp", "300", "200"]
    assert cells(lines, "peer") == ["peer", "none by 300", ""]
    ended = cells(lines, "peer-s1-1e15")
    assert ended == ["peer-s1-1e15", "300", f"{LOW:.2f}", "3.000"]
    assert cells(lines, "peer-s2-1e15-lr0.5")[2] == "0.25"
    assert not any(line.startswith("| mlp-s") for line in lines)


def test_of_old_records_the_page_says_nothing():
    assert onset_section([old(), old("peer")]) == []


@pytest.fixture
def letters(monkeypatch) -> None:
    """Letters as text, which a test can read; the shipped form has outlines."""
    from sgatlin.isoflop import panels

    monkeypatch.setitem(panels.SETTINGS, "svg.fonttype", "none")


def test_curves_are_drawn_by_layer(tmp_path, letters):
    records = [
        curved((LOW, LOW, HIGH, HIGH), "mlp", 1.0),
        curved((LOW, HIGH), "mlp", 2.0),
        curved((0.0, 0.0, LOW), "peer", 1.0),
        curved((None, None), "moe", 1.0),
        old("swiglu"),
    ]
    layers = ("peer", "mlp", "swiglu", "moe")
    svg, png = draw_curves(records, tmp_path / "curves", layers=layers)
    assert (svg, png) == (tmp_path / "curves.svg", tmp_path / "curves.png")
    assert png.read_bytes().startswith(b"\x89PNG")
    texts = ["".join(node.itertext()) for node in ET.parse(svg).iter() if node.tag.endswith("text")]
    # Layers with a curve, in the order given; each size once in the legend.
    assert [text for text in texts if text in layers] == ["peer", "mlp", "moe"]
    assert [text for text in texts if text.startswith("s=")] == ["s=1", "s=2"]


@pytest.mark.parametrize(("last", "n_hollow"), [(LOW, 2), (HIGH, 0)])
def test_a_run_that_ends_before_the_onset_is_hollow(tmp_path, last, n_hollow):
    """In both of its panels, beside the one of the legend."""
    svg, _ = draw_curves([curved((0.0, last))], tmp_path / "curves", layers=("mlp",))
    uses = re.findall(r"<use [^>]*fill: #ffffff; stroke: #[^>]*>", svg.read_text())
    assert len(uses) == n_hollow + 1


def test_without_curves_nothing_is_drawn(tmp_path):
    assert draw_curves([old()], tmp_path / "curves", layers=("mlp",)) == ()
    assert list(tmp_path.iterdir()) == []
