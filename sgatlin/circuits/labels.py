# SPDX-License-Identifier: Apache-2.0
"""What recorded positions are: their token, the next, the previous one, and their word's class.

n positions of a record, in its order.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from sgatlin.errors import UserError

NONE = -1
"""Of a position that has no such label."""
MULTI_TOKEN = "words of several tokens have no class"


@dataclasses.dataclass(frozen=True)
class PositionLabels:
    """A label of each position, and what the labels are called."""

    ids: Int64[np.ndarray, " n"]
    """0 and up; -1 where there is none."""
    names: tuple[str, ...]
    """By id."""

    def __getitem__(self, chosen: slice | np.ndarray) -> "PositionLabels":
        """Of some of the positions."""
        return PositionLabels(self.ids[chosen], self.names)


def read_classes(source: str) -> dict[str, str]:
    """Word -> class: of the story world's lexicon ("lexicon"), or a JSON file {class: [words]}.

    Raises:
      UserError: when the file cannot be read, or gives a word two classes.
    """
    if source == "lexicon":
        from sgatlin.input.storyworld.lexicon import lexicon

        return lexicon()
    try:
        tree = json.loads(Path(source).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot read --classes {source} ({error}): name a JSON file, or `lexicon`"
        ) from None
    if not isinstance(tree, dict) or not all(
        isinstance(words, list) and all(isinstance(word, str) for word in words)
        for words in tree.values()
    ):
        raise UserError(f"--classes {source} must be a JSON object {{class: [words]}}")
    counts = Counter(word for words in tree.values() for word in {one.lower() for one in words})
    if twice := [word for word, count in counts.items() if count > 1]:
        raise UserError(f"--classes {source} has {twice[0]!r} in two classes: leave it in one")
    return {word.lower(): name for name, words in tree.items() for word in words}


def class_of(text: str, classes: Mapping[str, str]) -> str | None:
    """The class of a token's word: as it is written, or else in lower case."""
    word = text.strip()
    return classes.get(word, classes.get(word.lower()))


def position_labels(positions: pa.Table, classes: Mapping[str, str]) -> dict[str, PositionLabels]:
    """`token`, `next`, `previous` and `class` of each of a record's positions.

    The first position of a sequence has no previous token: what precedes it is no text. A class is
    that of the token's text without spaces, as it is written (names) or else in lower case; words
    of several tokens have none.
    """
    tokens_n = positions["token"].to_numpy().astype(np.int64)
    next_n = positions["next_token"].to_numpy().astype(np.int64)
    sequences_n = positions["sequence"].to_numpy()
    places_n = positions["position"].to_numpy().astype(np.int64)
    follows_n = np.zeros(len(tokens_n), bool)
    follows_n[1:] = (sequences_n[1:] == sequences_n[:-1]) & (places_n[1:] == places_n[:-1] + 1)
    previous_n = np.where(follows_n, np.roll(tokens_n, 1), NONE)
    known, first = np.unique(tokens_n, return_index=True)
    texts = dict(zip(known.tolist(), positions["text"].take(first).to_pylist(), strict=True))
    n_ids = 1 + max(tokens_n.max(initial=NONE), next_n.max(initial=NONE))
    names = tuple(texts.get(token, f"#{token}") for token in range(n_ids))
    kinds = tuple(sorted(set(classes.values())))
    number = {name: i for i, name in enumerate(kinds)}
    of_token = np.full(n_ids, NONE, np.int64)
    for token, text in texts.items():
        if (kind := class_of(text, classes)) is not None:
            of_token[token] = number[kind]
    return {
        "token": PositionLabels(tokens_n, names),
        "next": PositionLabels(next_n, names),
        "previous": PositionLabels(previous_n, names),
        "class": PositionLabels(of_token[tokens_n], kinds),
    }


def word_numbers(tokens: PositionLabels, classes: PositionLabels) -> Int64[np.ndarray, " n"]:
    """A number of each position's word: tokens that differ in capitals or spaces are one word.

    One that is of two classes, such as a name and a flower, is two words.
    """
    known, at_n = np.unique(tokens.ids, return_inverse=True)
    texts = [tokens.names[token].strip().lower() for token in known]
    word_n = np.unique(texts, return_inverse=True)[1][at_n]
    both_n2 = np.stack([word_n, classes.ids], axis=1)
    return np.unique(both_n2, axis=0, return_inverse=True)[1].reshape(-1)
