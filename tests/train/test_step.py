# SPDX-License-Identifier: Apache-2.0
"""The optimizer step: what its loss is, accumulation, metrics, donation, and its memory."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sgatlin.config import Config
from sgatlin.eval.loss import make_eval_step
from sgatlin.nn.mlp import MlpConfig
from sgatlin.nn.transformer import bind
from sgatlin.train.guard import Verdict
from sgatlin.train.schedules import ConstantSchedule
from sgatlin.train.step import (
    Metrics,
    StepInputs,
    TrainState,
    abstract_inputs,
    abstract_state,
    init_state,
    make_train_step,
)
from tests.toy import QUICK_TO_COMPILE

# Tokens of each row that count: uneven, so that rows, and parts of rows, are not worth the same.
LENGTHS = (16, 1, 0, 9)


@pytest.fixture(scope="module")
def config(toy: Config) -> Config:
    """Gradients of rounding size must not move parameters by whole steps, as Adam lets them."""
    optimizer = dataclasses.replace(
        toy.optimizer, epsilon=0.1, schedule=ConstantSchedule(warmup_steps=4), clip_norm=0.5
    )
    return dataclasses.replace(toy, optimizer=optimizer)


@pytest.fixture(scope="module")
def batch(config: Config) -> StepInputs:
    tokens = np.random.default_rng(0).integers(0, config.model.vocab_size, (4, 17), np.int32)
    weights = np.arange(16) < np.array(LENGTHS)[:, None]
    arrays = (tokens[:, :-1], tokens[:, 1:], weights.astype(np.float32))
    return StepInputs(*map(jnp.asarray, arrays))


def take_step(config: Config, state: TrainState, batch: StepInputs) -> tuple[TrainState, Metrics]:
    return jax.jit(make_train_step(config), compiler_options=QUICK_TO_COMPILE)(state, batch)


@pytest.fixture(scope="module")
def stepped(config: Config, batch: StepInputs):
    """The state before and after one step, and the step's metrics."""
    before = jax.jit(lambda: init_state(config), compiler_options=QUICK_TO_COMPILE)()
    after, metrics = take_step(config, before, batch)
    return before, after, metrics


def test_loss_is_the_mean_over_tokens_before_the_update(config, batch, stepped):
    before, _, metrics = stepped
    logits = np.asarray(bind(config.model, before.params)(batch.inputs_BT).logits, np.float64)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    nats = [
        -log_p[row, t, batch.targets_BT[row, t]]
        for row, length in enumerate(LENGTHS)
        for t in range(length)
    ]
    assert metrics["loss"] == pytest.approx(np.mean(nats), rel=1e-5)


@pytest.mark.parametrize("logits_dtype", ["float32", "compute"])
def test_training_and_evaluation_agree_on_the_loss(config, batch, stepped, logits_dtype):
    before, *_ = stepped
    model = dataclasses.replace(config.model, logits_dtype=logits_dtype, dtype="bfloat16")
    _, metrics = take_step(dataclasses.replace(config, model=model), before, batch)
    eval_step = jax.jit(make_eval_step(model), compiler_options=QUICK_TO_COMPILE)
    nats_BT = eval_step(before.params, batch.inputs_BT, batch.targets_BT, batch.weights_BT)
    assert metrics["loss"] == pytest.approx(float(nats_BT.sum()) / sum(LENGTHS), rel=1e-5)
    assert np.array_equal(np.asarray(nats_BT > 0), batch.weights_BT > 0)


def test_metrics_and_state_of_a_step(config, batch, stepped):
    _, after, metrics = stepped
    assert int(after.step) == 1
    assert float(metrics["learning_rate"]) == pytest.approx(config.optimizer.learning_rate / 4)
    # Adam's first moment is a tenth of the gradient it was given: here one clipped to norm 0.5.
    given = float(optax.tree.norm(optax.tree.get(after.optimizer, "mu"))) / 0.1
    assert given == pytest.approx(0.5, rel=1e-4)
    assert float(metrics["grad_norm"]) > 0.5
    layers = (config.model.n_layers,)
    assert {name: value.shape for name, value in metrics.items() if value.shape} == {
        "router/score_rms": layers,
        "router/largest_score": layers,
        "router/choice_entropy": layers,
    }


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulation_changes_nothing(config, batch, stepped, parts):
    before, after, metrics = stepped
    train = dataclasses.replace(config.train, accumulate=parts)
    accumulated, its_metrics = take_step(dataclasses.replace(config, train=train), before, batch)

    for name in ("loss", "grad_norm", "learning_rate"):
        assert float(its_metrics[name]) == pytest.approx(float(metrics[name]), rel=1e-5)
    for ours, theirs in zip(jax.tree.leaves(accumulated), jax.tree.leaves(after), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), before.params, after.params)
    assert min(jax.tree.leaves(moved)) > 1e-5  # so that 1e-6 is a small difference


@pytest.mark.slow
def test_segments_are_split_with_the_batch(config, batch, stepped):
    """Every token a document of its own: no token sees another, in one part or in four."""
    before, _, metrics = stepped
    segments_BT = jnp.broadcast_to(jnp.arange(16), (4, 16))
    alone = bind(config.model, before.params)(batch.inputs_BT.reshape(-1, 1)).logits
    log_p = jax.nn.log_softmax(alone[:, 0]).reshape(4, 16, -1)
    nats_BT = -jnp.take_along_axis(log_p, batch.targets_BT[..., None], axis=-1)[..., 0]
    expected = (nats_BT * batch.weights_BT).sum() / batch.weights_BT.sum()
    assert abs(expected - metrics["loss"]) > 1e-3
    for parts in (1, 4):
        train = dataclasses.replace(config.train, accumulate=parts)
        bounded = batch._replace(segments_BT=segments_BT)
        _, its_metrics = take_step(dataclasses.replace(config, train=train), before, bounded)
        assert float(its_metrics["loss"]) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("document_boundaries", [False, True])
def test_abstract_inputs_are_those_of_a_run(config, batch, document_boundaries):
    data = dataclasses.replace(config.data, document_boundaries=document_boundaries)
    found = abstract_inputs(dataclasses.replace(config, data=data))
    segments = jnp.zeros((4, 16), jnp.int32) if document_boundaries else None
    expected = jax.eval_shape(lambda: batch._replace(segments_BT=segments))
    assert found == expected


def test_a_layer_without_router_has_no_router_metrics(config, batch):
    model = dataclasses.replace(config.model, feed_forward=MlpConfig(d_hidden=8))
    dense = dataclasses.replace(config, model=model)
    _, metrics = jax.eval_shape(make_train_step(dense), abstract_state(dense), batch)
    guard = {f"guard/{name}" for name in Verdict._fields}
    assert set(metrics) == {"loss", "grad_norm", "learning_rate"} | guard


def test_seed_decides_the_initialisation(config):
    def embedding(seed: int) -> np.ndarray:
        train = dataclasses.replace(config.train, seed=seed)
        return np.asarray(init_state(dataclasses.replace(config, train=train)).params["embedding"])

    assert np.array_equal(embedding(0), embedding(0))
    assert not np.array_equal(embedding(0), embedding(1))
