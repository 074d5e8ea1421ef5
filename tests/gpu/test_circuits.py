# SPDX-License-Identifier: Apache-2.0
"""The search for near circuits on a GPU: as exact as on a CPU, equals and what is left out too."""

import numpy as np
import pytest

from sgatlin.circuits.neighbours import Labels, nearest
from sgatlin.circuits.rows import SparseRows

pytestmark = pytest.mark.gpu

WIDTH, CHOSEN = 512, 16


def rows_of(rng: np.random.Generator, n: int) -> SparseRows:
    """Some of them several times over, so that there are equals."""
    indices = np.argsort(rng.random((n // 2, WIDTH)), axis=1)[:, :CHOSEN].astype(np.int32)
    values = rng.integers(1, 4, indices.shape).astype(np.float32)
    again = rng.integers(0, len(indices), n)
    return SparseRows(indices[again], values[again], WIDTH)


@pytest.mark.parametrize("n", [40, 20_000])
@pytest.mark.parametrize("k", [1, 10, 30])
def test_nearest_is_what_a_table_of_all_with_all_says(n, k):
    rng = np.random.default_rng(n + k)
    rows, queries = rows_of(rng, n), rows_of(rng, 24)
    # The first five rows are of no query's group, and all that the second query may have.
    groups = Labels(np.where(np.arange(n) < 5, 7, rng.integers(0, 3, n)), rng.integers(0, 3, 24))
    few = Labels(np.arange(n) >= 5, np.arange(24) == 1)

    found = nearest(rows, queries, k, apart=[groups, few])

    unit = [x.dense() / np.linalg.norm(x.dense(), axis=1, keepdims=True) for x in (rows, queries)]
    cosine = (unit[1].astype(np.float64) @ unit[0].T.astype(np.float64)).astype(np.float32)
    barred = groups.queries[:, None] == groups.rows
    barred |= few.queries[:, None] == few.rows
    distances = np.where(barred, np.inf, 1 - cosine)
    expected = np.sort(distances, axis=1)[:, :k]
    there = np.isfinite(expected)
    np.testing.assert_array_equal(found.rows >= 0, there)
    np.testing.assert_allclose(found.distances[there], expected[there], atol=1e-6)
    own = np.take_along_axis(distances, np.maximum(found.rows, 0), axis=1)
    np.testing.assert_allclose(own[there], expected[there], atol=1e-6)
    for row in found.rows:
        assert len(set(row[row >= 0])) == (row >= 0).sum()
