# SPDX-License-Identifier: Apache-2.0
"""A step of a model with layers of several kinds on eight devices is the step on one."""

import pytest
from jax.sharding import PartitionSpec as P

from sgatlin.mesh import Sizes
from sgatlin.nn.feed_forward import PatternConfig
from sgatlin.nn.transformer import partition_specs
from tests.multidevice.test_step import LAYERS, assert_as_on_one_device, small

pytestmark = pytest.mark.multidevice

ALTERNATING = PatternConfig(layers=(LAYERS["swiglu"], LAYERS["sgatlin"]))
MIXTURES = PatternConfig(layers=(LAYERS["moe"], LAYERS["mlp"], LAYERS["moe"]))


@pytest.mark.parametrize(
    ("pattern", "n_layers", "sizes"),
    [
        (ALTERNATING, 4, Sizes(2, 2, 2)),
        (ALTERNATING, 4, Sizes(1, 1, 8)),
        (MIXTURES, 3, Sizes(1, 2, 4)),
    ],
    ids=["all axes", "tensor", "mixtures"],
)
def test_five_steps_are_those_of_one_device(pattern, n_layers, sizes):
    assert_as_on_one_device(small(feed_forward=pattern, n_layers=n_layers), sizes)


def test_where_parameters_are_split():
    config = small(feed_forward=ALTERNATING, n_layers=4).model
    blocks = partition_specs(config, Sizes(2, 2, 2))["blocks"]
    assert blocks["0"]["feed_forward"]["w_up"] == P(None, "fsdp", "tensor")
    assert blocks["1"]["feed_forward"]["w_in"] == P(None, "tensor", "fsdp", None)
    for place in "01":
        assert blocks[place]["attention"]["w_query"] == P(None, "fsdp", "tensor")
