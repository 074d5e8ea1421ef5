# SPDX-License-Identifier: Apache-2.0
"""Which feed-forward layer wins per FLOP and per GPU-second, at tuned rates, from 1e15 FLOPs up.

`scaling` needs its data: `sgatlin prepare slimpajama --tokenizer TOKENIZER --input FILES --out
data/prepared/pile_mix_whole`. `toy` is the same study at sizes and budgets for a CPU, on the
built-in story world.

Stages, in the order in which they are to be run:

A    the sweep of learning rates to which the rate rule is fitted (`sgatlin isoflop rates`)
A1   the rates of the pool and of the router over the general one
E    variants of the layer
B    every layer at four sizes, two budgets off one trunk
B1   small sizes at 1e15 and 3e15 FLOPs, and PEER
C    half and double rate, and two more seeds, at the best size for 1e16 FLOPs
D    3e16 FLOPs; dense layers and the mixture on to the time that sgatlin takes
F    1e17 FLOPs
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from sgatlin.config import Config, DataConfig, LogConfig, Prepared, StoryWorld, TrainConfig
from sgatlin.isoflop.budget import Budget, FlopBudget
from sgatlin.isoflop.grid import Grid
from sgatlin.isoflop.study import Study
from sgatlin.nn.feed_forward import FeedForwardConfig, PatternConfig
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.transformer import TransformerConfig
from sgatlin.scaling.ladder import Ladder
from sgatlin.train.checkpoint import CheckpointConfig
from sgatlin.train.optimizer import OptimizerConfig, RoleConfig
from sgatlin.train.schedules import StableDecaySchedule
from sgatlin.train.usage import UsageConfig

# Four layers and more: with fewer, small budgets end at the onset of copying from the context. With
# four, the first runs of stage A show it after 341 to 729 steps, so s = 2 and up begin at 3e15.
LADDER = Ladder(least_depth=4)

# Trunks keep the state before their decay; no run keeps its model.
RESULT_ONLY = CheckpointConfig(every_steps=10**9, every_minutes=10.0, keep_best=0, at_end=False)

DENSE = ("mlp", "swiglu")
MIXTURES = ("moe",)
SGATLINS = ("sgatlin", "sgatlin-c8", "sgatlin-g4")
MAIN = (*DENSE, *MIXTURES, *SGATLINS)
KINDS = ("swiglu", "moe", "sgatlin-c8")

# Options of sgatlin's layer in which a variant differs from `sgatlin`; C and K are of the ladder.
LAYER_VARIANTS: dict[str, Callable[[SgatlinConfig, int], dict[str, Any]]] = {
    "sgatlin-c8": lambda layer, d_model: {"n_channels": layer.n_channels // 2},
    "sgatlin-g4": lambda layer, d_model: {"group": 4},
    "sgatlin-k4": lambda layer, d_model: {"top_k": layer.top_k // 2},
    "sgatlin-c8-g4-k16": lambda layer, d_model: {
        "n_channels": layer.n_channels // 2,
        "group": 4,
        "top_k": 2 * layer.top_k,
    },
    "sgatlin-narrow": lambda layer, d_model: {"d_in": d_model // 4},
    "sgatlin-g4-narrow": lambda layer, d_model: {"group": 4, "d_in": d_model // 4},
}

# The layer that each variant changes.
CHANGED = {
    "sgatlin-c8": "sgatlin",
    "sgatlin-g4": "sgatlin",
    "sgatlin-k4": "sgatlin",
    "sgatlin-c8-g4-k16": "sgatlin-g4",
    "sgatlin-narrow": "sgatlin",
    "sgatlin-g4-narrow": "sgatlin-g4",
    "sgatlin-alternating": "sgatlin",
}

# Sparse in every second block; it needs an even number of blocks.
ALTERNATING = "sgatlin-alternating"

# Multiples of the general rate for one role, in `sgatlin-c8`.
ROLE_RATES = {
    f"sgatlin-c8-{role}{factor:g}": (role, factor)
    for role, factors in (("pool", (0.5, 2.0, 4.0)), ("router", (0.25, 0.5, 2.0)))
    for factor in factors
}


def layer_of(name: str, scale: float, ladder: Ladder) -> FeedForwardConfig:
    """A layer of the study, by its name."""
    layers = ladder.layers(scale)
    name = "sgatlin-c8" if name in ROLE_RATES else name
    if name == ALTERNATING:
        return PatternConfig(layers=(layers["swiglu"], layers["sgatlin"]))
    if name not in LAYER_VARIANTS:
        return layers[name]
    sgatlin = layers["sgatlin"]
    assert isinstance(sgatlin, SgatlinConfig)
    options = LAYER_VARIANTS[name](sgatlin, ladder.d_model(scale))
    return dataclasses.replace(sgatlin, **options)


def optimizer_of(name: str, learning_rate: float) -> OptimizerConfig:
    """AdamW as in the first study, with the role's own rate where a variant has one."""
    roles: dict[str, Any] = {}
    if name in ROLE_RATES:
        role, factor = ROLE_RATES[name]
        roles[role] = RoleConfig(learning_rate_multiplier=factor)
    schedule = StableDecaySchedule(warmup_steps=100)
    return OptimizerConfig(learning_rate=learning_rate, schedule=schedule, **roles)


def rate_layer(name: str) -> str:
    """Variants take the rate of the swept layer that they are most like."""
    if name in MAIN or name == "peer":
        return name
    if name.startswith("sgatlin-c8"):
        return "sgatlin-c8"
    return "sgatlin-g4" if name.startswith("sgatlin-g") else "sgatlin"


def warmup(steps: Sequence[int]) -> int:
    """5 % of a trunk's steps, at most 300, and at most a sixth of its first branch."""
    return max(1, min(300, steps[-1] // 20, steps[0] // 6))


def windows(budget: Budget) -> int:
    """64 windows of 1,024 tokens up to 1e16 FLOPs, 128 above."""
    return 64 if budget.amount <= 1e16 else 128


def flops(*amounts: float) -> tuple[Budget, ...]:
    return tuple(FlopBudget(flops=amount) for amount in amounts)


def model_of(
    layer: str, scale: float, ladder: Ladder, *, vocab_size: int, d_head: int = 64
) -> TransformerConfig:
    """The model with a layer of the study, at a scale of a ladder."""
    return TransformerConfig(
        vocab_size=vocab_size,
        d_head=d_head,
        d_model=ladder.d_model(scale),
        n_layers=ladder.n_layers(scale),
        feed_forward=layer_of(layer, scale, ladder),
    )


def scaling() -> Study:
    def config(layer: str, scale: float) -> Config:
        return Config(
            name="scaling",
            model=model_of(layer, scale, LADDER, vocab_size=8192),
            data=DataConfig(
                source=Prepared(path="data/prepared/pile_mix_whole"), seq_len=1024, batch_size=64
            ),
            optimizer=optimizer_of(layer, 4e-3),
            train=TrainConfig(steps=1000, eval_tokens=2**17),
            checkpoint=RESULT_ONLY,
            log=LogConfig(every=20, tensorboard=False),
            usage=UsageConfig(every=100, dead_after=100),
        )

    low, high, trunk = flops(1e15, 3e15), flops(1e16), flops(3e15, 1e16)
    by_rule: dict[str, Any] = {"learning_rates": "rule"}
    variants = tuple(name for name in LAYER_VARIANTS if name not in MAIN)
    rates = (1.5e-3, 3e-3, 6e-3, 1.2e-2)
    return Study(
        name="scaling",
        title="Which feed-forward layer wins, per FLOP and per GPU-second",
        config=config,
        grids=(
            Grid(
                stage="A",
                budgets=low,
                layers=MAIN,
                scales=(2.0,),
                learning_rates=rates,
                trunk=low,
            ),
            # Exponents are shared, so that one layer of each kind serves the larger sizes.
            Grid(
                stage="A",
                budgets=flops(6e15),
                layers=KINDS,
                scales=(3.0,),
                learning_rates=rates[:3],
            ),
            Grid(stage="A", budgets=high, layers=KINDS, scales=(4.0,), learning_rates=rates[:2]),
            Grid(
                stage="A",
                budgets=low[1:],
                layers=("peer",),
                scales=(2.0,),
                learning_rates=rates[1:],
            ),
            # Beside the runs of stage B, whose trunk they share.
            Grid(
                stage="A1",
                budgets=low[1:],
                layers=("sgatlin-c8", *ROLE_RATES),
                scales=(2.0,),
                trunk=trunk,
                **by_rule,
            ),
            Grid(
                stage="E",
                budgets=low[1:],
                layers=(*SGATLINS, *variants, ALTERNATING),
                scales=(2.0, 3.0),
                seeds=(0, 1),
                trunk=trunk,
                **by_rule,
            ),
            Grid(
                stage="B",
                budgets=trunk,
                layers=MAIN,
                scales=(2.0, 2.5, 3.0, 4.0),
                trunk=trunk,
                **by_rule,
            ),
            Grid(stage="B1", budgets=low, layers=MAIN, scales=(1.0, 1.5), trunk=low, **by_rule),
            Grid(
                stage="B1",
                budgets=trunk,
                layers=("peer",),
                scales=(2.0, 2.5, 3.0),
                trunk=trunk,
                **by_rule,
            ),
            Grid(
                stage="C",
                budgets=high,
                layers=MAIN,
                scales="best",
                trunk=trunk,
                rate_factors=(0.5, 2.0),
                **by_rule,
            ),
            Grid(
                stage="C",
                budgets=high,
                layers=MAIN,
                scales="best",
                trunk=trunk,
                seeds=(0, 1, 2),
                **by_rule,
            ),
            Grid(stage="D", budgets=flops(3e16), layers=MAIN, scales=(3.0, 4.0), **by_rule),
            Grid(
                stage="D",
                budgets=flops(8e16),
                layers=(*DENSE, *MIXTURES),
                scales=(4.0,),
                **by_rule,
            ),
            Grid(
                stage="F",
                budgets=flops(1e17),
                layers=("swiglu", "moe", "sgatlin-c8", "sgatlin-g4"),
                scales=(4.0,),
                **by_rule,
            ),
        ),
        compared=(*MAIN, "peer"),
        switched=CHANGED | dict.fromkeys(ROLE_RATES, "sgatlin-c8"),
        warmup=warmup,
        windows=windows,
        rate_layer=rate_layer,
        validations=20,
    )


def toy() -> Study:
    ladder = Ladder(width=16, depth=1, n_channels=4, side=(2, 2), top_k=4, d_key=8, least_depth=2)

    def config(layer: str, scale: float) -> Config:
        return Config(
            name="toy",
            model=model_of(layer, scale, ladder, vocab_size=512, d_head=8),
            data=DataConfig(
                source=StoryWorld(train_megabytes=0.2, validation_megabytes=0.02),
                seq_len=32,
                batch_size=8,
            ),
            optimizer=optimizer_of(layer, 5e-3),
            train=TrainConfig(steps=100, eval_tokens=2**12),
            checkpoint=RESULT_ONLY,
            log=LogConfig(every=20, tensorboard=False),
        )

    layers, trunk = ("swiglu", "sgatlin"), flops(1e9, 3e9)
    by_rule: dict[str, Any] = {"learning_rates": "rule"}
    return Study(
        name="toy",
        title="The study in small",
        config=config,
        grids=(
            Grid(
                stage="A",
                budgets=trunk[:1],
                layers=layers,
                scales=(2.0,),
                learning_rates=(5e-3, 1e-2, 2e-2, 4e-2),
            ),
            Grid(
                stage="B",
                budgets=trunk,
                layers=layers,
                scales=(2.0, 3.0, 4.0),
                trunk=trunk,
                **by_rule,
            ),
            Grid(
                stage="C",
                budgets=trunk[1:],
                layers=layers,
                scales="best",
                trunk=trunk,
                seeds=(0, 1),
                **by_rule,
            ),
        ),
        warmup=warmup,
        rate_layer=rate_layer,
        validations=4,
    )


STUDIES = {"scaling": scaling, "toy": toy}
