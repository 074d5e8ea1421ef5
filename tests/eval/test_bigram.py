# SPDX-License-Identifier: Apache-2.0
"""The bigram baseline equals its formula counted out, and its probabilities add up to one."""

import itertools
import math

import numpy as np
import pytest

from sgatlin.eval.bigram import bigram_perplexity
from sgatlin.input.store import TokenStore
from sgatlin.input.tokenizer import train_bpe
from sgatlin.input.windows import Batch
from sgatlin.input.write import StoreWriter

V = 257
DOCUMENTS = [[5, 6, 5, 6, 7], [6, 5, 5], [9]]
# As the store holds them, each preceded by 0. 5 is followed by 0, 5 and (twice) 6; 9 by nothing.
TOKENS = [0, 5, 6, 5, 6, 7, 0, 6, 5, 5, 0, 9]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> TokenStore:
    path = tmp_path_factory.mktemp("store")
    with StoreWriter(path, train_bpe([], vocab_size=V), source="a test") as writer:
        for ids in DOCUMENTS:
            writer.add(ids, n_bytes=len(ids))
    store = TokenStore.open(path)
    assert store.slice(0, store.n_tokens).tolist() == TOKENS
    return store


def batch_of(inputs, targets, weights=None) -> Batch:
    weights = np.ones(np.shape(inputs)) if weights is None else weights
    return Batch(
        np.array(inputs, np.int32),
        np.array(targets, np.int32),
        np.array(weights, np.float32),
        np.arange(len(inputs)),
    )


def probability(first: int, second: int) -> float:
    """The docstring's formula, by looking through the tokens."""
    unigram = (TOKENS.count(second) + 1) / (len(TOKENS) + V)
    followers = [b for a, b in itertools.pairwise(TOKENS) if a == first]
    if not followers:
        return unigram
    kinds = len(set(followers))
    return (followers.count(second) + kinds * unigram) / (len(followers) + kinds)


def test_equals_the_formula_on_the_weighted_targets(store):
    batches = [
        batch_of([[0, 5, 6], [5, 5, 7]], [[5, 6, 200], [6, 9, 0]]),
        # A token never seen, one seen only at the very end, one seen; and padding.
        batch_of([[100, 9, 6], [0, 0, 0]], [[5, 5, 5], [1, 1, 1]], [[1, 1, 1], [0, 0, 0]]),
    ]
    pairs = [(0, 5), (5, 6), (6, 200), (5, 6), (5, 9), (7, 0), (100, 5), (9, 5), (6, 5)]
    nats = [-math.log(probability(*pair)) for pair in pairs]
    expected = math.exp(sum(nats) / len(nats))
    assert bigram_perplexity(store, batches) == pytest.approx(expected, rel=1e-9)


def test_a_probability_worked_out_by_hand(store):
    # 5 is followed four times by three kinds of token, twice by 6; of 12 tokens three are a 6.
    expected = (2 + 3 * (3 + 1) / (12 + 257)) / (4 + 3)
    found = bigram_perplexity(store, [batch_of([[5]], [[6]])])
    assert 1 / found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("first", [5, 7, 9, 100])
def test_probabilities_add_up_to_one(store, first):
    total = sum(
        1 / bigram_perplexity(store, [batch_of([[first]], [[second]])]) for second in range(V)
    )
    assert total == pytest.approx(1, rel=1e-9)
