# SPDX-License-Identifier: Apache-2.0
"""Planted surfaces are recovered, with intervals that cover what was planted; too few are not."""

import dataclasses
import math

import numpy as np
import pytest

from sgatlin.errors import UserError
from sgatlin.isoflop.budget import FlopBudget
from sgatlin.isoflop.crossing import find_crossing, surface_gap
from sgatlin.isoflop.estimates import Estimate
from sgatlin.isoflop.frontier import PAPER
from sgatlin.isoflop.records import Copying, Record
from sgatlin.isoflop.redraw import Level, pooled_noise, redraw, trunk_correlation
from sgatlin.isoflop.surface_fit import fit_surfaces, size_of
from tests.isoflop.made import record
from tests.isoflop.planted import (
    ALPHA,
    BETA,
    BUDGETS,
    LAYERS,
    E,
    crossing_seconds,
    planted,
    seconds_cost,
    size_at,
)


def moved(one: Record, nats: float) -> Record:
    """That run with another loss."""
    result = dataclasses.replace(one.result, val_loss=one.loss + nats)
    return dataclasses.replace(one, result=result)


@pytest.mark.parametrize(
    ("shared", "n_coefficients"),
    [({"E", "beta"}, 2 + 9), ({"E", "alpha", "beta"}, 3 + 6), (set(), 15)],
    ids=["usual", "alpha too", "separate"],
)
def test_planted_surfaces_are_recovered(shared, n_coefficients):
    fit = fit_surfaces(planted(), shared=shared, draws=2)
    assert fit.n_coefficients == n_coefficients
    assert fit.degrees == 36 - n_coefficients
    assert fit.layers == tuple(LAYERS)
    assert fit.n_agreeing == 27
    assert fit.left_out_rms < 1e-6
    surface = fit.surface
    for i, truth in enumerate(LAYERS.values()):
        assert surface.e_PL[0, i] == pytest.approx(E, rel=1e-4)
        assert surface.alpha_PL[0, i] == pytest.approx(ALPHA, rel=1e-4)
        assert surface.beta_PL[0, i] == pytest.approx(BETA, rel=1e-4)
        assert math.exp(surface.log_a_PL[0, i]) == pytest.approx(truth.a, rel=1e-2)
        assert math.exp(surface.log_b_PL[0, i]) == pytest.approx(truth.b, rel=1e-2)
    sizes, tokens = np.array([3e7, 9e7]), np.array([2e7, 4e7])
    expected = [LAYERS["moe"].loss(size, n) for size, n in zip(sizes, tokens, strict=True)]
    assert surface.loss("moe", sizes, tokens)[0] == pytest.approx(expected, rel=1e-6)


def test_size_is_forward_flops_per_token():
    (one,) = planted(layers={"moe": LAYERS["moe"]}, scales=(3.0,), budgets=BUDGETS[:1])
    assert size_of(one) == pytest.approx(size_at(3.0))


def test_intervals_cover_what_was_planted():
    """Of nested budgets, whose noise is half in common."""
    repetitions = 12
    two = {layer: LAYERS[layer] for layer in ("swiglu", "sgatlin")}
    gap = LAYERS["sgatlin"].best(1e16) - LAYERS["swiglu"].best(1e16)
    at = crossing_seconds(LAYERS["sgatlin"], LAYERS["swiglu"])
    covered = dict.fromkeys(("E", "beta", "gap", "crossing"), 0)
    widths = []
    for repetition in range(repetitions):
        rng = np.random.default_rng(repetition)
        records = planted(rng, layers=two, seeds=(0, 1, 2), nested=True)
        fit = fit_surfaces(records, draws=80, seed=repetition)
        assert fit.converged > 0.9
        found = surface_gap(fit, "sgatlin", ["swiglu"], PAPER, 1e16)
        crossing = find_crossing(fit, "sgatlin", ["swiglu"], seconds_cost())
        estimates = {
            "E": (Estimate.of(fit.surface.e_PL[:, 0]), E),
            "beta": (Estimate.of(fit.surface.beta_PL[:, 0]), BETA),
            "gap": (found.nats, gap),
            "crossing": (crossing.at, at),
        }
        widths.append(found.nats.high - found.nats.low)
        for name, (estimate, truth) in estimates.items():
            covered[name] += estimate.low <= truth <= estimate.high
    assert all(count >= 10 for count in covered.values()), covered
    # And they are no wider than the noise of .012 nats between seeds makes them.
    assert 0.01 < float(np.median(widths)) < 0.1


def test_one_bad_run_moves_the_fit_little():
    records = planted()
    records[5] = moved(records[5], 0.5)
    fit = fit_surfaces(records, draws=2)
    assert fit.residual_R[5] == pytest.approx(0.5, abs=0.02)
    assert np.abs(np.delete(fit.residual_R, 5)).max() < 0.02
    assert fit.left_out_R[5] == pytest.approx(0.5, abs=1e-4)


def test_draws_are_no_surer_than_the_residuals():
    """Without repeated sizes the runs' scatter about the surfaces stands for the seeds' noise."""
    rng = np.random.default_rng(3)
    fit = fit_surfaces(planted(rng, deviation=0.03), draws=400)
    assert fit.seed_deviation == 0
    assert fit.deviation == pytest.approx(0.03, rel=0.35)
    drawn_R = (fit.loss_PR[1:] - fit.loss_PR[1:].mean(axis=1, keepdims=True)).std(axis=0)
    assert float(np.median(drawn_R)) == pytest.approx(fit.deviation, rel=0.25)


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        (planted(scales=(2.0, 4.0)), "a surface needs 3 sizes, and 2 are finished"),
        (planted(budgets=BUDGETS[:1]), "a surface needs 2 budgets, and 1 are finished"),
        (
            [
                r
                for r in planted(scales=(2.0, 3.0, 4.0), budgets=BUDGETS[:2])
                if (r.run.budget == BUDGETS[0]) == (r.run.scale == 3.0)
            ],
            "swiglu: a surface needs 4 sizes and budgets together, and 3 are finished",
        ),
    ],
    ids=["two sizes", "one budget", "three runs"],
)
def test_too_few_runs_are_refused(records, reason):
    with pytest.raises(UserError, match=reason):
        fit_surfaces(records, draws=2)


def test_a_layer_with_too_few_runs_is_left_out():
    records = planted(layers={layer: LAYERS[layer] for layer in ("swiglu", "moe")})
    few = planted(layers={"sgatlin": LAYERS["sgatlin"]}, scales=(2.0, 3.0))
    fit = fit_surfaces([*records, *few], draws=2)
    assert fit.layers == ("swiglu", "moe")
    assert fit.refused == {"sgatlin": "a surface needs 3 sizes, and 2 are finished"}
    assert fit_surfaces([*records, *few], shared={"E", "alpha", "beta"}, draws=2).refused == {}


def test_a_fit_without_a_degree_of_freedom_is_refused():
    corner = [
        r
        for r in planted(layers={"moe": LAYERS["moe"]}, budgets=BUDGETS[:2], scales=(2.0, 3.0, 4.0))
        if r.run.scale > 2 or r.run.budget == BUDGETS[0]
    ]
    with pytest.raises(UserError, match=r"moe have 5 coefficients, and 5 sizes .* at least 6"):
        fit_surfaces(corner, draws=2)
    with pytest.raises(UserError, match="no run is finished"):
        fit_surfaces([], draws=2)


def test_a_quarter_has_a_surface_of_its_own():
    fit = fit_surfaces(planted(), quarter=2, draws=2)
    # Its losses are 2 nats above the means.
    assert fit.surface.e_PL[0, 0] == pytest.approx(E + 2, rel=1e-3)
    without = [dataclasses.replace(r, quarters=None) for r in planted()]
    with pytest.raises(UserError, match="has no loss of quarter 1"):
        fit_surfaces(without, quarter=0, draws=2)


SMALL, LARGE = BUDGETS[:2]


def of_trunk(budget: FlopBudget, seed: int, loss: float, layer: str = "moe") -> Record:
    made = record(layer, 2.0, budget, loss, parameters=10, seed=seed)
    return dataclasses.replace(made, run=dataclasses.replace(made.run, nested=(SMALL, LARGE)))


def test_noise_has_a_part_in_common_in_a_trunk():
    records = [of_trunk(b, seed, 3.0) for b in (SMALL, LARGE) for seed in (0, 1)]

    def correlations(correlation: float) -> np.ndarray:
        def noise(one: Record) -> Level:
            return Level(0.02 if one.run.budget == SMALL else 0.05, 1e9)

        loss_PR = redraw(records, noise, correlation=correlation, draws=8000, seed=0)
        # Documents move all runs alike.
        off_PR = (
            loss_PR[1:]
            - redraw(records, lambda one: Level(0.0, 1), correlation=0, draws=8000, seed=0)[1:]
        )
        assert off_PR.std(axis=0) == pytest.approx([0.02, 0.02, 0.05, 0.05], rel=0.05)
        return np.corrcoef(off_PR.T)

    half = correlations(0.5)
    assert half[0, 2] == pytest.approx(0.5, abs=0.05)  # budgets of one seed
    assert half[0, 1] == pytest.approx(0, abs=0.05)  # seeds
    assert correlations(1.0)[1, 3] == pytest.approx(1)


def test_runs_on_the_onset_of_copying_have_their_own_noise():
    # Two seeds differ by .02 far beyond the onset, and by .2 on it (a copy score of 1).
    records = [
        dataclasses.replace(
            of_trunk(budget, seed, 3 + seed * apart), copying=Copying(first=9.0, second=9.0 - score)
        )
        for budget, apart, score in ((SMALL, 0.2, 1.0), (LARGE, 0.02, 7.0))
        for seed in (0, 1)
    ]
    levels = [pooled_noise(records)(one) for one in records]
    # The median distance of two draws is .954 deviations.
    assert [level.deviation for level in levels] == pytest.approx(
        [0.2 / 0.954] * 2 + [0.02 / 0.954] * 2, rel=1e-3
    )
    assert {level.degrees for level in levels} == {1}


def test_quarters_vary_twice_as_much_with_documents():
    records = planted(layers={"moe": LAYERS["moe"]}, scales=(2.0,))

    def spread(quarter: int | None) -> np.ndarray:
        still = redraw(
            records, lambda one: Level(0.0, 1), correlation=0, draws=50, seed=0, quarter=quarter
        )
        return still[1:] - still[0]

    assert spread(1) == pytest.approx(2 * spread(None))


def test_correlation_between_budgets_of_a_trunk_is_measured():
    # Deviations from the mean: (-1, 1) and (-2, 2) of moe; (-1, 1) and (1, -1) of mlp, in .1 nats.
    moe = [
        of_trunk(budget, seed, 3 + 0.1 * off)
        for budget, offs in ((SMALL, (-1, 1)), (LARGE, (-2, 2)))
        for seed, off in enumerate(offs)
    ]
    mlp = [
        of_trunk(budget, seed, 3 + 0.1 * off, "mlp")
        for budget, offs in ((SMALL, (-1, 1)), (LARGE, (1, -1)))
        for seed, off in enumerate(offs)
    ]
    assert trunk_correlation(moe) == pytest.approx(1)
    assert trunk_correlation(mlp) == 0  # never below
    # Covariances 4 and -2 over products of deviations 4 and 2.
    assert trunk_correlation([*moe, *mlp]) == pytest.approx(2 / 6)
    assert trunk_correlation(moe[:1] + moe[2:3]) is None
    assert trunk_correlation(planted()) is None
