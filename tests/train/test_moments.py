# SPDX-License-Identifier: Apache-2.0
"""Moments in bfloat16: rounding at random, and training with it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.train.memory import training_memory
from sgatlin.train.moments import hashed, in_bfloat16, stochastically_rounded
from sgatlin.train.optimizer import RoleConfig
from sgatlin.train.step import init_state
from tests.train.runs import assert_same, train

ULP = 2.0**-7  # of bfloat16, just above 1


def rounded(x, bits):
    x = jnp.asarray(x, jnp.float32)
    return np.asarray(stochastically_rounded(x, jnp.full(x.shape, bits, jnp.uint32)), np.float32)


@pytest.mark.parametrize("bits", [0, 1, 0x7FFF, 0xFFFF, 0xFFFF1234])
def test_what_bfloat16_has_stays(bits):
    x = [0.0, 1.0, -1.5, 1 + ULP, 2.0**-120, np.inf, -np.inf, np.nan]
    np.testing.assert_array_equal(rounded(x, bits), x)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_rest_goes_to_one_of_its_neighbours(sign):
    x = [sign * (1 + ULP / 4), sign * (1 + 3 * ULP / 4)]
    np.testing.assert_array_equal(rounded(x, 0), [sign] * 2)
    np.testing.assert_array_equal(rounded(x, 0xFFFF), [sign * (1 + ULP)] * 2)
    # A quarter of all bits takes the first away from zero, and three quarters the second.
    np.testing.assert_array_equal(rounded(x, 0x8000), [sign, sign * (1 + ULP)])


@pytest.mark.parametrize("part", [0.01, 0.25, 0.5, 0.9])
def test_it_is_right_in_the_mean(part):
    shape = (512, 1024)
    bits = hashed(shape, jnp.int32(3), 1)
    found = np.asarray(stochastically_rounded(jnp.full(shape, 1 + part * ULP), bits), np.float64)
    spread = ULP * np.sqrt(part * (1 - part) / found.size)
    assert abs(found.mean() - (1 + part * ULP)) < 4 * spread


def test_bits_differ_with_place_step_and_number():
    shape = (64, 128)
    all_bits = [np.asarray(hashed(shape, jnp.int32(s), n)) for s in range(3) for n in range(2)]
    assert all(len(np.unique(bits)) == bits.size for bits in all_bits)
    halves = np.array([(bits & 0xFFFF).ravel() / 65536 for bits in all_bits])
    assert np.abs(halves.mean(axis=1) - 0.5).max() < 0.02
    # Neither steps nor neighbours know of one another.
    assert np.abs(np.corrcoef(halves) - np.eye(6)).max() < 0.05
    assert abs(np.corrcoef(halves[0, :-1], halves[0, 1:])[0, 1]) < 0.05


def test_a_second_moment_follows_its_gradient():
    """Rounded to the nearest it would end where a step is half a unit in the last place."""
    optimizer = optax.scale_by_adam(b2=0.999)
    params = {"w": jnp.zeros((8, 64))}
    grads = {"w": jnp.full((8, 64), 2.0)}

    def second_moment(optimizer, narrow):
        def body(state, _):
            return optimizer.update(grads, state)[1], None

        state, _ = jax.lax.scan(body, optimizer.init(params), length=2000)
        return np.asarray((state.inner if narrow else state).nu["w"], np.float64)

    exact = 4 * (1 - 0.999**2000)
    np.testing.assert_allclose(second_moment(optimizer, narrow=False), exact, rtol=1e-3)
    ours = second_moment(in_bfloat16(optimizer), narrow=True)
    assert abs(ours.mean() / exact - 1) < 0.01
    assert ours.std() / exact < 0.05


@pytest.fixture(scope="module")
def narrow(toy):
    layer = SgatlinConfig(n_channels=2, n_neurons=64, top_k=2, d_key=8)
    return dataclasses.replace(
        toy,
        model=dataclasses.replace(toy.model, feed_forward=layer),
        optimizer=dataclasses.replace(toy.optimizer, pool=RoleConfig(moments="bfloat16")),
    )


def wide(config):
    return dataclasses.replace(
        config, optimizer=dataclasses.replace(config.optimizer, pool=RoleConfig())
    )


def test_only_the_role_that_asks_has_them_and_they_take_half(narrow):
    state = init_state(narrow)
    pool = state.params["blocks"]["feed_forward"]["w_in"]
    moments = [leaf for leaf in jax.tree.leaves(state.optimizer) if leaf.shape == pool.shape]
    assert [leaf.dtype for leaf in moments] == [jnp.bfloat16] * 4  # of w_in and w_out
    others = [leaf for leaf in jax.tree.leaves(state.optimizer) if leaf.shape != pool.shape]
    assert jnp.bfloat16 not in {leaf.dtype for leaf in others}
    saved = training_memory(wide(narrow)).optimizer - training_memory(narrow).optimizer
    assert saved == pytest.approx(4 * 2 * pool.size, abs=16)  # but for a count of steps


@pytest.mark.slow
def test_a_run_trains_as_with_fp32_and_goes_on_to_the_bit(narrow, tmp_path):
    whole = train(narrow, tmp_path / "whole")
    exact = train(wide(narrow), tmp_path / "exact")
    ours, theirs = whole.run.result()["val_loss"], exact.run.result()["val_loss"]
    assert ours == pytest.approx(theirs, rel=5e-3)
    assert ours != theirs
    train(narrow, tmp_path / "parts", until=10)
    assert_same(train(narrow, tmp_path / "parts").state, whole.state)
