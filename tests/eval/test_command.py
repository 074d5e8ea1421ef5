# SPDX-License-Identifier: Apache-2.0
"""Evaluation of a run on stores: set by set, as windows and as documents, told and as JSON."""

import json
import math
from pathlib import Path

import jax
import numpy as np
import pytest

from sgatlin.errors import UserError
from sgatlin.eval.command import evaluate_run
from sgatlin.eval.loss import EvalResult
from sgatlin.eval.report import (
    Evaluation,
    SetResult,
    evaluation_json,
    evaluation_table,
    summed,
)
from sgatlin.input.shard import ShardWriter
from sgatlin.input.store import TokenStore
from sgatlin.input.write import complete_store
from sgatlin.nn.transformer import bind
from sgatlin.train.load import load_run
from tests.input.random_stores import damage

# Tokens of each document, its bos included; the toy's windows have 16.
SETS = {"books": [40, 17], "code": [16, 15, 1], "web": [60]}
TOKENS = {name: sum(lengths) for name, lengths in SETS.items()}


@pytest.fixture(scope="module")
def store(toy, toy_run, tmp_path_factory) -> TokenStore:
    """Tokens of the toy's tokenizer in three sets."""
    path = tmp_path_factory.mktemp("sets") / "data" / "validation"
    path.mkdir(parents=True)
    tokenizer = load_run(str(toy_run)).tokenizer
    rng, shards = np.random.default_rng(0), []
    for number, (name, lengths) in enumerate(SETS.items()):
        writer = ShardWriter(path, f"{number:05d}", tokenizer, set=name)
        for length in lengths:
            ids = rng.integers(1, tokenizer.vocab_size, length - 1)
            writer.add(ids, n_bytes=int(tokenizer.token_bytes()[ids].sum()))
        shards.append(writer.close())
    complete_store(path, tokenizer, shards, source="random sets")
    return TokenStore.open(path)


def losses(evaluation: Evaluation) -> list[float]:
    return [result.loss.loss for result in (*evaluation.sets.values(), evaluation.all)]


def test_windows_of_each_set_and_of_all(toy_run, store):
    found = evaluate_run(str(toy_run), store.path)
    assert list(found.sets) == sorted(SETS)
    # Of every set all tokens but its first are predicted.
    assert {name: result.loss.n_tokens for name, result in found.sets.items()} == {
        name: n_tokens - 1 for name, n_tokens in TOKENS.items()
    }
    assert [result.n_documents for result in found.sets.values()] == [2, 2, 1]  # one is bos alone
    assert found.all.loss.n_tokens == sum(TOKENS.values()) - 3
    assert found.all.n_documents == 5
    assert found.all.loss.n_bytes == store.n_bytes
    nats = [result.loss.total_nats for result in found.sets.values()]
    assert found.all.loss.total_nats == pytest.approx(sum(nats), rel=1e-12)


def test_documents_are_what_the_model_says_of_each_alone(toy_run, store):
    found = evaluate_run(str(toy_run), store.path, form="documents")
    # 17 tokens are one too many for the end to be predicted; 16, 15 and 1 are not.
    assert {name: result.loss.n_tokens for name, result in found.sets.items()} == {
        "books": 16 + 16,
        "code": 16 + 15 + 1,
        "web": 16,
    }
    assert [result.n_documents for result in found.sets.values()] == [2, 3, 1]

    loaded, nats = load_run(str(toy_run)), []
    forward = jax.jit(lambda inputs: bind(loaded.config.model, loaded.params)(inputs).logits[0])
    for index in range(store.n_documents):
        document = store.document(index).astype(np.int32)
        targets = np.append(document[1:], document[0])[:16]
        inputs = np.zeros((1, 16), np.int32)
        inputs[0, : len(targets)] = document[:16]
        logits = np.float64(forward(inputs))
        log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        nats.append(-log_p[np.arange(len(targets)), targets].sum())
    assert found.all.loss.total_nats == pytest.approx(sum(nats), rel=1e-5)
    assert found.sets["code"].loss.total_nats == pytest.approx(sum(nats[2:5]), rel=1e-5)


@pytest.mark.parametrize("form", ["windows", "documents"])
def test_the_batch_size_changes_nothing(toy_run, store, form):
    one, seven = (
        evaluate_run(str(toy_run), store.path, form=form, batch_size=size) for size in (1, 7)
    )
    assert losses(seven) == pytest.approx(losses(one), rel=1e-6)
    assert evaluation_counts(seven) == evaluation_counts(one)


def evaluation_counts(evaluation: Evaluation) -> list[tuple[int, int, int]]:
    return [
        (result.loss.n_tokens, result.loss.n_bytes, result.n_documents)
        for result in (*evaluation.sets.values(), evaluation.all)
    ]


def test_limits_are_for_each_set(toy_run, store):
    windows = evaluate_run(str(toy_run), store.path, max_tokens=16)
    assert [result.loss.n_tokens for result in windows.sets.values()] == [16, 16, 16]
    documents = evaluate_run(str(toy_run), store.path, form="documents", max_documents=1)
    # The middle ones: of 17 tokens, of 15, and of 60.
    assert [result.loss.n_tokens for result in documents.sets.values()] == [16, 15, 16]


def test_limits_of_the_other_form_are_refused(toy_run, store):
    with pytest.raises(UserError, match="max_documents is for the form documents"):
        evaluate_run(str(toy_run), store.path, max_documents=1)
    with pytest.raises(UserError, match="max_tokens is for the form windows"):
        evaluate_run(str(toy_run), store.path, form="documents", max_tokens=1)


def test_a_data_set_stands_for_its_validation(toy, toy_run, store):
    assert evaluate_run(str(toy_run), store.path.parent) == evaluate_run(str(toy_run), store.path)
    own = Path(toy.data.source.path)
    found = evaluate_run(str(toy_run))
    assert (
        found == evaluate_run(str(toy_run), own) == evaluate_run(str(toy_run), own / "validation")
    )
    assert found.sets == {}
    assert found.all.loss.n_tokens == TokenStore.open(own / "validation").n_tokens - 1


def test_tokens_that_cannot_be_are_told(toy_run, store, tmp_path):
    for file in store.path.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    damage(tmp_path / "tokens-00001.bin", 3, 9999)
    with pytest.raises(UserError, match=r"tokens-00001.bin holds token 9999"):
        evaluate_run(str(toy_run), tmp_path)


def test_documents_without_a_set_beside_sets_are_refused(toy_run, tmp_path):
    tokenizer = load_run(str(toy_run)).tokenizer
    shards = []
    for name, of in (("00000", "books"), ("00001", None)):
        writer = ShardWriter(tmp_path, name, tokenizer, set=of)
        writer.add([1, 2, 3], n_bytes=3)
        shards.append(writer.close())
    complete_store(tmp_path, tokenizer, shards, source="half sets")
    with pytest.raises(UserError, match="has shards without a set beside those with one"):
        evaluate_run(str(toy_run), tmp_path)


BITS = math.log(2)
RESULTS = {
    "a": SetResult(EvalResult(total_nats=2000 * BITS, n_tokens=1000, n_bytes=4000), 10),
    "longer": SetResult(EvalResult(total_nats=500 * BITS, n_tokens=500, n_bytes=1000), 2),
}


def test_all_is_weighted_by_tokens():
    total = summed(RESULTS)
    assert total == SetResult(EvalResult(2500 * BITS, 1500, 5000), 12)
    assert total.loss.perplexity == pytest.approx(2 ** (5 / 3))


def test_table():
    # 2, 1 and 5/3 bits a token; 1/2 bit a byte in each.
    assert evaluation_table(Evaluation(RESULTS, summed(RESULTS))) == (
        "set     tokens  documents    loss  perplexity  bits per byte\n"
        "a        1,000         10  1.3863       4.000         0.5000\n"
        "longer     500          2  0.6931       2.000         0.5000\n"
        "all      1,500         12  1.1552       3.175         0.5000"
    )


def test_a_set_may_be_called_all():
    rows = evaluation_table(Evaluation({"all": RESULTS["a"]}, RESULTS["longer"])).splitlines()
    assert [row.split()[:2] for row in rows[1:]] == [["all", "1,000"], ["all", "500"]]


def test_json():
    content = json.loads(evaluation_json(Evaluation(RESULTS, summed(RESULTS)), {"run": "r"}))
    assert set(content["sets"]) == {"a", "longer"}
    assert content["sets"]["a"]["loss"] == pytest.approx(2 * BITS)
    assert content["all"]["bits_per_byte"] == pytest.approx(0.5)
    assert [content["all"][name] for name in ("tokens", "documents", "bytes")] == [1500, 12, 5000]
