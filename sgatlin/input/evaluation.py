# SPDX-License-Identifier: Apache-2.0
"""Batches for evaluation, once and in order: a store cut into windows, or document by document.

All batches have one shape: short rows, and the last batch, are padded with weight 0.

B batch, T time (`seq_len`).
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from sgatlin.errors import UserError
from sgatlin.input.store import TokenStore
from sgatlin.input.windows import PADDING_ID, Batch, evenly_spaced, first_bos, segments


class _Row(NamedTuple):
    """Tokens of which every one but the first is predicted; at most seq_len + 1."""

    example_id: int
    tokens: np.ndarray


def eval_batches(
    store: TokenStore,
    *,
    batch_size: int,
    seq_len: int,
    max_tokens: int | None = None,
    document_boundaries: bool = False,
) -> Iterator[Batch]:
    """The store as windows, every token but the first predicted exactly once.

    Args:
      max_tokens: predict at most so many tokens: those of whole windows, at least of one, evenly
        spaced over the store (each the middle one of an equal share), so that a set of the store is
        seen in proportion to its size. None takes all.
      document_boundaries: batches carry segments.

    Raises:
      UserError: when nothing is to be predicted.
    """
    n_targets = store.n_tokens - 1
    if min(n_targets, batch_size, seq_len, 1 if max_tokens is None else max_tokens) < 1:
        raise UserError(
            f"nothing to evaluate: batch_size={batch_size}, seq_len={seq_len}, "
            f"max_tokens={max_tokens}, {store.path} has {store.n_tokens} tokens"
        )
    windows: Iterable[int] = range(-(-n_targets // seq_len))
    if max_tokens is not None and max_tokens < n_targets:
        n_whole = max(1, n_targets // seq_len)
        windows = evenly_spaced(max(1, max_tokens // seq_len), n_whole)
    rows = (
        _Row(index, store.slice(start, min(start + seq_len + 1, store.n_tokens)))
        for index, start in ((index, index * seq_len) for index in windows)
    )
    bos_id = first_bos(store) if document_boundaries else None
    return _padded_batches(rows, batch_size, seq_len, bos_id=bos_id)


def document_batches(
    store: TokenStore, *, batch_size: int, seq_len: int, max_documents: int | None = None
) -> Iterator[Batch]:
    """Every document by itself, from its bos: its first `seq_len` tokens are predicted.

    Where a document has fewer, its end is predicted too, as the bos of a next one: that is how a
    model says that it has nothing to add. So each token of a document that fits counts once, the
    end included; example ids are numbers of documents.

    Args:
      max_documents: take at most so many, evenly spaced over the store; None takes all.

    Raises:
      UserError: when nothing is to be predicted.
    """
    if min(batch_size, seq_len, 1 if max_documents is None else max_documents) < 1:
        raise UserError(
            f"nothing to evaluate: batch_size={batch_size}, seq_len={seq_len}, "
            f"max_documents={max_documents}"
        )
    n_chosen = store.n_documents if max_documents is None else max_documents
    bos_id = first_bos(store)
    rows = (
        _Row(index, np.append(store.document(index)[: seq_len + 1], bos_id)[: seq_len + 1])
        for index in evenly_spaced(n_chosen, store.n_documents)
    )
    return _padded_batches(rows, batch_size, seq_len, bos_id=None)


def _padded_batches(
    rows: Iterable[_Row], batch_size: int, seq_len: int, *, bos_id: int | None
) -> Iterator[Batch]:
    """Rows in batches; with segments if the id of bos is given."""
    rows = iter(rows)
    while chunk := list(itertools.islice(rows, batch_size)):
        inputs_BT = np.zeros((batch_size, seq_len), dtype=np.int32)
        targets_BT = np.zeros_like(inputs_BT)
        weights_BT = np.zeros_like(inputs_BT, dtype=np.float32)
        example_ids_B = np.full(batch_size, PADDING_ID, dtype=np.int64)
        for row, (example_id, tokens) in enumerate(chunk):
            n_targets = len(tokens) - 1
            inputs_BT[row, :n_targets] = tokens[:-1]
            targets_BT[row, :n_targets] = tokens[1:]
            weights_BT[row, :n_targets] = 1.0
            example_ids_B[row] = example_id
        segments_BT = None if bos_id is None else segments(inputs_BT, bos_id)
        yield Batch(inputs_BT, targets_BT, weights_BT, example_ids_B, segments_BT)
