# SPDX-License-Identifier: Apache-2.0
"""A store's loss, told apart by documents, equals a loop over its tokens."""

import jax
import numpy as np
import pytest

from sgatlin.eval import documents
from sgatlin.eval.documents import DocumentLosses
from sgatlin.eval.loss import evaluate, make_eval_step
from sgatlin.input.evaluation import eval_batches
from sgatlin.input.store import TokenStore
from sgatlin.train.load import load_run
from tests.input.random_stores import VOCAB_SIZE, write_sets, write_store

# Tokens of each document, its bos included, in two shards; windows end inside them and between.
LENGTHS = [7, 1, 16, 3, 20, 1, 9]
T = 8


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> TokenStore:
    path = tmp_path_factory.mktemp("documents") / "store"
    return write_sets(path, {"a": LENGTHS[:4], "b": LENGTHS[4:]})


def nats_of(position: int) -> float:
    """A loss of the token at a position in the store, like no other's."""
    return 0.5 + 0.25 * position + 2.0**-position


def add_all(losses: DocumentLosses, store: TokenStore, batch_size: int, **options) -> None:
    for batch in eval_batches(store, batch_size=batch_size, seq_len=T, **options):
        nats_BT = np.zeros(batch.targets_BT.shape)
        for row, t in np.argwhere(batch.weights_BT > 0):
            nats_BT[row, t] = nats_of(int(batch.example_ids_B[row]) * T + int(t) + 1)
        losses.add(batch, nats_BT)


def by_hand(groups: list[list[int]], predicted=None) -> tuple[list[float], list[int]]:
    """Sums over the tokens of each group of documents; the store's first is not predicted."""
    documents_of = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    nats, tokens = [0.0] * len(groups), [0] * len(groups)
    for position in range(1, len(documents_of)) if predicted is None else predicted:
        group = next(i for i, g in enumerate(groups) if documents_of[position] in g)
        nats[group] += nats_of(position)
        tokens[group] += 1
    return nats, tokens


EACH = [[document] for document in range(len(LENGTHS))]


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_sums_of_each_document(store, batch_size):
    losses = DocumentLosses(store, T)
    add_all(losses, store, batch_size)
    nats, tokens = by_hand(EACH)
    assert losses.tokens.tolist() == tokens == [6, 1, 16, 3, 20, 1, 9]
    assert losses.nats == pytest.approx(nats, rel=1e-12)


def test_of_some_windows_only_what_they_predict(store):
    losses = DocumentLosses(store, T)
    add_all(losses, store, 2, max_tokens=2 * T)
    # Of the seven whole windows of 57 tokens the middle ones of two halves.
    windows = [
        int(window)
        for batch in eval_batches(store, batch_size=1, seq_len=T, max_tokens=2 * T)
        for window in batch.example_ids_B
    ]
    assert len(windows) == 2
    predicted = [window * T + t for window in windows for t in range(1, T + 1)]
    nats, tokens = by_hand(EACH, predicted)
    assert losses.tokens.tolist() == tokens
    assert losses.nats == pytest.approx(nats, rel=1e-12)
    assert sum(tokens) == 2 * T


@pytest.mark.parametrize(
    ("most", "groups"),
    [(3, [[0, 1, 2], [3, 4], [5, 6]]), (1, [[0, 1, 2, 3, 4, 5, 6]]), (7, EACH), (8, EACH)],
)
def test_more_documents_than_groups_are_neighbours_together(store, monkeypatch, most, groups):
    monkeypatch.setattr(documents, "MAX_GROUPS", most)
    losses = DocumentLosses(store, T)
    add_all(losses, store, 3)
    nats, tokens = by_hand(groups)
    assert losses.tokens.tolist() == tokens
    assert losses.nats == pytest.approx(nats, rel=1e-12)


def test_json_has_all_tokens_and_nats_to_two_decimals(store):
    losses = DocumentLosses(store, T)
    add_all(losses, store, 3)
    nats, tokens = by_hand(EACH)
    assert losses.to_json() == {"nats": [round(x, 2) for x in nats], "tokens": tokens}


def test_documents_of_a_model_add_up_to_its_loss(toy_run, tmp_path):
    loaded, store = load_run(str(toy_run)), write_store(tmp_path, 530)
    model = loaded.config.model
    assert model.vocab_size >= VOCAB_SIZE
    losses = DocumentLosses(store, 16)
    found = evaluate(
        jax.jit(make_eval_step(model)),
        loaded.params,
        eval_batches(store, batch_size=4, seq_len=16),
        np.ones(model.vocab_size, np.int32),
        documents=losses,
    )
    assert losses.tokens.tolist() == [49, *[50] * 9, 30]
    assert losses.tokens.sum() == found.n_tokens == 529
    assert losses.nats.sum() == pytest.approx(found.total_nats, rel=1e-6)
    assert (losses.nats > 0).all()
