# SPDX-License-Identifier: Apache-2.0
"""Copies are the same however few hashes are compared at a time."""

import numpy as np
import pytest

from sgatlin.input.preparation.duplicates import find_copies
from sgatlin.input.preparation.inputs import SPLITS
from sgatlin.input.preparation.pieces import HASH_DTYPE


def brute_force(hashes: dict[str, list[np.ndarray]]) -> dict[str, list[list[int]]]:
    """One after another, in the order of the splits: a copy is what was seen before."""
    seen: set[int] = set()
    copies: dict[str, list[list[int]]] = {}
    for split in SPLITS:
        copies[split] = []
        for shard in hashes[split]:
            copies[split].append([])
            for number, value in enumerate(shard.tolist()):
                if value in seen:
                    copies[split][-1].append(number)
                seen.add(value)
    return copies


@pytest.fixture
def hashes(tmp_path):
    """Of 600 documents in 7 shards, of 300 values at most, over all 64 bits; and their files."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 1 << 64, size=300, dtype=np.uint64, endpoint=False)
    values[:3] = 0, 1, (1 << 64) - 1
    sizes = {"train": (200, 1, 250), "validation": (50, 30), "test": (49, 20)}
    hashes = {split: [rng.choice(values, n) for n in counts] for split, counts in sizes.items()}
    files = {split: [] for split in sizes}
    for split, shards in hashes.items():
        for number, shard in enumerate(shards):
            files[split].append(tmp_path / f"{split}{number}.bin")
            shard.astype(HASH_DTYPE).tofile(files[split][-1])
    return hashes, files


@pytest.mark.parametrize("bucket_hashes", [1 << 24, 600, 100, 7, 1])
def test_copies_are_those_of_a_search_one_by_one(hashes, bucket_hashes):
    values, files = hashes
    expected = brute_force(values)
    assert sum(len(shard) for shards in expected.values() for shard in shards) > 300
    found = find_copies(files, bucket_hashes=bucket_hashes)
    assert {split: [shard.tolist() for shard in shards] for split, shards in found.items()} == (
        expected
    )


def test_no_more_is_sorted_at_a_time_than_was_said(hashes, monkeypatch):
    sizes = []
    unique = np.unique

    def noted(values, **kwargs):
        sizes.append(len(values))
        return unique(values, **kwargs)

    monkeypatch.setattr(np, "unique", noted)
    find_copies(hashes[1], bucket_hashes=100)
    assert sum(sizes) == 600
    assert len(sizes) == 6
    # Hashes are spread evenly, but not their copies: some two of each value are to be expected.
    assert max(sizes) < 200


def test_a_split_without_shards(hashes):
    values, files = hashes
    found = find_copies(files | {"test": []})
    expected = brute_force(values | {"test": []})
    assert {split: [shard.tolist() for shard in shards] for split, shards in found.items()} == (
        expected
    )
