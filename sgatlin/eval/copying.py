# SPDX-License-Identifier: Apache-2.0
"""How well a model copies from its context: the loss on a random span that comes twice.

A row is bos, a span of L = T // 2 random tokens, and the same span again. Nothing but the first
occurrence predicts the second, so a model that does not copy has about the same loss on both. The
measure is that of Olsson et al. 2022, "In-context Learning and Induction Heads" (arXiv 2209.11895).

B batch, T time, L span, V vocabulary. Losses are in nats per token.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

from sgatlin.eval.loss import EvalStep
from sgatlin.input.store import TokenStore
from sgatlin.input.windows import PADDING_ID, Batch, evenly_spaced, first_bos, segments
from sgatlin.mesh import Feed

MAX_SKIPPED = 4
"""Tokens at the start of a span that do not count. The first has no token of its span before it,
so nothing says that the span begins again; the next few have a context so short that it often
occurs elsewhere in the span too."""

_SEED = 0
_CHUNK_TOKENS = 1 << 16
_MAX_CHUNKS = 64


class CopyLoss(NamedTuple):
    """Mean losses on the same tokens, in nats per token."""

    first: float
    """Where the span occurs for the first time."""
    second: float
    """Where it is repeated."""

    @property
    def score(self) -> float:
        """The copy score: nats per token that the first occurrence saves the second."""
        return self.first - self.second

    def metrics(self) -> dict[str, float]:
        """All three, as a run's result names them."""
        return {
            "copy_score": self.score,
            "copy_first_loss": self.first,
            "copy_second_loss": self.second,
        }


def span_length(seq_len: int) -> int:
    """L, in tokens."""
    return seq_len // 2


def n_skipped(seq_len: int) -> int:
    """Tokens at the start of each span that do not count: MAX_SKIPPED, or half of a short span."""
    return min(MAX_SKIPPED, span_length(seq_len) // 2)


def copying_batch(
    store: TokenStore, *, batch_size: int, seq_len: int, document_boundaries: bool = False
) -> Batch | None:
    """A batch of repeated spans, the same for every run on this store with this shape.

    Tokens are drawn independently from the unigram distribution of `store`, without bos. The
    weight is 1 on the counted tokens of both occurrences and 0 elsewhere.

    Returns None where no token could count: `seq_len` is below 4, or the store has no text.
    """
    n_span, skipped = span_length(seq_len), n_skipped(seq_len)
    bos_id = first_bos(store)
    counts_V = _unigram_counts(store)
    counts_V[bos_id] = 0
    if skipped == 0 or not counts_V.any():
        return None
    rng = np.random.default_rng(_SEED)
    p_V = counts_V / counts_V.sum()
    span_BL = rng.choice(len(p_V), size=(batch_size, n_span), p=p_V)
    # An odd T has one token more, of weight 0.
    tokens = np.concatenate(
        [np.full((batch_size, 1), bos_id), span_BL, span_BL, span_BL[:, :1]], axis=1
    )[:, : seq_len + 1].astype(np.int32)
    weights_BT = np.zeros((batch_size, seq_len), np.float32)
    weights_BT[:, skipped:n_span] = 1
    weights_BT[:, n_span + skipped : 2 * n_span] = 1
    inputs_BT = tokens[:, :-1]
    return Batch(
        inputs_BT=inputs_BT,
        targets_BT=tokens[:, 1:],
        weights_BT=weights_BT,
        example_ids_B=np.full(batch_size, PADDING_ID, np.int64),
        segments_BT=segments(inputs_BT, bos_id) if document_boundaries else None,
    )


def copy_loss(
    eval_step: EvalStep, params: Any, batch: Batch, *, feed: Feed | None = None
) -> CopyLoss:
    """The losses of a model on a batch of `copying_batch`, with the program of `evaluate`.

    `feed` puts the batch onto a mesh: every process has all of its rows.
    """
    arrays: tuple[Any, ...] = batch.model_inputs()
    if feed is not None:
        arrays = feed.put(*(array[feed.rows] for array in arrays))
    nats_BT = np.asarray(eval_step(params, *arrays), np.float64)
    n_span = span_length(nats_BT.shape[1])
    # Weights have made the tokens that do not count 0.
    n_counted = batch.weights_BT[:, :n_span].sum(dtype=np.float64)
    first = nats_BT[:, :n_span].sum() / n_counted
    second = nats_BT[:, n_span : 2 * n_span].sum() / n_counted
    return CopyLoss(float(first), float(second))


def _unigram_counts(store: TokenStore) -> Int64[np.ndarray, " V"]:
    """How often each id occurs: in the whole store, or in evenly spaced chunks of a large one."""
    counts_V = np.zeros(store.vocab_size, np.int64)
    for chunk in evenly_spaced(_MAX_CHUNKS, -(-store.n_tokens // _CHUNK_TOKENS)):
        start = chunk * _CHUNK_TOKENS
        tokens = store.slice(start, min(start + _CHUNK_TOKENS, store.n_tokens))
        counts_V += np.bincount(tokens, minlength=store.vocab_size)
    return counts_V
