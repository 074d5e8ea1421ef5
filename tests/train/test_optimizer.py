# SPDX-License-Identifier: Apache-2.0
"""AdamW: against numpy, its decay by role, its clipping."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from sgatlin.errors import UserError
from sgatlin.nn.mlp import SwigluConfig
from sgatlin.nn.roles import role_tree
from sgatlin.nn.transformer import abstract_model
from sgatlin.train.optimizer import OptimizerConfig, make_optimizer
from sgatlin.train.schedules import ConstantSchedule

RATE, DECAY = 0.05, 0.1

CONFIG = OptimizerConfig(
    learning_rate=RATE,
    schedule=ConstantSchedule(warmup_steps=0),
    weight_decay=DECAY,
    b1=0.8,
    b2=0.95,
    epsilon=1e-3,
    clip_norm=None,
)


def take_steps(config: OptimizerConfig, roles, params, gradients) -> tuple[dict, dict]:
    """Parameters and optimizer state after a step with each of `gradients`."""
    optimizer = make_optimizer(config, roles, n_steps=100)
    state = optimizer.init(params)
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def test_three_steps_equal_numpy():
    rng = np.random.default_rng(0)
    start, *gradients = rng.normal(size=(4, 3, 2)).astype(np.float32)
    roles = {"decayed": "Pool", "level": "Bias"}

    params, _ = take_steps(
        CONFIG,
        roles,
        {name: jnp.asarray(start) for name in roles},
        [{name: jnp.asarray(g) for name in roles} for g in gradients],
    )

    for name, decay in (("decayed", DECAY), ("level", 0.0)):
        expected, m, v = start.astype(np.float64), 0.0, 0.0
        for t, g in enumerate(gradients, start=1):
            m = 0.8 * m + 0.2 * g
            v = 0.95 * v + 0.05 * g**2
            adam = (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-3)
            expected = expected - RATE * (adam + decay * expected)
        np.testing.assert_allclose(params[name], expected, rtol=1e-5)


@pytest.mark.parametrize("feed_forward", [None, SwigluConfig(d_hidden=8)])
def test_decay_follows_the_role(toy, feed_forward):
    """Without gradients only weight decay moves parameters, each by the rate times the decay."""
    model = toy.model
    if feed_forward is not None:
        model = dataclasses.replace(model, feed_forward=feed_forward)
    state = nnx.state(abstract_model(model))
    roles = role_tree(state)
    params = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 2.0), nnx.to_pure_dict(state))
    moved, _ = take_steps(CONFIG, roles, params, [jax.tree.map(jnp.zeros_like, params)])

    by_role: dict[str, set[float]] = {}
    for role, leaf in zip(jax.tree.leaves(roles), jax.tree.leaves(moved), strict=True):
        by_role.setdefault(role, set()).update(np.unique(leaf).tolist())
    decayed, kept = {float(np.float32(2 - RATE * DECAY * 2))}, {2.0}
    expected = {"Matrix": decayed, "Embedding": decayed, "Scale": kept}
    expected |= {"Bias": kept} if feed_forward else {"Router": decayed, "Pool": decayed}
    assert by_role == expected


@pytest.mark.parametrize(("clip_norm", "share"), [(None, 1.0), (1.0, 0.2), (5.0, 1.0), (10.0, 1.0)])
def test_clipping_by_the_norm_of_all_gradients_together(clip_norm, share):
    params = {"a": jnp.zeros(2), "b": jnp.zeros(1)}
    gradient = {"a": jnp.array([3.0, 0.0]), "b": jnp.array([4.0])}  # of norm 5
    config = dataclasses.replace(CONFIG, clip_norm=clip_norm)
    _, state = take_steps(config, {"a": "Matrix", "b": "Bias"}, params, [gradient])
    first_moment = optax.tree.get(state, "mu")
    for name, value in gradient.items():
        np.testing.assert_allclose(first_moment[name], 0.2 * share * value, rtol=1e-5)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("learning_rate", 0.0, "learning_rate=0.0 must be above 0 and finite"),
        ("learning_rate", float("inf"), "learning_rate=inf must be above 0 and finite"),
        ("epsilon", -1.0, "epsilon=-1.0 must be above 0 and finite"),
        ("clip_norm", float("nan"), "clip_norm=nan must be above 0 and finite"),
        ("b1", 1.0, "b1=1.0 must be at least 0 and below 1"),
        ("b2", -0.1, "b2=-0.1 must be at least 0 and below 1"),
        ("weight_decay", -0.1, "weight_decay=-0.1 must be at least 0 and finite"),
        ("weight_decay", float("nan"), "weight_decay=nan must be at least 0 and finite"),
    ],
)
def test_bad_fields_are_named(field, value, told):
    with pytest.raises(UserError) as caught:
        OptimizerConfig(**{field: value})
    assert str(caught.value) == told
