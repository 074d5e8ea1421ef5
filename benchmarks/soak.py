# SPDX-License-Identifier: Apache-2.0
"""The run that `reliability` kills, and what must hold of its directory whenever it was killed.

A config file too: sgatlin train benchmarks/soak.py
"""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sgatlin.config import Config, DataConfig, LogConfig, StoryWorld, TrainConfig
from sgatlin.errors import RunStopped
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.transformer import TransformerConfig
from sgatlin.train import checkpoint
from sgatlin.train.checkpoint import CheckpointConfig
from sgatlin.train.optimizer import OptimizerConfig
from sgatlin.train.run import RunDirectory
from sgatlin.train.schedules import StableDecaySchedule
from sgatlin.train.step import abstract_state

STEPS, SAVED_EVERY = 300, 5


def soak() -> Config:
    return Config(
        name="soak",
        model=TransformerConfig(
            vocab_size=300,
            d_model=32,
            n_layers=2,
            d_head=16,
            feed_forward=SgatlinConfig(n_channels=2, n_neurons=64, top_k=2, d_key=16),
        ),
        data=DataConfig(
            source=StoryWorld(train_megabytes=0.2, validation_megabytes=0.02),
            seq_len=32,
            batch_size=4,
        ),
        optimizer=OptimizerConfig(
            learning_rate=5e-3, schedule=StableDecaySchedule(warmup_steps=20)
        ),
        train=TrainConfig(steps=STEPS, eval_every=75, eval_tokens=1024),
        checkpoint=CheckpointConfig(every_steps=SAVED_EVERY, keep_last=3),
        log=LogConfig(every=1),
    )


VARIANTS = {"soak": soak}


def require(holds: bool, otherwise: str) -> None:
    """RunStopped, which ends the benchmark with exit code 1, unless it holds."""
    if not holds:
        raise RunStopped(f"not as it must be: {otherwise}")


def last_good(run: RunDirectory) -> int | None:
    """The last step with a manifest, of which every one must be as its manifest says."""
    steps = checkpoint.good_steps(run.checkpoints)
    for step in steps:
        checkpoint.verify(run.checkpoints, step)
    return max(steps, default=None)


def check_metrics(run: RunDirectory, least: int) -> None:
    """Each step up to the last is in metrics.jsonl once, in order, and at least so many are."""
    text = run.metrics_file.read_text(encoding="utf-8") if run.metrics_file.exists() else ""
    rows = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    steps = [row["step"] for row in rows if "loss" in row]
    require(steps == list(range(1, len(steps) + 1)), f"{run.metrics_file} has steps {steps}")
    require(len(steps) >= least, f"{run.metrics_file} ends at {len(steps)}, before {least}")


def require_same_end(run: RunDirectory, other: RunDirectory) -> None:
    """Two runs ended with the same state, bit for bit, and the same metrics at every step."""
    require(
        state_bytes(run, STEPS) == state_bytes(other, STEPS),
        f"{run.path} and {other.path} end in different states",
    )
    require(_metrics(run) == _metrics(other), f"metrics of {run.path} and {other.path} differ")


def state_bytes(run: RunDirectory, step: int) -> list[bytes]:
    """All arrays of a checkpoint."""
    like = abstract_state(run.config())
    params, train, _ = checkpoint.restore(
        run.checkpoints, step, params_like=like.params, train_like=like.all_but_params()
    )
    return leaf_bytes((params, train))


def leaf_bytes(tree: Any) -> list[bytes]:
    """The bytes of each array of a tree, those of random keys included."""
    leaves = jax.tree.leaves(tree)
    keys = [jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in leaves]
    plain = [
        jax.random.key_data(x) if is_key else x for x, is_key in zip(leaves, keys, strict=True)
    ]
    return [np.asarray(leaf).tobytes() for leaf in plain]


def _metrics(run: RunDirectory) -> list[dict[str, Any]]:
    """All that was measured but for what depends on the clock."""
    lines = run.metrics_file.read_text(encoding="utf-8").splitlines()
    clock = ("time", "tokens_per_second", "share_of_peak")
    return [{k: v for k, v in json.loads(line).items() if k not in clock} for line in lines]
