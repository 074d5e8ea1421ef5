# SPDX-License-Identifier: Apache-2.0
"""The default: a small model of the built-in story world, minutes on two CPU cores."""

from functools import partial

from sgatlin.config import Config, DataConfig, LogConfig, StoryWorld, TrainConfig
from sgatlin.nn.feed_forward import FeedForwardConfig, PatternConfig
from sgatlin.nn.transformer import TransformerConfig
from sgatlin.scaling.ladder import layers
from sgatlin.train.checkpoint import CheckpointConfig
from sgatlin.train.optimizer import OptimizerConfig
from sgatlin.train.schedules import StableDecaySchedule

D_MODEL = 128
VOCAB_SIZE = 2048


def storyworld(name: str, feed_forward: FeedForwardConfig) -> Config:
    return Config(
        name=name,
        model=TransformerConfig(
            vocab_size=VOCAB_SIZE, d_model=D_MODEL, n_layers=4, feed_forward=feed_forward
        ),
        data=DataConfig(source=StoryWorld(), seq_len=256, batch_size=4),
        optimizer=OptimizerConfig(
            learning_rate=2e-3, schedule=StableDecaySchedule(warmup_steps=100)
        ),
        train=TrainConfig(steps=1200, eval_every=300),
        checkpoint=CheckpointConfig(every_steps=300),
        log=LogConfig(every=20),
    )


ONE_KIND = layers(D_MODEL, n_channels=4, n_neurons=256)
# Sparse in every second block.
ALTERNATING = PatternConfig(layers=(ONE_KIND["swiglu"], ONE_KIND["sgatlin"]))

VARIANTS = {
    name: partial(storyworld, "story" if name == "sgatlin" else f"story-{name}", feed_forward)
    for name, feed_forward in {**ONE_KIND, "sgatlin-alternating": ALTERNATING}.items()
}
