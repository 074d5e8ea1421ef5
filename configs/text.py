# SPDX-License-Identifier: Apache-2.0
"""A small model of any text that `sgatlin prepare text` has prepared, with each layer."""

from functools import partial

from sgatlin.config import Config, DataConfig, Prepared, TrainConfig
from sgatlin.nn.feed_forward import FeedForwardConfig
from sgatlin.nn.transformer import TransformerConfig
from sgatlin.scaling.ladder import layers
from sgatlin.train.checkpoint import CheckpointConfig
from sgatlin.train.optimizer import OptimizerConfig
from sgatlin.train.schedules import StableDecaySchedule

D_MODEL = 256


def text(name: str, feed_forward: FeedForwardConfig) -> Config:
    return Config(
        name="text" if name == "sgatlin" else f"text-{name}",
        model=TransformerConfig(
            vocab_size=8192, d_model=D_MODEL, n_layers=4, feed_forward=feed_forward
        ),
        data=DataConfig(source=Prepared(path="data/prepared/text"), seq_len=256, batch_size=8),
        optimizer=OptimizerConfig(
            learning_rate=1e-3, schedule=StableDecaySchedule(warmup_steps=100)
        ),
        train=TrainConfig(steps=2000, eval_every=200),
        checkpoint=CheckpointConfig(every_steps=200),
    )


VARIANTS = {
    name: partial(text, name, feed_forward)
    for name, feed_forward in layers(D_MODEL, n_channels=4, n_neurons=1024).items()
}
