# SPDX-License-Identifier: Apache-2.0
"""The first losses of every shipped config, scaled down, against those in tests/golden.

The numbers come from the code itself. They do not show that it is right, only that its numerics
have changed. After a change that is meant: `python -m tests.train.test_golden --write`
"""

import dataclasses
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sgatlin.config import Config, load_config, load_variants, shipped_configs
from sgatlin.nn.feed_forward import LayerConfig, with_each_layer
from sgatlin.train.step import StepInputs, init_state, make_train_step
from tests.toy import QUICK_TO_COMPILE

# Sizes of a layer, whichever it has. Neurons count in groups, where the layer has groups.
SMALL = {
    "d_hidden": 24,
    "n_channels": 2,
    "n_neurons": 16,
    "top_k": 2,
    "d_key": 8,
    "n_experts": 4,
    "n_active": 4,
}

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
STEPS = 20

# Between JAX 0.10.2, 0.11.2 and 0.12 the largest relative difference was 2e-5, of spark, whose
# units near the threshold fire or not by rounding, and below 1e-6 of the others.
TOLERANCE = 5e-5

# Every layer once, and of the other configs, which use the same layers, the first.
SPECS = [
    f"{name}:{variant}"
    for name, path in shipped_configs().items()
    for i, variant in enumerate(load_variants(path))
    if i == 0 or name == "storyworld"
]


def small_layer(layer: LayerConfig) -> LayerConfig:
    fields = {field.name for field in dataclasses.fields(layer)}
    small = {name: value for name, value in SMALL.items() if name in fields}
    for name in ("n_neurons", "top_k"):
        if name in small:
            small[name] *= getattr(layer, "group", 1)
    return dataclasses.replace(layer, **small)


def scaled_down(config: Config) -> Config:
    """The same kind of model and training with some thousand parameters and for twenty steps.

    The learning rate is one for that size: to tune a config is no change of numerics.
    """
    schedule = dataclasses.replace(config.optimizer.schedule, warmup_steps=4)
    return dataclasses.replace(
        config,
        model=dataclasses.replace(
            config.model,
            vocab_size=64,
            d_model=16,
            d_head=8,
            n_layers=2,
            feed_forward=with_each_layer(config.model.feed_forward, small_layer),
            dtype="float32",
        ),
        data=dataclasses.replace(config.data, seq_len=16, batch_size=4),
        optimizer=dataclasses.replace(config.optimizer, learning_rate=1e-2, schedule=schedule),
        train=dataclasses.replace(config.train, steps=STEPS, accumulate=1),
    )


def first_losses(spec: str) -> list[float]:
    """Losses on a made-up sequence, so that neither stories nor a tokenizer matter."""
    config = scaled_down(load_config(spec))
    step = jax.jit(make_train_step(config), compiler_options=QUICK_TO_COMPILE)
    state = jax.jit(lambda: init_state(config), compiler_options=QUICK_TO_COMPILE)()
    losses = []
    for start in range(0, 64 * STEPS, 64):
        n = start + np.arange(65)
        tokens = jnp.asarray((3 * n * n + n // 5) % 64, jnp.int32)
        batch = StepInputs(tokens[:-1].reshape(4, 16), tokens[1:].reshape(4, 16), jnp.ones((4, 16)))
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    return losses


def golden_file(spec: str) -> Path:
    return GOLDEN / f"{spec.replace(':', '-')}.json"


@pytest.mark.parametrize("spec", SPECS)
def test_losses_are_those_on_file(spec):
    expected = json.loads(golden_file(spec).read_text())
    assert first_losses(spec) == pytest.approx(expected, rel=TOLERANCE)


def test_every_config_has_its_file_and_every_file_its_config():
    assert sorted(GOLDEN.iterdir()) == sorted(golden_file(spec) for spec in SPECS)


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.train.test_golden --write")
    GOLDEN.mkdir(exist_ok=True)
    for spec in SPECS:
        rounded = [round(loss, 7) for loss in first_losses(spec)]
        golden_file(spec).write_text(json.dumps(rounded, indent=1) + "\n")
        print(golden_file(spec), rounded[0], rounded[-1])
