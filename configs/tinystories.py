# SPDX-License-Identifier: Apache-2.0
"""The paper's model for TinyStories, with each layer of the comparison: one epoch."""

from functools import partial

from sgatlin.config import Config, DataConfig, Prepared, TrainConfig
from sgatlin.nn.feed_forward import FeedForwardConfig
from sgatlin.nn.transformer import TransformerConfig
from sgatlin.scaling.ladder import layers
from sgatlin.train.checkpoint import CheckpointConfig
from sgatlin.train.optimizer import OptimizerConfig
from sgatlin.train.schedules import StableDecaySchedule
from sgatlin.train.usage import UsageConfig

D_MODEL = 256
# About one epoch of the whole data set, in steps of 256 * 1024 tokens: 1.9 GB, at the 4.1 bytes a
# token of a part of it. `--epochs 1` takes the exact number.
STEPS = 1800


def tinystories(name: str, feed_forward: FeedForwardConfig) -> Config:
    return Config(
        name=f"tinystories-{name}",
        model=TransformerConfig(
            vocab_size=8192, d_model=D_MODEL, n_layers=4, feed_forward=feed_forward
        ),
        data=DataConfig(
            source=Prepared(path="data/prepared/tinystories"), seq_len=1024, batch_size=256
        ),
        optimizer=OptimizerConfig(
            learning_rate=1e-3, clip_norm=2.0, schedule=StableDecaySchedule(warmup_steps=100)
        ),
        train=TrainConfig(steps=STEPS, accumulate=8, eval_every=200),
        checkpoint=CheckpointConfig(every_steps=200),
        usage=UsageConfig(every=100, dead_after=200),
    )


VARIANTS = {
    name: partial(tinystories, name, feed_forward)
    for name, feed_forward in layers(D_MODEL, n_channels=8, n_neurons=1024).items()
}
