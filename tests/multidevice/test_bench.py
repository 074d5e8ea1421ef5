# SPDX-License-Identifier: Apache-2.0
"""`sgatlin bench step` on several devices."""

import pytest

from sgatlin.bench.step import Changes, named_configs, step_rows


@pytest.mark.multidevice
def test_steps_are_timed_on_several_meshes():
    changes = Changes(batch_size=8, seq_len=16, meshes=("1x1x1", "2x2x2"))
    rows = [row for row, _ in step_rows(named_configs(["storyworld"], changes), repeats=1)]
    assert all(row["ms"] > 0 and "error" not in row for row in rows)
    one, eight = (row["temporaries"] for row in rows)
    assert eight < one
