# SPDX-License-Identifier: Apache-2.0
"""Maps of circuits: which positions, the same map for the same seed, and files that stand alone."""

import json
import re

import numpy as np
import pyarrow as pa
import pytest

from sgatlin.circuits.labels import class_of
from sgatlin.circuits.map_figure import OTHERS, _groups, draw_map
from sgatlin.circuits.maps import (
    _own_first,
    choose_rows,
    embed,
    frequent_tokens,
    map_table,
    token_classes,
)
from sgatlin.circuits.rows import SparseRows
from sgatlin.errors import UserError

POSITIONS = pa.table(
    {
        "sequence": pa.array([4, 4, 4, 9, 9, 9], pa.int64()),
        "position": pa.array([1, 2, 3, 1, 2, 3], pa.int32()),
        "token": pa.array([1, 2, 3, 1, 2, 1], pa.int32()),
        "text": ["The", " cat", " <b>", "The", " cat", "The"],
        "next_token": pa.array([2, 3, 7, 2, 1, 3], pa.int32()),
    }
)


def two_clusters(n: int = 20) -> SparseRows:
    """Circuits of two disjoint sets of neurons; the first two of each set are the same."""
    rng = np.random.default_rng(0)
    indices = np.tile(np.arange(4, dtype=np.int32), (2 * n, 1))
    indices[n:] += 4
    values = (1 + 0.3 * rng.normal(size=(2 * n, 4))).astype(np.float32)
    values[1], values[n + 1] = values[0], values[n]
    return SparseRows(indices, values, 8)


@pytest.mark.slow
def test_the_same_seed_makes_the_same_map_and_clusters_stay_apart():
    rows = two_clusters()
    places = embed(rows, seed=3)
    np.testing.assert_array_equal(places, embed(rows, seed=3))
    first, second = places[:20], places[20:]
    between = np.linalg.norm(first.mean(0) - second.mean(0))
    within = max(np.linalg.norm(one - one.mean(0), axis=1).max() for one in (first, second))
    assert between > 2 * within
    assert (places != embed(rows, seed=4)).any()


def test_a_map_of_too_few():
    with pytest.raises(UserError, match=r"^a map needs 16 positions, and there are 15: "):
        embed(two_clusters()[:15], seed=0)


def test_each_row_is_its_own_first_neighbour():
    rows = np.array([[0, 1, 2], [0, 1, 2], [0, 1, 4], [3, 0, 1]])
    distances = np.array([[0, 0, 3], [0, 0, 4], [0, 1, 2], [0, 5, 6]], np.float32)
    own, near = _own_first(rows, distances)
    # Row 2 was left out by two that are equal to it: its farthest neighbour gives way.
    assert own.tolist() == [[0, 1, 2], [1, 0, 2], [2, 0, 1], [3, 0, 1]]
    assert near.tolist() == [[0, 0, 3], [0, 0, 4], [0, 0, 1], [0, 5, 6]]


def test_positions_are_chosen_evenly_over_groups_and_by_the_seed():
    groups = ["a"] * 90 + [None] * 20 + ["b"] * 10 + ["c"] * 3
    chosen = choose_rows(groups, 23, seed=0)
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    names = [groups[row] for row in chosen]
    assert [names.count(name) for name in ("a", "b", "c")] == [10, 10, 3]
    assert chosen.tolist() == choose_rows(groups, 23, seed=0).tolist()
    assert chosen.tolist() != choose_rows(groups, 23, seed=1).tolist()
    assert len(choose_rows(groups, 500, seed=0)) == 103


def test_the_most_frequent_tokens_are_kept():
    assert frequent_tokens(POSITIONS, 1) == [1, None, None, 1, None, 1]
    assert frequent_tokens(POSITIONS, 2) == [1, 2, None, 1, 2, 1]


def test_a_token_has_the_class_of_its_word():
    classes = {"cat": "animal", "Rose": "name", "rose": "plant"}
    assert class_of(" cat", classes) == class_of("Cat", classes) == "animal"
    assert class_of(" Rose", classes) == "name"
    assert class_of("ROSE", classes) == "plant"
    expected = [None, "animal", None, None, "animal", None]
    assert token_classes(POSITIONS, classes) == expected


def table() -> pa.Table:
    places = np.float32([[0, 1], [2, 3], [4, 5]])
    return map_table(POSITIONS, np.array([1, 2, 4]), places, {"cat": "animal"})


def test_the_table_of_a_map():
    found = table().to_pydict()
    assert found["x"] == [0, 2, 4]
    assert found["token"] == [" cat", " <b>", " cat"]
    assert found["next"] == [" <b>", "#7", "The"]  # token 7 is nowhere in the record
    assert found["class"] == ["animal", "none", "animal"]
    assert found["excerpt"][0] == "The [cat] <b>"


def test_the_page_stands_alone_and_its_text_is_only_text(tmp_path, capfd):
    png, page = draw_map(table(), "class", tmp_path / "m", "of <layer> 1 $")
    assert png.read_bytes().startswith(b"\x89PNG")
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"<(?:script|link|img)[^>]*\s(?:src|href)=", text.replace("\n", " "))
    data = json.JSONDecoder().raw_decode(text, text.index("[", text.index("Plotly.newPlot(")))[0]
    assert [trace["name"] for trace in data] == [OTHERS, "animal"]
    assert data[1]["text"] == ["The [cat] &lt;b&gt;<br>4:2", "The [cat]The<br>9:2"]
    assert "of &lt;layer&gt; 1 $" in text.replace("\\u0026", "&") or "of <layer>" not in text
    assert capfd.readouterr().err == ""


def test_labels_beyond_those_that_can_be_told_apart_are_others():
    labels = [str(i) for i in range(60) for _ in range(1 + (i < 45))]
    groups = _groups(labels)
    assert [len(groups), groups[0].label, len(groups[0].rows)] == [51, OTHERS, 10]
    assert len({(group.colour, group.mark) for group in groups[1:]}) == 50
    assert sorted(row for group in groups for row in group.rows) == list(range(105))
