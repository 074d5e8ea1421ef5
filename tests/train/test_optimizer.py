# SPDX-License-Identifier: Apache-2.0
"""AdamW and Muon: against numpy and optax, and what each role gets."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from sgatlin.arguments import parse
from sgatlin.config import from_json, to_json
from sgatlin.errors import UserError
from sgatlin.nn.mlp import SwigluConfig
from sgatlin.nn.roles import role_tree
from sgatlin.nn.transformer import TransformerConfig, abstract_model
from sgatlin.train.command import TrainCommand
from sgatlin.train.optimizer import MuonConfig, OptimizerConfig, RoleConfig, make_optimizer
from sgatlin.train.schedules import ConstantSchedule

RATE, DECAY = 0.05, 0.1
SWIGLU = SwigluConfig(d_hidden=8)
ROLE_FIELDS = {"Pool": "pool", "Router": "router", "Embedding": "embedding"}
FEED_FORWARD = "blocks.feed_forward."
DENSE = {FEED_FORWARD + name for name in ("w_gate", "w_up", "w_out")}
ATTENTION = {f"blocks.attention.w_{name}" for name in ("query", "key", "value", "out")}

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
    return walk(make_optimizer(config, roles, config.schedule.build(RATE, 100)), params, gradients)


def walk(optimizer: optax.GradientTransformation, params, gradients) -> tuple[dict, Any]:
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


def model_with(toy, feed_forward) -> TransformerConfig:
    return dataclasses.replace(toy.model, feed_forward=feed_forward or toy.model.feed_forward)


def role_and_shape_trees(model: TransformerConfig) -> tuple[dict, dict]:
    state = nnx.state(abstract_model(model))
    return role_tree(state), nnx.to_pure_dict(state)


def random_like(tree, seed: int) -> dict:
    """Entries from a normal distribution, none near 0: there Adam's epsilon counts."""
    rng = np.random.default_rng(seed)

    def draw(leaf) -> jax.Array:
        normal = rng.normal(size=leaf.shape)
        return jnp.asarray(np.where(np.abs(normal) < 0.01, 0.01, normal), jnp.float32)

    return jax.tree.map(draw, tree)


def by_path(tree) -> dict[str, Any]:
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def after_zero_gradients(config: OptimizerConfig, model: TransformerConfig) -> dict[str, float]:
    """What decay makes of parameters that were all 2, by role."""
    roles, shapes = role_and_shape_trees(model)
    params = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 2.0), shapes)
    moved, _ = take_steps(config, roles, params, [jax.tree.map(jnp.zeros_like, params)])
    values: dict[str, set[float]] = {}
    for role, leaf in zip(jax.tree.leaves(roles), jax.tree.leaves(moved), strict=True):
        values.setdefault(role, set()).update(np.unique(leaf).tolist())
    assert all(len(found) == 1 for found in values.values())
    return {role: found.pop() for role, found in values.items()}


@pytest.mark.parametrize("feed_forward", [None, SWIGLU])
def test_decay_follows_the_role(toy, feed_forward):
    """Without gradients only weight decay moves parameters, each by the rate times the decay."""
    by_role = after_zero_gradients(CONFIG, model_with(toy, feed_forward))
    decayed, kept = float(np.float32(2 - RATE * DECAY * 2)), 2.0
    expected = {"Matrix": decayed, "Embedding": decayed, "Scale": kept}
    expected |= {"Bias": kept} if feed_forward else {"Router": decayed, "Pool": decayed}
    assert by_role == expected


@pytest.mark.parametrize("feed_forward", [None, SWIGLU])
def test_roles_have_decays_of_their_own(toy, feed_forward):
    """Each decays by its own rate times its own decay; Muon's roles too."""
    config = dataclasses.replace(
        CONFIG,
        pool=RoleConfig(weight_decay=0.3),
        router=RoleConfig(weight_decay=0.0),
        embedding=RoleConfig(learning_rate_multiplier=3.0),
        muon=MuonConfig(learning_rate=0.01, weight_decay=0.7),
    )
    by_role = after_zero_gradients(config, model_with(toy, feed_forward))
    expected = {"Matrix": 2 - 0.01 * 0.7 * 2, "Embedding": 2 - 3 * RATE * DECAY * 2, "Scale": 2.0}
    expected |= {"Bias": 2.0} if feed_forward else {"Router": 2.0, "Pool": 2 - RATE * 0.3 * 2}
    assert by_role == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("role", list(ROLE_FIELDS))
def test_a_multiplier_scales_the_updates_of_its_role_alone(toy, role):
    roles, shapes = role_and_shape_trees(toy.model)
    params, gradient = random_like(shapes, 0), random_like(shapes, 1)

    def first_update(config: OptimizerConfig) -> dict:
        optimizer = make_optimizer(config, roles, config.schedule.build(RATE, 100))
        return optimizer.update(gradient, optimizer.init(params), params)[0]

    config = dataclasses.replace(CONFIG, clip_norm=1.0)
    own = {ROLE_FIELDS[role]: RoleConfig(learning_rate_multiplier=0.25)}
    plain, scaled = first_update(config), first_update(dataclasses.replace(config, **own))

    assert role in jax.tree.leaves(roles)
    for path, name in by_path(roles).items():
        expected = by_path(plain)[path] * (0.25 if name == role else 1.0)
        np.testing.assert_allclose(by_path(scaled)[path], expected, rtol=1e-5)


@pytest.mark.parametrize("feed_forward", [None, SWIGLU])
def test_without_choices_all_is_adamw_to_the_bit(toy, feed_forward):
    """Optax's own chain and state; the same numbers if a role has the general settings itself."""
    roles, shapes = role_and_shape_trees(model_with(toy, feed_forward))
    params, *gradients = (random_like(shapes, seed) for seed in range(4))
    config = OptimizerConfig(learning_rate=RATE)
    adamw = optax.adamw(
        config.schedule.build(RATE, 100),
        weight_decay=0.1,
        mask=jax.tree.map(lambda role: role not in ("Scale", "Bias"), roles),
    )
    expected = walk(optax.chain(optax.clip_by_global_norm(1.0), adamw), params, gradients)
    found = take_steps(config, roles, params, gradients)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)

    grouped = dataclasses.replace(config, embedding=RoleConfig(weight_decay=0.1))
    moved, _ = take_steps(grouped, roles, params, gradients)
    # XLA compiles a group by itself, and rounds in other places.
    assert optax.tree.norm(optax.tree.sub(moved, expected[0])) < 1e-5


@pytest.mark.parametrize("muon", [None, MuonConfig()])
def test_balance_is_never_moved(muon):
    """Not even by a gradient, nor by the momentum of one."""
    params = {"offsets": jnp.array([0.1, -3.0]), "w": jnp.eye(2)}
    gradients = [jax.tree.map(jnp.ones_like, params), jax.tree.map(jnp.zeros_like, params)]
    roles = {"offsets": "Balance", "w": "Expert"}
    moved, _ = take_steps(dataclasses.replace(CONFIG, muon=muon), roles, params, gradients)
    np.testing.assert_array_equal(moved["offsets"], params["offsets"])
    assert not np.array_equal(moved["w"], params["w"])


@pytest.mark.parametrize(
    ("feed_forward", "muon", "adamw"),
    [
        (None, ATTENTION, {"router.query", "router.key", "w_in", "w_out"}),
        (SWIGLU, ATTENTION | DENSE, {"b_gate", "b_up", "b_out"}),
    ],
)
def test_muon_takes_dense_maps_and_adamw_the_rest(toy, feed_forward, muon, adamw):
    """All entries of Adam's first update are as large as the rate; Muon's are not."""
    roles, shapes = role_and_shape_trees(model_with(toy, feed_forward))
    config = dataclasses.replace(CONFIG, muon=MuonConfig(), epsilon=1e-9, weight_decay=0.0)
    start = jax.tree.map(jnp.zeros_like, random_like(shapes, 0))
    moved, _ = take_steps(config, roles, start, [random_like(shapes, 1)])

    found: dict[bool, set[str]] = {True: set(), False: set()}
    for path, leaf in by_path(moved).items():
        found[bool(np.allclose(np.abs(leaf), RATE, rtol=1e-4))].add(path)
    norms = {"attention.query_norm", "attention.key_norm", "attention_norm", "feed_forward_norm"}
    expected = {f"blocks.{name}.scale" for name in norms} | {"norm.scale", "embedding"}
    assert found == {False: muon, True: expected | {FEED_FORWARD + name for name in adamw}}


def orthogonalised(x: np.ndarray, n_steps: int) -> np.ndarray:
    """Jordan's quintic polynomial, applied to the singular values over their norm."""
    u, s, v = np.linalg.svd(x.astype(np.float64), full_matrices=False)
    s = s / np.sqrt((s**2).sum())
    for _ in range(n_steps):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u * s @ v


def test_muon_makes_each_layers_matrix_orthogonal(toy):
    """Layers' gradients of very different size move their layers alike, each by its own."""
    roles, shapes = role_and_shape_trees(model_with(toy, SWIGLU))
    config = dataclasses.replace(CONFIG, muon=MuonConfig(weight_decay=0.0))
    gradient = random_like(shapes, 1)
    gradient["blocks"] = jax.tree.map(lambda x: x.at[1].mul(1000.0), gradient["blocks"])
    start = jax.tree.map(jnp.zeros_like, gradient)
    moved, _ = take_steps(config, roles, start, [gradient])

    updates, gradients = by_path(moved), by_path(gradient)
    for path in ATTENTION | DENSE:
        assert updates[path].shape == gradients[path].shape
        for update, alone in zip(updates[path], gradients[path], strict=True):
            # A matrix with all singular values 0.2 sqrt(n) has entries of root mean square 0.2.
            unit = -np.asarray(update) / (RATE * 0.2 * np.sqrt(max(update.shape)))
            np.testing.assert_allclose(unit, orthogonalised(np.asarray(alone), 5), atol=1e-4)
            singular = np.linalg.svd(unit, compute_uv=False)
            assert 0.6 < np.median(singular) <= singular.max() < 1.25
            assert float(jnp.sqrt(jnp.mean(update**2))) == pytest.approx(0.2 * RATE, rel=0.2)


@pytest.mark.parametrize(
    ("muon", "rate", "decay"),
    [
        (MuonConfig(), RATE, DECAY),
        (MuonConfig(nesterov=False, learning_rate=0.3, weight_decay=0.0), 0.3, 0.0),
        (MuonConfig(momentum=0.5, newton_schulz_steps=2, update_rms=0.7), RATE, DECAY),
    ],
)
def test_three_steps_of_muon_on_experts_equal_numpy(muon, rate, decay):
    """Layers and experts both come before the matrix of (in, out) = (6, 4)."""
    start, *gradients = np.random.default_rng(0).normal(size=(4, 2, 3, 6, 4)).astype(np.float32)
    config = dataclasses.replace(CONFIG, muon=muon)
    as_trees = [{"w": jnp.asarray(g)} for g in gradients]
    params, _ = take_steps(config, {"w": "Expert"}, {"w": jnp.asarray(start)}, as_trees)

    beta = muon.momentum
    for layer, expert in np.ndindex(2, 3):
        expected, m = start[layer, expert].astype(np.float64), 0.0
        for t, gradient in enumerate(gradients, start=1):
            g = gradient[layer, expert]
            m = beta * m + (1 - beta) * g
            ahead = m
            if muon.nesterov:  # with the corrections of Dozat 2016 for the zeros at the start
                ahead = beta * m / (1 - beta ** (t + 1)) + (1 - beta) * g / (1 - beta**t)
            step = orthogonalised(ahead, muon.newton_schulz_steps) * muon.update_rms * np.sqrt(6)
            expected = expected - rate * (step + decay * expected)
        np.testing.assert_allclose(params["w"][layer, expert], expected, atol=1e-4)


@pytest.mark.parametrize(("clip_norm", "share"), [(None, 1.0), (1.0, 0.2), (5.0, 1.0), (10.0, 1.0)])
def test_clipping_by_the_norm_of_all_gradients_together(clip_norm, share):
    params = {"a": jnp.zeros(2), "b": jnp.zeros(1)}
    gradient = {"a": jnp.array([3.0, 0.0]), "b": jnp.array([4.0])}  # of norm 5
    config = dataclasses.replace(CONFIG, clip_norm=clip_norm)
    _, state = take_steps(config, {"a": "Matrix", "b": "Bias"}, params, [gradient])
    first_moment = optax.tree.get(state, "mu")
    for name, value in gradient.items():
        np.testing.assert_allclose(first_moment[name], 0.2 * share * value, rtol=1e-5)


def test_clipping_is_by_the_norm_of_all_groups_together():
    """Adam without memory moves by g / (|g| + epsilon); here g is a fifth of the gradient."""
    config = dataclasses.replace(CONFIG, b1=0.0, b2=0.0, epsilon=1.0, clip_norm=1.0)
    double = RoleConfig(learning_rate_multiplier=2.0)
    config = dataclasses.replace(config, muon=MuonConfig(), router=double)
    roles = {"a": "Router", "b": "Bias", "c": "Matrix"}
    params = {"a": jnp.zeros(1), "b": jnp.zeros(1), "c": jnp.zeros((1, 1))}
    gradient = {"a": jnp.array([2.0]), "b": jnp.array([4.0]), "c": jnp.array([[5**0.5]])}
    moved, _ = take_steps(config, roles, params, [gradient])
    np.testing.assert_allclose(moved["a"], [-2 * RATE * 0.4 / 1.4], rtol=1e-5)
    np.testing.assert_allclose(moved["b"], [-RATE * 0.8 / 1.8], rtol=1e-5)


@pytest.mark.parametrize("muon", [None, MuonConfig(), MuonConfig(learning_rate=0.01)])
def test_choices_come_back_from_json(toy, muon):
    optimizer = dataclasses.replace(
        toy.optimizer,
        pool=RoleConfig(learning_rate_multiplier=0.5),
        router=RoleConfig(weight_decay=0.0),
        embedding=RoleConfig(learning_rate_multiplier=2.0, weight_decay=0.3),
        muon=muon,
    )
    config = dataclasses.replace(toy, optimizer=optimizer)
    assert from_json(to_json(config), origin="config.json") == config


@pytest.mark.parametrize("muon", [None, MuonConfig()])
def test_choices_on_the_command_line(toy, muon):
    config = dataclasses.replace(toy, optimizer=dataclasses.replace(toy.optimizer, muon=muon))
    line = "--optimizer.pool.learning-rate-multiplier 0.5 --optimizer.embedding.weight-decay 0"
    line += " --optimizer.muon.momentum 0.9" if muon else ""
    parsed = parse(TrainCommand, line.split(), prog="train", default=TrainCommand(config=config))
    assert parsed.config.optimizer == dataclasses.replace(
        toy.optimizer,
        pool=RoleConfig(learning_rate_multiplier=0.5),
        embedding=RoleConfig(weight_decay=0.0),
        muon=MuonConfig(momentum=0.9) if muon is not None else None,
    )


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("learning_rate", 0.0, "above 0 and finite"),
        ("learning_rate", float("inf"), "above 0 and finite"),
        ("epsilon", -1.0, "above 0 and finite"),
        ("clip_norm", float("nan"), "above 0 and finite"),
        ("b1", 1.0, "at least 0 and below 1"),
        ("b2", -0.1, "at least 0 and below 1"),
        ("weight_decay", -0.1, "at least 0 and finite"),
        ("weight_decay", float("nan"), "at least 0 and finite"),
        ("pool.learning_rate_multiplier", 0.0, "above 0 and finite"),
        ("router.learning_rate_multiplier", float("nan"), "above 0 and finite"),
        ("embedding.weight_decay", -0.1, "at least 0 and finite"),
        ("muon.learning_rate", 0.0, "above 0 and finite"),
        ("muon.weight_decay", float("inf"), "at least 0 and finite"),
        ("muon.momentum", 1.0, "at least 0 and below 1"),
        ("muon.newton_schulz_steps", 0, "at least 1"),
        ("muon.update_rms", -0.2, "above 0 and finite"),
    ],
)
def test_bad_fields_are_named(name, value, rule):
    group, _, field = name.rpartition(".")
    part = {"": dict, "muon": MuonConfig}.get(group, RoleConfig)(**{field: value})
    with pytest.raises(UserError) as caught:
        OptimizerConfig(**({group: part} if group else part))
    assert str(caught.value) == f"{name}={value} must be {rule}"
