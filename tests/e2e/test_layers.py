# SPDX-License-Identifier: Apache-2.0
"""Every layer of the comparison learns the story world."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from sgatlin.config import Config, configs_folder, load_config, load_variants
from sgatlin.input.store import TokenStore
from sgatlin.input.storyworld.prepare import prepare_storyworld
from sgatlin.train.loop import Trainer, TrainOptions

VARIANTS = tuple(load_variants(configs_folder() / "storyworld.py"))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stories(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "storyworld"
    sizes = {"train_megabytes": 1.0, "validation_megabytes": 0.1, "vocab_size": 2048}
    prepare_storyworld(folder, seed=0, report=lambda line: None, **sizes)
    return folder


def a_short_run(config: Config, data: Path) -> Config:
    """Two layers for 150 steps of 256 tokens, soon at the full rate."""
    source = dataclasses.replace(
        config.data.source, path=str(data), train_megabytes=1.0, validation_megabytes=0.1
    )
    schedule = dataclasses.replace(config.optimizer.schedule, warmup_steps=20)
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, n_layers=2),
        data=dataclasses.replace(config.data, source=source, seq_len=64),
        optimizer=dataclasses.replace(config.optimizer, schedule=schedule),
        train=dataclasses.replace(config.train, steps=150, eval_every=150),
        checkpoint=dataclasses.replace(config.checkpoint, every_steps=150),
        log=dataclasses.replace(config.log, tensorboard=False),
    )


def unigram_entropy(store: TokenStore) -> float:
    """Nats per token of guessing by how often each token occurs."""
    counts = np.bincount(store.slice(0, store.manifest.n_tokens))
    share = counts / counts.sum()
    return float(-(share[share > 0] * np.log(share[share > 0])).sum())


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_learns_more_than_how_often_tokens_occur(variant, stories, tmp_path):
    config = a_short_run(load_config(f"storyworld:{variant}"), stories)
    trainer = Trainer(config, tmp_path / variant, TrainOptions(), tell=lambda line: None)
    result = trainer.train()
    assert result["val_loss"] < unigram_entropy(trainer.data.validation) - 0.5
