# SPDX-License-Identifier: Apache-2.0
"""The default: a small model of the built-in story world, minutes on two CPU cores."""

from sgatlin.config import Config, DataConfig, LogConfig, StoryWorld, TrainConfig
from sgatlin.nn.feed_forward import FeedForwardConfig
from sgatlin.nn.mlp import MlpConfig, SwigluConfig, matching_d_hidden
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.transformer import TransformerConfig
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


def sgatlin() -> Config:
    return storyworld("story", SgatlinConfig(n_channels=4, n_neurons=256, top_k=8, d_key=128))


def mlp() -> Config:
    return storyworld("story-mlp", MlpConfig(d_hidden=matching_d_hidden(D_MODEL)))


def swiglu() -> Config:
    return storyworld("story-swiglu", SwigluConfig(d_hidden=matching_d_hidden(D_MODEL)))


VARIANTS = {"sgatlin": sgatlin, "mlp": mlp, "swiglu": swiglu}
