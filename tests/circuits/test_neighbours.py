# SPDX-License-Identifier: Apache-2.0
"""Nearest circuits equal scikit-learn's brute force, and leave out what they are told to."""

import numpy as np
import pyarrow as pa
import pytest
import scipy.spatial.distance
import sklearn.metrics
import sklearn.neighbors

from sgatlin.circuits import neighbours
from sgatlin.circuits.model import CircuitModel
from sgatlin.circuits.neighbour_table import (
    find,
    neighbour_lines,
    neighbour_table,
    recorded,
    short,
    typed,
    visible,
)
from sgatlin.circuits.neighbours import Labels, nearest
from sgatlin.circuits.rows import SparseRows
from sgatlin.errors import UserError


def random_rows(n: int, p: int = 4, width: int = 24, seed: int = 0) -> SparseRows:
    rng = np.random.default_rng(seed)
    indices = np.argsort(rng.random((n, width)), axis=1)[:, :p].astype(np.int32)
    return SparseRows(indices, rng.normal(size=(n, p)).astype(np.float32), width)


@pytest.fixture
def _small_blocks(monkeypatch):
    """300 rows are many blocks, the last one of them not full, and 11 queries several parts."""
    monkeypatch.setattr(neighbours, "_ROWS", 64)
    monkeypatch.setattr(neighbours, "_QUERIES", 4)


@pytest.mark.usefixtures("_small_blocks")
def test_cosine_equals_scikit_learns_brute_force():
    rows, queries = random_rows(300), random_rows(11, seed=1)
    found = nearest(rows, queries, 20)
    search = sklearn.neighbors.NearestNeighbors(metric="cosine", algorithm="brute")
    search.fit(rows.matrix().astype(np.float64))
    distances, numbers = search.kneighbors(queries.matrix().astype(np.float64), 20)
    np.testing.assert_allclose(found.distances, distances, atol=2e-6)
    for own, theirs, near in zip(found.rows, numbers, distances, strict=True):
        # What differs by less than rounding, or not at all as zeros do, may stand in any order.
        clear = near < near[-1] - 1e-5
        assert set(own[clear]) == set(theirs[clear])
    exact = scipy.spatial.distance.cdist(queries.dense(), rows.dense(), "cosine")
    np.testing.assert_allclose(np.take_along_axis(exact, found.rows, 1), distances, atol=2e-6)


@pytest.mark.usefixtures("_small_blocks")
def test_jaccard_equals_scipys_and_knows_no_scores():
    rows, queries = random_rows(300), random_rows(11, p=6, seed=1)
    rows.values[:, 0] = 0  # chosen all the same
    found = nearest(rows, queries, 20, metric="jaccard")
    sets = [np.zeros((len(one), one.width), bool) for one in (rows, queries)]
    for dense, one in zip(sets, (rows, queries), strict=True):
        np.put_along_axis(dense, one.indices, True, axis=1)
    exact = scipy.spatial.distance.cdist(sets[1], sets[0], "jaccard")
    order = np.argsort(exact.round(6), axis=1, kind="stable")[:, :20]
    np.testing.assert_array_equal(found.rows, order)
    np.testing.assert_allclose(found.distances, np.take_along_axis(exact, order, 1), atol=1e-6)


@pytest.mark.usefixtures("_small_blocks")
def test_equally_near_rows_come_by_their_number_across_blocks():
    one = random_rows(1)
    same = SparseRows(one.indices.repeat(200, 0), one.values.repeat(200, 0), one.width)
    assert nearest(same, one, 150).rows.tolist() == [list(range(150))]


@pytest.mark.usefixtures("_small_blocks")
def test_rows_of_a_querys_label_are_left_out_before_k_are_taken():
    rows = random_rows(300)
    of = np.array([70, 299])
    sequences = np.arange(300) // 30 + 2**40  # wider than int32
    apart = [Labels(np.arange(300), of), Labels(sequences, sequences[of])]
    found = nearest(rows, rows[of], 40, apart=apart)
    exact = scipy.spatial.distance.cdist(rows[of].dense(), rows.dense(), "cosine")
    exact[sequences[of][:, None] == sequences] = np.inf
    np.testing.assert_allclose(found.distances, np.sort(exact, 1)[:, :40], atol=2e-6)
    assert not (sequences[found.rows] == sequences[of][:, None]).any()


def test_a_query_with_fewer_rows_than_k_has_as_many_as_there_are():
    rows = random_rows(5)
    assert nearest(rows, rows[:1], 9).rows.shape == (1, 5)
    labels = np.array([0, 0, 0, 1, 1])
    found = nearest(rows, rows[:1], 9, apart=[Labels(labels, labels[:1])])
    assert set(found.rows[0, :2]) == {3, 4}
    assert found.rows[0, 2:].tolist() == [-1, -1, -1]
    assert np.isinf(found.distances[0, 2:]).all()


def test_a_vector_of_zeros_is_at_distance_one_and_its_opposite_at_two():
    indices = np.array([[0, 1], [0, 1], [0, 1]], np.int32)
    values = np.array([[0, 0], [-3e30, -4e30], [3e-30, 4e-30]], np.float32)
    rows = SparseRows(indices, values, 4)
    query = SparseRows(indices[:1], np.array([[3, 4]], np.float32), 4)
    found = nearest(rows, query, 3)
    assert found.rows.tolist() == [[2, 0, 1]]
    np.testing.assert_allclose(found.distances, [[0, 1, 2]], atol=1e-6)
    np.testing.assert_array_equal(nearest(rows, rows[:1], 3).distances, [[1, 1, 1]])


@pytest.mark.usefixtures("_small_blocks")
def test_progress_is_told_of_every_block():
    told: list[tuple[int, int]] = []
    nearest(random_rows(130), random_rows(5), 2, progress=lambda *at: told.append(at))
    assert told == [(i, 6) for i in range(1, 7)]


def test_what_cannot_be_compared():
    with pytest.raises(UserError, match=r"^queries of 9 columns, rows of 24: take both"):
        nearest(random_rows(3), random_rows(3, width=9), 1)
    with pytest.raises(UserError, match="k=0"):
        nearest(random_rows(3), random_rows(3), 0)


def hand_made() -> tuple[pa.Table, SparseRows]:
    """Two sequences of two positions; of one neuron each, so that a circuit is its sign."""
    positions = pa.table(
        {
            "sequence": pa.array([3, 3, 8, 8], pa.int64()),
            "position": pa.array([1, 2, 1, 2], pa.int32()),
            "token": pa.array([5, 6, 5, 7], pa.int32()),
            "text": ["The", " old", "The", "\x1b[1m"],
            "predictions": pa.array([[6], [7], [7], [5]], pa.list_(pa.int32(), 1)),
            "probabilities": pa.array([[0.5], [0.25], [1], [1]], pa.list_(pa.float32(), 1)),
        }
    )
    indices = np.array([[0, 1]] * 4, np.int32)
    values = np.array([[1, 0], [0, 1], [1, 0], [3, 4]], np.float32)
    return positions, SparseRows(indices, values, 2)


NAMES = {5: "The", 6: " old", 7: " turtle"}


@pytest.mark.parametrize(
    ("exclude", "rows"), [("none", [2, 3, 1]), ("sequence", [2, 3]), ("token", [3, 1])]
)
def test_a_position_is_compared_with_what_is_not_excluded(exclude, rows):
    positions, circuits = hand_made()
    asked = recorded(positions, np.array([0]))
    found = find(asked, circuits[:1], circuits, positions, NAMES.__getitem__, exclude=exclude)
    assert [row for row, _ in found.of(0)] == rows


def test_the_table_and_the_lines_tell_of_each_neighbour():
    positions, circuits = hand_made()
    asked = recorded(positions, np.array([0, 1]))
    found = find(asked, circuits[:2], circuits, positions, NAMES.__getitem__, k=1)
    first, second = neighbour_table(found).to_pylist()
    assert first["excerpt"] == "[The]\x1b[1m"
    assert (first["query_text"], first["rank"], first["row"], first["sequence"]) == ("The", 1, 2, 8)
    assert (first["predictions"], first["probabilities"]) == ([" turtle"], [1.0])
    assert second["query_position"] == 2
    assert second["distance"] == pytest.approx(1 - 4 / 5)
    lines = neighbour_lines(found)
    assert lines[0] == '"The", position 1'
    assert lines[1] == '  0.0000  [The]␚[1m  -> " turtle"'  # a terminal would turn bold
    assert lines[4] == '  0.2000  The[␚[1m]  -> "The"'


def test_a_typed_text_has_the_circuits_that_a_pass_shows(toy_run):
    model = CircuitModel.open(str(toy_run))
    asked, rows = typed(model, "A turtle", 1, [1])
    tokens = model.encode("A turtle")
    assert "".join(asked.texts) == "A turtle"
    assert asked.positions.tolist() == list(range(1, len(tokens)))
    gates = model.trace(tokens[None]).gates
    np.testing.assert_array_equal(rows.indices, gates.indices[1, 0, 1:, 1])
    np.testing.assert_allclose(rows.values, gates.scores[1, 0, 1:, 1], rtol=1e-5, atol=1e-6)
    with pytest.raises(UserError, match=r"^the text is empty"):
        typed(model, "", 1)


@pytest.mark.parametrize(
    ("text", "cell"),
    [(" was", "was"), (" ", "␣"), ("\n", "⏎"), ("a" * 13, "a" * 11 + "…"), ("\t", "␚")],
)
def test_a_token_in_a_small_cell(text, cell):
    assert short(text) == cell


def test_what_is_visible_stays():
    assert visible("naïve 日本 <b>") == "naïve 日本 <b>"
