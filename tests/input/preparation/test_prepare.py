# SPDX-License-Identifier: Apache-2.0
"""Preparation: the same stores from the same text, however it is run; nothing lost or invented."""

import numpy as np
import pytest

from sgatlin.input.manifest import read_manifest
from sgatlin.input.preparation import group as group_module
from sgatlin.input.preparation import plan as plan_module
from sgatlin.input.preparation.inputs import find_by_name
from sgatlin.input.preparation.manner import Manner
from sgatlin.input.preparation.plan import Request
from sgatlin.input.preparation.prepare import Trained, prepare, work_folder
from sgatlin.input.store import TokenStore, split_stores
from sgatlin.input.tokenizer import train_bpe
from tests.input.preparation.corpus import (
    SETS,
    hashes_of,
    make_texts,
    prepare_folder,
    small_tokenizer,
    texts_of,
    write_jsonl,
)


@pytest.fixture(scope="module")
def tokenizer():
    return small_tokenizer()


@pytest.fixture
def corpus(tmp_path):
    """Three files to train on, of three sets, and one each to validate and test."""
    folder = tmp_path / "corpus"
    for number in range(3):
        write_jsonl(folder / f"train/chunk{number}/a.jsonl.zst", make_texts(50, seed=number), SETS)
    write_jsonl(folder / "validation/b.jsonl.gz", make_texts(20, seed=7), SETS[:2])
    write_jsonl(folder / "test/c.jsonl", make_texts(10, seed=8), SETS)
    return folder


@pytest.fixture
def many_groups(monkeypatch):
    """Every file is a group."""
    monkeypatch.setattr(plan_module, "_GROUP_BYTES", (1, 1))


def test_every_document_is_in_its_split_in_order(corpus, tokenizer, tmp_path):
    prepare_folder(corpus, tmp_path / "out", tokenizer)
    expected = {
        "train": [text for seed in range(3) for text in make_texts(50, seed=seed)],
        "validation": make_texts(20, seed=7),
        "test": make_texts(10, seed=8),
    }
    for split, texts in expected.items():
        store = TokenStore.open(tmp_path / "out" / split)
        store.verify()
        assert texts_of(store) == texts
        assert store.n_bytes == sum(len(text.encode()) for text in texts)
        assert store.n_tokens == sum(len(tokenizer.encode(text)) + 1 for text in texts)
    assert not work_folder(tmp_path / "out").exists()


def test_sets_have_stores_of_their_own(corpus, tokenizer, tmp_path, many_groups):
    prepare_folder(corpus, tmp_path / "out", tokenizer, set_field="meta.redpajama_set_name")
    train, validation = split_stores(tmp_path / "out")
    assert train.sets == SETS
    assert validation.sets == SETS[:2]
    files = [make_texts(50, seed=seed) for seed in range(3)]
    for number, name in enumerate(SETS):
        # The sets take turns within each file.
        expected = [text for texts in files for text in texts[number::3]]
        assert texts_of(train.subset(name)) == expected
    assert sum(counts.n_documents for counts in train.manifest.sets.values()) == 150


def test_the_manifest_names_what_was_read(corpus, tokenizer, tmp_path):
    prepare_folder(corpus, tmp_path / "out", tokenizer)
    manifest = read_manifest(tmp_path / "out/train")
    files = [f"train/chunk{number}/a.jsonl.zst" for number in range(3)]
    assert [file.file for file in manifest.inputs] == files
    on_disk = hashes_of(corpus)
    assert [file.sha256 for file in manifest.inputs] == [on_disk[file] for file in files]
    assert [file.size for file in manifest.inputs] == [
        (corpus / file).stat().st_size for file in files
    ]


@pytest.mark.parametrize("n_workers", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_the_result_is_the_same_whatever_the_number_of_workers(
    corpus, tokenizer, tmp_path, many_groups, n_workers
):
    settings = {"set_field": "meta.redpajama_set_name"}
    prepare_folder(corpus, tmp_path / "one", tokenizer, **settings)
    manner = Manner(n_workers=n_workers)
    prepare_folder(corpus, tmp_path / "many", tokenizer, manner, **settings)
    assert hashes_of(tmp_path / "one") == hashes_of(tmp_path / "many")


def test_a_long_group_is_cut_into_pieces(corpus, tokenizer, tmp_path, monkeypatch):
    prepare_folder(corpus, tmp_path / "whole", tokenizer)
    monkeypatch.setattr(group_module, "_BATCH_CHARACTERS", 500)
    prepare_folder(corpus, tmp_path / "cut", tokenizer, shard_tokens=700)
    whole, cut = (TokenStore.open(tmp_path / name / "train") for name in ("whole", "cut"))
    assert len(whole.shards) == 1
    # A batch has at most 500 characters and one text, so at most 800 tokens.
    assert all(700 <= shard.n_tokens < 1500 for shard in cut.shards[:-1])
    np.testing.assert_array_equal(whole.slice(0, whole.n_tokens), cut.slice(0, cut.n_tokens))
    assert len(read_manifest(cut.path).inputs) == 3


def test_a_tokenizer_is_not_trained_on_what_is_held_out(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", make_texts(400))
    found = find_by_name([str(path)], [])
    settings = {"validation_fraction": 0.3, "source": "test"}
    tokenizer = Trained(vocab_size=300)
    request = Request(tokenizer=str(tokenizer), **settings)
    out = tmp_path / "out"
    prepare(out, request, found.inputs, tokenizer, Manner(n_workers=1), tell=lambda line: None)
    train, validation = split_stores(out)
    assert 60 < validation.n_documents < 180
    texts = texts_of(train)
    assert sorted([*texts, *texts_of(validation)]) == sorted(make_texts(400))
    assert train.tokenizer_hash == train_bpe(texts, 300).hash
    assert train.tokenizer_hash != train_bpe(make_texts(400), 300).hash
