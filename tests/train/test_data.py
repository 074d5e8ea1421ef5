# SPDX-License-Identifier: Apache-2.0
"""What a run reads: which stores a config means, and what is refused before a run begins."""

import dataclasses
from pathlib import Path

import pytest

from sgatlin.config import Config, Mixture, MixturePart, Prepared, StoryWorld
from sgatlin.errors import UserError
from sgatlin.input.tokenizer import train_bpe
from sgatlin.input.write import write_store
from sgatlin.train.data import open_data, steps_of_epochs, training_data
from sgatlin.train.loop import Trainer, TrainOptions
from tests.input.random_stores import damage, write_sets

SETS = {"books": [1001], "code": [201, 400]}
TOKENIZER = train_bpe([], vocab_size=257)


@pytest.fixture
def prepared(tmp_path) -> Path:
    """A prepared data set with two sets."""
    write_sets(tmp_path / "data" / "train", SETS)
    write_sets(tmp_path / "data" / "validation", {"books": [101], "code": [101]})
    return tmp_path / "data"


def with_source(config: Config, source) -> Config:
    return dataclasses.replace(config, data=dataclasses.replace(config.data, source=source))


def refusal(config: Config, run: Path) -> str:
    """The error of a run, which must not have begun."""
    with pytest.raises(UserError) as caught:
        Trainer(config, run, TrainOptions(), tell=lambda line: None)
    assert not run.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def described(config: Config) -> list[tuple[str, int, float]]:
    """Name, tokens and weight of each part."""
    parts = training_data(config, lambda line: None).parts
    return [(part.name, part.store.n_tokens, part.weight) for part in parts]


def test_parts_of_prepared_data(toy, prepared):
    train = f"{prepared}/train"
    whole = with_source(toy, Prepared(path=str(prepared)))
    assert described(whole) == [(train, 1602, 1.0)]
    weighted = Prepared(path=str(prepared), set_weights=(("code", 0.2), ("books", 3.0)))
    assert described(with_source(toy, weighted)) == [
        (f"{train}, set code", 601, 0.2),
        (f"{train}, set books", 1001, 3.0),
    ]
    assert training_data(whole, lambda line: None).validation.n_tokens == 202


def test_parts_of_a_mixture(toy, prepared, tmp_path):
    write_sets(tmp_path / "more" / "train", {"web": [300]})
    write_sets(tmp_path / "more" / "validation", {"web": [50]})
    parts = (
        MixturePart(path=str(prepared), weight=1.0, set="books"),
        MixturePart(path=str(tmp_path / "more"), weight=2.0),
    )
    mixture = Mixture(parts=parts, validation=str(tmp_path / "more"))
    assert described(with_source(toy, mixture)) == [
        (f"{prepared}/train, set books", 1001, 1.0),
        (f"{tmp_path}/more/train", 300, 2.0),
    ]
    assert open_data(with_source(toy, mixture)).validation.n_tokens == 50


def test_sets_and_folders_that_are_not_there(toy, prepared, tmp_path):
    unknown = Prepared(path=str(prepared), set_weights=(("web", 1.0),))
    told = refusal(with_source(toy, unknown), tmp_path / "run")
    assert "has no set 'web'; its sets: books, code" in told
    part = MixturePart(path=str(prepared), weight=1.0)
    mixture = Mixture(parts=(part,), validation=str(tmp_path / "absent"))
    told = refusal(with_source(toy, mixture), tmp_path / "run")
    assert f"no prepared data at {tmp_path}/absent" in told


@pytest.mark.parametrize("kind", ["prepared", "mixture"])
def test_a_tokenizer_may_be_asked_for(toy, prepared, tmp_path, kind):
    def source(tokenizer_hash: str):
        if kind == "prepared":
            return Prepared(path=str(prepared), tokenizer_hash=tokenizer_hash)
        part = MixturePart(path=str(prepared), weight=1.0)
        return Mixture(parts=(part,), validation=str(prepared), tokenizer_hash=tokenizer_hash)

    open_data(with_source(toy, source(TOKENIZER.hash)))
    told = refusal(with_source(toy, source("abc")), tmp_path / "run")
    assert told.startswith(f"data.source.tokenizer_hash=abc is not that of {prepared}/train, which")
    assert TOKENIZER.hash in told


@pytest.mark.parametrize("as_part", [True, False])
def test_all_of_a_mixture_must_have_one_tokenizer(toy, prepared, tmp_path, as_part):
    other = train_bpe(["aaaa aaaa"], vocab_size=258)
    for split in ("train", "validation"):
        write_store(tmp_path / "other" / split, ["a" * 500], other, source="a test")
    ours = MixturePart(path=str(prepared), weight=1.0)
    theirs = MixturePart(path=str(tmp_path / "other"), weight=1.0)
    mixture = Mixture(
        parts=(ours, theirs) if as_part else (ours,),
        validation=str(prepared if as_part else tmp_path / "other"),
    )
    told = refusal(with_source(toy, mixture), tmp_path / "run")
    assert "has another tokenizer than" in told
    assert f"{tmp_path}/other/" in told


@pytest.mark.parametrize("split", ["train", "validation"])
def test_tokens_that_cannot_be_are_found_before_a_run_begins(toy, prepared, tmp_path, split):
    damage(prepared / split / "tokens-00001.bin", 70, 299)
    told = refusal(with_source(toy, Prepared(path=str(prepared))), tmp_path / "run")
    assert f"{split}/tokens-00001.bin holds token 299, outside the vocabulary of 257" in told


def test_a_part_with_too_large_a_vocabulary_is_refused(toy, prepared, tmp_path):
    small = dataclasses.replace(toy, model=dataclasses.replace(toy.model, vocab_size=256))
    told = refusal(with_source(small, Prepared(path=str(prepared))), tmp_path / "run")
    assert told.startswith("model.vocab_size=256 is smaller than the 257 ids of")


def test_steps_of_epochs(toy, prepared):
    """1,601 predicted tokens are 100 windows of 16; the sets alone are 62 and 37."""
    config = with_source(toy, Prepared(path=str(prepared)))
    assert [steps_of_epochs(config, epochs) for epochs in (1, 2, 0.1, 0.001)] == [25, 50, 3, 1]
    weights = (("books", 1.0), ("code", 1.0))
    mixed = with_source(toy, Prepared(path=str(prepared), set_weights=weights))
    assert steps_of_epochs(mixed, 4) == 99
    for epochs in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(UserError, match="must be above 0 and finite"):
            steps_of_epochs(config, epochs)


def test_epochs_need_the_data_and_do_not_make_it(toy, prepared, tmp_path):
    absent = str(tmp_path / "absent")
    parts = (MixturePart(path=str(prepared), weight=1.0), MixturePart(path=absent, weight=1.0))
    for source in (StoryWorld(path=absent), Mixture(parts=parts, validation=str(prepared))):
        with pytest.raises(UserError) as caught:
            steps_of_epochs(with_source(toy, source), 1)
        assert str(caught.value).startswith(
            f"--epochs counts the windows of the data, and there is none at {absent}: make it with"
        )
    assert not Path(absent).exists()
