# SPDX-License-Identifier: Apache-2.0
"""A law is used where no measured run contradicts it; between measured runs those are used."""

import pytest

from sgatlin.isoflop.budget import FlopBudget
from sgatlin.isoflop.fit import fit_study
from sgatlin.isoflop.records import Record
from tests.isoflop.made import record

BUDGETS = [FlopBudget(flops=flops) for flops in (3e14, 1e15, 3e15)]
BUDGET = BUDGETS[1]

# Planted: loss = A C^-ALPHA; the layer `better` has it at M C.
A, ALPHA, M = 20.0, 0.055, 1.4


def layer_at(layer: str, best_by_budget: dict[FlopBudget, float], *, parabola=True) -> list[Record]:
    """Sizes whose best has that loss; with a parabola the best is its minimum, else at the edge."""
    steps = (-2, -1, 0, 1, 2) if parabola else (0, 1, 2, 3, 4)
    return [
        record(layer, 1.0 + i, budget, loss + 0.02 * step**2, parameters=10**6 * 2**i)
        for budget, loss in best_by_budget.items()
        for i, step in enumerate(steps)
    ]


TEN_TIMES = [FlopBudget(flops=flops) for flops in (1e14, 1e15, 1e16)]


def test_a_law_is_not_used_where_measured_runs_contradict_it():
    """The law through 4 nats at 1e15 and 3.2 at 1e16 says 5 at 1e14, where the best run has 4.2."""
    first, middle, last = TEN_TIMES
    records = [
        *layer_at("swiglu", {first: 4.2}, parabola=False),
        *layer_at("swiglu", {middle: 4.0, last: 3.2}),
        *layer_at("better", {first: 4.0, last: 3.1}),
        *layer_at("worse", {first: 4.3}),
    ]
    fit = fit_study(records, budgets=TEN_TIMES, draws=50)
    law = next(law for law in fit.laws if law.layer == "swiglu")
    assert law.loss(1e14) == pytest.approx(5.0)
    assert law.refused == (
        "its power law through 1e15, 1e16 gives 5.000 nats at 1e14 FLOPs (paper), where the best "
        "run has 4.200"
    )
    # At 1e14 the measured runs say 10 exactly; beyond 1e16 and below 1e14 nothing is known.
    assert [(m.layer, m.budget, m.extrapolated) for m in fit.multipliers] == [
        ("better", first, False)
    ]
    assert fit.multipliers[0].factor.value == pytest.approx(10.0)


def test_a_law_is_checked_against_its_own_minima_too():
    """No power law: 4.2, 4.0 and 3.2 nats at budgets of ratio 10."""
    first, middle, last = TEN_TIMES
    straight = {budget: 5 * 0.8**i for i, budget in enumerate(TEN_TIMES)}
    records = [
        *layer_at("bent", {first: 4.2, middle: 4.0, last: 3.2}),
        *layer_at("straight", straight),
    ]
    bent, kept = fit_study(records, budgets=TEN_TIMES, draws=50).laws
    # In logarithms the line has the mean of the three in the middle and the slope of the ends.
    middle_loss, slope = (4.2 * 4.0 * 3.2) ** (1 / 3), (3.2 / 4.2) ** (1 / 2)
    assert bent.loss(1e15) == pytest.approx(middle_loss)
    assert bent.refused == (
        "its power law through 1e14, 1e15, 1e16 gives "
        f"{middle_loss / slope:.3f} nats at 1e14 FLOPs (paper), where the fitted minimum has 4.200 "
        f"and {middle_loss:.3f} nats at 1e15 FLOPs (paper), where the fitted minimum has 4.000 "
        f"and {middle_loss * slope:.3f} nats at 1e16 FLOPs (paper), where the fitted minimum has "
        "3.200"
    )
    assert kept.refused is None
    assert kept.loss(1e17) == pytest.approx(5 * 0.8**3)


def test_a_law_within_noise_of_a_run_is_kept():
    """The first budget's best run is 0.1 off the law, but two seeds of a size differ by 0.3."""
    first, middle, last = TEN_TIMES
    records = [
        *layer_at("swiglu", {first: 4.9}, parabola=False),
        *layer_at("swiglu", {middle: 4.0, last: 3.2}),
    ]
    noisy = [record("moe", 1.0, first, 9 + d, parameters=9, seed=i) for i, d in enumerate((0, 0.3))]
    alone, among = (
        fit_study([*records, *more], budgets=TEN_TIMES, draws=200) for more in ([], noisy)
    )
    assert alone.laws[0].refused is not None
    assert among.laws[0].refused is None


def test_multipliers_are_interpolated_between_the_references_runs():
    """Best runs on a power law: whoever needs M times less has the multiplier M at each budget."""

    def least(flops: float) -> float:
        return A * flops**-ALPHA

    records = [
        *layer_at("swiglu", {budget: least(budget.flops) for budget in BUDGETS}, parabola=False),
        *layer_at("better", {b: least(M * b.flops) for b in BUDGETS}, parabola=False),
        *layer_at("same", {BUDGET: least(BUDGET.flops)}, parabola=False),
    ]
    fit = fit_study(records, budgets=BUDGETS, draws=50)
    assert fit.laws == ()
    assert [(m.layer, m.budget, m.extrapolated) for m in fit.multipliers] == [
        ("better", BUDGETS[0], False),
        ("better", BUDGETS[1], False),
        ("same", BUDGET, False),
    ]
    assert [m.factor.value for m in fit.multipliers] == pytest.approx([M, M, 1.0], rel=1e-9)
