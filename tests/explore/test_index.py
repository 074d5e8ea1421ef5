# SPDX-License-Identifier: Apache-2.0
"""The nearest to one circuit are those that the search for many finds."""

import numpy as np
import pytest

from sgatlin.circuits.neighbours import Labels, nearest
from sgatlin.circuits.rows import SparseRows
from sgatlin.explore.index import RecordIndex


@pytest.fixture(scope="module")
def index(circuits) -> RecordIndex:
    return RecordIndex(circuits.record)


@pytest.mark.parametrize("channel", [None, 1])
@pytest.mark.parametrize("row", [0, 100])
def test_nearest_are_those_of_the_search_for_many(index, circuits, row, channel):
    channels = None if channel is None else [channel]
    rows = circuits.record.rows(1, channels)
    query_W = index.circuits(1)[row : row + 1].dense()[0]
    sequence = int(index.sequences[row])
    own = Labels(index.sequences, np.array([sequence]))

    found = index.nearest(1, query_W, 30, channel=channel, but_sequence=sequence)

    expected = nearest(rows, rows[row : row + 1], 30, apart=[own])
    np.testing.assert_allclose(found.distances, expected.distances[0], atol=2e-6)
    assert not (index.sequences[found.rows] == sequence).any()
    by_hand = nearest(rows[found.rows], rows[row : row + 1], 30)
    np.testing.assert_allclose(by_hand.distances[0], found.distances, atol=2e-6)


def test_equally_near_ones_come_in_the_records_order(index):
    query_W = np.zeros(index.circuits(0).width, np.float32)  # as far from all
    found = index.nearest(0, query_W, 5)
    assert found.rows.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(found.distances, 1)


def test_asked_for_more_than_there_are_all_are_given(index):
    query_W = index.circuits(0)[:1].dense()[0]
    assert len(index.nearest(0, query_W, 10**6).rows) == len(index.positions)


def test_counts_are_how_many_positions_chose_each_neuron(index, circuits):
    rows: SparseRows = circuits.record.rows(1, [1])
    by_hand = [(rows.indices == neuron).any(1).sum() for neuron in range(rows.width)]
    assert index.counts(1)[1].tolist() == by_hand
