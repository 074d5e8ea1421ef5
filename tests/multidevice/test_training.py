# SPDX-License-Identifier: Apache-2.0
"""Runs on eight devices: they train, save, and go on with any other mesh, or on one device."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from sgatlin.config import Config
from sgatlin.errors import UserError
from sgatlin.mesh import MeshConfig
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.train import checkpoint
from sgatlin.train.guard import GuardConfig
from sgatlin.train.load import abstract_params
from sgatlin.train.loop import Trainer, TrainOptions
from sgatlin.train.optimizer import RoleConfig
from tests.train.runs import poison_batches, train

pytestmark = pytest.mark.multidevice


@pytest.fixture(scope="module")
def divisible(toy) -> Config:
    """The toy run with eight windows a step, and pools that fsdp splits."""
    layer = SgatlinConfig(n_channels=4, n_neurons=64, top_k=2, d_key=8)
    return dataclasses.replace(
        toy,
        model=dataclasses.replace(toy.model, feed_forward=layer),
        data=dataclasses.replace(toy.data, batch_size=8),
        train=dataclasses.replace(toy.train, eval_every=7),
    )


def on(config: Config, data: int, fsdp: int, tensor: int) -> Config:
    return dataclasses.replace(config, mesh=MeshConfig(data=data, fsdp=fsdp, tensor=tensor))


@pytest.fixture(scope="module")
def whole_run(divisible, tmp_path_factory) -> Trainer:
    return train(on(divisible, 8, 1, 1), tmp_path_factory.mktemp("mesh") / "run")


@pytest.mark.parametrize(
    "meshes", [[(2, 2, 2), (8, 1, 1)], [(4, 1, 2), (1, 8, 1), (2, 1, 4)]], ids=str
)
def test_a_run_goes_on_with_another_mesh(divisible, whole_run, meshes, tmp_path):
    stops = [6, 13][: len(meshes) - 1]
    for mesh, stop in zip(meshes, [*stops, None], strict=True):
        trainer = train(on(divisible, *mesh), tmp_path / "run", until=stop)
    ours, theirs = trainer.run.result(), whole_run.run.result()
    assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-5)
    for occurrence in ("copy_first_loss", "copy_second_loss"):
        assert ours[occurrence] == pytest.approx(theirs[occurrence], rel=1e-4)
    for a, b in zip(
        *map(jax.tree.leaves, (trainer.state.params, whole_run.state.params)), strict=True
    ):
        difference = np.linalg.norm(np.asarray(a) - np.asarray(b))
        assert difference <= 1e-4 * np.linalg.norm(np.asarray(b)) + 1e-7
    assert trainer.position.examples == whole_run.position.examples == 20 * 8


def test_bad_steps_and_narrow_moments_are_the_same_on_any_mesh(divisible, tmp_path):
    config = dataclasses.replace(
        divisible,
        guard=GuardConfig(action="skip"),
        optimizer=dataclasses.replace(divisible.optimizer, pool=RoleConfig(moments="bfloat16")),
    )
    runs = []
    for name, mesh in {"windows": (8, 1, 1), "all": (2, 2, 2)}.items():
        trainer = Trainer(on(config, *mesh), tmp_path / name, TrainOptions())
        poison_batches(trainer, 5, 6)
        trainer.train()
        runs.append(trainer)
    ours, theirs = (trainer.run.result() for trainer in runs)
    assert ours["skipped_steps"] == theirs["skipped_steps"] == 2
    assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-4)
    for trainer in runs:
        noted = [json.loads(row) for row in trainer.run.skipped_file.read_text().splitlines()]
        assert [(row["step"], sum(map(len, row["windows"].values()))) for row in noted] == [
            (5, 8),
            (6, 8),
        ]


def test_parameters_alone_are_restored_on_one_device(divisible, whole_run):
    params = checkpoint.restore_params(whole_run.run.checkpoints, 20, abstract_params(divisible))
    for ours, theirs in zip(*map(jax.tree.leaves, (params, whole_run.state.params)), strict=True):
        assert len(ours.sharding.device_set) == 1
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_what_does_not_fit_is_told_before_anything_is_written(divisible, tmp_path):
    for mesh, told in (
        ((3, 1, 1), "data=3, fsdp=1, tensor=1 has 3 devices, but there are 8"),
        ((1, 1, 8), r"n_channels=4 is not a multiple of mesh\.tensor=8"),
    ):
        with pytest.raises(UserError, match=told):
            Trainer(on(divisible, *mesh), tmp_path / "run", TrainOptions())
    odd = dataclasses.replace(divisible, data=dataclasses.replace(divisible.data, batch_size=6))
    with pytest.raises(UserError, match=r"data\.batch_size=6 is not a multiple of 8"):
        Trainer(on(odd, 8, 1, 1), tmp_path / "run", TrainOptions())
    assert not (tmp_path / "run").exists()
