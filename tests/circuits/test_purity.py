# SPDX-License-Identifier: Apache-2.0
"""Neighbours by scikit-learn's distances; purity by hand, its nulls by drawing them."""

import numpy as np
import pytest
import sklearn.metrics

from sgatlin.circuits import purity as module
from sgatlin.circuits.purity import near_rows, purity
from sgatlin.circuits.rows import SparseRows


def test_neighbours_equal_scikit_learns_distances_and_leave_out_groups(monkeypatch):
    monkeypatch.setattr(module, "_QUERIES", 7)
    rng = np.random.default_rng(0)
    indices = np.argsort(rng.random((60, 20)), axis=1)[:, :6].astype(np.int32)
    rows = SparseRows(indices, rng.normal(size=(60, 6)).astype(np.float32), 20)
    groups, others = rng.integers(0, 9, (2, 60))
    filters = [[groups], [groups, others]]
    for x in (rows, rows.dense()):
        for found, apart in zip(near_rows(x, 5, filters), filters, strict=True):
            distances = sklearn.metrics.pairwise.cosine_distances(rows.dense())
            for labels in apart:
                distances[labels[:, None] == labels] = np.inf
            expected = np.sort(distances, axis=1)[:, :5]
            np.testing.assert_allclose(np.take_along_axis(distances, found, 1), expected, atol=1e-6)


def test_of_equally_near_rows_the_first_come_first(monkeypatch):
    """Five different rows, each many times and in no order: those of one kind are ties."""
    monkeypatch.setattr(module, "_QUERIES", 11)
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 5, 90)
    indices = np.argsort(rng.random((5, 40)), axis=1)[:, :7].astype(np.int32)[kinds]
    values = rng.normal(size=(5, 7)).astype(np.float32)[kinds]
    rows = SparseRows(indices, values, 40)
    own = np.arange(90)
    for x in (rows, rows.dense()):
        (found,) = near_rows(x, 6, [[own]])
        for row in range(90):
            alike = np.flatnonzero((kinds == kinds[row]) & (own != row))
            assert found[row].tolist() == alike[:6].tolist()


def test_rows_without_enough_neighbours_have_fewer():
    (found,) = near_rows(np.eye(3), 4, [[np.array([0, 0, 1])]])
    assert found.tolist() == [[2, -1, -1, -1], [2, -1, -1, -1], [0, 1, -1, -1]]


def test_purity_by_hand():
    """Six positions of six sequences; the last has no label."""
    labels = np.array([0, 0, 1, 1, 1, -1])
    near = np.array([[1, 2], [0, 5], [3, 4], [2, 0], [5, -1], [0, 1]])
    found = purity(near, labels, [np.arange(6)])
    assert found.purity == pytest.approx(np.mean([0.5, 0.5, 1, 0.5, 0]))
    assert found.frequency == pytest.approx(np.mean([0.2, 0.2, 0.4, 0.4, 0.4]))
    assert found.lift_frequency == pytest.approx(0.5 / 0.32)
    # Of 20 ordered pairs of labelled positions, 2 + 6 are alike; 3.5 of 5 neighbours have a label.
    assert found.null == found.null_positions == pytest.approx(0.7 * 8 / 20)
    assert np.isnan(found.null_95)


@pytest.mark.parametrize("different", [False, True])
def test_nulls_are_what_drawing_labels_comes_to(different):
    """Words differ in how often they stand, and a seventh of them has no label."""
    rng = np.random.default_rng(0)
    words = np.sort(rng.integers(0, 14, 120) * rng.integers(0, 2, 120))
    of_word = np.where(np.arange(14) % 7 == 3, -1, np.arange(14) % 3)
    labels, sequences = of_word[words], np.arange(120) % 10
    apart = [sequences, words] if different else [sequences]
    (near,) = near_rows(np.eye(14)[words] + 0.3 * rng.normal(size=(120, 14)), 8, [apart])
    found = purity(near, labels, apart, words_n=words, permutations=1000)
    by_word, by_position = [], []
    standing = np.unique(words)
    labelled, known = np.flatnonzero(labels >= 0), standing[of_word[standing] >= 0]
    for _ in range(1000):
        drawn = of_word.copy()
        drawn[known] = of_word[rng.permutation(known)]
        by_word.append(purity(near, drawn[words], apart).purity)
        shuffled = labels.copy()
        shuffled[labelled] = labels[rng.permutation(labelled)]
        by_position.append(purity(near, shuffled, apart).purity)
    assert found.null == pytest.approx(np.mean(by_word), abs=4 * np.std(by_word) / 1000**0.5)
    assert found.null_95 == pytest.approx(np.quantile(by_word, 0.95), abs=0.02)
    error = 4 * np.std(by_position) / 1000**0.5
    assert found.null_positions == pytest.approx(np.mean(by_position), abs=error)


def test_words_that_flock_together_are_not_taken_for_their_class():
    """All of a word are one point, and its neighbours itself: nothing is known of classes."""
    words = np.repeat(np.arange(6), 5)
    labels = (words % 2).astype(np.int64)
    apart = [np.arange(30)]
    (near,) = near_rows(np.eye(6)[words], 4, [apart])
    found = purity(near, labels, apart, words_n=words)
    assert found[:1] + found[2:4] == pytest.approx((1, 1, 1))
    assert found.null_positions == pytest.approx(2 * 15 * 14 / (30 * 29))
    assert found.lift == pytest.approx(1)


def test_the_token_does_not_explain_the_class():
    """Neighbours of the same token are all of the class, those of others are not."""
    tokens = np.array([0, 0, 0, 1, 2, 3])
    classes = np.array([0, 0, 0, 0, 1, 1])
    x = np.array([[1, 0], [1, 0], [1, 0], [-1, 0.1], [1, 0.1], [1, 0.1]])
    filters = [[np.arange(6)], [np.arange(6), tokens]]
    same, other = (
        purity(near, classes, apart)
        for near, apart in zip(near_rows(x, 2, filters), filters, strict=True)
    )
    assert same.purity > 0.5
    # Token 0's two nearest other tokens are of class 1.
    assert other.purity < same.purity


def test_the_frequency_counts_what_may_be_a_neighbour():
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 3, 50)
    apart = [rng.integers(0, 6, 50), rng.integers(0, 9, 50)]
    allowed = (apart[0][:, None] != apart[0]) & (apart[1][:, None] != apart[1])
    shares = (allowed & (labels[:, None] == labels)).sum(1) / allowed.sum(1)
    found = purity(near_rows(np.eye(50), 3, [apart])[0], labels, apart)
    assert found.frequency == pytest.approx(shares[labels >= 0].mean())
