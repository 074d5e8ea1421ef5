# SPDX-License-Identifier: Apache-2.0
"""A record is what the model computes of each document alone, and is there whole or not at all."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest

from sgatlin.circuits import recorder
from sgatlin.circuits.manifest import MANIFEST
from sgatlin.circuits.model import CircuitModel
from sgatlin.circuits.record import Record
from sgatlin.circuits.recording import RecordingOptions, choose_documents, record_circuits
from sgatlin.circuits.rows import circuit_rows
from sgatlin.commands.circuits_record import CircuitsRecord, CircuitsShow
from sgatlin.errors import UserError
from sgatlin.eval.command import store_for
from sgatlin.input.store import TokenStore
from sgatlin.input.windows import evenly_spaced
from tests.circuits.variants import LAYERS, variant
from tests.input.random_stores import damage, write_store
from tests.train.disk import largest_file


@pytest.fixture
def model(toy_run):
    return CircuitModel.open(str(toy_run))


@pytest.fixture
def store(model):
    return store_for(model.loaded)


def unlike(model, context):
    """The model in another context, so that documents end within."""
    return dataclasses.replace(model, seq_len=context)


@pytest.mark.parametrize("name", LAYERS)
def test_each_document_is_recorded_as_it_is_traced_alone(
    toy_run, store, tmp_path, monkeypatch, name
):
    """Several shards, batches and lengths; long documents are cut, others end within."""
    monkeypatch.setattr(recorder, "SHARD_POSITIONS", 700)
    lengths = store.document_lengths(0, store.n_documents)
    context = int(np.median(lengths))
    model = unlike(variant(toy_run, name), context)
    options = RecordingOptions(tokens=1500, activations=True, predictions=3, batch_size=4)
    record = record_circuits(model, store, tmp_path / "record", options)
    assert len(record.manifest.shards) > 1
    table = record.positions()
    sequences = table["sequence"].to_numpy()
    numbers = list(dict.fromkeys(sequences.tolist()))
    assert numbers == list(evenly_spaced(len(numbers), store.n_documents))
    assert record.manifest.n_sequences == len(numbers)
    assert record.manifest.n_cut == (lengths[numbers] > context).sum()
    assert 0 < record.manifest.n_cut < len(numbers)
    rows = [record.rows(layer) for layer in range(model.n_layers)]
    z = [record.activations(layer) for layer in range(model.n_layers)]
    for number in numbers:
        whole = store.document(number).astype(np.int32)
        tokens_T, at = whole[:context], sequences == number
        ends = [*whole[1 : context + 1].tolist(), model.tokenizer.bos_id][: len(tokens_T)]
        mine = table.filter(at)
        assert mine["position"].to_pylist() == list(range(1, len(tokens_T)))
        assert mine["token"].to_pylist() == tokens_T[1:].tolist()
        assert mine["next_token"].to_pylist() == ends[1:]
        padded_BT = np.zeros((1, context), np.int32)
        padded_BT[0, : len(tokens_T)] = tokens_T
        seen = jax.tree.map(np.asarray, model.trace(padded_BT))
        kept = slice(1, len(tokens_T))
        for layer in range(model.n_layers):
            own = circuit_rows(
                seen.gates.indices[layer, 0, kept], seen.gates.scores[layer, 0, kept], model.layer
            )
            np.testing.assert_array_equal(rows[layer][at].indices, own.indices)
            np.testing.assert_allclose(rows[layer][at].values, own.values, rtol=1e-4, atol=1e-5)
            own_z = seen.z[layer, 0, kept].reshape(own.values.shape)
            np.testing.assert_allclose(z[layer][at], own_z, rtol=1e-3, atol=1e-4)


def test_predictions_are_the_likeliest_real_tokens(model, store, tmp_path):
    """Ids beyond the tokenizer's are as likely as their embeddings make them, and never told."""
    n_ids = model.tokenizer.vocab_size
    embedding = np.asarray(model.params["embedding"])
    extra = np.concatenate([embedding[:n_ids], 100 * embedding[:8]])
    config = dataclasses.replace(model.config, vocab_size=len(extra))
    model = dataclasses.replace(model, config=config, params=model.params | {"embedding": extra})
    options = RecordingOptions(tokens=1, predictions=4)
    table = record_circuits(model, store, tmp_path / "record", options).positions()
    number = table["sequence"][0].as_py()
    tokens_T = store.document(number)[: model.seq_len].astype(np.int32)
    logits_TV = np.asarray(model.trace(tokens_T[None]).logits[0], np.float64)
    assert logits_TV[:, n_ids:].max() > logits_TV[:, :n_ids].max()
    probabilities_TV = np.exp(logits_TV[1:, :n_ids])
    probabilities_TV /= probabilities_TV.sum(-1, keepdims=True)
    found = np.array(table["predictions"].to_pylist())
    assert found.max() < n_ids
    best = -np.sort(-probabilities_TV)[:, :4]
    np.testing.assert_allclose(table["probabilities"].to_pylist(), best, rtol=1e-4)
    of_found = np.take_along_axis(probabilities_TV, found, axis=1)
    np.testing.assert_allclose(of_found, best, rtol=1e-4)


def test_texts_are_those_of_tokens(model, store, tmp_path):
    record = record_circuits(model, store, tmp_path / "record", RecordingOptions(tokens=50))
    table = record.positions()
    assert table["text"].to_pylist() == [model.token_text(t) for t in table["token"].to_pylist()]


@pytest.mark.parametrize("tokens", [1, 15, 16, 200, 10**9])
def test_the_fewest_documents_that_have_so_many_positions(store, tokens):
    lengths = store.document_lengths(0, store.n_documents)

    def positions(n):
        chosen = np.minimum(lengths[list(evenly_spaced(n, len(lengths)))], 16)
        return int(chosen.sum() - n)

    n = choose_documents(store, 16, tokens).n_documents
    assert positions(n) == choose_documents(store, 16, tokens).n_positions
    assert positions(n) >= tokens or n == store.n_documents
    assert n == 1 or positions(n - 1) < tokens


def test_progress_counts_positions(model, store, tmp_path):
    seen = []
    options = RecordingOptions(tokens=200, batch_size=2)
    record = record_circuits(
        model, store, tmp_path / "record", options, progress=lambda *told: seen.append(told)
    )
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert len(seen) > 2
    assert seen[-1] == (len(record), len(record))


def test_a_record_is_replaced_only_when_asked(model, store, tmp_path):
    out = tmp_path / "record"
    few = RecordingOptions(tokens=20)
    n = len(record_circuits(model, store, out, few))
    with pytest.raises(UserError, match=r"holds a record already: choose another --out, or --re"):
        record_circuits(model, store, out, RecordingOptions(tokens=100))
    assert len(Record.open(out)) == n
    more = RecordingOptions(tokens=100, replace=True)
    assert len(record_circuits(model, store, out, more)) > n
    assert [path.name for path in tmp_path.iterdir()] == ["record"]


def test_what_is_no_record_is_never_replaced(model, store, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    options = RecordingOptions(tokens=20, replace=True)
    with pytest.raises(UserError, match=r"exists and is no record: choose another --out"):
        record_circuits(model, store, tmp_path, options)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_recording_that_fails_leaves_nothing(model, store, tmp_path):
    class Killed(BaseException):
        pass

    def stop(done, total):
        partial = next(tmp_path.glob(".record.*.partial/new"))
        assert not (partial / MANIFEST).exists()
        raise Killed

    with pytest.raises(Killed):
        record_circuits(
            model, store, tmp_path / "record", RecordingOptions(tokens=20), progress=stop
        )
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_in_one_line(model, store, tmp_path):
    options = RecordingOptions(tokens=200)
    with (
        largest_file(1000),
        pytest.raises(UserError, match=r"^cannot write .*record: File too large: make room"),
    ):
        record_circuits(model, store, tmp_path / "record", options)
    assert not list(tmp_path.iterdir())


def test_documents_without_tokens_give_no_positions(model, tmp_path, monkeypatch, store):
    monkeypatch.setattr(
        TokenStore, "document_lengths", lambda self, start, stop: np.ones(stop - start, np.int64)
    )
    with pytest.raises(UserError, match=r"has no positions to record: its documents have no tok"):
        record_circuits(model, store, tmp_path / "record", RecordingOptions(tokens=20))


def test_ids_that_no_token_has(model, store, tmp_path):
    folder = tmp_path / "store"
    shutil.copytree(store.path, folder)
    damage(folder / store.shards[0].tokens.file, 5, 60000)
    options = RecordingOptions(tokens=10**6)
    with pytest.raises(UserError, match=r"^document 0 of .*store holds ids outside the vocab"):
        record_circuits(model, TokenStore.open(folder), tmp_path / "record", options)
    assert not (tmp_path / "record").exists()


def test_more_predictions_than_tokens(model, store, tmp_path):
    options = RecordingOptions(tokens=20, predictions=model.tokenizer.vocab_size + 1)
    with pytest.raises(UserError, match=r"predictions=\d+: .* tokens to predict"):
        record_circuits(model, store, tmp_path / "record", options)


def test_options_that_cannot_be():
    for wrong in ({"tokens": 0}, {"tokens": 1, "predictions": 0}, {"tokens": 1, "batch_size": 0}):
        with pytest.raises(UserError, match="must be at least 1"):
            RecordingOptions(**wrong)


def test_the_command_says_what_it_recorded(toy_run, store, tmp_path, capsys):
    out = tmp_path / "record"
    CircuitsRecord(run=f"{toy_run}@10", tokens=10**6, out=out)()
    told = capsys.readouterr()
    record = Record.open(out)
    lines = told.out.splitlines()
    assert lines[0] == f"{store.path} has only {len(record):,} positions: all are recorded"
    assert f"  run          {toy_run}@10" in lines
    assert told.err == ""
    assert record.manifest.n_sequences == store.n_documents
    CircuitsShow(record=out)()
    assert capsys.readouterr().out.splitlines() == lines[1:]


def test_a_store_of_another_tokenizer(toy_run, tmp_path):
    write_store(tmp_path / "store", 200)
    with pytest.raises(UserError, match="was made with another tokenizer than"):
        CircuitsRecord(run=str(toy_run), data=tmp_path / "store", out=tmp_path / "record")()
    assert not (tmp_path / "record").exists()
