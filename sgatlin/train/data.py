# SPDX-License-Identifier: Apache-2.0
"""The stores a run trains on, made if they can be, and checked against its model."""

from collections.abc import Callable
from pathlib import Path

from sgatlin.config import Config, StoryWorld
from sgatlin.errors import UserError
from sgatlin.input.store import TokenStore, split_stores
from sgatlin.input.storyworld.prepare import prepare_storyworld
from sgatlin.input.tokenizer import Tokenizer
from sgatlin.train.run import RunDirectory


def prepared_stores(config: Config, tell: Callable[[str], None]) -> tuple[TokenStore, TokenStore]:
    """The train and validation stores; the story world is made if it is not there yet.

    UserError if the tokens do not fit the model.
    """
    source = config.data.source
    if isinstance(source, StoryWorld):
        prepare_storyworld(
            Path(source.path),
            train_megabytes=source.train_megabytes,
            validation_megabytes=source.validation_megabytes,
            vocab_size=config.model.vocab_size,
            seed=source.seed,
            report=tell,
        )
    train, validation = split_stores(Path(source.path))
    if train.vocab_size > config.model.vocab_size:
        raise UserError(
            f"model.vocab_size={config.model.vocab_size} is smaller than the {train.vocab_size} "
            f"ids of {source.path}: set --model.vocab-size {train.vocab_size}"
        )
    return train, validation


def run_tokenizer(run: RunDirectory, store: TokenStore) -> Tokenizer:
    """The store's tokenizer, kept in the run directory; UserError if the run had another."""
    tokenizer = store.tokenizer()
    if not run.tokenizer_file.exists():
        tokenizer.save(run.tokenizer_file)
    elif Tokenizer.load(run.tokenizer_file).hash != tokenizer.hash:
        raise UserError(
            f"{store.path} has another tokenizer than the run {run.path} started with: "
            "choose another --workdir, or the data of then"
        )
    return tokenizer
