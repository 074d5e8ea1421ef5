# SPDX-License-Identifier: Apache-2.0
"""A bigram model, the bar that any language model has to clear."""

import math
from collections.abc import Iterable

import numpy as np

from sgatlin.input.store import TokenStore
from sgatlin.input.windows import Batch


def bigram_perplexity(train: TokenStore, batches: Iterable[Batch]) -> float:
    """Perplexity on the targets of `batches` of a bigram model counted on all of `train`.

    Witten-Bell smoothing (Witten and Bell 1991), which has no parameter to choose: after a token a
    seen n(a) times and followed by t(a) different tokens,

        p(b | a) = (n(a, b) + t(a) * p(b)) / (n(a) + t(a)),    p(b) = (n(b) + 1) / (n + V).
    """
    size = train.vocab_size
    tokens = np.asarray(train.slice(0, train.n_tokens), np.int64)
    codes, counts = np.unique(tokens[:-1] * size + tokens[1:], return_counts=True)
    followers = np.bincount(codes // size, minlength=size)
    seen = np.bincount(tokens[:-1], minlength=size)
    unigram = (np.bincount(tokens, minlength=size) + 1) / (len(tokens) + size)

    total, n_tokens = 0.0, 0
    for batch in batches:
        counted = batch.weights_BT > 0
        first, second = batch.inputs_BT[counted], batch.targets_BT[counted]
        pair = first.astype(np.int64) * size + second
        at = np.minimum(np.searchsorted(codes, pair), len(codes) - 1)
        together = np.where(codes[at] == pair, counts[at], 0)
        backoff = np.where(seen[first] > 0, followers[first], 1)
        p = (together + backoff * unigram[second]) / (seen[first] + backoff)
        total -= float(np.log(p).sum())
        n_tokens += len(p)
    return math.exp(total / n_tokens)
