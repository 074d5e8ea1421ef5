# SPDX-License-Identifier: Apache-2.0
"""Gaps, crossings and bytes at equal loss agree with brute force on surfaces that are known."""

import dataclasses
import math

import numpy as np
import pytest

from sgatlin.isoflop.crossing import (
    at_equal_loss,
    find_crossing,
    measured_gap,
    surface_gap,
)
from sgatlin.isoflop.frontier import FULL, PAPER, Cost, flops_by, frontier, seconds, track
from sgatlin.isoflop.records import StepRow, StepTimes
from sgatlin.isoflop.study import load_study
from sgatlin.isoflop.surface_fit import SurfaceFit, fit_surfaces
from tests.isoflop.planted import (
    BUDGETS,
    LAYERS,
    SCALES,
    Planted,
    crossing_seconds,
    planted,
    seconds_cost,
    size_at,
)

# The third loses less and less to swiglu, but has no crossing in reach.
OTHERS = {
    **LAYERS,
    "late": Planted(a=402.0, b=965.0, slowness=1.6),
    "worse": Planted(a=480.0, b=1100.0, slowness=1.5),
    "quick": Planted(a=402.0, b=965.0, slowness=1.0),
    "early": Planted(a=520.0, b=925.0),
}
SECONDS = seconds_cost(OTHERS)


@pytest.fixture(scope="module")
def fit() -> SurfaceFit:
    return fit_surfaces(planted(layers=OTHERS), draws=10)


def crossing(fit, layer, *others, cost=SECONDS):
    found = find_crossing(fit, layer, others, cost)
    assert found is not None
    return found


def test_a_crossing_within_the_runs(fit):
    found = crossing(fit, "sgatlin", "swiglu")
    truth = crossing_seconds(LAYERS["sgatlin"], LAYERS["swiglu"])
    assert found.state == "within"
    assert found.at.value == pytest.approx(truth, rel=0.03)
    assert (found.within, found.ahead) == (1, 0)
    # The longest run of swiglu and the cheapest of sgatlin.
    longest = max(LAYERS["swiglu"].seconds_per_token(size_at(s)) / size_at(s) for s in SCALES)
    assert found.measured[1] == pytest.approx(longest * 1e16 / 3)
    cheapest = min(LAYERS["sgatlin"].seconds_per_token(size_at(s)) / size_at(s) for s in SCALES)
    assert found.measured[0] == pytest.approx(cheapest * 1e15 / 3)
    assert found.described().startswith(f"{found.at.value:.4g} s [")


def test_a_crossing_beyond_the_longest_run(fit):
    found = crossing(fit, "late", "swiglu")
    truth = crossing_seconds(OTHERS["late"], LAYERS["swiglu"])
    assert truth > found.measured[1]
    assert found.state == "beyond"
    assert found.at.value == pytest.approx(truth, rel=0.05)
    assert found.within == 0
    assert found.described().startswith("beyond the longest run (100 s); fitted at ")
    assert found.described().endswith("; 0% of draws cross before")


def test_layers_that_are_ahead_or_never_are(fit):
    ahead = crossing(fit, "quick", "swiglu")
    assert (ahead.state, ahead.ahead, ahead.at) == ("ahead", 1, (0, 0, 0))
    assert ahead.described() == (
        f"already ahead at the shortest run ({ahead.measured[0]:.4g} s), in 100% of draws"
    )
    never = crossing(fit, "worse", "swiglu")
    assert (never.state, never.at.value, never.within) == ("never", math.inf, 0)
    assert "no crossing fitted up to 100 times that, [never, never]; 0% of draws" in (
        never.described()
    )


def test_a_lead_that_is_lost_before_the_longest_run_is_no_crossing(fit):
    early, swiglu = OTHERS["early"], LAYERS["swiglu"]
    found = crossing(fit, "early", "swiglu")
    low, high = found.measured
    assert early.best_in(1.01 * low) < swiglu.best_in(1.01 * low)
    assert early.best_in(high) > swiglu.best_in(high)
    assert found.state == "never"


def test_the_best_of_several_others_is_overtaken_last(fit):
    one, other = (crossing(fit, "sgatlin", name) for name in ("swiglu", "moe"))
    both = crossing(fit, "sgatlin", "moe", "swiglu")
    assert both.at.value == pytest.approx(max(one.at.value, other.at.value), rel=1e-4)
    assert both.others == ("moe", "swiglu")
    # Layers without a surface are no others.
    assert crossing(fit, "sgatlin", "swiglu", "peer").others == ("swiglu",)


def test_a_cost_that_is_not_known_has_no_crossing(fit):
    partly = Cost(
        name="seconds",
        unit="s",
        per_token=lambda r: None if r.run.layer == "moe" else SECONDS.per_token(r),
    )
    assert find_crossing(fit, "sgatlin", ["moe"], partly) is None
    assert find_crossing(fit, "peer", ["swiglu"], SECONDS) is None
    assert surface_gap(fit, "moe", ["swiglu"], partly, 50.0) is None
    # Of the sizes whose cost is known.
    small = dataclasses.replace(
        partly, per_token=lambda r: SECONDS.per_token(r) if r.run.scale < 3 else None
    )
    assert track(fit, "moe", small).sizes()[-1] == pytest.approx(size_at(2.5))


def test_gaps_are_those_of_brute_force(fit):
    for budget in BUDGETS:
        found = surface_gap(fit, "sgatlin", ["swiglu"], PAPER, budget.flops)
        truth = LAYERS["sgatlin"].best(budget.flops) - LAYERS["swiglu"].best(budget.flops)
        assert found.nats.value == pytest.approx(truth, abs=2e-4)
    # At 1e15 FLOPs the smallest size is best.
    edges = [surface_gap(fit, "moe", ["swiglu"], PAPER, b.flops).is_edge for b in BUDGETS]
    assert edges == [True, True, False]
    full = surface_gap(fit, "sgatlin", ["swiglu"], FULL, 4e15)
    truth = LAYERS["sgatlin"].best(3e15) - LAYERS["swiglu"].best(3e15)
    assert full.nats.value == pytest.approx(truth, abs=2e-4)  # 4 / 3 of paper in these records
    assert surface_gap(fit, "sgatlin", ["swiglu"], PAPER, 3e16) is None
    assert surface_gap(fit, "sgatlin", ["swiglu"], PAPER, 3e14) is None


def test_the_frontier_is_the_best_of_the_sizes(fit):
    amount_C = np.array([2e15, 1e16])
    found = frontier(fit, track(fit, "moe", PAPER), amount_C)
    best = [LAYERS["moe"].best(amount) for amount in amount_C]
    assert found.loss_PC[0] == pytest.approx(best, abs=2e-4)
    for size, amount, loss in zip(found.size_C, amount_C, best, strict=True):
        assert LAYERS["moe"].loss(size, amount / (3 * size)) == pytest.approx(loss, abs=2e-4)


def test_gaps_of_runs_are_of_their_best_sizes():
    records = planted(np.random.default_rng(0), seeds=(0, 1))
    fit = fit_surfaces(records, draws=50)

    def best(layer: str) -> float:
        losses: dict[float, list[float]] = {}
        for one in records:
            if (one.run.layer, one.run.budget) == (layer, BUDGETS[2]):
                losses.setdefault(one.run.scale, []).append(one.loss)
        return min(sum(of) / len(of) for of in losses.values())

    gap = measured_gap(fit, "sgatlin", ["swiglu", "moe"], BUDGETS[2])
    assert gap.value == pytest.approx(best("sgatlin") - min(best("swiglu"), best("moe")))
    assert gap.low < gap.value < gap.high
    assert measured_gap(fit, "sgatlin", ["peer"], BUDGETS[2]) is None


def test_bytes_at_equal_loss(fit):
    amount, truth = 1e17, LAYERS["sgatlin"]

    def bytes_of(one) -> float:
        return 4.0 * one.result.parameters

    # By hand: the size, of those below the best, with the loss that a size of 6e7 has.
    target = truth.loss(6e7, amount / (3 * 6e7))
    target_P = np.full(11, target)
    found = at_equal_loss(fit, "sgatlin", target_P, PAPER, amount, bytes_of)
    assert found.amounts.value == pytest.approx(4 * 6e7 / 2, rel=0.01)
    assert not found.is_smallest
    easy = at_equal_loss(fit, "sgatlin", target_P + 1, PAPER, amount, bytes_of)
    assert easy.amounts.value == pytest.approx(4 * size_at(2.0) / 2)
    assert easy.is_smallest
    hard = at_equal_loss(fit, "sgatlin", target_P - 2, PAPER, amount, bytes_of)
    assert (hard.amounts, hard.reached) == (None, 0)
    # A layer has its own lowest loss with its best size.
    own_P = frontier(fit, track(fit, "moe", PAPER), np.array([1e16])).loss_PC[:, 0]
    own = at_equal_loss(fit, "moe", own_P, PAPER, 1e16, bytes_of)
    assert own.reached == 1
    assert at_equal_loss(fit, "moe", own_P, PAPER, 1e16, lambda one: None) is None


def test_costs_of_a_study():
    study = load_study("scaling:toy")
    (one,) = planted(layers={"swiglu": LAYERS["swiglu"]}, scales=(2.0,), budgets=BUDGETS[:1])
    config = study.config("swiglu", 2.0)
    row = StepRow(layer="swiglu", scale=2.0, ms=32.0, state_bytes=1, temporary_bytes=None)
    times = StepTimes(device="cpu", versions={}, rows=(row,))
    # Steps of 8 windows of 32 tokens.
    assert seconds(study, times).per_token(one) == pytest.approx(0.032 / 256)
    assert seconds(study, times).of(one) == pytest.approx(0.032 / 256 * one.result.tokens)
    assert seconds(study, dataclasses.replace(times, rows=())).of(one) is None
    assert PAPER.of(one) == one.result.flops_paper
    assert FULL.of(one) == one.result.flops_full
    # Causal attention does (T + 1) / 2 of T products a token; 2 of them of 2 D FLOPs, times 3.
    saved = 3 * 4 * config.model.d_model * (32 - 33 / 2) * config.model.n_layers
    paper, causal = (flops_by(study, name).per_token(one) for name in ("paper", "causal"))
    assert paper - causal == pytest.approx(saved)
