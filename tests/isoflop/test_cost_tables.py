# SPDX-License-Identifier: Apache-2.0
"""Cells of the tables of costs, written by hand from records whose numbers are round."""

import dataclasses

import pytest

from sgatlin.config import Config, DataConfig, StoryWorld, TrainConfig
from sgatlin.isoflop import cost_tables
from sgatlin.isoflop.budget import TokenBudget
from sgatlin.isoflop.records import StepRow, StepTimes
from sgatlin.nn.mlp import MlpConfig
from sgatlin.nn.transformer import TransformerConfig
from tests.isoflop.cells import cells, run, study

RUNS = [
    run("mlp", 30.0),
    run("mlp", 20.0, scale=2.0),
    run("mlp", 25.0, scale=3.0),
    run("peer", 40.0),
    run("peer", 10.0, scale=2.0),
]
# mlp's line ends at 10: its run of 500 is worse. In 500 another mlp might reach anything.
COSTS = {"mlp": [1.0, 10.0, 500.0], "peer": [4.0, 1000.0]}


def test_a_line_ends_at_its_best_run():
    # From 4, where the second line begins, through the geometric mean of 4 and 10, to the ends.
    assert cells(cost_tables.reached(RUNS, COSTS, "s", more_was_run=False)) == [
        ["layer", "4 s", "6.4 s", "10 s", "1000 s"],
        ["mlp", "30.00 (1 s)", "30.00 (1 s)", "20.00 (10 s)", "-"],
        ["peer", "40.00 (4 s)", "40.00 (4 s)", "40.00 (4 s)", "10.00 (1000 s)"],
    ]


def test_a_best_run_stands_for_larger_ones_that_were_tried():
    assert cells(cost_tables.reached(RUNS, COSTS, "GB", more_was_run=True))[1] == [
        *("mlp", "30.00 (1 GB)", "30.00 (1 GB)", "20.00 (10 GB)", "20.00 (10 GB)")
    ]
    one = [run("mlp", 30.0), run("peer", 20.0)]
    assert cells(
        cost_tables.reached(one, {"mlp": [2.5], "peer": [3.5]}, "GB", more_was_run=True)
    ) == [
        ["layer", "2.5 GB", "3.5 GB"],
        ["mlp", "30.00 (2.5 GB)", "30.00 (2.5 GB)"],
        ["peer", "", "20.00 (3.5 GB)"],
    ]


def test_lines_that_end_within_a_tenth_share_a_column():
    runs = [run("mlp", 30.0), run("moe", 20.0), run("peer", 10.0)]
    costs = {"mlp": [10.0], "moe": [10.9], "peer": [11.5]}
    assert cells(cost_tables.reached(runs, costs, "s", more_was_run=False)) == [
        ["layer", "11 s", "12 s"],
        ["mlp", "30.00 (10 s)", "-"],
        ["moe", "20.00 (10.9 s)", "20.00 (10.9 s)"],
        ["peer", "", "10.00 (11.5 s)"],
    ]


@pytest.mark.parametrize(
    ("value", "rounded"), [(8.0, 8.0), (8.01, 8.1), (123.0, 130.0), (0.0451, 0.046), (99.5, 100.0)]
)
def test_limits_are_rounded_up_to_two_digits(value, rounded):
    assert cost_tables.round_up(value) == pytest.approx(rounded, rel=1e-12)


def test_step_costs_of_the_studys_layers():
    def row(layer, scale, ms, memory):
        return StepRow(layer=layer, scale=scale, ms=ms, state_bytes=10**9, temporary_bytes=memory)

    rows = (
        row("sgatlin", 1.0, 5.256, 10**9),
        row("sgatlin", 1.5, 7.0, None),
        row("sgatlin-router", 1.5, 8.0, 5 * 10**6),
        row("dense", 1.5, 1.0, 1),
    )
    times = StepTimes(device="cpu", versions={}, rows=rows)
    assert cells(cost_tables.step_costs(study(), times)) == [
        ["layer", "s=1", "s=1.5"],
        ["sgatlin", "5.26 ms, 2.00 GB", "7.00 ms"],
        ["sgatlin-router", "", "8.00 ms, 1.00 GB"],
    ]


def test_other_conventions_are_multiples_of_the_papers():
    """D 8, T 4, one layer, an MLP of 16, a vocabulary of 32: multiply-adds per token by hand."""

    def config(layer: str, scale: float) -> Config:
        return Config(
            name="made",
            model=TransformerConfig(
                vocab_size=32, d_model=8, n_layers=1, d_head=8, feed_forward=MlpConfig(d_hidden=16)
            ),
            data=DataConfig(source=StoryWorld(), seq_len=4, batch_size=1),
            train=TrainConfig(steps=1000),
        )

    projections, attention, layer, unembedding = 4 * 8 * 8, 2 * 4 * 8, 2 * 8 * 16, 8 * 32
    paper = projections + attention + layer
    full = (paper + unembedding) / paper
    causal = (projections + attention * (2.5 / 4) + layer) / paper  # 1 to 4 tokens: 2.5 of 4
    made = dataclasses.replace(study(), config=config)
    runs = [run("sgatlin", 20.0), run("peer-matched", 20.0, scale=2.0), run("mlp", 9.0)]
    assert cells(cost_tables.conventions(made, runs)) == [
        ["layer", "s=1", "s=2"],
        ["sgatlin", f"{full:.2f}, {causal:.2f}", ""],
        ["peer-matched", "", f"{full:.2f}, {causal:.2f}"],
    ]
    timed = [run("sgatlin", 20.0, budget=TokenBudget(tokens=9.0))]
    assert cost_tables.conventions(made, timed) is None
