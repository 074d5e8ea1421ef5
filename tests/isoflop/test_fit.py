# SPDX-License-Identifier: Apache-2.0
"""Planted constants are recovered, with intervals that cover them; no minimum is made up."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from sgatlin.errors import UserError
from sgatlin.isoflop.budget import FlopBudget, TimeBudget, TokenBudget
from sgatlin.isoflop.fit import fit_study
from sgatlin.isoflop.records import Documents, Record
from tests.isoflop.made import record, with_documents

BUDGETS = [FlopBudget(flops=flops) for flops in (3e14, 1e15, 3e15)]
BUDGET = BUDGETS[1]
SCALES = (0.5, 1.0, 1.5, 2.0, 2.5)

# Planted: loss = A C^-ALPHA + B (ln N - ln(K C^GROWTH))^2; the layer `better` has it at M C.
A, ALPHA, B, K, GROWTH, M = 20.0, 0.055, 0.1, 0.07, 0.5, 1.4


def surface(parameters: float, flops: float) -> float:
    return A * flops**-ALPHA + B * math.log(parameters / (K * flops**GROWTH)) ** 2


def parameters_of(scale: float) -> int:
    return round(1.8e6 * scale**1.5)


def planted(budgets=BUDGETS, n_seeds: int = 1) -> list[Record]:
    return [
        record(layer, s, budget, surface(n, m * budget.flops), parameters=n, seed=seed)
        for layer, m in (("swiglu", 1.0), ("better", M))
        for budget in budgets
        for s in SCALES
        for n in [parameters_of(s)]
        for seed in range(n_seeds)
    ]


def planted_gap(flops: float) -> float:
    """How much more the best of the sizes loses with `swiglu` than with `better`."""
    return best_of_planted(flops) - best_of_planted(M * flops)


def at_losses(losses, layer: str = "mlp") -> list[Record]:
    """One layer at one budget, sizes of equal steps in ln(parameters)."""
    return [
        record(layer, 1.0 + i, BUDGET, loss, parameters=10**6 * 2**i)
        for i, loss in enumerate(losses)
    ]


def best_of_planted(flops: float) -> float:
    return min(surface(parameters_of(s), flops) for s in SCALES)


@pytest.mark.parametrize("budgets", [BUDGETS, BUDGETS[1:]], ids=["three", "two"])
def test_planted_constants_are_recovered(budgets):
    fit = fit_study(planted(budgets), budgets=budgets[::-1], draws=50)
    assert [(o.budget, o.layer) for o in fit.optima] == [
        (budget, layer) for budget in budgets for layer in ("swiglu", "better")
    ]
    for optimum in fit.optima:
        flops = optimum.budget.flops * (M if optimum.layer == "better" else 1)
        least, best = A * flops**-ALPHA, K * flops**GROWTH
        assert optimum.refused is None
        assert optimum.coefficients == pytest.approx((least, B, math.log(best)), rel=1e-9)
        assert optimum.loss.value == pytest.approx(least, rel=1e-9)
        assert optimum.parameters.value == pytest.approx(best, rel=1e-9)
        assert optimum.interior_share == 1
    reference, better = fit.laws
    assert reference.budgets == tuple(budget.flops for budget in budgets)
    assert reference.coefficient == pytest.approx(A, rel=1e-9)
    assert better.coefficient == pytest.approx(A * M**-ALPHA, rel=1e-9)
    for law in fit.laws:
        assert law.exponent.value == pytest.approx(ALPHA, rel=1e-9)
        assert law.size_exponent.value == pytest.approx(GROWTH, rel=1e-9)
        assert law.refused is None
    assert [m.layer for m in fit.multipliers] == ["better"] * len(budgets)
    # 1.4 times the largest budget was never measured: there the law says M.
    assert [m.extrapolated for m in fit.multipliers] == [False] * (len(budgets) - 1) + [True]
    assert fit.multipliers[-1].factor.value == pytest.approx(M, rel=1e-9)
    # Below it the best runs of the next budget are the other end of a line in logarithms.
    for m, (low, high) in zip(fit.multipliers[:-1], itertools.pairwise(budgets), strict=True):
        loss = best_of_planted(M * low.flops)
        start, end = best_of_planted(low.flops), best_of_planted(high.flops)
        share = math.log(start / loss) / math.log(start / end)
        assert m.factor.value == pytest.approx((high.flops / low.flops) ** share, rel=1e-9)
    for gap in fit.gaps:
        sign = 1 if gap.layer == "swiglu" else -1
        expected = sign * planted_gap(gap.budget.flops)
        assert gap.nats.value == pytest.approx(expected, rel=1e-9)
        assert gap.other == {"swiglu": "better", "better": "swiglu"}[gap.layer]


def test_one_budget_has_no_laws_but_gaps():
    fit = fit_study(planted(), budgets=[BUDGET], draws=20)
    assert (len(fit.optima), fit.laws, fit.multipliers, len(fit.gaps)) == (2, (), (), 2)


def test_intervals_cover_what_was_planted():
    repetitions, n_documents = 100, 120
    flops = BUDGETS[2].flops
    truths = {
        "loss": A * flops**-ALPHA,
        "parameters": K * flops**GROWTH,
        "exponent": ALPHA,
        "size exponent": GROWTH,
        "multiplier": M,
        "gap": -planted_gap(flops),
    }
    covered = dict.fromkeys(truths, 0)
    rng = np.random.default_rng(0)
    budgets = [BUDGETS[0], BUDGETS[2]]
    made = planted(budgets, n_seeds=2)
    for repetition in range(repetitions):
        tokens_N = rng.integers(200, 2000, n_documents)
        difficulty_N = 0.5 * rng.normal(size=n_documents)
        records = []
        for run in made:
            own_N = 0.03 * rng.normal(size=n_documents) + 0.004 * rng.normal()
            records.append(
                with_documents(run, tokens_N, (run.loss + difficulty_N + own_N) * tokens_N)
            )
        fit = fit_study(records, budgets=budgets, draws=300, seed=repetition)
        law = fit.laws[0]
        optimum = fit.optimum("swiglu", budgets[1])
        estimates = {
            "loss": optimum.loss,
            "parameters": optimum.parameters,
            "exponent": law.exponent,
            "size exponent": law.size_exponent,
            "multiplier": fit.multipliers[1].factor,
            "gap": fit.gaps[-1].nats,
        }
        for name, estimate in estimates.items():
            covered[name] += estimate.low <= truths[name] <= estimate.high
    assert all(88 <= count <= 100 for count in covered.values()), covered


@pytest.mark.parametrize(
    ("losses", "reason"),
    [
        ((3.0, 2.9), "2 of the 4 sizes that a fit needs: add sizes"),
        ((3.0, 2.9, 3.1), "3 of the 4 sizes that a fit needs: add sizes"),
        (
            (3.4, 3.0, 2.9, 3.1),  # the first is 0.5 above the best
            "only the sizes s=2, 3, 4 are near the best, and a parabola goes through any three "
            "points: add sizes between them",
        ),
        ((2.9, 3.0, 3.2, 3.3), "the smallest size, s=1, has the lowest loss: add smaller sizes"),
        ((3.3, 3.2, 3.0, 2.9), "the largest size, s=4, has the lowest loss: add larger sizes"),
        (
            (3.0, 2.99, 3.2, 3.25, 3.0),
            "the parabola through the losses has no minimum: add sizes on both sides, or seeds",
        ),
        (
            (3.0, 2.99, 3.1, 3.17, 3.28),
            "the parabola's minimum is below the smallest size, s=1: add smaller sizes, or seeds",
        ),
        (
            (3.28, 3.17, 3.1, 2.99, 3.0),
            "the parabola's minimum is above the largest size, s=5: add larger sizes, or seeds",
        ),
    ],
)
def test_no_minimum_is_made_up(losses, reason):
    fit = fit_study(at_losses(losses) + planted([BUDGET]), budgets=[BUDGET], draws=20)
    optimum = fit.optimum("mlp", BUDGET)
    assert optimum.refused == reason
    assert (optimum.coefficients, optimum.parameters, optimum.loss) == (None, None, None)
    assert [size.loss.value for size in optimum.sizes] == list(losses)
    assert optimum.best.loss.value == min(losses)
    (gap,) = (gap for gap in fit.gaps if gap.layer == "mlp")
    best = min(o.best.loss.value for o in fit.optima if o.layer != "mlp")
    assert gap.nats.value == pytest.approx(min(losses) - best)


def test_sizes_far_from_the_best_do_not_bend_the_parabola():
    near = (3.2, 3.0, 3.05, 3.25)
    alone = fit_study(at_losses(near), budgets=[BUDGET], draws=20).optima[0]
    among = fit_study(at_losses((*near, 3.31, 9.0)), budgets=[BUDGET], draws=20).optima[0]
    assert among.fitted == alone.fitted == (1.0, 2.0, 3.0, 4.0)
    assert among.coefficients == alone.coefficients
    # The best size's neighbours count however far they are.
    steep = fit_study(at_losses((9.0, 3.0, 8.0, 9.0)), budgets=[BUDGET], draws=20).optima[0]
    assert steep.fitted == (1.0, 2.0, 3.0)


def test_a_shaky_minimum_is_told_with_its_share():
    """Seeds of one size differ by far more than the sizes do."""
    losses = [3.04, 3.0, 3.0, 3.04]
    again = record("mlp", 2.0, BUDGET, 3.2, parameters=2 * 10**6, seed=1)
    others = [record("moe", 9.0, BUDGET, 4 + d, parameters=9, seed=i) for i, d in enumerate((0, 1))]
    steady = fit_study(at_losses(losses), budgets=[BUDGET], draws=400).optima[0]
    shaky = fit_study(at_losses(losses) + others, budgets=[BUDGET], draws=400).optima[0]
    assert (steady.refused, shaky.refused, steady.interior_share) == (None, None, 1)
    assert steady.loss.value == pytest.approx(2.995)
    assert 0.05 < shaky.interior_share < 0.95
    moved = fit_study([*at_losses(losses), again], budgets=[BUDGET], draws=20).optima[0]
    assert moved.sizes[1].n_seeds == 2
    assert moved.sizes[1].loss.value == pytest.approx(3.1)
    assert moved.refused is not None


def test_only_the_studys_own_rate_and_budgets_count():
    records = planted([BUDGET])
    tuned = record(
        "swiglu", 1.0, BUDGET, 0.1, parameters=parameters_of(1), learning_rate=3e-3,
        default_rate=False,
    )  # fmt: skip
    assert fit_study([*records, tuned, *planted(BUDGETS[2:])], budgets=[BUDGET], draws=9) == (
        fit_study(records, budgets=[BUDGET], draws=9)
    )


def test_what_all_layers_share_cancels_in_gaps():
    rng = np.random.default_rng(1)
    tokens_N = rng.integers(100, 1000, 40)
    difficulty_N = rng.normal(size=40)
    records = [
        with_documents(run, tokens_N, (run.loss + difficulty_N) * tokens_N)
        for layer, more in (("mlp", 0.0), ("moe", 0.25))
        for run in at_losses([3.1 + more, 3.0 + more, 3.05 + more, 3.2 + more], layer)
    ]
    fit = fit_study(records, budgets=[BUDGET], draws=200)
    mlp, moe = (gap.nats for gap in fit.gaps)
    assert mlp == pytest.approx((-0.25,) * 3, abs=1e-9)
    assert moe == pytest.approx((0.25,) * 3, abs=1e-9)
    assert all(o.loss.high - o.loss.low > 0.3 for o in fit.optima)


def test_the_same_seed_draws_the_same():
    fits = [fit_study(planted(), budgets=BUDGETS, draws=30, seed=seed) for seed in (0, 0, 1)]
    assert fits[0] == fits[1]
    assert fits[0] != fits[2]


@pytest.mark.parametrize(
    "others",
    [
        [FlopBudget(flops=1e15, convention="full")],
        [TokenBudget(tokens=1e7)],
        [TimeBudget(seconds=9, device="A"), TimeBudget(seconds=9, device="B")],
    ],
)
def test_budgets_of_several_kinds(others):
    budgets = others if len(others) > 1 else [BUDGET, *others]
    with pytest.raises(UserError, match=r"^budgets of several kinds \(.* fit each kind alone$"):
        fit_study(planted(), budgets=budgets)


def test_records_that_do_not_fit_together():
    records = at_losses([3.1, 3.0, 3.2])
    last = records[-1]

    def told(*changed: Record, **settings) -> str:
        with pytest.raises(UserError) as error:
            fit_study([*records[:-1], *changed], budgets=[BUDGET], **settings)
        return str(error.value)

    def of(nats, tokens) -> Record:
        return dataclasses.replace(last, documents=Documents(nats=nats, tokens=tokens))

    shorter = told(of((1.0, 2.0), (1000, 2000)))
    assert shorter.startswith(
        "mlp-s3-1e15 was validated on other documents than mlp-s1-1e15: 2 with"
    )
    assert "3 with 4,001 tokens, not 3 with 4,000 tokens" in told(
        of(last.documents.nats, (1000, 2000, 1001))
    )
    assert "not finite" in told(of((1.0, math.nan, 1.0), last.documents.tokens))
    assert told(last, last) == "mlp-s3-1e15: there are two records of this run; leave one"
    other = record("mlp", 3.0, BUDGET, 3.2, parameters=7, seed=1)
    assert told(last, other).startswith("mlp-s3-1e15-seed1 has 7 parameters and mlp-s3-1e15 4,000,")
    assert told(last, draws=0) == "draws=0 must be at least 1"
    with pytest.raises(UserError, match=r"^no run at .* at a budget of \(3e14 FLOPs \(paper\)\): "):
        fit_study(records, budgets=BUDGETS[:1])
    one = Documents(nats=(3.0, 0.0), tokens=(1, 0))
    with pytest.raises(UserError, match=r"^mlp-s1-1e15: intervals need .* at least 2 documents"):
        fit_study([dataclasses.replace(r, documents=one) for r in records], budgets=[BUDGET])
