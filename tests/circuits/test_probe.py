# SPDX-License-Identifier: Apache-2.0
"""Scores of hand-made representations, and their tables."""

import numpy as np
import pytest
import sklearn.metrics

from sgatlin.circuits.labels import PositionLabels
from sgatlin.circuits.measure_table import Table, table_of, without_nan
from sgatlin.circuits.probe import clusters, probe, score
from sgatlin.circuits.probe_report import rows, tables
from sgatlin.circuits.purity import Purity


@pytest.fixture
def classed():
    """120 positions of 30 documents, three classes, no token twice; rows that tell classes."""
    classes = np.arange(120) % 3
    x = np.eye(3)[classes] + 0.01 * np.random.default_rng(0).normal(size=(120, 3))
    labels = {
        "token": PositionLabels(np.arange(120), tuple(map(str, range(120)))),
        "class": PositionLabels(classes, ("a", "b", "c")),
    }
    return x, labels, np.arange(120) // 4


def test_separate_classes_score_one(classed):
    x, labels, sequences = classed
    found = score(x, labels, sequences)
    assert found.purities["class", 10].purity == pytest.approx(1)
    assert found.purities["token", 20].purity == 0
    # A word a position: permuted among words is permuted among positions.
    chance = 3 * 40 * 39 / (120 * 119)
    assert found.purities["class", 10].null == pytest.approx(chance)
    assert found.purities["class", 10].null_positions == pytest.approx(chance)
    assert found.ami == pytest.approx(1)
    classes = labels["class"].ids
    expected = sklearn.metrics.silhouette_score(x, classes, metric="cosine")
    assert found.silhouette == pytest.approx(expected)
    shuffled = np.random.default_rng(0).permutation(classes)
    assert abs(clusters(x, shuffled, seed=0)[0]) < 0.1


def test_a_class_is_of_neighbours_with_another_token():
    """Tokens are points apart from all others: only their own are near, and do not count."""
    tokens = np.arange(120) % 12
    labels = {
        "token": PositionLabels(tokens, tuple("abcdefghijkl")),
        "class": PositionLabels(tokens // 6, ("a", "b")),
    }
    x = np.eye(12)[tokens]
    found = score(x, labels, np.arange(120))
    assert found.purities["token", 10].purity == pytest.approx(0.9)  # 9 others of each
    # The others are equally far, and the first are taken: for tokens 0 to 5 five of ten are of
    # their class, and for tokens 6 to 11 four.
    assert found.purities["class", 10].purity == pytest.approx(0.45)


def test_a_word_in_capitals_is_no_news_of_its_class():
    """Each word stands in two spellings, and the other one is all that is near."""
    tokens = np.arange(240) % 12
    words = tokens // 2
    labels = {
        "token": PositionLabels(tokens, tuple("aAbBcCdDeEfF")),
        "class": PositionLabels(words % 2, ("a", "b")),
    }
    found = score(np.eye(6)[words], labels, np.arange(240)).purities["class", 20]
    assert found.purity == pytest.approx(1)
    assert found.lift == pytest.approx(1)
    assert found.lift_positions > 1.9


def test_one_class_has_no_clusters(classed):
    x, _, _ = classed
    assert np.isnan(clusters(x, np.zeros(120, np.int64), seed=0)).all()


def test_each_layer_has_its_tables_and_the_embedding_is_scored_once(classed):
    x, labels, sequences = classed
    asked = []

    def of_layer(layer):
        asked.append(layer)
        return {"circuit": x + layer, "embedding": x if layer == 0 else np.full_like(x, np.nan)}

    told = []
    found = probe(
        of_layer, [0, 1], labels, sequences, progress=lambda done, total: told.append((done, total))
    )
    assert asked == [0, 1]
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert found[1].scores is found[3].scores
    printed = list(tables(found))
    assert [one.title.split(":")[0] for one in printed] == ["Layer 0"] * 3 + ["Layer 1"] * 3
    assert printed[0].heading == ["representation", "token", "class"]
    assert printed[0].rows[1] == ["embedding", "0.000 (0.000)     -", "1.000 (0.328)  3.1x"]
    assert max(len(line) for one in printed for line in one.lines()) <= 120
    of_class = rows(found)[1]["purities"][2]
    assert (of_class["label"], of_class["neighbours"]) == ("class", 10)
    assert of_class["lift"] == pytest.approx(of_class["purity"] / of_class["null"])


def test_lifts_are_ratios_and_none_over_nothing():
    found = Purity(purity=0.6, frequency=0.2, null=0.3, null_95=0.4, null_positions=0.0)
    assert found.lift == pytest.approx(2)
    assert found.lift_frequency == pytest.approx(3)
    assert np.isnan(found.lift_positions)


def test_tables_for_terminals_and_pages():
    table = table_of(
        "Title", [{"name": "a", "x": 0.5, "n": 12}, {"name": "bc", "x": np.nan, "n": 3}]
    )
    assert table.lines() == ["Title", "name      x   n", "a     0.500  12", "bc        -   3"]
    assert table.markdown()[2:5] == [
        "| name | x | n |",
        "| --- | ---: | ---: |",
        "| a | 0.500 | 12 |",
    ]
    assert table_of("Title", []) == Table("Title", ["nothing found"], [])
    assert without_nan({"a": [float("nan"), 1.5]}) == {"a": [None, 1.5]}
