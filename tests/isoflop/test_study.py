# SPDX-License-Identifier: Apache-2.0
"""Grids become runs, each once and in order; those of best scales wait for what they need."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from sgatlin.config import Config, DataConfig, StoryWorld, TrainConfig
from sgatlin.errors import UserError
from sgatlin.isoflop.budget import Budget, FlopBudget, TimeBudget, TokenBudget
from sgatlin.isoflop.expansion import Expansion, trunk_of
from sgatlin.isoflop.grid import Grid
from sgatlin.isoflop.records import Results, Run, StepRow, StepTimes
from sgatlin.isoflop.study import Study, budgets_of, models, results_folder
from sgatlin.nn.mlp import MlpConfig
from sgatlin.nn.transformer import TransformerConfig
from sgatlin.train.optimizer import OptimizerConfig
from sgatlin.train.schedules import StableDecaySchedule
from tests.isoflop.made import record

SMALL, LARGE = TokenBudget(tokens=6400), TokenBudget(tokens=12800)
TOKENS_PER_STEP = 64
OWN_RATE = 1e-3


def config(layer: str, scale: float, warmup_steps: int = 10) -> Config:
    model = TransformerConfig(
        vocab_size=64,
        d_model=int(16 * scale),
        n_layers=1,
        d_head=8,
        feed_forward=MlpConfig(d_hidden=64),
    )
    return Config(
        name="study",
        model=model,
        data=DataConfig(source=StoryWorld(), seq_len=16, batch_size=4),
        optimizer=OptimizerConfig(
            learning_rate=OWN_RATE, schedule=StableDecaySchedule(warmup_steps=warmup_steps)
        ),
        train=TrainConfig(steps=100),
    )


def study_of(*grids: Grid, **fields) -> Study:
    made: dict = {"name": "made", "title": "Made", "config": config, "grids": grids}
    return Study(**{**made, **fields})


def grid(scales, budgets=(SMALL,), layers=("a",), **fields) -> Grid:
    return Grid(budgets=budgets, layers=layers, scales=scales, **fields)


def names(expansion: Expansion) -> list[str]:
    return [run.name for run in expansion.runs]


def told(function: Callable[..., object], *arguments: object) -> str:
    """The line of the UserError that a call raises."""
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def results(tmp_path) -> Results:
    return Results(tmp_path / "results")


def finish(results: Results, runs: dict[Run, float]) -> None:
    """Writes a record of that loss for each run."""
    for run, loss in runs.items():
        made = record(run.layer, run.scale, run.budget, loss, parameters=1000)
        results.write(dataclasses.replace(made, run=run))


def run_of(layer: str, scale: float, budget: Budget = SMALL, **fields) -> Run:
    return Run(
        **{
            "layer": layer,
            "scale": scale,
            "budget": budget,
            "learning_rate": OWN_RATE,
            **fields,
        }
    )


def test_grids_expand_in_order(results):
    study = study_of(
        grid((2.0, 1.0), budgets=(LARGE, SMALL), layers=("b", "a")),
        grid((1.0,), seeds=(1, 2), learning_rates=(OWN_RATE, 4e-3)),
    )
    expansion = study.expand(results)
    assert expansion.waiting == 0
    assert expansion.runs == (
        *(
            run_of(layer, scale, budget)
            for layer in ("b", "a")
            for budget in (LARGE, SMALL)
            for scale in (2.0, 1.0)
        ),
        run_of("a", 1.0, seed=1),
        run_of("a", 1.0, seed=2),
        run_of("a", 1.0, learning_rate=4e-3, default_rate=False, seed=1),
        run_of("a", 1.0, learning_rate=4e-3, default_rate=False, seed=2),
    )
    assert study.layers == ("b", "a")
    assert models(study) == [("b", 1.0), ("b", 2.0), ("a", 1.0), ("a", 2.0)]


def test_a_run_of_two_grids_is_made_once(results):
    study = study_of(
        grid((1.0, 2.0)), grid((2, 3)), grid((1.0,), seeds=(0, 1), learning_rates=(OWN_RATE,))
    )
    assert names(study.expand(results)) == [
        "a-s1-6400tok",
        "a-s2-6400tok",
        "a-s3-6400tok",
        "a-s1-6400tok-seed1",
    ]


def test_two_runs_of_one_name_are_refused(results):
    """Else the second would silently be taken for the first."""
    study = study_of(
        grid((1.0,), budgets=tuple(TimeBudget(seconds=10, device=d) for d in ("cpu", "gpu")))
    )
    assert "two different runs would be named a-s1-10s" in told(study.expand, results)


BEST = study_of(
    grid((1.0, 2.0, 3.0), layers=("a", "b")),
    grid("best", layers=("a", "b"), seeds=(0, 1)),
    grid("best", learning_rates=(2e-3, 4e-3)),
)


def test_the_best_scale_waits_for_all_of_its_layer(results):
    assert BEST.expand(results).waiting == 2 + 2 + 2
    finish(results, {run_of("a", 1.0): 3.0, run_of("a", 2.0): 2.0})
    finish(results, {run_of("b", s): loss for s, loss in ((1, 3.0), (2, 2.0), (3, 1.0))})
    found = BEST.expand(results)
    assert found.waiting == 4  # what b's seeds waited for is there
    assert names(found)[6:] == ["b-s3-6400tok-seed1"]


def test_the_best_scale_is_that_of_the_lowest_loss(results):
    finish(results, {run_of("a", s): loss for s, loss in ((1, 3.0), (2, 2.0), (3, 2.1))})
    finish(results, {run_of("b", s): loss for s, loss in ((1, 1.0), (2, 2.0), (3, 3.0))})
    found = BEST.expand(results)
    assert found.waiting == 0
    assert names(found)[6:] == [
        "a-s2-6400tok-seed1",
        "b-s1-6400tok-seed1",
        "a-s2-6400tok-lr2e-3",
        "a-s2-6400tok-lr4e-3",
    ]
    # Other seeds and budgets, and rates of runs that are in no grid, have no say.
    others = [
        run_of("a", 3.0, seed=1),
        run_of("a", 3.0, learning_rate=2e-3, default_rate=False),
        run_of("a", 3.0, LARGE),
    ]
    finish(results, dict.fromkeys(others, 0.1))
    assert BEST.expand(results) == found


def test_the_best_scale_is_of_each_rate_alone(results):
    """At 2e-3 the best size is another than at the study's rate; at 4e-3 no size was run."""
    tuned = {"learning_rate": 2e-3, "default_rate": False}
    study = study_of(
        grid((1.0, 2.0)),
        grid((2.0, 3.0), learning_rates=(2e-3,)),
        grid("best", seeds=(0, 1), learning_rates=(OWN_RATE, 2e-3, 4e-3)),
    )
    finish(results, {run_of("a", s): loss for s, loss in ((1, 1.0), (2, 2.0))})
    finish(results, {run_of("a", 2.0, **tuned): 1.5})
    assert study.expand(results).waiting == 2  # the two seeds at 2e-3
    finish(results, {run_of("a", 3.0, **tuned): 0.5})
    found = study.expand(results)
    assert found.waiting == 0
    assert names(found)[4:] == [
        "a-s1-6400tok-seed1",
        "a-s3-6400tok-lr2e-3-seed1",
        "a-s1-6400tok-lr4e-3",
        "a-s1-6400tok-lr4e-3-seed1",
    ]


def test_the_best_of_scales_that_no_grid_has_is_refused(results):
    study = study_of(grid((1.0,)), grid("best", budgets=(LARGE,)))
    assert told(study.expand, results) == (
        "study made: no grid before that of the best scales has a at 12800 tokens"
    )


def test_a_run_sets_steps_seed_and_rate_alone(results):
    run = run_of("a", 2.0, LARGE, seed=3, learning_rate=4e-3, default_rate=False)
    found, base = study_of(grid((1.0,))).config_of(run, results), config("a", 2.0)
    assert found == dataclasses.replace(
        base,
        name="a-s2-12800tok-lr4e-3-seed3",
        train=dataclasses.replace(
            base.train, steps=12800 // TOKENS_PER_STEP, seed=3, eval_every=25
        ),
        optimizer=dataclasses.replace(base.optimizer, learning_rate=4e-3),
    )


def test_seconds_pay_by_the_measured_step(results):
    run = run_of("a", 2.0, TimeBudget(seconds=10.0, device="cpu"))
    study = study_of(grid((1.0,)))
    assert "no step time of a at s=2 on cpu" in told(study.config_of, run, results)
    row = StepRow(layer="a", scale=2.0, ms=40.0, state_bytes=1, temporary_bytes=None)
    results.write_step_times(StepTimes(device="cpu", versions={}, rows=(row,)))
    assert study.config_of(run, results).train.steps == 250


@pytest.mark.parametrize("warmup_steps", [100, 101])
def test_a_warmup_of_the_whole_run_is_refused(results, warmup_steps):
    study = study_of(grid((1.0,)), config=lambda layer, s: config(layer, s, min(warmup_steps, 99)))
    assert study.config_of(run_of("a", 1.0), results).train.steps == 100

    study = study_of(
        grid((1.0,)),
        config=lambda layer, s: dataclasses.replace(
            config(layer, s),
            train=TrainConfig(steps=200),
            optimizer=OptimizerConfig(schedule=StableDecaySchedule(warmup_steps=warmup_steps)),
        ),
    )
    assert told(study.config_of, run_of("a", 1.0), results) == (
        f"a-s1-6400tok: 6400 tokens pays for 100 steps, and {warmup_steps} of them would be "
        "warm-up: leave out this scale at this budget"
    )


def test_grids_that_make_no_sense_are_refused():
    assert told(study_of, grid("best")) == (
        "study made: the first grid cannot be of the best scales"
    )
    for empty in ({"budgets": ()}, {"layers": ()}, {"seeds": ()}):
        assert "a grid without budgets, layers" in told(study_of, grid((1.0,), **empty))
    assert "a grid without budgets, layers" in told(study_of, grid(()))


def test_main_runs_are_of_compared_layers_at_the_studys_rate():
    def made(layer, **fields):
        return record(layer, 1.0, SMALL, 3.0, parameters=1000, **fields)

    records = [made("a"), made("b", seed=1), made("a", learning_rate=1.0, default_rate=False)]
    grids = (grid((1.0,), layers=("a", "b")),)
    assert study_of(*grids).main_runs([*records, made("c")]) == records[:2]
    assert study_of(*grids, compared=("b",)).main_runs(records) == records[1:2]


def test_budgets_by_kind_flops_first():
    budgets = [
        SMALL,
        FlopBudget(flops=3e14),
        TimeBudget(seconds=10.0, device="cpu"),
        FlopBudget(flops=1e15, convention="full"),
        FlopBudget(flops=1e14),
    ]
    found = budgets_of([record("a", 1.0, b, 3.0, parameters=1000) for b in (*budgets, SMALL)])
    assert found == {
        "FLOPs (paper)": [FlopBudget(flops=1e14), FlopBudget(flops=3e14)],
        "FLOPs (full)": [budgets[3]],
        "tokens": [SMALL],
        "seconds on cpu": [budgets[2]],
    }
    assert [kind.startswith("FLOPs") for kind in found] == [True, True, False, False]


def test_the_trunk_is_the_next_smaller_flop_budget():
    def run(flops, convention="paper", **fields):
        return run_of("a", 1.0, FlopBudget(flops=flops, convention=convention), **fields)

    others = [run(2e14, seed=1), run(2.5e14, convention="full"), run_of("b", 1.0, run(2e14).budget)]
    runs = [run(1e14), run(2e14), run(3e14), run(4e14), *others, run_of("a", 1.0)]
    assert trunk_of(run(3e14), runs) == run(2e14)
    assert trunk_of(run(1e14), runs) is None
    assert trunk_of(run_of("a", 1.0, LARGE), runs) is None


def test_the_results_are_beside_the_others_unless_named(tmp_path):
    study = study_of(grid((1.0,)))
    assert results_folder(study, None).path == Path("results/made")
    assert results_folder(study, tmp_path).path == tmp_path
