# SPDX-License-Identifier: Apache-2.0
"""Stages, budgets that share a trunk, and rates by a fitted rule."""

import dataclasses
import math

import pytest

from sgatlin.isoflop.budget import FlopBudget, TokenBudget
from sgatlin.isoflop.rates import RateRule, write_rule
from sgatlin.isoflop.records import Results
from tests.isoflop.test_study import LARGE, OWN_RATE, SMALL, finish, grid, results, study_of, told

__all__ = ["results"]  # the fixture

LARGEST = TokenBudget(tokens=25600)
TRUNK = (SMALL, LARGE, LARGEST)  # 100, 200 and 400 steps
# rate = 0.32 / sqrt(D) / sqrt(steps): at D 16 and 400 steps 4e-3.
RULE = RateRule(intercepts={"a": math.log(0.32)}, width_exponent=-0.5, steps_exponent=-0.5)


def by_rule(scales, **fields):
    return grid(scales, learning_rates="rule", **fields)


def test_a_stage_names_its_runs(results):
    study = study_of(
        grid((1.0, 2.0), stage="A"), grid((2.0,), stage="B", seeds=(0, 1)), grid((3.0,))
    )
    tokens = SMALL.name
    assert study.expand(results).stages == {
        "A": {f"a-s1-{tokens}", f"a-s2-{tokens}"},
        "B": {f"a-s2-{tokens}", f"a-s2-{tokens}-seed1"},
        "": {f"a-s3-{tokens}"},
    }


def test_runs_at_the_rules_rate_wait_for_the_rule(results):
    study = study_of(
        grid((1.0,), learning_rates=(OWN_RATE, 2e-3)),
        by_rule((1.0, 2.0), budgets=TRUNK, trunk=TRUNK, seeds=(0, 1)),
        by_rule("best", budgets=(LARGE,), trunk=TRUNK, rate_factors=(0.5, 2.0)),
    )
    expansion = study.expand(results)
    assert expansion.waiting == 2 * 3 * 2 + 2
    # Next to a rule no rate of a sweep is the study's own, not even the config's.
    assert [(run.learning_rate, run.default_rate) for run in expansion.runs] == [
        (OWN_RATE, False),
        (2e-3, False),
    ]


def test_layers_that_a_rule_lacks_wait_and_the_others_run(results):
    """A rule of a part of the sweep must not keep the rest of the sweep from running."""
    write_rule(results.path, RULE)
    study = study_of(
        grid((1.0,), layers=("a", "b"), learning_rates=(2e-3,)),
        by_rule((1.0, 2.0), layers=("a", "b")),
        by_rule("best", layers=("b",), seeds=(0, 1)),
    )
    expansion = study.expand(results)
    assert [(run.layer, run.default_rate) for run in expansion.runs] == [
        ("a", False),
        ("b", False),
        ("a", True),
        ("a", True),
    ]
    assert expansion.waiting == 2 + 2


def test_a_trunk_has_the_rule_rate_of_its_largest_budget(results):
    write_rule(results.path, RULE)
    study = study_of(by_rule((1.0, 4.0), budgets=(SMALL, LARGEST), trunk=TRUNK))
    runs = study.expand(results).runs
    assert [(run.scale, run.budget, run.learning_rate) for run in runs] == [
        (1.0, SMALL, 4e-3),
        (4.0, SMALL, 2e-3),
        (1.0, LARGEST, 4e-3),
        (4.0, LARGEST, 2e-3),
    ]
    assert all(run.default_rate and run.nested == TRUNK for run in runs)
    # A run of its own has the rate of its own steps: 0.32 / 4 / 10.
    (alone,) = study_of(by_rule((1.0,))).expand(results).runs
    assert (alone.learning_rate, alone.nested) == (8e-3, ())


def test_rate_factors_multiply_the_rules_rate(results):
    write_rule(results.path, RULE)
    study = study_of(by_rule((1.0,), budgets=(LARGEST,), rate_factors=(0.5, 1.0, 2.0)))
    runs = study.expand(results).runs
    assert [(run.learning_rate, run.default_rate) for run in runs] == [
        (2e-3, False),
        (4e-3, True),
        (8e-3, False),
    ]


def test_a_variant_takes_the_rate_of_the_layer_that_it_varies(results):
    write_rule(results.path, RULE)
    study = study_of(
        by_rule((1.0,), budgets=(LARGEST,), layers=("a-wide",)),
        rate_layer=lambda layer: layer.removesuffix("-wide"),
    )
    assert [run.learning_rate for run in study.expand(results).runs] == [4e-3]


def test_best_scales_at_the_rules_rate(results):
    write_rule(results.path, RULE)
    study = study_of(
        by_rule((1.0, 2.0), budgets=(LARGE,), trunk=TRUNK),
        by_rule("best", budgets=(LARGE,), trunk=TRUNK, rate_factors=(0.5,), stage="C"),
    )
    first, second = study.expand(results).runs
    assert study.expand(results).waiting == 1
    finish(results, {first: 3.0, second: 2.9})
    expansion = study.expand(results)
    (half,) = (run for run in expansion.runs if run.name in expansion.stages["C"])
    assert (half.scale, half.learning_rate) == (2.0, 1.4e-3)  # 0.32 / sqrt(32 * 400) / 2


def test_warm_up_and_batch_are_of_the_trunk(results):
    write_rule(results.path, RULE)
    asked = []

    def warmup(steps):
        asked.append(tuple(steps))
        return steps[-1] // 20

    def windows(budget):
        return 4 if budget.amount < LARGEST.tokens else 8

    fields = {"warmup": warmup, "windows": windows, "validations": 5}
    study = study_of(by_rule((1.0,), budgets=TRUNK[:2], trunk=TRUNK), **fields)
    small, large = (study.config_of(run, results) for run in study.expand(results).runs)
    # 128 tokens a step: 50, 100 and 200 steps.
    assert (small.train.steps, large.train.steps) == (50, 100)
    assert (small.data.batch_size, large.data.batch_size) == (8, 8)
    assert (small.train.eval_every, large.train.eval_every) == (10, 20)
    assert asked == [(50, 100, 200), (50, 100, 200)]
    assert small.optimizer.schedule.warmup_steps == large.optimizer.schedule.warmup_steps == 10
    assert small.checkpoint.before_decay
    alone = study_of(by_rule((1.0,)), **fields)
    config = alone.config_of(alone.expand(results).runs[0], results)
    assert (config.train.steps, config.optimizer.schedule.warmup_steps) == (100, 5)
    assert not config.checkpoint.before_decay


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"trunk": (LARGE, SMALL)}, "list the budgets of a trunk from the smallest up"),
        ({"trunk": (LARGE,)}, "a grid's trunk must hold its own budgets: add 6400 tokens"),
        (
            {"trunk": (SMALL, FlopBudget(flops=1e15))},
            "the budgets of a trunk must all be of one kind",
        ),
        ({"rate_factors": (2.0,)}, 'rate_factors need learning_rates="rule" in their grid'),
    ],
)
def test_grids_that_do_not_fit_together_are_refused(fields, line):
    assert told(study_of, grid((1.0,), **fields)) == f"study made: {line}"


def test_two_trunks_of_one_budget_are_two_runs_of_one_name(results):
    study = study_of(grid((1.0,), budgets=(SMALL,), trunk=TRUNK), grid((1.0,), budgets=(SMALL,)))
    assert "two different runs would be named a-s1-6400tok" in told(study.expand, results)


def test_a_run_remembers_its_trunk(results):
    study = study_of(grid((1.0,), budgets=(SMALL,), trunk=TRUNK))
    (run,) = study.expand(results).runs
    finish(results, {run: 3.0})
    assert Results(results.path).read(run).run == run
    assert dataclasses.replace(run, nested=()) != run
