# SPDX-License-Identifier: Apache-2.0
"""Documents through a model, and what it computes of them, gathered shard by shard.

Documents of a shard are sorted by length, so that batches need little padding, and their results
put back in order; a batch is read while the next one is computed.

B batch, T time, V vocabulary, L layers, C channels, K chosen, M predictions, S places of a batch
(B * T), p of them positions, n positions of a shard.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int, Int32, Int64, Integer

from sgatlin.circuits.largest import largest
from sgatlin.circuits.model import CircuitModel, circuit_layer, trace
from sgatlin.circuits.shards import ShardArrays, index_dtype
from sgatlin.errors import UserError
from sgatlin.input.evaluation import document_batches
from sgatlin.input.store import TokenStore
from sgatlin.nn.transformer import TransformerConfig
from sgatlin.ops.platform import platform

SHARD_POSITIONS = 1 << 16
"""Positions of a shard, about: it ends with the document that reaches them."""
SHARD_BYTES = 1 << 28
"""A shard of wide circuits has fewer positions: its arrays are held until it is written."""
BATCH_NUMBERS = 1 << 24
"""Logits or gates of a batch, whichever is more: batches of large models have fewer documents."""
# Batches are as long as their longest document, in steps. Each length is a program: on a GPU to
# compile one takes longer than it computes in a minute.
_LENGTHS = {"cpu": 8}
# Of a chosen neuron: its number, score and activation.
_BYTES = 12
# Documents that are read from the store at a time.
_READ_AT_ONCE = 16


def batch_size_for(model: CircuitModel) -> int:
    """Documents of a batch whose logits, or gates, are some `BATCH_NUMBERS`; 64 at most."""
    layer = model.layer
    gates = model.n_layers * layer.n_channels * layer.top_k
    return max(1, min(64, BATCH_NUMBERS // (model.seq_len * max(model.config.vocab_size, gates))))


class Document(NamedTuple):
    """What the model reads of a document, from bos on, and what comes after each token."""

    number: int
    inputs_T: Int32[np.ndarray, " T"]
    targets_T: Int32[np.ndarray, " T"]

    @property
    def n_positions(self) -> int:
        return len(self.inputs_T) - 1


def documents_of(model: CircuitModel, store: TokenStore, n_documents: int) -> Iterator[Document]:
    """So many documents, evenly spaced over the store; none without tokens.

    Raises:
      UserError: when one holds ids that the model's tokenizer does not have.
    """
    n_ids = model.tokenizer.vocab_size
    batches = document_batches(
        store, batch_size=_READ_AT_ONCE, seq_len=model.seq_len, max_documents=n_documents
    )
    for batch in batches:
        for row, end in enumerate(batch.weights_BT.astype(bool).sum(1).tolist()):
            if end < 2:  # padding, or bos alone
                continue
            number = int(batch.example_ids_B[row])
            inputs_T, targets_T = batch.inputs_BT[row, :end], batch.targets_BT[row, :end]
            if max(inputs_T.max(), targets_T.max()) >= n_ids:
                raise UserError(
                    f"document {number} of {store.path} holds ids outside the vocabulary: "
                    "`sgatlin data verify` tells which files are damaged"
                )
            yield Document(number, inputs_T.copy(), targets_T.copy())


class _Outputs(NamedTuple):
    """What the model computes of a batch's places; gates are in the order of their row groups."""

    indices: Integer[Array, "L C S K"]
    scores: Float32[Array, "L C S K"]
    activations: Float32[Array, "L C S K"] | None
    predictions: Int32[Array, "S M"]
    probabilities: Float32[Array, "S M"]


class _Batch(NamedTuple):
    """Documents of a shard, of about one length."""

    shard: ShardArrays
    tokens_BT: Int32[np.ndarray, "B T"]
    kept_p: Int64[np.ndarray, " p"]
    """The batch's places that are positions."""
    belong_p: Int64[np.ndarray, " p"]
    """Where in the shard each of them belongs."""
    is_last: bool
    """Of the shard."""


class Recorder:
    """Runs a model over documents."""

    def __init__(
        self,
        model: CircuitModel,
        *,
        n_predictions: int,
        activations: bool,
        batch_size: int | None = None,
    ):
        self._model = model
        self._n_predictions = n_predictions
        self._activations = activations
        self._batch_size = batch_size or batch_size_for(model)

    def shards(
        self, documents: Iterable[Document], progress: Callable[[int], None]
    ) -> Iterator[ShardArrays]:
        """Each shard when it is complete; `progress` is told how many positions are done."""
        n_done = 0
        pending: list[tuple[_Batch, _Outputs]] = []
        # A batch is read when the next one is on its way; after the last one comes none.
        for batch in itertools.chain(self._batches(documents), [None]):
            if batch is not None:
                pending.append((batch, self._dispatch(batch)))
            if len(pending) > (batch is not None):
                before, outputs = pending.pop(0)
                _gather(before, outputs)
                n_done += len(before.kept_p)
                progress(n_done)
                if before.is_last:
                    yield before.shard

    def _dispatch(self, batch: _Batch) -> _Outputs:
        return _step(
            self._model.params,
            jnp.asarray(batch.tokens_BT),
            config=self._model.config,
            n_ids=self._model.tokenizer.vocab_size,
            n_predictions=self._n_predictions,
            activations=self._activations,
        )

    def _batches(self, documents: Iterable[Document]) -> Iterator[_Batch]:
        documents = iter(documents)
        while taken := self._of_shard(documents):
            starts = np.cumsum([0, *(document.n_positions for document in taken)])
            shard = self._empty(taken)
            by_length = sorted(range(len(taken)), key=lambda i: taken[i].n_positions)
            for first in range(0, len(taken), self._batch_size):
                rows = [
                    (taken[i], int(starts[i])) for i in by_length[first : first + self._batch_size]
                ]
                is_last = first + self._batch_size >= len(taken)
                yield self._batch(shard, rows, is_last=is_last)

    def _of_shard(self, documents: Iterator[Document]) -> list[Document]:
        n_gates = self._model.n_layers * self._model.layer.n_channels * self._model.layer.top_k
        most = min(SHARD_POSITIONS, max(1, SHARD_BYTES // (_BYTES * n_gates)))
        taken: list[Document] = []
        n = 0
        while n < most and (document := next(documents, None)) is not None:
            taken.append(document)
            n += document.n_positions
        return taken

    def _batch(
        self, shard: ShardArrays, rows: Sequence[tuple[Document, int]], *, is_last: bool
    ) -> _Batch:
        """Documents, with where in the shard each starts."""
        context = self._model.seq_len
        longest = max(len(document.inputs_T) for document, _ in rows)
        step = -(-context // _LENGTHS.get(platform(), 1))
        length = min(context, -(-longest // step) * step)
        tokens_BT = np.zeros((self._batch_size, length), np.int32)
        kept, belong = [], []
        for row, (document, start) in enumerate(rows):
            n = document.n_positions
            tokens_BT[row, : n + 1] = document.inputs_T
            kept.append(row * length + 1 + np.arange(n))
            belong.append(start + np.arange(n))
        return _Batch(shard, tokens_BT, np.concatenate(kept), np.concatenate(belong), is_last)

    def _empty(self, documents: Sequence[Document]) -> ShardArrays:
        """Of documents' tokens, and with room for what the model computes of them."""
        lengths = [document.n_positions for document in documents]
        n, layer = sum(lengths), self._model.layer
        gates = (self._model.n_layers, layer.n_channels, n, layer.top_k)
        return ShardArrays(
            sequence=np.repeat(np.array([one.number for one in documents], np.int64), lengths),
            position=np.concatenate([np.arange(1, m + 1, dtype=np.int32) for m in lengths]),
            token=np.concatenate([one.inputs_T[1:] for one in documents]),
            next_token=np.concatenate([one.targets_T[1:] for one in documents]),
            predictions=np.empty((n, self._n_predictions), np.int32),
            probabilities=np.empty((n, self._n_predictions), np.float32),
            indices=np.empty(gates, index_dtype(layer.n_neurons)),
            scores=np.empty(gates, np.float32),
            activations=np.empty(gates, np.float32) if self._activations else None,
        )


def _gather(batch: _Batch, outputs: _Outputs) -> None:
    """Waits for a batch, and puts what it has of positions where they belong in its shard."""
    for name, found in outputs._asdict().items():
        if found is not None:
            places = getattr(batch.shard, name)
            places[..., batch.belong_p, :] = np.asarray(found)[..., batch.kept_p, :]


@functools.partial(jax.jit, static_argnames=("config", "n_ids", "n_predictions", "activations"))
def _step(
    params: Any,
    tokens_BT: Int[Array, "B T"],
    *,
    config: TransformerConfig,
    n_ids: int,
    n_predictions: int,
    activations: bool,
) -> _Outputs:
    """What is recorded of a batch; predictions are of the `n_ids` first ids, the real ones."""
    seen = trace(config, params, tokens_BT)
    layer = circuit_layer(config)

    def by_channel(x_LBTCK: Array) -> Array:
        shape = (x_LBTCK.shape[0], -1, *x_LBTCK.shape[-2:])
        return jnp.swapaxes(x_LBTCK.reshape(shape), 1, 2)

    logits_SV = seen.logits[..., :n_ids].reshape(-1, n_ids).astype(jnp.float32)
    top_SM, predictions_SM = largest(logits_SV, n_predictions)
    total_S1 = jax.nn.logsumexp(logits_SV, axis=-1, keepdims=True)
    return _Outputs(
        indices=by_channel(seen.gates.indices.astype(index_dtype(layer.n_neurons))),
        scores=by_channel(seen.gates.scores.astype(jnp.float32)),
        activations=by_channel(seen.z.astype(jnp.float32)) if activations else None,
        predictions=predictions_SM,
        probabilities=jnp.exp(top_SM - total_S1),
    )
