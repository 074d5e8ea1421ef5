# SPDX-License-Identifier: Apache-2.0
"""The page's sections have the numbers of known surfaces, and say what is missing for the rest."""

import dataclasses
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from sgatlin.errors import UserError
from sgatlin.isoflop import panels
from sgatlin.isoflop import scaling_tables as tables
from sgatlin.isoflop.frontier import PAPER
from sgatlin.isoflop.records import Copying, Record, Results, StepRow, StepTimes
from sgatlin.isoflop.scaling_figures import draw_bytes, draw_frontiers
from sgatlin.isoflop.scaling_page import scaling_sections
from sgatlin.isoflop.scaling_tables import Sides, sides
from sgatlin.isoflop.study import Study, load_study
from sgatlin.isoflop.surface_fit import SurfaceFit, fit_surfaces
from tests.isoflop.cells import cells
from tests.isoflop.planted import (
    BUDGETS,
    LAYERS,
    SCALES,
    TOKENS_PER_STEP,
    planted,
    seconds_cost,
    size_at,
)


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study("scaling")


@pytest.fixture(scope="module")
def fit() -> SurfaceFit:
    return fit_surfaces(planted(), draws=5)


def step_times(layers=tuple(LAYERS)) -> StepTimes:
    rows = (
        StepRow(
            layer=layer,
            scale=scale,
            ms=1e3 * TOKENS_PER_STEP * LAYERS[layer].seconds_per_token(size_at(scale)),
            state_bytes=round(6 * size_at(scale)),
            temporary_bytes=10**9,
        )
        for layer in layers
        for scale in SCALES
    )
    return StepTimes(device="NVIDIA H200", versions={}, rows=tuple(rows))


def page(study: Study, folder: Path, records: list[Record], **options) -> str:
    sections = scaling_sections(study, Results(folder), records, draws=5, **options)
    return "\n".join(sections.lines)


def test_everything_is_there(study, tmp_path, monkeypatch):
    Results(tmp_path).write_step_times(step_times())
    stem = tmp_path / "page" / "scaling"
    sections = scaling_sections(study, Results(tmp_path), planted(), stem=stem, draws=5)
    text = "\n".join(sections.lines)
    headings = [line for line in sections.lines if line.startswith("## ")]
    assert headings == [
        "## Loss surfaces",
        "## Gaps at equal FLOPs",
        "## Where one layer overtakes another",
        "## Bytes at equal loss",
        "## Gaps by repetition",
    ]
    assert sections.figures == [
        stem.with_name(f"scaling-{name}.{kind}")
        for name in ("frontiers", "bytes")
        for kind in ("svg", "png")
    ]
    for figure in sections.figures:
        assert figure.stat().st_size > 1000
        assert (f"({figure.name})" in text) == (figure.suffix == ".png")
    gap = LAYERS["sgatlin"].best(1e16) - LAYERS["swiglu"].best(1e16)
    rows = re.findall(r"^\| sgatlin \| swiglu \|.*", text, re.MULTILINE)
    # Gaps in three conventions, of runs, and by other forms; four crossings; quarters, and of runs.
    assert len(rows) == 3 + 1 + 1 + 4 + 2
    assert rows[0].split("|")[-2].split()[0] == f"{gap:.3f}"
    assert "| sgatlin | swiglu | seconds on NVIDIA H200 |" in text
    assert "* No run of mlp, sgatlin-c8, sgatlin-g4, peer is finished." in text
    assert "no size has several seeds" in text
    assert "far above the noise" not in text


def test_without_runs_there_is_no_surface(study, tmp_path):
    text = page(study, tmp_path, [], stem=tmp_path / "none")
    assert "There is no surface yet: no run is finished" in text
    assert list(tmp_path.iterdir()) == []
    few = planted(scales=(2.0, 3.0))
    assert "swiglu: a surface needs 3 sizes, and 2 are finished" in page(study, tmp_path, few)


def test_what_is_missing_is_said(study, tmp_path):
    records = [
        dataclasses.replace(r, quarters=None) if r.run.layer == "moe" else r for r in planted()
    ]
    text = page(study, tmp_path, records)
    assert "* No step is timed: nothing is said about seconds and training memory." in text
    assert "seconds on" not in text
    assert "MB of parameters" in text
    assert "12 of 36 runs have no loss by quarter of repetition." in text
    assert "| sgatlin | moe |" not in text[text.index("## Gaps by repetition") :]
    Results(tmp_path).write_step_times(step_times(("swiglu",)))
    text = page(study, tmp_path, records)
    assert "* On NVIDIA H200 some steps of moe, sgatlin are not timed." in text
    alone = page(study, tmp_path, planted(layers={"moe": LAYERS["moe"]}))
    assert "There are no two sides to compare yet." in alone


def test_runs_before_the_onset_of_copying_are_left_out(study, tmp_path):
    def copying(one: Record) -> Record:
        is_early = (one.run.layer, one.run.scale, one.run.budget) == ("moe", 4.0, BUDGETS[0])
        score = Copying(first=9.0, second=8.9 if is_early else 1.0)
        loss = one.loss + is_early
        result = dataclasses.replace(one.result, val_loss=loss)
        return dataclasses.replace(one, copying=score, result=result)

    text = page(study, tmp_path, [copying(one) for one in planted()])
    early = "since they end before 2 times the steps to the onset of copying: moe-s4-1e15."
    assert f"* Left out, {early}" in text
    assert "to 35 runs of 3 layers" in text
    assert "The residuals are 0.0000 nats" in text


def test_a_form_that_does_not_fit_is_said(study, tmp_path):
    rng = np.random.default_rng(0)
    records = planted(rng, seeds=(0, 1, 2), deviation=0.001)
    jumped = [
        dataclasses.replace(r, result=dataclasses.replace(r.result, val_loss=r.loss + 0.2))
        if r.run.scale == 2.5
        else r
        for r in records
    ]
    assert "far above the noise between seeds" in page(study, tmp_path, jumped)
    assert "far above the noise between seeds" not in page(study, tmp_path, planted(rng))


def test_sides():
    found = sides(("mlp", "moe", "peer", "sgatlin", "swiglu", "sgatlin-g4"))
    assert found == Sides(
        subjects=("sgatlin", "sgatlin-g4"),
        baselines={"the best dense layer": ("mlp", "swiglu"), "the best mixture": ("moe",)},
        others=("peer",),
    )
    assert found.pairs(one_by_one=False)[:2] == [
        ("sgatlin", "the best dense layer", ("mlp", "swiglu")),
        ("sgatlin", "moe", ("moe",)),
    ]
    assert [name for _, name, _ in found.pairs(one_by_one=True)[:5]] == [
        "the best dense layer",
        "moe",
        "mlp",
        "swiglu",
        "peer",
    ]


def test_residuals_are_means_of_seeds():
    records = planted(seeds=(0, 1))
    for place, off in ((6, 0.03), (9, 0.01)):  # s=3 of swiglu, both seeds at 1e15
        assert (records[place].run.scale, records[place].run.budget) == (3.0, BUDGETS[0])
        result = dataclasses.replace(records[place].result, val_loss=records[place].loss + off)
        records[place] = dataclasses.replace(records[place], result=result)
    fit = fit_surfaces(records, draws=2)
    heading, *rows = cells(tables.residuals(fit))
    assert heading == ["layer", "size", "1e15", "3e15", "1e16"]
    assert [row[:2] for row in rows[:4]] == [["swiglu", f"s={s}"] for s in ("2", "2.5", "3", "4")]
    off, left_out = ((of_R[6] + of_R[9]) / 2 for of_R in (fit.residual_R, fit.left_out_R))
    assert 0 < off < 0.02
    assert rows[2][2] == f"{off:+.3f} ({left_out:+.3f})"


def test_bytes_of_a_layer_that_does_not_have_the_loss(fit):
    table = tables.equal_loss(fit, ["sgatlin"], BUDGETS[2], {"parameters": tables.parameter_bytes})
    rows = {row[0]: row[1] for row in cells(table)[1:]}
    assert rows["swiglu"] == "not reached, in 0% of draws"
    assert re.match(r"\d+ \[", rows["sgatlin"])
    assert tables.equal_loss(fit, ["peer"], BUDGETS[2], {}) is None


def texts(svg: Path) -> list[str]:
    elements = ET.parse(svg).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(element.itertext()).strip() for element in elements]


def test_figures_name_layers_and_axes(fit, tmp_path, monkeypatch):
    monkeypatch.setitem(panels.SETTINGS, "svg.fonttype", "none")
    svg, png = draw_frontiers(fit, [PAPER, seconds_cost()], tmp_path / "new" / "one")
    assert png.read_bytes().startswith(b"\x89PNG")
    found = texts(svg)
    for text in (*LAYERS, "FLOPs (paper)", "seconds on a device", "held-out loss, nats per token"):
        assert found.count(text) == 1, text
    kinds = {"parameters": tables.parameter_bytes, "nothing": lambda one: None}
    found = texts(draw_bytes(fit, BUDGETS[2], kinds, tmp_path / "two")[0])
    for text in (*LAYERS, "MB of parameters", "all sizes, 1e16 FLOPs (paper)"):
        assert found.count(text) == 1, text
    assert "MB of nothing" not in found
    with pytest.raises(UserError, match="nothing to draw"):
        draw_bytes(fit, BUDGETS[2], {}, tmp_path / "three")
