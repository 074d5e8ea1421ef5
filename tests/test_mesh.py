# SPDX-License-Identifier: Apache-2.0
"""The mesh's shape and what is split over it; tests/multidevice has eight devices."""

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from sgatlin.config import Config, DataConfig, TrainConfig
from sgatlin.errors import UserError
from sgatlin.mesh import AXES, Feed, MeshConfig, Sizes, make_mesh
from sgatlin.nn.transformer import TransformerConfig
from sgatlin.parallel import UNSPLIT, partition_spec, split
from sgatlin.scaling.ladder import layers
from sgatlin.train.layout import layout
from sgatlin.train.memory import training_memory


def test_data_takes_the_devices_that_are_left():
    assert MeshConfig().sizes(8) == Sizes(8, 1, 1)
    assert MeshConfig(fsdp=2, tensor=2).sizes(8) == Sizes(2, 2, 2)
    assert MeshConfig(data=1, tensor=4).sizes(4) == Sizes(1, 1, 4)
    assert Sizes(2, 3, 4).devices == 24
    assert Sizes(2, 3, 4).windows == 6


@pytest.mark.parametrize(
    ("config", "n_devices", "told"),
    [
        (MeshConfig(data=3), 8, "data=3, fsdp=1, tensor=1 has 3 devices, but there are 8"),
        (MeshConfig(tensor=3), 8, "data=2, fsdp=1, tensor=3 has 6 devices, but there are 8"),
        (MeshConfig(fsdp=16), 8, "data=1, fsdp=16, tensor=1 has 16 devices, but there are 8"),
    ],
)
def test_a_mesh_that_does_not_fit_is_told(config, n_devices, told):
    with pytest.raises(UserError, match=told):
        config.sizes(n_devices)


@pytest.mark.parametrize("axis", AXES)
def test_a_mesh_of_nothing_is_refused(axis):
    with pytest.raises(UserError, match=f"{axis}=0"):
        MeshConfig(**{axis: 0})


UNITS = {"heads": 8}


@pytest.mark.parametrize(
    ("shape", "dims", "sizes", "expected"),
    [
        ((16, 4096, 512), ("channels", None, None), Sizes(), P(None, None, None)),
        ((16, 4096, 512), ("channels", None, None), Sizes(8, 1, 1), P(None, None, None)),
        ((16, 4096, 512), ("channels", None, None), Sizes(1, 2, 4), P("tensor", "fsdp", None)),
        # The longest that fsdp divides, the last of equals.
        ((512, 512), (None, "heads"), Sizes(1, 2, 1), P(None, "fsdp")),
        ((512, 512), (None, "heads"), Sizes(1, 2, 2), P("fsdp", "tensor")),
        ((50_257, 512), (), Sizes(1, 8, 1), P(None, "fsdp")),
        ((50_257, 511), (), Sizes(1, 8, 1), P(None, None)),
        # Small ones are whole, and so are eight heads on three devices, though it divides 513.
        ((512,), (), Sizes(1, 8, 1), P(None)),
        ((512, 513), (None, "heads"), Sizes(1, 1, 3), P(None, None)),
    ],
)
def test_where_a_parameter_is_split(shape, dims, sizes, expected):
    assert partition_spec(shape, dims, sizes, UNITS) == expected


def test_outside_of_a_mesh_nothing_is_split():
    assert split(8) == UNSPLIT
    x = jax.numpy.arange(4.0)
    for part in (UNSPLIT.enter(x), UNSPLIT.leave(x), UNSPLIT.own(x, 0), UNSPLIT.gathered(x, 0)):
        assert part is x


def test_a_batch_that_cannot_be_shared_is_told():
    with pytest.raises(UserError, match=r"batch_size=10 is not a multiple of 4.*accumulate"):
        Feed(None, 10, parts=4)
    feed = Feed(make_mesh(Sizes(1, 1, 1)), 6, parts=3)
    assert feed.rows == [0, 1, 2, 3, 4, 5]
    (put,) = feed.put(np.arange(12).reshape(6, 2))
    np.testing.assert_array_equal(put, np.arange(12).reshape(6, 2))


def run(kind="sgatlin", d_head=32, **data) -> Config:
    layer = layers(256, n_channels=8, n_neurons=1024)[kind]
    model = TransformerConfig(
        vocab_size=512, d_model=256, n_layers=2, d_head=d_head, feed_forward=layer, dtype="float32"
    )
    return Config(
        name="run",
        model=model,
        data=DataConfig(batch_size=64, **data),
        train=TrainConfig(steps=200),
    )


def test_what_is_not_divided_is_told():
    assert layout(run(), Sizes()) == []
    assert layout(run(), Sizes(2, 1, 4)) == [
        "8 devices: data 2, fsdp 1, tensor 4; 32 windows a step on each"
    ]
    whole = "whole on each device of tensor, which does not divide it: "
    found = {kind: layout(run(kind, d_head=128), Sizes(1, 1, 8))[1:] for kind in ("peer", "moe")}
    assert found == {
        "peer": [f"{whole}the pool (one table for all channels), attention (2 heads)"],
        "moe": [f"{whole}attention (2 heads)"],
    }
    assert layout(run("mlp"), Sizes(1, 1, 6))[1].endswith(
        "the feed-forward layer (512 hidden units)"
    )


def test_what_cannot_be_divided_is_told():
    with pytest.raises(UserError, match=r"n_channels=8 is not a multiple of mesh\.tensor=3"):
        layout(run(), Sizes(1, 1, 3))
    with pytest.raises(UserError, match=r"data\.batch_size=64 is not a multiple of 3"):
        layout(run(), Sizes(3, 1, 1))


def test_memory_is_that_of_each_device():
    config = run()
    one = training_memory(config)
    for sizes in (Sizes(4, 1, 1), Sizes(1, 4, 1), Sizes(1, 1, 4), Sizes(2, 2, 2)):
        each = training_memory(config, sizes=sizes)
        share = sizes.fsdp * sizes.tensor
        # All but the embedding's tensor share, norms and router keys is divided.
        assert one.parameters / share <= each.parameters < 1.1 * one.parameters / share + 2**20
        assert each.optimizer == pytest.approx(2 * each.parameters, rel=0.01)
        assert each.gradients == each.parameters
        assert each.activations < one.activations
