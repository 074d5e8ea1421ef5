# SPDX-License-Identifier: Apache-2.0
"""A planted rate rule is recovered from noisy sweeps; what a sweep does not show is not made up."""

import dataclasses
import json
import math

import numpy as np
import pytest

from sgatlin.errors import UserError
from sgatlin.isoflop.budget import FlopBudget
from sgatlin.isoflop.rate_fit import fit_rates
from sgatlin.isoflop.rate_groups import judge_rates, rate_groups
from sgatlin.isoflop.rates import RateRule, read_rule, write_rule
from sgatlin.isoflop.records import Record
from tests.isoflop.made import record

K = 0.06
PLANTED = RateRule(
    intercepts={"mlp": 1.2, "moe": 1.0, "sgatlin": 0.4}, width_exponent=-0.8, steps_exponent=-0.2
)
FACTORS = (0.25, 0.5, 1.0, 2.0)
SMALL, LARGE = FlopBudget(flops=1e15), FlopBudget(flops=1e16)


def sweep(
    layers=tuple(PLANTED.intercepts),
    scales=(2.0, 3.0, 4.0),
    budgets=(SMALL, LARGE),
    factors=FACTORS,
    noise=0.0,
    seed=0,
    off=1.0,
) -> list[Record]:
    """Runs at multiples of a rate `off` times that of the planted rule."""
    rng = np.random.default_rng(seed)
    records = []
    for layer in layers:
        for scale in scales:
            for budget in budgets:
                d_model, steps = round(128 * scale), round(1e-10 * budget.flops / scale**3)
                best = math.exp(PLANTED.log_rate(layer, d_model, steps))
                for factor in factors:
                    rate = off * factor * best
                    loss = 3.5 - 0.1 * scale + K * math.log(rate / best) ** 2
                    made = record(
                        layer,
                        scale,
                        budget,
                        loss + noise * rng.normal(),
                        parameters=1000,
                        learning_rate=rate,
                        default_rate=False,
                        steps=steps,
                    )
                    config = {"model": {"d_model": d_model}}
                    records.append(dataclasses.replace(made, config=config))
    return records


def test_the_planted_rule_is_recovered():
    fit = fit_rates(sweep())
    assert fit.rule.intercepts == pytest.approx(PLANTED.intercepts, abs=1e-8)
    assert fit.rule.width_exponent == pytest.approx(PLANTED.width_exponent)
    assert fit.rule.steps_exponent == pytest.approx(PLANTED.steps_exponent)
    assert fit.curvature.value == pytest.approx(K)
    assert fit.residual == pytest.approx(0, abs=1e-9)
    # 72 runs, less 18 groups, 3 layers, 2 exponents and the curvature.
    assert fit.degrees == 48
    for judgment in fit.judgments:
        assert judgment.own_rate == pytest.approx(judgment.rule_rate)
        assert judgment.lost == pytest.approx(0, abs=1e-12)
        assert not judgment.group.is_open


def test_intervals_cover_what_was_planted():
    repetitions = 60
    covered = dict.fromkeys(("width", "steps", "curvature", "moe"), 0)
    for repetition in range(repetitions):
        # Unevenly placed, so that few runs lie on one side.
        fit = fit_rates(sweep(noise=0.01, seed=repetition, off=1.4))
        d_model, steps = fit.middle
        truths = {
            "width": (fit.width_exponent, PLANTED.width_exponent),
            "steps": (fit.steps_exponent, PLANTED.steps_exponent),
            "curvature": (fit.curvature, K),
            "moe": (fit.middle_rates["moe"], math.exp(PLANTED.log_rate("moe", d_model, steps))),
        }
        for name, (estimate, truth) in truths.items():
            covered[name] += estimate.low <= truth <= estimate.high
    assert all(51 <= count <= 60 for count in covered.values()), covered


def test_runs_far_from_the_best_do_not_bend_the_parabola():
    records = sweep()
    far = sweep(factors=(1 / 64,))
    risen = [
        dataclasses.replace(r, result=dataclasses.replace(r.result, val_loss=9.0)) for r in far
    ]
    diverged = [
        dataclasses.replace(r, result=dataclasses.replace(r.result, val_loss=math.nan))
        for r in sweep(factors=(16.0,))
    ]
    fit = fit_rates([*risen, *records, *diverged])
    assert fit.rule == fit_rates(records).rule
    assert [len(j.group.rate_R) for j in fit.judgments] == [5] * 18
    assert [len(j.group.near()[0]) for j in fit.judgments] == [4] * 18


def test_an_exponent_that_the_sweep_does_not_identify_is_fixed_and_said():
    # At one budget the steps follow from the width.
    one_budget = fit_rates(sweep(budgets=(SMALL,), noise=1e-4), default_steps_exponent=-0.2)
    assert one_budget.steps_exponent is None
    assert one_budget.rule.steps_exponent == -0.2
    assert one_budget.rule.width_exponent == pytest.approx(PLANTED.width_exponent, abs=0.01)
    assert "does not identify the exponent of steps: it is fixed to -0.2." in one_budget.notes()[0]
    # Of one size the width is the same.
    one_size = fit_rates(sweep(scales=(2.0,)))
    assert one_size.width_exponent is None
    assert one_size.rule.width_exponent == 0
    assert one_size.rule.steps_exponent == pytest.approx(PLANTED.steps_exponent)
    assert ["exponent of d_model", "0, fixed"] in map(list, one_size.coefficients_table().rows)
    # Both vary, but the noise hides what they do.
    noisy = fit_rates(sweep(noise=0.03, seed=3, scales=(2.0, 2.5)))
    assert noisy.width_exponent is None
    one_group = fit_rates(sweep(layers=("mlp",), scales=(2.0,), budgets=(SMALL,)))
    assert (one_group.width_exponent, one_group.steps_exponent) == (None, None)
    assert one_group.rule.rate("mlp", 256, 12_500) == PLANTED.rate("mlp", 256, 12_500)


def test_a_layer_of_two_rates_is_fitted_with_the_others_curvature():
    records = [*sweep(layers=("mlp", "moe")), *sweep(layers=("sgatlin",), factors=(1.0, 2.0))]
    fit = fit_rates(records)
    assert fit.rule.intercepts["sgatlin"] == pytest.approx(PLANTED.intercepts["sgatlin"], abs=1e-8)
    mine = [j for j in fit.judgments if j.group.key.layer == "sgatlin"]
    assert all(judgment.group.is_open for judgment in mine)
    assert fit.notes()[0].startswith("In 6 of 18 groups the best rate is the lowest or the highest")
    assert fit.groups_table().rows[-1][5].endswith(", extrapolated")


def test_a_fit_without_a_degree_of_freedom_has_unlimited_intervals():
    fit = fit_rates(
        sweep(layers=("mlp",), scales=(2.0,), budgets=(SMALL,), factors=(0.5, 1.0, 2.0))
    )
    assert fit.degrees == 0
    assert fit.middle_rates["mlp"].value == pytest.approx(
        math.exp(PLANTED.log_rate("mlp", *fit.middle))
    )
    assert fit.middle_rates["mlp"][1:] == (0, math.inf)
    assert fit.notes()[-1] == "The fit has no degree of freedom: its intervals are unlimited."


def test_what_a_rule_loses_in_runs_that_it_was_not_fitted_to():
    off = dataclasses.replace(PLANTED, intercepts={"mlp": PLANTED.intercepts["mlp"] + math.log(2)})
    groups = rate_groups(sweep(scales=(2.0,), budgets=(LARGE,)))
    (judgment,) = judge_rates(groups, off, curvature=1.0)  # mlp alone is known
    assert judgment.rule_rate == pytest.approx(2 * judgment.own_rate)
    assert judgment.lost == pytest.approx(K * math.log(2) ** 2)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (sweep(factors=(1.0,)), "no layer was run at two learning rates"),
        ([], "no layer was run at two learning rates"),
        (sweep(factors=(0.5, 1.0), scales=(2.0,), budgets=(SMALL,)), "does not show where"),
        (
            [
                dataclasses.replace(r, result=dataclasses.replace(r.result, val_loss=7 - r.loss))
                for r in sweep()
            ],
            "does not show where the loss is lowest: run at least three",
        ),
        ([dataclasses.replace(r, config={}) for r in sweep()], "no config.model.d_model"),
    ],
    ids=["one rate", "no run", "two rates", "no minimum", "no width"],
)
def test_sweeps_that_show_no_rule(records, message):
    with pytest.raises(UserError, match=message):
        fit_rates(records)


def test_rates_are_rounded_and_unknown_layers_refused():
    rule = RateRule(intercepts={"mlp": math.log(0.5)}, width_exponent=-1.0, steps_exponent=-0.5)
    assert rule.rate("mlp", 192, 400) == 1.3e-4  # 0.5 / 192 / 20 = 1.302e-4
    with pytest.raises(UserError, match=r"no intercept for moe \(it has mlp\): run the layer"):
        rule.rate("moe", 192, 400)
    with pytest.raises(UserError, match="must be at least 1"):
        rule.rate("mlp", 192, 0)


def test_a_rule_is_kept_in_a_file(tmp_path):
    with pytest.raises(UserError, match=r"has no rule-rates\.json: fit the rule"):
        read_rule(tmp_path)
    file = write_rule(tmp_path / "results", PLANTED)
    assert read_rule(tmp_path / "results") == PLANTED
    with pytest.raises(UserError, match=r"cannot write .*; choose another"):
        write_rule(file, PLANTED)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"width_exponent": "steep"},
            r"rule-rates\.json: width_exponent: .*valid number.*; remove",
        ),
        ({"extra": 1}, r"rule-rates\.json: extra: .*; remove"),
        ({"intercepts": {"mlp": math.inf}}, r"rule-rates\.json: .*; remove"),
    ],
)
def test_a_rule_that_cannot_be_read(tmp_path, change, message):
    file = write_rule(tmp_path, PLANTED)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(UserError, match=message):
        read_rule(tmp_path)
    file.write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"cannot read .*; remove it"):
        read_rule(tmp_path)
    file.write_text("{")
    with pytest.raises(UserError, match=r"Invalid JSON.*; remove it"):
        read_rule(tmp_path)
