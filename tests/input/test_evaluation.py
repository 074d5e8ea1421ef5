# SPDX-License-Identifier: Apache-2.0
"""Evaluation batches: every token once, windows of every set, documents each by itself."""

import itertools
import json

import numpy as np
import pytest

from sgatlin.errors import UserError
from sgatlin.input import windows
from sgatlin.input.evaluation import document_batches, eval_batches
from sgatlin.input.pipeline import train_batches
from sgatlin.input.store import TokenStore
from sgatlin.input.tokenizer import Tokenizer, train_bpe
from sgatlin.input.windows import PADDING_ID, Batch, check_vocabulary
from sgatlin.input.write import StoreWriter
from tests.input.random_stores import BOS, damage, write_sets, write_store

N_TOKENS = 1000  # in documents of 50
SETS = {"books": [400], "code": [100, 99, 1], "web": [2, 3, 195]}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> TokenStore:
    return write_store(tmp_path_factory.mktemp("store"), N_TOKENS)


@pytest.fixture(scope="module")
def tokens(store) -> np.ndarray:
    return store.slice(0, store.n_tokens).astype(np.int64)


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> TokenStore:
    """800 tokens: the sets have half, a quarter, a quarter of them."""
    return write_sets(tmp_path_factory.mktemp("sets") / "store", SETS)


def assert_shapes(batches: list[Batch], batch_size: int, seq_len: int) -> None:
    for batch in batches:
        assert [x.shape for x in batch[:4]] == [(batch_size, seq_len)] * 3 + [(batch_size,)]
        assert [x.dtype for x in batch[:4]] == [np.int32, np.int32, np.float32, np.int64]
        assert set(np.unique(batch.weights_BT)) <= {0, 1}


def taken(batches: list[Batch]) -> dict[int, tuple[list[int], list[int]]]:
    """Inputs and targets of weight 1 by example id."""
    rows = {}
    for batch in batches:
        for row, example in enumerate(batch.example_ids_B.tolist()):
            counted = batch.weights_BT[row] == 1
            if example == PADDING_ID:
                assert not counted.any()
            else:
                pair = batch.inputs_BT[row][counted], batch.targets_BT[row][counted]
                rows[example] = tuple(x.tolist() for x in pair)
    return rows


@pytest.mark.parametrize(
    ("batch_size", "seq_len"), [(8, 16), (1, 16), (3, 333), (7, 1), (1, 999), (2, 5000)]
)
def test_every_token_is_predicted_once(store, tokens, batch_size, seq_len):
    batches = list(eval_batches(store, batch_size=batch_size, seq_len=seq_len))
    assert_shapes(batches, batch_size, seq_len)
    rows = taken(batches)
    assert list(rows) == list(range(-(-(N_TOKENS - 1) // seq_len)))
    inputs, targets = (list(itertools.chain(*lists)) for lists in zip(*rows.values(), strict=True))
    assert inputs == tokens[:-1].tolist()
    assert targets == tokens[1:].tolist()


@pytest.mark.parametrize(
    ("max_tokens", "expected"),
    [
        # Of 62 whole windows of 16 tokens; at least one is taken, and none that is not whole.
        (1, [31]),
        (16, [31]),
        (47, [15, 46]),
        (64, [7, 23, 38, 54]),
        (998, [*range(62)]),
        (999, [*range(63)]),
        (10_000, [*range(63)]),
    ],
)
def test_max_tokens_takes_whole_windows_evenly(store, tokens, max_tokens, expected):
    rows = taken(list(eval_batches(store, batch_size=8, seq_len=16, max_tokens=max_tokens)))
    assert list(rows) == expected
    for window, (inputs, targets) in rows.items():
        here = tokens[window * 16 : window * 16 + 17].tolist()
        assert (inputs, targets) == (here[:-1], here[1:])
    assert sum(len(inputs) for inputs, _ in rows.values()) <= max(16, max_tokens)


def test_few_windows_see_every_set_by_its_size(sets):
    rows = taken(list(eval_batches(sets, batch_size=2, seq_len=10, max_tokens=40)))
    # Windows from token 90, 290, 490 and 690; books end at 400, code at 600.
    assert list(rows) == [9, 29, 49, 69]


def test_segments_of_evaluated_windows(store):
    batches = eval_batches(store, batch_size=4, seq_len=70, document_boundaries=True)
    for batch in batches:
        expected = [
            [row[: t + 1].tolist().count(BOS) for t in range(70)] for row in batch.inputs_BT
        ]
        assert batch.segments_BT.tolist() == expected


@pytest.mark.parametrize("options", [{"max_tokens": 0}, {"batch_size": 0}, {"seq_len": 0}], ids=str)
def test_evaluation_of_nothing_is_an_error(store, options):
    with pytest.raises(UserError, match="nothing to evaluate"):
        eval_batches(store, **{"batch_size": 8, "seq_len": 16} | options)


@pytest.mark.parametrize("batch_size", [1, 4, 7, 20])
def test_documents_stand_alone_and_end_where_they_fit(sets, batch_size):
    batches = list(document_batches(sets, batch_size=batch_size, seq_len=99))
    assert_shapes(batches, batch_size, 99)
    rows = taken(batches)
    assert list(rows) == list(range(7))
    for index, (inputs, targets) in rows.items():
        document = sets.document(index).tolist()
        # Of 100 tokens, 99 are predicted and nothing after them; of 99, the end as well.
        assert inputs == document[:99]
        assert targets == [*document[1:], BOS][:99]
    lengths = [len(targets) for _, targets in rows.values()]
    assert lengths == [99, 99, 99, 1, 2, 3, 99]


def test_documents_of_a_set_and_few_of_many(sets):
    rows = taken(list(document_batches(sets.subset("web"), batch_size=2, seq_len=8)))
    assert [len(inputs) for inputs, _ in rows.values()] == [2, 3, 8]
    few = taken(list(document_batches(sets, batch_size=2, seq_len=8, max_documents=3)))
    assert list(few) == [1, 3, 5]
    all_of_them = document_batches(sets, batch_size=2, seq_len=8, max_documents=100)
    assert list(taken(list(all_of_them))) == list(range(7))


def test_bos_need_not_be_the_first_id(tmp_path):
    """That of GPT-2 is its last."""
    content = json.loads(train_bpe([], vocab_size=257).json)
    vocab = content["model"]["vocab"]
    content["model"]["vocab"] = {token: (number - 1) % 257 for token, number in vocab.items()}
    content["added_tokens"][0]["id"] = 256
    tokenizer = Tokenizer(json.dumps(content))
    with StoreWriter(tmp_path / "store", tokenizer, source="a test") as writer:
        writer.add([0, 5, 0], n_bytes=3)
        writer.add([7], n_bytes=1)
    store = TokenStore.open(tmp_path / "store")  # 256 0 5 0 256 7
    (window,) = eval_batches(store, batch_size=1, seq_len=5, document_boundaries=True)
    assert window.segments_BT.tolist() == [[1, 1, 1, 1, 2]]
    trained = next(train_batches(store, batch_size=1, seq_len=5, seed=0, document_boundaries=True))
    assert trained.segments_BT.tolist() == [[1, 1, 1, 1, 2]]
    documents = taken(list(document_batches(store, batch_size=2, seq_len=5)))
    assert documents == {0: ([256, 0, 5, 0], [0, 5, 0, 256]), 1: ([256, 7], [7, 256])}


@pytest.mark.parametrize("options", [{"max_documents": 0}, {"batch_size": 0}, {"seq_len": 0}])
def test_no_documents_are_an_error(sets, options):
    with pytest.raises(UserError, match="nothing to evaluate"):
        document_batches(sets, **{"batch_size": 8, "seq_len": 16} | options)


def test_check_finds_the_first_token_that_cannot_be_in_any_shard(tmp_path):
    store = write_sets(tmp_path / "store", SETS)
    check_vocabulary(store)
    damage(tmp_path / "store" / "tokens-00002.bin", 199, 300)
    with pytest.raises(UserError) as caught:
        check_vocabulary(store)
    assert str(caught.value) == (
        f"{tmp_path}/store/tokens-00002.bin holds token 300, outside the vocabulary of 257: it is "
        f"damaged, prepare or copy {tmp_path}/store again (`sgatlin data verify {tmp_path}/store` "
        "names all that is)"
    )
    check_vocabulary(store.subset("books"))


def test_of_a_long_store_chunks_are_checked_and_the_rest_when_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "_CHUNK_TOKENS", 100)
    store = write_sets(tmp_path / "store", SETS)
    # Two of eight chunks: those from token 200 and 600, where web begins.
    for file, position, is_seen in (("00000", 350, False), ("00002", 50, True)):
        damage(tmp_path / "store" / f"tokens-{file}.bin", position, 300)
        if is_seen:
            with pytest.raises(UserError, match=r"tokens-00002.bin holds token 300"):
                check_vocabulary(store, max_tokens=200)
        else:
            check_vocabulary(store, max_tokens=200)
        # A token at the edge is of two windows.
        where = r"tokens-0000[02].bin holds token 300 in window (34|35|64|65), outside"
        with pytest.raises(UserError, match=where):
            next(train_batches(store, batch_size=79, seq_len=10, seed=0))
