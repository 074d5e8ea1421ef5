# SPDX-License-Identifier: Apache-2.0
"""Studies whose runs take a second, in a file as a user would write it."""

from pathlib import Path

from sgatlin.config import Config
from sgatlin.isoflop.study import Study, load_study

TEXT = """
import dataclasses

from sgatlin.config import Config, DataConfig, LogConfig, Prepared, TrainConfig
from sgatlin.isoflop.budget import FlopBudget, TokenBudget
from sgatlin.isoflop.grid import Grid
from sgatlin.isoflop.study import Study
from sgatlin.nn.mlp import MlpConfig, SwigluConfig
from sgatlin.nn.transformer import TransformerConfig
from sgatlin.scaling.flops import training_flops
from sgatlin.train.checkpoint import CheckpointConfig
from sgatlin.train.optimizer import OptimizerConfig
from sgatlin.train.schedules import StableDecaySchedule

DATA = {data!r}
TOKENS_PER_STEP = 4 * 16


def config(layer, scale):
    swiglu = layer == "swiglu"
    hidden = int(16 * scale)
    return Config(
        name="tiny",
        model=TransformerConfig(
            vocab_size=300,
            d_model=16,
            n_layers=1,
            d_head=8,
            feed_forward=SwigluConfig(d_hidden=hidden) if swiglu else MlpConfig(d_hidden=hidden),
        ),
        data=DataConfig(
            source=Prepared(path=DATA + ("/absent" if layer == "absent" else "")),
            seq_len=16,
            batch_size=4,
        ),
        optimizer=OptimizerConfig(
            learning_rate=1e30 if layer == "diverging" else 1e-2,
            schedule=StableDecaySchedule(warmup_steps=4, decay_fraction=0.2),
        ),
        train=TrainConfig(steps=20, eval_tokens=256),
        checkpoint=CheckpointConfig(every_steps=10**9, keep_best=0, at_end=False),
        log=LogConfig(every=1, tensorboard=False),
    )


def tokens(steps):
    return TokenBudget(tokens=float(steps * TOKENS_PER_STEP))


def flops(steps):
    model = config("mlp", 1.0).model
    return FlopBudget(flops=float(steps * training_flops(model, 16).paper * TOKENS_PER_STEP))


def study(*grids, **fields):
    return Study(name="tiny", title="Tiny", config=config, grids=grids, **fields)


def grid(*budgets, layers=("mlp", "swiglu"), scales=(1.0,), **fields):
    return Grid(budgets=budgets, layers=layers, scales=scales, **fields)


def best():
    one = dict(layers=("mlp",))
    second = grid(tokens(20), scales="best", seeds=(0, 1), **one)
    return study(grid(tokens(20), scales=(1.0, 2.0), **one), second)


STUDIES = {{
    "two": lambda: study(grid(tokens(20))),
    "failing": lambda: study(
        grid(tokens(20), layers=("absent", "diverging", "mlp"), scales=(1.0,))
    ),
    "long": lambda: study(
        grid(tokens(5000)), grid(tokens(20), layers=("mlp",), learning_rates=(1e30,))
    ),
    "short": lambda: study(grid(tokens(4), tokens(20), layers=("mlp",))),
    "best": best,
    "whole": lambda: study(grid(flops(20), flops(40), layers=("mlp",))),
    "branch": lambda: study(grid(flops(20), flops(40), layers=("mlp",)), branch=True),
}}
"""


def write_studies(path: Path, toy: Config) -> Path:
    """The file, whose runs read the data of `toy`."""
    path.write_text(TEXT.format(data=toy.data.source.path))
    return path


def tiny(path: Path, variant: str) -> Study:
    """A study of that file."""
    return load_study(f"{path}:{variant}")
