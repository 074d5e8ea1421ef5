# SPDX-License-Identifier: Apache-2.0
"""The stores a run trains on, made if they can be, and checked against its model."""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from sgatlin.config import Config, Mixture, Prepared, StoryWorld
from sgatlin.errors import UserError
from sgatlin.input.mixture import Part, TrainingStream
from sgatlin.input.store import TokenStore, split_stores
from sgatlin.input.storyworld.prepare import prepare_storyworld
from sgatlin.input.tokenizer import Tokenizer
from sgatlin.input.windows import check_vocabulary
from sgatlin.train.run import RunDirectory


class TrainingData(NamedTuple):
    """What a run reads."""

    parts: tuple[Part, ...]
    validation: TokenStore

    def stores(self) -> Iterator[TokenStore]:
        """All of them, those of the parts first."""
        yield from (part.store for part in self.parts)
        yield self.validation


def training_data(config: Config, tell: Callable[[str], None]) -> TrainingData:
    """The stores of a run; the story world is made if it is not there yet.

    Raises:
      UserError: when stores are missing, have different tokenizers or not the config's, or hold
        tokens that are not of their vocabulary or not of the model's.
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
    data = open_data(config)
    for store in data.stores():
        if store.vocab_size > config.model.vocab_size:
            raise UserError(
                f"model.vocab_size={config.model.vocab_size} is smaller than the "
                f"{store.vocab_size} ids of {store.path.parent}: set --model.vocab-size "
                f"{store.vocab_size}"
            )
        check_vocabulary(store)
    n_ids = data.validation.vocab_size
    if n_ids < config.model.vocab_size and not isinstance(source, StoryWorld):
        tell(
            f"the data has {n_ids:,} ids, the model {config.model.vocab_size:,}: "
            f"--model.vocab-size {n_ids} would do"
        )
    return data


def open_data(config: Config) -> TrainingData:
    """The stores of a run, of which only the tokenizers are checked; nothing is made."""
    source = config.data.source
    if isinstance(source, Mixture):
        parts = tuple(_part(part.path, part.weight, part.set) for part in source.parts)
        _, validation = split_stores(Path(source.validation))
    else:
        train, validation = split_stores(Path(source.path))
        weights = source.set_weights if isinstance(source, Prepared) else ()
        parts = tuple(Part(train.subset(name), weight, name) for name, weight in weights)
        parts = parts or (Part(train),)
    data, first = TrainingData(parts, validation), parts[0].store
    for store in data.stores():
        if store.tokenizer_hash != first.tokenizer_hash:
            raise UserError(
                f"{store.path} has another tokenizer than {first.path}: prepare both with one"
            )
    wanted = None if isinstance(source, StoryWorld) else source.tokenizer_hash
    if wanted not in (None, first.tokenizer_hash):
        raise UserError(
            f"data.source.tokenizer_hash={wanted} is not that of {first.path}, which is "
            f"{first.tokenizer_hash}: prepare the data with the other tokenizer"
        )
    return data


def _part(path: str, weight: float, name: str | None) -> Part:
    store, _ = split_stores(Path(path))
    return Part(store if name is None else store.subset(name), weight, name)


def steps_of_epochs(config: Config, epochs: float) -> int:
    """The steps in which a run sees its training windows so many times, rounded up.

    Of a mixture as many windows as all parts have together. UserError if the data is not there.
    """
    if not 0 < epochs < float("inf"):
        raise UserError(f"--epochs {epochs}: it must be above 0 and finite")
    source = config.data.source
    parts = source.parts if isinstance(source, Mixture) else [source]
    for path in (part.path for part in parts):
        if not Path(path).is_dir():
            raise UserError(
                f"--epochs counts the windows of the data, and there is none at {path}: make it "
                "with `sgatlin prepare`, or give --train.steps instead"
            )
    data = open_data(config)
    windows = TrainingStream(data.parts, config.data.seq_len, config.train.seed).n_windows
    return max(1, math.ceil(Fraction(str(epochs)) * windows / config.data.batch_size))


def run_tokenizer(run: RunDirectory, data: TrainingData) -> Tokenizer:
    """The data's tokenizer, kept in the run directory beside what tells the data from other data.

    UserError if the run began with another tokenizer, or its data has changed since.
    """
    store = data.parts[0].store
    tokenizer = store.tokenizer()
    if not run.tokenizer_file.exists():
        tokenizer.save(run.tokenizer_file)
    elif Tokenizer.load(run.tokenizer_file).hash != tokenizer.hash:
        raise UserError(
            f"{store.path} has another tokenizer than the run {run.path} started with: "
            "choose another --workdir, or the data of then"
        )
    hashes = {str(store.path): store.content_hash for store in data.stores()}
    before = run.data_hashes()
    if before is None:
        run.write_data_hashes(hashes)
        return tokenizer
    for path, content_hash in hashes.items():
        if before.get(path) != content_hash:
            raise UserError(
                f"{path} has changed since the run {run.path} began, which could not go on "
                "exactly: choose another --workdir, or the data of then"
            )
    return tokenizer
