# SPDX-License-Identifier: Apache-2.0
"""Budgets name themselves as they are written, and pay for the steps that a hand counts."""

import math
import re

import pytest

from sgatlin.config import Config, DataConfig, StoryWorld, TrainConfig
from sgatlin.errors import UserError
from sgatlin.isoflop.budget import FlopBudget, TimeBudget, TokenBudget, short
from sgatlin.nn.mlp import MlpConfig
from sgatlin.nn.transformer import TransformerConfig

D, H, LAYERS, V, T, B = 16, 64, 2, 512, 32, 8
CONFIG = Config(
    name="by hand",
    model=TransformerConfig(
        vocab_size=V, d_model=D, n_layers=LAYERS, d_head=8, feed_forward=MlpConfig(d_hidden=H)
    ),
    data=DataConfig(source=StoryWorld(), seq_len=T, batch_size=B),
    train=TrainConfig(steps=1000),
)
# Multiply-adds of a token, forward: projections of attention, its scores and sums, the layer.
PRODUCTS = LAYERS * (4 * D * D + 2 * T * D + 2 * D * H)
# A multiply-add is 2, and the backward pass costs two forward ones.
PAPER_STEP = 6 * PRODUCTS * T * B
FULL_STEP = 6 * (PRODUCTS + D * V) * T * B
# Under the causal mask token t attends to t + 1 tokens: (T + 1) / 2 on average.
CAUSAL_STEP = 6 * LAYERS * (4 * D * D + (T + 1) * D + 2 * D * H) * T * B


def no_time(device: str) -> float:
    raise AssertionError(f"asked for the step's time on {device}")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (3e14, "3e14"),
        (1.5e15, "1.5e15"),
        (2e7, "2e7"),
        (1000.0, "1e3"),
        (1250.0, "1250"),
        (10.0, "10"),
        (0.5, "0.5"),
        (0.002, "2e-3"),
        (4e-4, "4e-4"),
        (1.6e-2, "0.016"),
    ],
)
def test_short(number, text):
    assert short(number) == text
    assert float(text) == number


@pytest.mark.parametrize("number", [123456789012.0, 0.1 + 0.2, 1 / 3, 2**40 / 1000])
def test_short_keeps_twelve_digits(number):
    assert float(short(number)) == pytest.approx(number, rel=1e-11)


@pytest.mark.parametrize(
    ("budget", "name", "described", "amount"),
    [
        (FlopBudget(flops=1e15), "1e15", "1e15 FLOPs (paper)", 1e15),
        (FlopBudget(flops=1e15, convention="full"), "1e15full", "1e15 FLOPs (full)", 1e15),
        (FlopBudget(flops=2e9, convention="causal"), "2e9causal", "2e9 FLOPs (causal)", 2e9),
        (TimeBudget(seconds=10.0, device="NVIDIA H100"), "10s", "10 s on NVIDIA H100", 10.0),
        (TokenBudget(tokens=2e7), "2e7tok", "2e7 tokens", 2e7),
    ],
)
def test_names(budget, name, described, amount):
    assert (budget.name, budget.described, budget.amount) == (name, described, amount)


@pytest.mark.parametrize(
    ("convention", "per_step"),
    [("paper", PAPER_STEP), ("full", FULL_STEP), ("causal", CAUSAL_STEP)],
)
@pytest.mark.parametrize(("share", "steps"), [(79.4, 79), (79.6, 80), (1.0, 1), (0.2, 1)])
def test_flops_pay_for_whole_steps(convention, per_step, share, steps):
    budget = FlopBudget(flops=share * per_step, convention=convention)
    assert budget.steps(CONFIG, no_time) == steps


def test_the_unembedding_is_paid_for_in_full_alone():
    assert (PAPER_STEP, FULL_STEP) == (12_582_912, 25_165_824)
    assert FlopBudget(flops=1e9).steps(CONFIG, no_time) == 79
    assert FlopBudget(flops=1e9, convention="full").steps(CONFIG, no_time) == 40


@pytest.mark.parametrize(("seconds", "steps"), [(10.0, 400), (0.0385, 2), (1e-4, 1)])
def test_seconds_pay_by_the_step_on_that_device(seconds, steps):
    times = {"cpu": 0.025, "NVIDIA H100": 0.001}
    assert TimeBudget(seconds=seconds, device="cpu").steps(CONFIG, times.__getitem__) == steps


@pytest.mark.parametrize(("tokens", "steps"), [(25_600.0, 100), (25_700.0, 100), (1.0, 1)])
def test_tokens_pay_for_batches(tokens, steps):
    assert TokenBudget(tokens=tokens).steps(CONFIG, no_time) == steps


@pytest.mark.parametrize("value", [0.0, -1e15, math.inf, math.nan])
@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("flops", lambda value: FlopBudget(flops=value)),
        ("seconds", lambda value: TimeBudget(seconds=value, device="cpu")),
        ("tokens", lambda value: TokenBudget(tokens=value)),
    ],
)
def test_amounts_that_are_none_are_refused(field, make, value):
    line = f"{field}={value} of a budget must be above 0 and finite"
    with pytest.raises(UserError, match=f"^{re.escape(line)}$"):
        make(value)


def test_another_convention_is_refused():
    budget = FlopBudget(flops=1e15)
    object.__setattr__(budget, "convention", "half")  # types are checked at calls, in tests alone
    with pytest.raises(UserError, match=r"^convention='half' is not one of paper, full, causal$"):
        budget.__post_init__()
