# SPDX-License-Identifier: Apache-2.0
"""Making a record: documents of a store through a model, their circuits into shards.

A document is read by itself, from its beginning, as far as the model's context reaches.
"""

import contextlib
import dataclasses
import os
import shutil
import tempfile
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from sgatlin.circuits.manifest import MANIFEST, RecordManifest, Shard, is_record
from sgatlin.circuits.model import CircuitModel
from sgatlin.circuits.record import Record
from sgatlin.circuits.recorder import Recorder, documents_of
from sgatlin.circuits.shards import write_shard
from sgatlin.errors import UserError, require_at_least
from sgatlin.files import write_atomically
from sgatlin.input.store import TokenStore
from sgatlin.input.windows import evenly_spaced

# Of documents whose lengths are looked at in one go.
_LENGTHS_AT_ONCE = 1 << 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordingOptions:
    """What is recorded of a store."""

    tokens: int
    """Positions, about: of documents evenly spaced over the store, each as far as it is read."""
    activations: bool = False
    """Record <w_in, x> of each chosen neuron too."""
    predictions: int = 5
    """Likeliest next tokens to record of each position."""
    batch_size: int | None = None
    """Documents at a time; by default what `recorder.batch_size_for` says."""
    replace: bool = False
    """Put the record in the place of one that is there."""

    def __post_init__(self) -> None:
        require_at_least(1, tokens=self.tokens, predictions=self.predictions)
        require_at_least(1, batch_size=self.batch_size)


def record_circuits(
    model: CircuitModel,
    store: TokenStore,
    out: Path,
    options: RecordingOptions,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Record:
    """Records the circuits of a store's documents in the folder `out`, there whole or not at all.

    `store` must be of the model's tokenizer (`sgatlin.eval.command.store_for` sees to that). At
    least `options.tokens` positions are recorded, of whole documents, or all that the store has.
    `progress` is told how many positions are done, and how many there will be.

    Raises:
      UserError: when `out` is there already, the store holds no positions or ids outside of the
        vocabulary, or the record cannot be written.
    """
    if options.predictions > model.tokenizer.vocab_size:
        raise UserError(
            f"predictions={options.predictions}: {model.name} has {model.tokenizer.vocab_size} "
            "tokens to predict"
        )
    check_out(out, replace=options.replace)
    chosen = choose_documents(store, model.seq_len, options.tokens)
    if chosen.n_positions < 1:
        raise UserError(f"{store.path} has no positions to record: its documents have no tokens")
    recorder = Recorder(
        model,
        n_predictions=options.predictions,
        activations=options.activations,
        batch_size=options.batch_size,
    )
    n_ids = model.tokenizer.vocab_size
    texts = pa.array([model.token_text(token) for token in range(n_ids)])
    with _made_whole(out) as partial:
        shards: list[Shard] = []
        documents = documents_of(model, store, chosen.n_documents)
        for shard in recorder.shards(documents, lambda n: progress(n, chosen.n_positions)):
            with _told(out):
                number, n_neurons = len(shards), model.layer.n_neurons
                shards.append(write_shard(partial, number, shard, texts, n_neurons=n_neurons))
        with _told(out):
            manifest = _manifest(model, store, options, chosen, shards)
            write_atomically(partial / MANIFEST, manifest.to_json())
    return Record.open(out)


def check_out(out: Path, *, replace: bool) -> None:
    """UserError if a record cannot be put at `out`: only another record is ever replaced."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not is_record(out):
        raise UserError(f"{out} exists and is no record: choose another --out")
    if not replace:
        raise UserError(f"{out} holds a record already: choose another --out, or --replace it")


class Chosen(NamedTuple):
    """Which documents of a store are recorded."""

    n_documents: int
    """Evenly spaced over the store."""
    n_positions: int
    """Of all of them, as far as they are read."""
    n_sequences: int
    """Of them those that have positions."""
    n_cut: int
    """Of them those longer than the context."""


def choose_documents(store: TokenStore, context: int, tokens: int) -> Chosen:
    """The fewest evenly spaced documents that have `tokens` positions, or all of the store's."""
    lengths = np.concatenate(
        [
            store.document_lengths(start, min(start + _LENGTHS_AT_ONCE, store.n_documents))
            .clip(max=context + 1)
            .astype(np.int32)
            for start in range(0, store.n_documents, _LENGTHS_AT_ONCE)
        ]
    )

    def choice(n_documents: int) -> Chosen:
        of_chosen = lengths[np.asarray(evenly_spaced(n_documents, len(lengths)))]
        n_positions = int(of_chosen.clip(max=context).sum(dtype=np.int64)) - n_documents
        n_cut = int((of_chosen > context).sum())
        return Chosen(n_documents, n_positions, int((of_chosen > 1).sum()), n_cut)

    most = 1
    while most < store.n_documents and choice(most).n_positions < tokens:
        most = min(2 * most, store.n_documents)
    least = most // 2 + 1
    fewer = range(least, most)
    return choice(least + bisect_left(fewer, tokens, key=lambda n: choice(n).n_positions))


def _manifest(
    model: CircuitModel,
    store: TokenStore,
    options: RecordingOptions,
    chosen: Chosen,
    shards: Sequence[Shard],
) -> RecordManifest:
    layer = model.layer
    return RecordManifest(
        run=str(model.loaded.run.path),
        step=model.loaded.step,
        tokenizer_hash=model.tokenizer.hash,
        store=str(store.path),
        n_layers=model.n_layers,
        n_channels=layer.n_channels,
        n_neurons=layer.n_neurons,
        top_k=layer.top_k,
        group=layer.group,
        shared_pool=layer.shared_pool,
        has_activations=options.activations,
        n_predictions=options.predictions,
        context=model.seq_len,
        n_positions=chosen.n_positions,
        n_sequences=chosen.n_sequences,
        n_cut=chosen.n_cut,
        shards=tuple(shards),
    )


@contextlib.contextmanager
def _made_whole(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out`, which takes its place at the end; nothing stays if it fails.

    A record that is there already goes when the new one is complete.
    """
    with _told(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".partial"))
    try:
        new, old = partial / "new", partial / "old"
        new.mkdir()
        yield new
        with _told(out):
            if is_record(out):
                out.rename(old)
            try:
                new.rename(out)
            except OSError:
                if old.exists():
                    old.rename(out)
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def _told(out: Path) -> Iterator[None]:
    """Turns what the disk says into one line."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = str(error).partition("\n")[0] if number is None else os.strerror(number)
        raise UserError(
            f"cannot write {out}: {reason}: make room, or choose another --out"
        ) from None
