# SPDX-License-Identifier: Apache-2.0
"""Losses are token-weighted nats, and what is derived from them."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sgatlin.eval.loss import EvalResult, evaluate, make_eval_step
from sgatlin.input.windows import Batch
from sgatlin.nn.mlp import MlpConfig
from sgatlin.nn.transformer import TransformerConfig, abstract_model, bind

# Vocabulary of four ids, standing for 0, 1, 2 and 5 bytes.
TOKEN_BYTES = np.array([0, 1, 2, 5], np.int32)


def batch_of(inputs, targets, weights) -> Batch:
    return Batch(
        np.array(inputs, np.int32),
        np.array(targets, np.int32),
        np.array(weights, np.float32),
        np.arange(len(inputs)),
    )


# The second row of the second batch is padding, and so is half of its first.
BATCHES = [
    batch_of([[0, 1, 2], [3, 3, 1]], [[1, 2, 3], [3, 1, 0]], [[1, 1, 1], [1, 1, 1]]),
    batch_of([[2, 2, 0], [0, 0, 0]], [[2, 3, 3], [3, 3, 3]], [[1, 0, 0], [0, 0, 0]]),
]


def test_evaluate_weighs_tokens_not_batches():
    def eval_step(params, inputs, targets, weights):
        return jnp.sum(params * jnp.float32(targets + 1) * weights, axis=-1)

    result = evaluate(eval_step, 0.5, BATCHES, TOKEN_BYTES)
    # Half of (2 + 3 + 4) + (4 + 2 + 1), and of 3: what is padding does not count.
    assert result == EvalResult(total_nats=9.5, n_tokens=7, n_bytes=(1 + 2 + 5) + (5 + 1) + 2)
    assert result.loss == pytest.approx(9.5 / 7)  # the mean of batch means is 25/12


def test_evaluate_of_a_model():
    config = TransformerConfig(
        vocab_size=4, d_model=4, n_layers=1, d_head=4, feed_forward=MlpConfig(d_hidden=4)
    )
    rng = np.random.default_rng(0)
    shapes = nnx.to_pure_dict(nnx.state(abstract_model(config)))
    params = jax.tree.map(lambda leaf: jnp.float32(rng.normal(size=leaf.shape)), shapes)
    result = evaluate(jax.jit(make_eval_step(config)), params, BATCHES, TOKEN_BYTES)

    logits = jax.jit(lambda params, tokens: bind(config, params)(tokens).logits)
    total = 0.0
    for batch in BATCHES:
        scores = np.float64(logits(params, batch.inputs_BT))
        p = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
        for b, t in np.argwhere(batch.weights_BT > 0):
            total -= math.log(p[b, t, batch.targets_BT[b, t]])
    assert result.total_nats == pytest.approx(total, rel=1e-5)
    assert (result.n_tokens, result.n_bytes) == (7, 16)


def test_perplexity_and_bits_per_byte():
    # 6 bits over 3 tokens and 4 bytes: perplexity is 2 ** (6 / 3).
    result = EvalResult(total_nats=6 * math.log(2), n_tokens=3, n_bytes=4)
    assert result.loss == pytest.approx(2 * math.log(2))
    assert result.perplexity == pytest.approx(4)
    assert result.bits_per_byte == pytest.approx(1.5)


def test_ends_of_documents_alone_have_no_bytes():
    assert EvalResult(total_nats=1.0, n_tokens=1, n_bytes=0).bits_per_byte == math.inf


def test_perplexity_of_a_diverged_model_is_still_a_number():
    assert math.isfinite(EvalResult(total_nats=1e6, n_tokens=1, n_bytes=1).perplexity)


def test_between_batches_an_evaluation_can_be_stopped():
    calls = []

    def between():
        calls.append(len(calls))
        if len(calls) == 2:
            raise KeyboardInterrupt

    def eval_step(params, inputs, targets, weights):
        return jnp.zeros(2)

    with pytest.raises(KeyboardInterrupt):
        evaluate(eval_step, None, BATCHES * 2, TOKEN_BYTES, between=between)
    assert calls == [0, 1]
