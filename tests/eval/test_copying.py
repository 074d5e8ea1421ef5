# SPDX-License-Identifier: Apache-2.0
"""Rows of spans that come twice, and the score of models that copy always, never, or by half."""

import jax
import numpy as np
import pytest

from sgatlin.eval.copying import CopyLoss, copy_loss, copying_batch
from sgatlin.eval.loss import make_eval_step
from sgatlin.input.store import TokenStore
from sgatlin.input.tokenizer import train_bpe
from sgatlin.input.write import StoreWriter
from sgatlin.train.load import load_run
from tests.input.random_stores import BOS, VOCAB_SIZE, write_sets, write_store


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> TokenStore:
    return write_store(tmp_path_factory.mktemp("copying") / "store", 530)


@pytest.mark.parametrize(
    ("seq_len", "span", "skipped"), [(4, 2, 1), (5, 2, 1), (16, 8, 4), (64, 32, 4)]
)
def test_a_row_is_bos_and_a_span_that_comes_twice(store, seq_len, span, skipped):
    batch = copying_batch(store, batch_size=3, seq_len=seq_len)
    assert batch.inputs_BT.shape == batch.targets_BT.shape == batch.weights_BT.shape == (3, seq_len)
    assert batch.segments_BT is None
    np.testing.assert_array_equal(batch.inputs_BT[:, 0], BOS)
    np.testing.assert_array_equal(batch.inputs_BT[:, 1:], batch.targets_BT[:, :-1])
    first, second = batch.targets_BT[:, :span], batch.targets_BT[:, span : 2 * span]
    np.testing.assert_array_equal(first, second)
    assert (batch.targets_BT != BOS).all()
    # What follows the skipped tokens of each occurrence counts, and an odd token at the end not.
    counted = [*([0] * skipped + [1] * (span - skipped)) * 2, *[0] * (seq_len - 2 * span)]
    np.testing.assert_array_equal(batch.weights_BT, np.tile(counted, (3, 1)))


def test_rows_differ_and_are_the_same_each_time(store):
    one, again = (copying_batch(store, batch_size=2, seq_len=32) for _ in range(2))
    np.testing.assert_array_equal(one.inputs_BT, again.inputs_BT)
    assert (one.targets_BT[0] != one.targets_BT[1]).any()


def test_with_boundaries_a_row_is_one_document(store):
    batch = copying_batch(store, batch_size=2, seq_len=8, document_boundaries=True)
    np.testing.assert_array_equal(batch.segments_BT, np.ones((2, 8)))


@pytest.mark.parametrize("seq_len", [1, 2, 3])
def test_windows_too_short_for_a_copy_have_no_score(store, seq_len):
    assert copying_batch(store, batch_size=2, seq_len=seq_len) is None


def test_a_store_without_text_has_no_score(tmp_path):
    store = write_sets(tmp_path / "store", {"a": [1] * 20})
    assert copying_batch(store, batch_size=2, seq_len=16) is None


def test_tokens_are_as_frequent_as_in_the_store(tmp_path):
    tokens = [1] * 70 + [2] * 25 + [3] * 5
    with StoreWriter(tmp_path / "store", train_bpe([], 257), source="skewed") as writer:
        for _ in range(3):
            writer.add(tokens, n_bytes=len(tokens))
    store = TokenStore.open(tmp_path / "store")
    batch = copying_batch(store, batch_size=200, seq_len=40)
    found = np.bincount(batch.targets_BT[:, :20].ravel(), minlength=4) / 4000
    # The standard error of the largest is .007.
    np.testing.assert_allclose(found, [0, 0.7, 0.25, 0.05], atol=0.03)


def test_a_model_is_scored_by_what_the_first_occurrence_saves_the_second(store):
    """Nats of 5 where a span is new, and of 2 where it is repeated."""
    batch = copying_batch(store, batch_size=3, seq_len=17)
    where_T = np.array([5.0] * 8 + [2.0] * 8 + [99.0])

    def eval_step(params, inputs, targets, weights):
        return where_T * weights

    found = copy_loss(eval_step, None, batch)
    assert found == CopyLoss(5.0, 2.0)
    assert found.score == 3.0


def test_both_occurrences_are_judged_on_the_same_tokens(store):
    """A loss that depends on the token alone scores nothing, however rare tokens are."""
    batch = copying_batch(store, batch_size=3, seq_len=16)
    nats_V = np.random.default_rng(0).uniform(1, 9, VOCAB_SIZE)

    def eval_step(params, inputs, targets, weights):
        return nats_V[targets] * weights

    found = copy_loss(eval_step, None, batch)
    assert found.score == pytest.approx(0, abs=1e-12)
    assert found.first == pytest.approx(nats_V[batch.targets_BT[:, 4:8]].mean())


def test_score_of_a_model_equals_a_loop_over_its_tokens(toy_run, store):
    loaded = load_run(str(toy_run))
    config = loaded.config.model
    batch = copying_batch(store, batch_size=2, seq_len=16)
    nats_BT = np.asarray(
        jax.jit(make_eval_step(config))(
            loaded.params, batch.inputs_BT, batch.targets_BT, np.ones_like(batch.weights_BT)
        )
    )
    firsts, seconds = [], []
    for row in range(2):
        for t in range(4, 8):
            assert batch.targets_BT[row, t] == batch.targets_BT[row, t + 8]
            firsts.append(float(nats_BT[row, t]))
            seconds.append(float(nats_BT[row, t + 8]))
    found = copy_loss(jax.jit(make_eval_step(config)), loaded.params, batch)
    assert found.first == pytest.approx(np.mean(firsts), rel=1e-5)
    assert found.second == pytest.approx(np.mean(seconds), rel=1e-5)
