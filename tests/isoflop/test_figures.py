# SPDX-License-Identifier: Apache-2.0
"""Figures are valid files that name every layer, and what they draw is what was measured."""

import dataclasses
import importlib.util
import itertools
import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from sgatlin.errors import UserError
from sgatlin.isoflop import figures
from sgatlin.isoflop.budget import FlopBudget, TimeBudget, TokenBudget
from sgatlin.isoflop.estimates import Estimate, StudyFit
from sgatlin.isoflop.figures import draw_best, draw_sizes, frontier, seed_means, shared_budget
from sgatlin.isoflop.fit import fit_study
from sgatlin.isoflop.panels import counted, log_ticks, plain, styles
from sgatlin.isoflop.records import Record, StepRow, StepTimes
from tests.isoflop.made import record

BUDGETS = (FlopBudget(flops=1e15), FlopBudget(flops=3e15))
# Curves of four sizes with their least in the middle, and one that only falls.
LOSSES = {
    "swiglu": (3.1, 3.0, 3.02, 3.1),
    "sgatlin": (2.95, 2.9, 2.91, 3.0),
    "peer": (3.3, 3.2, 3.1, 3.0),
}
SCALES = (1.0, 1.5, 2.0, 2.5)


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return [
        record(
            layer,
            scale,
            budget,
            loss - 0.2 * place,
            parameters=round(1e6 * scale**2),
            seed=seed,
            steps=round(1000 / scale) * (1 + place),
            tokens=round(1e8 / scale) * (1 + place),
        )
        for layer, losses in LOSSES.items()
        for scale, loss in zip(SCALES, losses, strict=True)
        for place, budget in enumerate(BUDGETS)
        for seed in (0, 1)
    ]


@pytest.fixture(scope="module")
def fit(records) -> StudyFit:
    found = fit_study(records, budgets=BUDGETS, draws=50)
    refused = {o.layer for o in found.optima if o.refused is not None}
    assert refused == {"peer"}
    return found


def times(device: str, layers=tuple(LOSSES), memory: int | None = 10**9) -> StepTimes:
    rows = (
        StepRow(layer=layer, scale=s, ms=5 * s, state_bytes=10**8, temporary_bytes=memory)
        for layer in layers
        for s in SCALES
    )
    return StepTimes(device=device, versions={}, rows=tuple(rows))


@pytest.fixture
def letters(monkeypatch) -> None:
    """Letters as text, which a test can read; the shipped form has outlines."""
    from sgatlin.isoflop import panels

    monkeypatch.setitem(panels.SETTINGS, "svg.fonttype", "none")


def texts(svg: Path) -> list[str]:
    elements = ET.parse(svg).iter("{http://www.w3.org/2000/svg}text")
    return [" ".join("".join(element.itertext()).split()) for element in elements]


def check_files(written: tuple[Path, Path], stem: Path) -> None:
    svg, png = written
    assert (svg, png) == (Path(f"{stem}.svg"), Path(f"{stem}.png"))
    assert png.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert png.read_bytes()[12:16] == b"IHDR"
    assert png.read_bytes().endswith(b"IEND\xaeB`\x82")
    assert ET.parse(svg).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_sizes_name_layers_and_budgets(fit, tmp_path, letters):
    stem = tmp_path / "new" / "study-1.5-sizes"
    written = draw_sizes(fit, stem, layers=("moe",))
    check_files(written, stem)
    found = texts(written[0])
    for text in ("swiglu", "sgatlin", "peer", "moe", "1e15 FLOPs (paper)", "3e15 FLOPs (paper)"):
        assert found.count(text) == 1, text
    assert len([text for text in found if text.startswith("hollow: best size run")]) == 1


def test_best_has_a_panel_for_each_cost(fit, records, tmp_path, letters):
    stem = tmp_path / "best"
    written = draw_best(fit, records, [times("NVIDIA H100"), times("cpu", memory=None)], stem)
    check_files(written, stem)
    found = texts(written[0])
    for text in (
        "swiglu",
        "sgatlin",
        "peer",
        "training FLOPs (paper)",
        "seconds on NVIDIA H100",
        "seconds on cpu",
        "GB on NVIDIA H100",
        "training memory, 3e15 FLOPs (paper)",
        "tokens",
    ):
        assert found.count(text) == 1, text
    assert "GB on cpu" not in found  # XLA did not say


def test_without_step_times_there_are_no_panels_of_them(fit, records, tmp_path, letters):
    svg, _ = draw_best(fit, records, [], tmp_path / "best")
    found = texts(svg)
    assert "training FLOPs (paper)" in found
    assert "tokens" in found
    assert not [text for text in found if "seconds" in text or "GB" in text]
    # Nor of a device on which other models were measured.
    svg, _ = draw_best(fit, records, [times("cpu", layers=("moe",))], tmp_path / "other")
    assert texts(svg) == found


@pytest.mark.parametrize(
    ("budget", "label"),
    [
        (TimeBudget(seconds=10.0, device="cpu"), "seconds on cpu"),
        (TokenBudget(tokens=2e7), "tokens"),
    ],
)
def test_other_budgets_label_their_axis(budget, label, tmp_path, letters):
    made = [record("mlp", s, budget, 3.0 - s / 9, parameters=round(1e6 * s)) for s in SCALES]
    fit = fit_study(made, budgets=[budget], reference="mlp", draws=20)
    svg, _ = draw_best(fit, [], [], tmp_path / "best")
    assert label in texts(svg)


def test_the_same_figure_is_the_same_bytes(fit, records, tmp_path):
    for draw in (
        lambda path: draw_sizes(fit, path),
        lambda path: draw_best(fit, records, [times("cpu")], path),
    ):
        one, two = draw(tmp_path / "one"), draw(tmp_path / "two")
        assert [file.read_bytes() for file in one] == [file.read_bytes() for file in two]


@pytest.mark.parametrize("interval", [(3.01, 3.02), (2.8, 2.9), (-math.inf, math.inf)])
def test_an_estimate_without_a_place_in_its_interval_is_drawn(fit, tmp_path, interval):
    """Percentiles of the draws can leave it out, and where no draw has a value there are none."""
    first = fit.optima[0]
    loss = Estimate(3.0, *interval)
    sizes = tuple(dataclasses.replace(size, loss=loss) for size in first.sizes)
    optimum = dataclasses.replace(first, sizes=sizes, loss=loss)
    outside = dataclasses.replace(fit, optima=(optimum,), laws=())
    check_files(draw_sizes(outside, tmp_path / "sizes"), tmp_path / "sizes")
    check_files(draw_best(outside, [], [], tmp_path / "best"), tmp_path / "best")


def test_without_matplotlib_one_line_says_so(fit, monkeypatch, tmp_path):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name)
    )
    line = "figures need matplotlib, which is not installed: pip install matplotlib"
    with pytest.raises(UserError, match=f"^{re.escape(line)}$"):
        draw_sizes(fit, tmp_path / "sizes")


def test_nothing_to_draw_and_nowhere_to_write_are_told(fit, tmp_path):
    nothing = StudyFit(
        reference="mlp",
        seed_deviation=0.0,
        seeds=(),
        optima=(),
        laws=(),
        multipliers=(),
        gaps=(),
    )
    for draw in (
        lambda: draw_sizes(nothing, tmp_path / "figure"),
        lambda: draw_best(nothing, [], [], tmp_path / "figure"),
    ):
        with pytest.raises(UserError, match=r"^nothing to draw in [^\n]*/figure: [^\n]*$"):
            draw()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^cannot write [^\n]*/file/figure: [^\n]*$"):
        draw_sizes(fit, tmp_path / "file" / "figure")


def test_twelve_layers_look_different():
    layers = [f"layer{number:02d}" for number in range(12)]
    looks = styles(layers)
    assert list(looks) == layers
    for one, other in itertools.combinations(looks.values(), 2):
        assert one.colour != other.colour
        assert one.marker != other.marker
        assert (one.marker, one.line) != (other.marker, other.line)
    assert len({look.line for look in looks.values()}) > 1
    # By name, whatever the order; sixty are still apart.
    assert styles([*reversed(layers), layers[3]]) == looks
    many = styles(f"layer{number:02d}" for number in range(60))
    assert len(set(many.values())) == 60


def test_the_frontier_is_what_nothing_cheaper_equals():
    rng = np.random.default_rng(0)
    for _ in range(50):
        # Few values, so that many are equal.
        points = [(float(x), float(y)) for x, y in rng.integers(0, 6, (rng.integers(1, 12), 2))]
        expected = {
            (x, y) for x, y in points if all(v > y or (u, v) == (x, y) for u, v in points if u <= x)
        }
        assert frontier(points) == sorted(expected)
    assert frontier([]) == []


def test_seeds_are_averaged_and_tuned_rates_left_out():
    def made(loss, scale=1.0, **fields):
        return record("mlp", scale, BUDGETS[0], loss, parameters=1000, **fields)

    runs = [
        made(3.0, steps=100, tokens=1000),
        made(3.2, seed=1, steps=102, tokens=1020),
        made(1.0, learning_rate=1.0, default_rate=False),
        made(2.0, scale=2.0),
    ]
    one, two = seed_means(runs)
    assert (one.layer, one.scale, one.budget) == ("mlp", 1.0, BUDGETS[0])
    assert (one.steps, one.tokens) == (101, 1010)
    assert one.perplexity == pytest.approx(math.exp(3.1))
    assert (two.scale, two.perplexity) == (2.0, pytest.approx(math.exp(2.0)))


def test_memory_is_shown_at_the_budget_of_most_layers(fit):
    assert shared_budget(fit) == BUDGETS[1]
    fewer = [o for o in fit.optima if o.budget == BUDGETS[0] or o.layer == "peer"]
    assert shared_budget(dataclasses.replace(fit, optima=tuple(fewer))) == BUDGETS[0]
    assert shared_budget(dataclasses.replace(fit, optima=())) is None


def test_costs_are_steps_times_the_measured_step(fit):
    run = record("mlp", 1.0, BUDGETS[1], 3.0, parameters=1000, steps=400, tokens=7)
    row = StepRow(layer="mlp", scale=1.0, ms=25.0, state_bytes=10**9, temporary_bytes=5 * 10**8)
    measured = StepTimes(device="cpu", versions={}, rows=(row,))
    spendings = figures._spendings(fit, seed_means([run]), [measured])
    perplexity = pytest.approx(math.exp(3.0))
    assert [(spending.label, spending.points()) for spending in spendings] == [
        ("seconds on cpu", {"mlp": [(pytest.approx(10.0), perplexity)]}),
        ("GB on cpu", {"mlp": [(pytest.approx(1.5), perplexity)]}),
        ("tokens", {"mlp": [(7, perplexity)]}),
    ]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (9.0, 110.0, [10, 20, 30, 50, 100]),
        (0.9e6, 4.4e6, [1e6, 1.5e6, 2e6, 3e6, 4e6]),
        (18.0, 21.0, [18, 18.5, 19, 19.5, 20, 20.5, 21]),
        (9e13, 4e19, [1e14, 1e15, 1e16, 1e17, 1e18, 1e19]),
    ],
)
def test_ticks_are_round_numbers(low, high, ticks):
    assert log_ticks(low, high, most=7 if high == 21 else 6) == pytest.approx(ticks)


@pytest.mark.parametrize("seed", range(20))
def test_ticks_are_within_few_and_at_least_two(seed):
    rng = np.random.default_rng(seed)
    low = 10 ** rng.uniform(-3, 16)
    high = low * 10 ** rng.uniform(0.03, 6)
    ticks = log_ticks(low, high)
    assert 2 <= len(ticks) <= 6
    assert ticks == sorted(set(ticks))
    assert low <= ticks[0] <= ticks[-1] <= high


def test_numbers_of_ticks():
    assert [counted(x) for x in (2e10, 1.5e6, 3e5, 1e3, 20)] == ["20B", "1.5M", "300k", "1k", "20"]
    assert [plain(x) for x in (20.0, 0.5, 1500.0, 12000.0)] == ["20", "0.5", "1500", "12000"]
    assert [plain(x) for x in (3e14, 2e-4, 9999.99)] == ["3e14", "2e-4", "10000"]
