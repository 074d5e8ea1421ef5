# SPDX-License-Identifier: Apache-2.0
"""Labels of a hand-made table of positions."""

import json

import numpy as np
import pyarrow as pa
import pytest

from sgatlin.circuits.labels import PositionLabels, position_labels, read_classes, word_numbers
from sgatlin.errors import UserError

POSITIONS = pa.table(
    {
        "sequence": pa.array([4, 4, 4, 9, 9], pa.int64()),
        "position": pa.array([1, 2, 3, 1, 2], pa.int32()),
        "token": pa.array([2, 0, 3, 3, 1], pa.int32()),
        "text": [" The", " turtle", "Mia", "Mia", "tur"],
        "next_token": pa.array([0, 3, 4, 1, 2], pa.int32()),
    }
)


def test_labels_of_positions():
    labels = position_labels(POSITIONS, {"turtle": "animal", "Mia": "name", "tur": "colour"})
    assert labels["token"].ids.tolist() == [2, 0, 3, 3, 1]
    assert labels["next"].ids.tolist() == [0, 3, 4, 1, 2]
    assert labels["previous"].ids.tolist() == [-1, 2, 0, -1, 3]
    assert labels["class"].ids.tolist() == [-1, 0, 2, 2, 1]
    assert labels["class"].names == ("animal", "colour", "name")
    assert labels["next"].names == (" turtle", "tur", " The", "Mia", "#4")


def test_words_are_tokens_without_capitals_and_spaces():
    tokens = PositionLabels(
        np.array([3, 0, 1, 2, 4, 0]), ("turtle", " turtle", "Turtle", "Rose", "rose")
    )
    classes = PositionLabels(np.array([1, 0, 0, 0, 2, 0]), ("animal", "name", "plant"))
    words = word_numbers(tokens, classes).tolist()
    assert words[1] == words[2] == words[3] == words[5]
    assert len({words[0], words[1], words[4]}) == 3


def test_a_lexicon_is_the_story_worlds_or_a_file(tmp_path):
    assert read_classes("lexicon")["turtle"] == "animal"
    path = tmp_path / "classes.json"
    path.write_text(json.dumps({"animal": ["Turtle", "owl"], "place": ["lake"]}))
    assert read_classes(str(path)) == {"turtle": "animal", "owl": "animal", "lake": "place"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "cannot read"),
        ('["a"]', "must be a JSON object"),
        ('{"a": ["x"], "b": ["X"]}', "'x' in two classes"),
    ],
)
def test_bad_files_are_told_in_one_line(tmp_path, content, told):
    path = tmp_path / "classes.json"
    path.write_text(content)
    with pytest.raises(UserError, match=told) as caught:
        read_classes(str(path))
    assert "\n" not in str(caught.value)
