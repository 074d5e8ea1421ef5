# SPDX-License-Identifier: Apache-2.0
"""Batches on a mesh: every device has its rows, and parts are the same on any mesh."""

import numpy as np
import pytest

from sgatlin.mesh import Feed, Sizes, make_mesh

pytestmark = pytest.mark.multidevice


@pytest.mark.parametrize("parts", [1, 2, 4])
@pytest.mark.parametrize("sizes", [Sizes(8, 1, 1), Sizes(2, 2, 2), Sizes(1, 1, 8)], ids=str)
def test_each_device_has_its_share_of_each_part(sizes, parts):
    mesh = make_mesh(sizes)
    feed = Feed(mesh, 32, parts)
    batch = np.repeat(np.arange(32)[:, None], 3, axis=1)
    (put,) = feed.put(batch[feed.rows])
    assert sorted(feed.rows) == list(range(32))
    # Which parts of the batch its rows are in: as a device splits its own.
    for shard in put.addressable_shards:
        own = np.asarray(shard.data)[:, 0].reshape(parts, -1)
        assert (own // (32 // parts) == np.arange(parts)[:, None]).all()
    held = {tuple(np.asarray(shard.data)[:, 0]) for shard in put.addressable_shards}
    assert len(held) == sizes.windows
    assert sorted(row for rows in held for row in rows) == list(range(32))
