# SPDX-License-Identifier: Apache-2.0
"""A run that takes seconds: its config, and the command line that says the same."""

import dataclasses
from pathlib import Path

from sgatlin.config import Config, DataConfig, LogConfig, StoryWorld, TrainConfig, flatten
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.transformer import TransformerConfig
from sgatlin.train.checkpoint import CheckpointConfig
from sgatlin.train.optimizer import OptimizerConfig
from sgatlin.train.schedules import StableDecaySchedule

# Half the time to compile; at this size a slower program costs nothing.
QUICK_TO_COMPILE = {"xla_backend_optimization_level": 0}

STEPS = 20
# The last four of the steps decay.
SCHEDULE = StableDecaySchedule(warmup_steps=4, decay_fraction=0.2)


def toy_config(data: Path) -> Config:
    """Twenty steps of a model of some ten thousand parameters on the story world in `data`."""
    return Config(
        name="toy",
        model=TransformerConfig(
            vocab_size=300,
            d_model=16,
            n_layers=2,
            d_head=8,
            feed_forward=SgatlinConfig(n_channels=2, n_neurons=16, top_k=2, d_key=8),
        ),
        data=DataConfig(
            source=StoryWorld(path=str(data), train_megabytes=0.05, validation_megabytes=0.005),
            seq_len=16,
            batch_size=4,
        ),
        optimizer=OptimizerConfig(learning_rate=1e-2, schedule=SCHEDULE),
        train=TrainConfig(steps=STEPS, eval_every=8, eval_tokens=256),
        checkpoint=CheckpointConfig(every_steps=5),
        log=LogConfig(every=1, tensorboard=False),
    )


def flags(config: Config) -> list[str]:
    """The command line that makes the default config this one (of the same feed-forward layer)."""
    arguments = []
    for name, value in flatten(dataclasses.asdict(config)):
        group, _, field = name.replace("_", "-").rpartition(".")
        option = f"--{group}.{field}" if group else f"--{field}"
        if isinstance(value, bool):
            arguments.append(option if value else f"--{group}.no-{field}")
        elif value is not None:
            arguments += [option, str(value)]
    return arguments
