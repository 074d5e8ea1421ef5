# SPDX-License-Identifier: Apache-2.0
"""Spark FFN: one half of the input says which units fire, the other what they say."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.test_util import check_grads

from sgatlin.errors import UserError
from sgatlin.nn.spark import Spark, SparkConfig, statistical_topk


def layer_with(config: SparkConfig, d_model: int, **weights) -> Spark:
    layer = nnx.eval_shape(lambda: Spark(d_model, config, rngs=nnx.Rngs(0)))
    return nnx.merge(nnx.graphdef(layer), nnx.State(weights))


def test_a_value_worked_out_by_hand():
    # Half of four units may fire: the quantile of 1/2 is 0, and the threshold is the mean.
    layer = layer_with(
        SparkConfig(d_hidden=4, n_active=2),
        2,
        w_predict=jnp.float32([[5, 1, 2, 0]]),
        w_value=jnp.float32([[10, 20, 30, 40]]),
        w_out=jnp.float32([[1, 0], [1, 1], [0, 1], [2, 2]]),
    )
    # x = (1, 3): predictions (5, 1, 2, 0), mean 2: 3 is left of the first, 0 of the third.
    y, gates, losses = layer(jnp.float32([1, 3]))
    gelu = 0.5 * 3 * (1 + math.tanh(math.sqrt(2 / math.pi) * (3 + 0.044715 * 27)))
    np.testing.assert_allclose(y, [gelu * 3 * 10, 0], rtol=1e-6)
    assert (gates, losses) == (None, {})


def test_the_threshold_is_a_quantile_of_the_entries_own_normal_distribution():
    # Mean 2, deviation sqrt(2); a fifth of a normal distribution lies above its 0.84162.
    found = statistical_topk(jnp.float32([0, 1, 2, 3, 4]), 1)
    np.testing.assert_allclose(found, [0, 0, 0, 0, 2 - 0.84162 * math.sqrt(2)], rtol=1e-4)


@pytest.mark.parametrize("k", [8, 82, 512])
def test_about_k_of_normal_entries_are_left(k):
    rng = np.random.default_rng(0)
    x = jnp.float32(3 + 5 * rng.normal(size=(200, 1024)))
    left = float((statistical_topk(x, k) > 0).sum(axis=-1).mean())
    # A sum of 200 * 1024 draws; the threshold's own scatter is small beside it.
    assert left == pytest.approx(k, abs=4 * math.sqrt(k / 200) + 0.02 * k)


def test_gradients_equal_finite_differences():
    rng = np.random.default_rng(1)
    names = {"w_predict": (2, 6), "w_value": (3, 6), "w_out": (6, 5)}
    with jax.enable_x64(True):
        weights = {name: jnp.asarray(rng.normal(size=shape)) for name, shape in names.items()}
        x_TD = jnp.asarray(rng.normal(size=(3, 5)))
        config = SparkConfig(d_hidden=6, n_active=2)
        check_grads(
            jax.jit(lambda weights, x: layer_with(config, 5, **weights)(x).y),
            (weights, x_TD),
            order=1,
            modes=["rev"],
        )


def test_mean_and_deviation_are_fp32_in_bf16():
    # 257 is no bf16 number: a mean in bf16 would be 256 or 258.
    x = jnp.asarray([256, 258, 256, 258], jnp.bfloat16)
    assert statistical_topk(x, 2).tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("n_active", [0, 8])
def test_what_it_cannot_be_is_refused(n_active):
    message = rf"^n_active={n_active} must be at least 1 and below d_hidden=8$"
    with pytest.raises(UserError, match=message):
        SparkConfig(d_hidden=8, n_active=n_active)
