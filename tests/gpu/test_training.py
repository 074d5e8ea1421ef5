# SPDX-License-Identifier: Apache-2.0
"""Training on a GPU is the same with its kernels as with XLA, and ends well when it goes wrong."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sgatlin.errors import RunStopped
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.ops.triton_call import why_not
from tests.train.runs import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(why_not() is not None, reason=f"Triton cannot run: {why_not()}"),
]

STEPS = 300


def config_of(toy, implementation, seed=0, **optimizer):
    layer = SgatlinConfig(
        n_channels=4, n_neurons=256, top_k=8, d_key=32, implementation=implementation
    )
    return dataclasses.replace(
        toy,
        model=dataclasses.replace(
            toy.model, d_model=64, d_head=32, feed_forward=layer, dtype="bfloat16"
        ),
        data=dataclasses.replace(toy.data, seq_len=64, batch_size=16),
        optimizer=dataclasses.replace(toy.optimizer, learning_rate=2e-3, **optimizer),
        train=dataclasses.replace(toy.train, steps=STEPS, eval_every=STEPS, seed=seed),
        checkpoint=dataclasses.replace(toy.checkpoint, every_steps=STEPS),
    )


def test_the_loss_falls_as_with_xla(toy, tmp_path):
    def losses(implementation, seed):
        path = tmp_path / f"{implementation}-{seed}"
        train(config_of(toy, implementation, seed), path)
        lines = map(json.loads, (path / "metrics.jsonl").read_text().splitlines())
        return np.array([line["loss"] for line in lines if "loss" in line])

    ours, same, other = losses("triton", 0), losses("xla", 0), losses("xla", 1)
    assert len(ours) == STEPS
    assert ours[-20:].mean() < 0.7 * ours[:5].mean()

    def smoothed(curve):
        return np.convolve(curve, np.full(20, 1 / 20), mode="valid")

    between_seeds = np.abs(smoothed(same) - smoothed(other)).mean()
    assert np.abs(smoothed(ours) - smoothed(same)).mean() < between_seeds


def test_what_is_not_finite_ends_with_its_message(toy, tmp_path):
    config = config_of(toy, "triton", clip_norm=1e30)
    wild = dataclasses.replace(config.optimizer, learning_rate=1e30)
    with pytest.raises(RunStopped, match=r"stopped at step \d+: loss"):
        train(dataclasses.replace(config, optimizer=wild), tmp_path / "wild")
    # An access outside of a table would have ended the device's context.
    assert float(jnp.ones(3).sum()) == 3
    assert np.isfinite(jax.device_get(jnp.arange(5.0))).all()
