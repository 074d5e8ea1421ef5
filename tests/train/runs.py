# SPDX-License-Identifier: Apache-2.0
"""Whole runs in tests: train, stop, watch what is read, spoil a step."""

from pathlib import Path

import jax
import numpy as np
import pytest

from sgatlin.config import Config
from sgatlin.train import loop
from sgatlin.train.loop import Stopped, Trainer, TrainOptions


def train(config: Config, path: Path, *, until: int | None = None, **options) -> Trainer:
    """Trains to the end, or stops as a signal would after step `until`."""
    trainer = Trainer(config, path, TrainOptions(**options))
    if until is None:
        trainer.train()
    else:
        with pytest.raises(Stopped, match=f"^saved step {until}$"):
            trainer.train(lambda: trainer.step == until)
    return trainer


def assert_same(a, b) -> None:
    """Two trees are equal bit for bit."""
    for ours, theirs in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()


def record_windows(monkeypatch) -> list[int]:
    """The list to which every window that is trained on will be added."""
    windows: list[int] = []

    def recorded(*args, **kwargs):
        for batch in original(*args, **kwargs):
            windows.extend(batch.example_ids_B.tolist())
            yield batch

    original = loop.train_batches
    monkeypatch.setattr(loop, "train_batches", recorded)
    return windows


def poison(trainer: Trainer, step: int, name: str) -> None:
    """Makes a metric of one step infinite, and the step a bad one."""
    original = trainer.train_step
    bad = {name: jax.numpy.inf, "guard/bad": jax.numpy.array(True)}

    def poisoned(state, batch, learning_rate):
        state, metrics = original(state, batch, learning_rate)
        return state, metrics | (bad if trainer.step + 1 == step else {})

    trainer.train_step = poisoned


def poison_batches(trainer: Trainer, *steps: int) -> None:
    """Makes a token's weight in the batches of these steps no number."""
    original = trainer.feed.put

    def put(inputs, targets, weights, *rest):
        if trainer.step + 1 in steps:
            weights = weights.copy()
            weights[0, 0] = np.nan
        return original(inputs, targets, weights, *rest)

    trainer.feed.put = put
