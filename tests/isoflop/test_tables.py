# SPDX-License-Identifier: Apache-2.0
"""Cells of the tables, written by hand from records and estimates whose numbers are round."""

import dataclasses
import math

from sgatlin.isoflop import tables
from sgatlin.isoflop.budget import FlopBudget
from sgatlin.isoflop.estimates import (
    Estimate,
    Gap,
    Multiplier,
    Optimum,
    PowerLaw,
    SeedSpread,
    Size,
    StudyFit,
)
from sgatlin.isoflop.tables import Table
from tests.isoflop.cells import BUDGET, cells, run, study

SMALL = FlopBudget(flops=3e14)


def nats(value: float, low: float, high: float) -> Estimate:
    """Of perplexities the loss."""
    return Estimate(math.log(value), math.log(low), math.log(high))


def size(scale: float, *perplexities: float) -> Size:
    return Size(scale=scale, parameters=round(1e6 * scale), loss=nats(*perplexities), n_seeds=1)


def optimum(layer: str, *sizes: Size, budget=BUDGET, share=1.0, loss=None, at=1.25e6) -> Optimum:
    """Fitted if it has a loss."""
    return Optimum(
        layer=layer,
        budget=budget,
        sizes=sizes,
        fitted=tuple(size.scale for size in sizes),
        refused=None if loss else "it only falls",
        coefficients=(1.0, 1.0, 1.0) if loss else None,
        parameters=Estimate(at, 1e6, 2e6) if loss else None,
        loss=loss,
        interior_share=share if loss else 0.0,
    )


def fit_of(*optima: Optimum, laws=(), multipliers=(), gaps=(), seeds=()) -> StudyFit:
    return StudyFit(
        reference="swiglu",
        seed_deviation=0.01,
        seeds=seeds,
        optima=optima,
        laws=laws,
        multipliers=multipliers,
        gaps=gaps,
    )


FITTED = optimum(
    "sgatlin",
    size(1.0, 21, 20, 22),
    size(1.5, 20, 19, 21),
    loss=nats(19.5, 18.5, 20.5),
)
UNSURE = optimum(
    "swiglu", size(1.0, 25, 24, 26), share=0.5, loss=nats(21.5, 20.5, 22.5), at=9.876e5
)
REFUSED = optimum("mlp", size(2.0, 22, 21, 23))


def test_a_table_for_a_terminal_and_for_a_page():
    table = Table(("layer", "loss"), (("mlp", "3"), ("sgatlin", "2.5")))
    assert table.lines() == ["layer    loss", "mlp         3", "sgatlin   2.5"]
    assert table.markdown() == [
        "| layer | loss |",
        "| --- | ---: |",
        "| mlp | 3 |",
        "| sgatlin | 2.5 |",
    ]


def test_optima_best_first():
    gap = Gap(layer="sgatlin", other="mlp", budget=BUDGET, nats=Estimate(-0.0953, -0.1, -0.09))
    factor = Multiplier(
        layer="sgatlin", budget=BUDGET, factor=Estimate(1.5, 1.25, 1.75), extrapolated=True
    )
    elsewhere = optimum("peer", size(1.0, 5, 4, 6), budget=SMALL)
    fit = fit_of(UNSURE, REFUSED, FITTED, elsewhere, multipliers=(factor,), gaps=(gap,))
    assert cells(tables.optima(fit, BUDGET)) == [
        [
            "layer",
            "best size run",
            "perplexity of it",
            "minimum of the parabola",
            "sizes in the parabola",
            "parameters at the minimum",
            "gap to the best other layer, nats",
            "times the budget swiglu needs for this loss",
        ],
        [
            "sgatlin",
            "s=1.5",
            "20.00 [19.00, 21.00]",
            "19.50 [18.50, 20.50]",
            "2",
            "1.25 M",
            "-0.095 [-0.100, -0.090] vs mlp",
            "1.50 [1.25, 1.75], extrapolated",
        ],
        ["mlp", "s=2", "22.00 [21.00, 23.00]", "none", "", "", "", ""],
        [
            "swiglu",
            "s=1",
            "25.00 [24.00, 26.00]",
            "21.50 [20.50, 22.50], in 50% of draws",
            "1",
            "0.99 M",
            "",
            "",
        ],
    ]


def test_empty_columns_are_left_out():
    assert cells(tables.optima(fit_of(REFUSED), BUDGET)) == [
        ["layer", "best size run", "perplexity of it", "minimum of the parabola"],
        ["mlp", "s=2", "22.00 [21.00, 23.00]", "none"],
    ]


def test_refusals_and_laws():
    law = PowerLaw(
        layer="sgatlin",
        coefficient=20.0,
        exponent=Estimate(0.05, 0.04, 0.06),
        size_exponent=Estimate(0.5, 0.4, 0.6),
        budgets=(3e14, 1e15, 3e15),
    )
    wrong = dataclasses.replace(law, layer="moe", refused="it gives 5 nats, where 4 was measured")
    fit = fit_of(FITTED, REFUSED, optimum("moe", size(1.0, 9, 8, 10)), laws=(law, wrong))
    assert tables.refused_laws(fit) == ["moe: it gives 5 nats, where 4 was measured"]
    assert tables.laws(fit_of(FITTED, laws=(wrong,))) is None
    assert tables.refusals(fit) == ["mlp, moe at 1e15 FLOPs (paper): it only falls"]
    assert cells(tables.laws(fit)) == [
        ["layer", "loss falls with exponent", "best size grows with", "measured"],
        ["sgatlin", "0.0500 [0.0400, 0.0600]", "0.50 [0.40, 0.60]", "3e14 to 3e15"],
    ]


def test_seeds_of_each_size():
    spreads = (
        SeedSpread("moe", BUDGET, 1.5, (4.1604, 4.0063)),
        SeedSpread("mlp", SMALL, 0.5, (4.65, 4.625, 4.6)),
    )
    assert cells(tables.seeds(fit_of(FITTED, seeds=spreads))) == [
        ["layer", "size, budget", "losses, nats", "difference"],
        ["moe", "s=1.5, 1e15", "4.1604, 4.0063", "0.1541"],
        ["mlp", "s=0.5, 3e14", "4.6500, 4.6250, 4.6000", "0.0500"],
    ]
    known = (spreads[0]._replace(near_onset=True), spreads[1]._replace(near_onset=False))
    onset = [line[-1] for line in cells(tables.seeds(fit_of(FITTED, seeds=known)))]
    assert onset == ["on the onset of copying", "yes", "no"]


def test_all_runs_are_means_of_seeds_at_the_studys_rate():
    runs = [
        run("swiglu", 20, scale=2.0, epochs=2.5),
        run("swiglu", 18),
        run("swiglu", 32, seed=1),  # the mean of the losses: 24
        run("mlp", 30, scale=1.5),
        run("swiglu", 5, learning_rate=1.0, default_rate=False),
        run("mlp", 7, budget=SMALL),
    ]
    assert cells(tables.all_runs(runs, BUDGET)) == [
        ["layer", "s=1", "s=1.5", "s=2"],
        ["swiglu", "24.00", "", "20.00, 2.5 epochs"],
        ["mlp", "", "30.00", ""],
    ]


def test_rates_of_what_was_tuned():
    def tuned(layer, perplexity, rate, **fields):
        return run(layer, perplexity, learning_rate=rate, default_rate=False, **fields)

    runs = [
        run("mlp", 30),
        run("mlp", 31, scale=2.0),
        tuned("mlp", 25, 2e-3),
        tuned("mlp", 27, 2e-3, scale=2.0),
        tuned("mlp", 26, 4e-3),
        run("swiglu", 28, scale=2.0),
        tuned("swiglu", 22, 2e-3, scale=2.0),
        run("swiglu", 3, scale=2.0, seed=1),  # another seed
        run("peer", 9),  # at no other rate
    ]
    assert cells(tables.rates(runs)) == [
        [
            *("layer", "size, budget", "1e-3", "2e-3", "4e-3"),
            *("best rate", "sizes compared at rate"),
        ],
        ["mlp", "s=1, 1e15", "30.00", "25.00", "26.00", "2e-3", "1e-3, 2e-3"],
        [
            *("mlp", "s=2, 1e15", "31.00", "27.00", ""),
            *("2e-3, the edge of the grid", "1e-3, 2e-3"),
        ],
        # 4e-3 was not tried: the edge of its own grid.
        ["swiglu", "s=2, 1e15", "28.00", "22.00", "", "2e-3, the edge of the grid", "none"],
    ]
    assert tables.rates([run("mlp", 30), run("mlp", 29, seed=1)]) is None


def test_switches_against_their_base_at_its_size():
    runs = [
        run("sgatlin", 20.0, scale=2.0),
        run("sgatlin-router", 20.0 * math.exp(0.25), scale=2.0),
        run("peer-matched", 10.0, scale=2.0),
        # Where nothing is switched alone nothing is compared; nor are tuned rates.
        run("peer-matched", 12.0, scale=1.0),
        run("sgatlin-router", 1.0, scale=3.0, learning_rate=1.0, default_rate=False),
    ]
    heading, router, matched = cells(tables.switches(study(), runs))
    assert heading == [
        "layer",
        "size, budget",
        "perplexity",
        "switched from",
        "change of loss, nats",
    ]
    # Every document of these records costs in proportion to the loss: draws vary with the mix.
    assert router[:4] == ["sgatlin-router", "s=2, 1e15", "25.68", "sgatlin"]
    change, low, high = (float(x.strip("[],")) for x in router[4].split())
    assert low <= change == 0.25 <= high
    assert low < high
    assert matched == ["peer-matched", "s=2, 1e15", "10.00", "peer", "not run"]
    assert tables.switches(study(), runs[:1]) is None
    assert tables.switches(study(), runs[2:]) is None
