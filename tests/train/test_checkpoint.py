# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: bit-equal, safe from donation, kept as asked; a save that fails says so."""

import contextlib
import dataclasses
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import sgatlin
from sgatlin.errors import RunStopped, UserError
from sgatlin.train import checkpoint, manifest
from sgatlin.train.checkpoint import CheckpointConfig, Checkpointer
from tests.train.disk import largest_file

KEEP_ALL = CheckpointConfig(every_steps=1, keep_last=100)


def make_params() -> dict:
    odd_floats = jnp.array([-0.0, jnp.nan, jnp.inf, 1e-45, 1.0, 2.0], jnp.float32)
    layers = {"w_in": odd_floats, "scale": jnp.full(5, 1 / 3, jnp.bfloat16)}
    return {"embedding": jnp.arange(12, dtype=jnp.float32).reshape(4, 3), "layers": layers}


def make_train() -> dict:
    params = make_params()
    decayed = {"embedding": True, "layers": {"w_in": False, "scale": False}}
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.masked(optax.add_decayed_weights(0.1), decayed),
        optax.inject_hyperparams(optax.adam)(0.1),
    )
    return {
        "optimizer": optimizer.init(params),
        "step": jnp.int32(7),
        "keys": jax.random.split(jax.random.key(3), 2),
        "mask": jnp.array([True, False]),
        "nothing": None,
    }


def abstract(tree):
    return jax.eval_shape(lambda: tree)


def bits(tree) -> tuple:
    """Structure, types, shapes and bytes, which also tell one NaN and one zero from another."""

    def leaf_bits(leaf):
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return leaf.dtype, np.asarray(jax.random.key_data(leaf)).tobytes()
        return leaf.dtype, leaf.shape, np.asarray(leaf).tobytes()

    return jax.tree.structure(tree), [leaf_bits(leaf) for leaf in jax.tree.leaves(tree)]


def save(directory: Path, *steps: int, config=KEEP_ALL, losses=(), params=None) -> None:
    with Checkpointer(directory, config) as checkpointer:
        for step, loss in zip(steps, losses or [None] * len(steps), strict=True):
            tree = make_params() if params is None else params
            train = {"step": jnp.int32(step)}
            checkpointer.save(step, params=tree, train=train, data={}, val_loss=loss)


def test_restored_state_is_bit_equal(tmp_path):
    params, train = make_params(), make_train()
    data = {"examples": 2**53 + 1, "seed": 3}
    with Checkpointer(tmp_path, KEEP_ALL) as checkpointer:
        checkpointer.save(7, params=params, train=train, data=data)
    likes = {"params_like": abstract(params), "train_like": abstract(train)}
    *trees, restored_data = checkpoint.restore(tmp_path, 7, **likes)
    assert bits(trees) == bits([params, train])
    assert restored_data == data
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(trees))


def test_parameters_alone_need_no_other_file(tmp_path):
    params = make_params()
    save(tmp_path, 1)
    for path in (tmp_path / "1/state/train").rglob("*"):
        if path.is_file():
            path.unlink()
    assert bits(checkpoint.restore_params(tmp_path, 1, abstract(params))) == bits(params)
    with pytest.raises(UserError, match=r"state/train/.* is missing"):
        checkpoint.restore(
            tmp_path, 1, params_like=abstract(params), train_like={"step": jnp.int32(0)}
        )


def test_arrays_go_where_the_target_says(tmp_path):
    save(tmp_path, 1)
    mesh = jax.make_mesh((1,), ("fsdp",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("fsdp"))
    like = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), make_params()
    )
    params = checkpoint.restore_params(tmp_path, 1, like)
    assert {leaf.sharding for leaf in jax.tree.leaves(params)} == {sharding}


def test_caller_may_donate_and_delete_what_it_saved(tmp_path):
    overwrite = jax.jit(lambda x: x * 0 - 1, donate_argnums=0)
    arrays = {f"w{i}": jnp.full((256, 256), i, jnp.float32) for i in range(8)}
    expected = {name: np.full((256, 256), i, np.float32) for i, name in enumerate(arrays)}
    data = {"examples": 1}
    with Checkpointer(tmp_path, KEEP_ALL) as checkpointer:
        checkpointer.save(1, params=arrays, train={"step": jnp.int32(1)}, data=data)
        data["examples"] = 2
        for _ in range(3):
            arrays = jax.block_until_ready({name: overwrite(x) for name, x in arrays.items()})
        for array in arrays.values():
            array.delete()
    like = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in expected.items()}
    params, _, restored_data = checkpoint.restore(
        tmp_path, 1, params_like=like, train_like={"step": jnp.int32(0)}
    )
    assert restored_data == {"examples": 1}
    for name, array in expected.items():
        np.testing.assert_array_equal(params[name], array)


@pytest.mark.parametrize(
    ("config", "kept"),
    [
        (CheckpointConfig(every_steps=1, keep_last=1, keep_best=0), [8]),
        (CheckpointConfig(every_steps=1, keep_last=2, keep_best=1), [2, 7, 8]),
        (CheckpointConfig(every_steps=1, keep_last=1, keep_best=2, keep_every=3), [2, 3, 5, 6, 8]),
    ],
)
def test_last_best_and_every_kth_steps_are_kept(tmp_path, config, kept):
    losses = [4.0, 1.0, None, 3.0, 2.0, float("nan"), 5.0, 6.0]
    save(tmp_path, *range(1, 9), config=config, losses=losses)
    assert checkpoint.good_steps(tmp_path) == kept
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == kept
    assert checkpoint.latest(tmp_path) == 8
    assert checkpoint.best(tmp_path) == (2 if 2 in kept else 8)


def test_a_step_to_keep_stays_beside_the_others(tmp_path):
    config = CheckpointConfig(every_steps=1, keep_last=1, keep_best=1)
    with Checkpointer(tmp_path, config, keep=3) as checkpointer:
        for step, loss in enumerate([5.0, 1.0, 4.0, 3.0, 2.0, 6.0], start=1):
            tree = {"step": jnp.int32(step)}
            checkpointer.save(step, params=tree, train=tree, data={}, val_loss=loss)
    assert checkpoint.good_steps(tmp_path) == [2, 3, 6]


@pytest.mark.parametrize("name", [manifest.FILENAME, "state/data/data.json"])
def test_damaged_steps_do_not_crowd_out_good_ones(tmp_path, name):
    """Cut after they were saved, neither the last nor the best count, and none is deleted."""
    config = CheckpointConfig(every_steps=1, keep_last=2, keep_best=1)
    save(tmp_path, 1, 2, 3, 4, config=config, losses=[2.0, 1.0, None, None])
    assert checkpoint.good_steps(tmp_path) == [2, 3, 4]
    for step in (2, 4):
        file = tmp_path / str(step) / name
        file.write_bytes(file.read_bytes()[:-1])
    save(tmp_path, 5, 6, config=config, losses=[3.0, None])
    assert checkpoint.good_steps(tmp_path) == [2, 4, 5, 6]
    assert checkpoint.best(tmp_path) == 5


def test_empty_or_absent_directory_has_no_steps(tmp_path):
    for directory in (tmp_path, tmp_path / "absent"):
        assert checkpoint.good_steps(directory) == []
        assert checkpoint.latest(directory) is None
        assert checkpoint.best(directory) is None
        with pytest.raises(UserError, match="no finished checkpoint of step 3: it has none"):
            checkpoint.verify(directory, 3)


def test_good_step_is_not_written_again_but_learns_its_loss(tmp_path):
    save(tmp_path, 1, 2, losses=[1.0, None])
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "2/state").rglob("*")}
    assert checkpoint.best(tmp_path) == 1
    save(tmp_path, 2, losses=[0.5])
    assert checkpoint.best(tmp_path) == 2
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "2/state").rglob("*")} == before
    checkpoint.verify(tmp_path, 2)


def test_damaged_step_is_written_again(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "1/state/data/data.json").write_text("[]")
    save(tmp_path, 1)
    checkpoint.verify(tmp_path, 1)


def test_relative_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(Path("run"), 1)
    params = make_params()
    assert bits(checkpoint.restore_params(Path("run"), 1, abstract(params))) == bits(params)


def test_readers_write_nothing(tmp_path):
    save(tmp_path, 1, losses=[1.0])
    (tmp_path / "2").mkdir()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with largest_file(0):
        assert checkpoint.good_steps(tmp_path) == [1]
        assert checkpoint.best(tmp_path) == 1
        checkpoint.verify(tmp_path, 1)
        likes = {"params_like": abstract(make_params()), "train_like": {"step": jnp.int32(0)}}
        checkpoint.restore(tmp_path, 1, **likes)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    ("like", "difference"),
    [
        ({"a": jnp.zeros((2, 3)), "b": {"c": jnp.zeros(4)}}, None),
        (
            {"a": jnp.zeros((2, 3)), "b": {"c": jnp.zeros((4, 1))}},
            r"params/b/c is float32\[4\] in the checkpoint and float32\[4,1\] in the model",
        ),
        (
            {"a": jnp.zeros((2, 3), jnp.int32), "b": {"c": jnp.zeros(5)}},
            r"params/a is float32\[2,3\] in the checkpoint and int32\[2,3\] in the model",
        ),
        (
            {"a": jnp.zeros((2, 3)), "b": {"c": jnp.zeros(4), "d": jnp.zeros(1)}},
            r"params/b/d is absent in the checkpoint and float32\[1\] in the model",
        ),
        (
            {"a": jnp.zeros((2, 3))},
            r"params/b/c is float32\[4\] in the checkpoint and absent in the model",
        ),
    ],
)
def test_first_leaf_that_does_not_fit_is_named(tmp_path, like, difference):
    save(tmp_path, 1, params={"a": jnp.zeros((2, 3)), "b": {"c": jnp.zeros(4)}})
    expected = (
        pytest.raises(UserError, match=difference) if difference else contextlib.nullcontext()
    )
    with expected:
        checkpoint.restore_params(tmp_path, 1, abstract(like))


def test_full_disk_is_told_with_the_last_good_step(tmp_path, caplog):
    big = {"w": jax.random.normal(jax.random.key(0), (512, 512))}
    train = {"step": jnp.int32(0)}
    with Checkpointer(tmp_path, KEEP_ALL) as checkpointer:
        checkpointer.save(1, params=big, train=train, data={}, wait=True)
        with largest_file(100_000):
            checkpointer.save(2, params=big, train=train, data={})
            with pytest.raises(RunStopped, match=r"^saving step 2 in .*; the last good step is 1"):
                checkpointer.save(3, params=big, train=train, data={})
        assert checkpoint.good_steps(tmp_path) == [1]
        checkpointer.save(3, params=big, train=train, data={})
    assert checkpoint.good_steps(tmp_path) == [1, 3]
    assert caplog.records == []


def test_no_thread_outlives_the_checkpointer(tmp_path):
    threads = set(threading.enumerate())
    save(tmp_path, 1)
    deadline = time.monotonic() + 5
    while not set(threading.enumerate()) <= threads:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_failed_save_does_not_hide_another_error(tmp_path):
    big = {"w": jax.random.normal(jax.random.key(0), (512, 512))}

    def fail_twice():
        with Checkpointer(tmp_path, KEEP_ALL) as checkpointer:
            checkpointer.save(1, params=big, train={"step": jnp.int32(0)}, data={})
            raise ZeroDivisionError

    with largest_file(100_000), pytest.raises(ZeroDivisionError):
        fail_twice()
    assert checkpoint.good_steps(tmp_path) == []


def test_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write checkpoints to"):
        Checkpointer(tmp_path / "file", KEEP_ALL)


KILLED_WHILE_SAVING = """
import os, signal, sys
from pathlib import Path
import jax, jax.numpy as jnp
from sgatlin.train.checkpoint import Checkpointer, CheckpointConfig

with Checkpointer(Path(sys.argv[1]), CheckpointConfig()) as checkpointer:
    params = {"w": jax.random.normal(jax.random.key(0), (1000, 1000))}
    train = {"step": jnp.int32(1)}
    checkpointer.save(1, params=params, train=train, data={}, wait=True)
    checkpointer.save(2, params=params, train=train, data={})
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_step_whose_saving_was_killed_is_ignored_then_removed(tmp_path):
    command = [sys.executable, "-c", KILLED_WHILE_SAVING, str(tmp_path)]
    result = subprocess.run(command, cwd=Path(sgatlin.__file__).parents[1], timeout=60)
    assert result.returncode == -signal.SIGKILL
    assert checkpoint.good_steps(tmp_path) == [1]
    assert (tmp_path / "2").exists()
    with Checkpointer(tmp_path, KEEP_ALL):
        assert [path.name for path in tmp_path.iterdir()] == ["1"]
    like = {"w": jax.ShapeDtypeStruct((1000, 1000), jnp.float32)}
    params = checkpoint.restore_params(tmp_path, 1, like)
    np.testing.assert_array_equal(params["w"], jax.random.normal(jax.random.key(0), (1000, 1000)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"every_steps": 0}, "every_steps=0 must be at least 1"),
        ({"every_minutes": 0.0}, "every_minutes=0.0 must be above 0, or None"),
        ({"every_minutes": float("nan")}, "every_minutes=nan must be above 0, or None"),
        ({"keep_last": 0}, "keep_last=0 must be at least 1"),
        ({"keep_best": -1}, "keep_best=-1 must be at least 0"),
        ({"keep_every": 0}, "keep_every=0 must be a multiple of every_steps=500"),
        ({"keep_every": 750}, "keep_every=750 must be a multiple of every_steps=500"),
    ],
)
def test_bad_config_is_refused(fields, message):
    with pytest.raises(UserError, match=message):
        CheckpointConfig(**fields)
    assert dataclasses.replace(CheckpointConfig(), keep_every=1000).keep_every == 1000
