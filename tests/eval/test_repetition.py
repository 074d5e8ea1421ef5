# SPDX-License-Identifier: Apache-2.0
"""Repetition of documents worked out by hand, and quarters of nearly equal tokens."""

import numpy as np
import pytest

from sgatlin.eval import documents, repetition
from sgatlin.eval.repetition import quarter_losses, quarters, store_repetition
from sgatlin.input.store import TokenStore
from sgatlin.input.tokenizer import train_bpe
from sgatlin.input.write import StoreWriter


def words(n: int, prefix: str = "w") -> str:
    return " ".join(f"{prefix}{i}" for i in range(n))


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0),
        ("alone", 0),
        ("a b c d", 0),
        # Bigrams ab ba ab: the last of three is repeated.
        ("a b a b", 1 / 3),
        ("a a a", 1 / 2),
        # A line break is no word, a full stop is one, and words that differ in case differ.
        ("the cat.\nthe cat.", 2 / 5),
        ("The cat the cat", 0),
        ("don't don't", 2 / 5),
        ("x_1 is x_1 is", 1 / 3),
    ],
)
def test_share_of_repeated_bigrams(text, share):
    assert repetition.repetition(text) == pytest.approx(share)


@pytest.mark.parametrize(("between", "n_repeated"), [(798, 1), (799, 0)])
def test_a_bigram_is_forgotten_after_800_words(between, n_repeated):
    """The second "a b" begins 2 + `between` words after the first."""
    text = f"a b {words(between)} a b"
    assert repetition.repetition(text) == pytest.approx(n_repeated / (between + 3))


def test_the_last_occurrence_is_what_counts():
    """Of three, each 500 words after the one before, two are repeated."""
    text = f"a b {words(498, 'x')} a b {words(498, 'y')} a b"
    assert repetition.repetition(text) == pytest.approx(2 / (3 * 2 + 2 * 498 - 1))


TEXTS = ["a b a b a b a b", "one two three four five six", "p q p q r s t", "u u"]


def make_store(path, texts=TEXTS) -> TokenStore:
    tokenizer = train_bpe([], vocab_size=257)
    with StoreWriter(path, tokenizer, source="texts", max_shard_tokens=30) as writer:
        for text in texts:
            writer.add(tokenizer.encode(text), n_bytes=len(text))
    return TokenStore.open(path)


def test_documents_of_a_store_in_their_order(tmp_path):
    found = store_repetition(make_store(tmp_path / "store"))
    assert found == pytest.approx([5 / 7, 0, 1 / 6, 0])


def test_groups_are_means_weighted_by_tokens(tmp_path, monkeypatch):
    """Each token is a byte, and each document has its bos besides."""
    monkeypatch.setattr(documents, "MAX_GROUPS", 2)
    found = store_repetition(make_store(tmp_path / "store"))
    lengths = [len(text) + 1 for text in TEXTS]
    assert found == pytest.approx(
        [lengths[0] * (5 / 7) / sum(lengths[:2]), lengths[2] * (1 / 6) / sum(lengths[2:])]
    )


def test_a_store_is_read_once_in_a_process(tmp_path, monkeypatch):
    texts = [*TEXTS, "read once"]
    first = store_repetition(make_store(tmp_path / "one", texts))
    monkeypatch.setattr(repetition, "repetition", lambda text: 1.0)
    again = store_repetition(make_store(tmp_path / "copy", texts))
    assert again.tolist() == first.tolist()
    other = store_repetition(make_store(tmp_path / "other", [*TEXTS, "read anew"]))
    assert other.tolist() == [1] * 5


@pytest.mark.parametrize(
    ("shares", "tokens", "expected"),
    [
        ([0.3, 0.1, 0.4, 0.2], [10] * 4, [2, 0, 3, 1]),
        ([0.5] * 8, [10] * 8, [0, 0, 1, 1, 2, 2, 3, 3]),
        # In order of repetition 60, 20, 10, 10 of 100 tokens: their middles are 30, 70, 85, 95.
        ([0.0, 0.1, 0.2, 0.3], [60, 20, 10, 10], [1, 2, 3, 3]),
        ([0.7], [10], [2]),
    ],
)
def test_quarters_of_nearly_equal_tokens(shares, tokens, expected):
    assert quarters(np.array(shares, float), np.array(tokens)).tolist() == expected


def test_losses_are_per_token_of_each_quarter(tmp_path):
    """Least repetitive first: the second and the last text have no repetition at all."""
    store = make_store(tmp_path / "store")
    found = quarter_losses(store, nats=[80.0, 30.0, 45.0, 70.0], tokens=[40, 30, 30, 20])
    # Laid end to end: 30 and 20 of no repetition, then 30, then 40, of 120 in quarters of 30.
    # Middles at 15, 40, 65 and 100.
    assert found.tokens == (30, 20, 30, 40)
    assert found.nats == pytest.approx((1.0, 3.5, 1.5, 2.0))


def test_a_quarter_may_be_empty(tmp_path):
    store = make_store(tmp_path / "store", TEXTS[:2])
    found = quarter_losses(store, nats=[8.0, 3.0], tokens=[10, 10])
    assert found.tokens == (0, 10, 0, 10)
    assert found.nats == (None, pytest.approx(0.3), None, pytest.approx(0.8))
