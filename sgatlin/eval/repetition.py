# SPDX-License-Identifier: Apache-2.0
"""How repetitive held-out documents are, and a model's loss by quarter of repetition.

A model that copies from its context gains on repetitive documents; one that does not copy loses
there. A mean over all documents does not show which of the two sets a gap between models.

G documents, or groups of them (`eval.documents`).
"""

import itertools
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from sgatlin.eval.documents import document_groups
from sgatlin.input.store import TokenStore

MAX_DISTANCE = 800
"""Words: a bigram counts as repeated if it last occurred at most so many words before."""
N_QUARTERS = 4

_WORD = re.compile(r"\w+|[^\w\s]")
# By the hashes of what they were computed from: the runs of a study share their held-out text.
_COMPUTED: dict[tuple[str, ...], Float64[np.ndarray, " G"]] = {}


class QuarterLosses(NamedTuple):
    """Losses by quarter of repetition, the least repetitive first."""

    nats: tuple[float | None, ...]
    """Per token; None where a quarter holds no document, as it may with less than a few."""
    tokens: tuple[int, ...]


def repetition(text: str) -> float:
    """Share of a document's word bigrams that are repeated, from 0 to 1.

    Words are runs of letters, digits and underscores, and all other characters but white space one
    by one; case is kept. The bigram of words i - 1 and i is repeated if the same two words also
    stood at j - 1 and j of this document with 0 < i - j <= MAX_DISTANCE: so the first occurrence of
    a bigram never is. A document of fewer than two words has 0.
    """
    words = _WORD.findall(text)
    if len(words) < 2:
        return 0.0
    last: dict[tuple[str, str], int] = {}
    n_repeated = 0
    for place, bigram in enumerate(itertools.pairwise(words)):
        before = last.get(bigram)
        n_repeated += before is not None and place - before <= MAX_DISTANCE
        last[bigram] = place
    return n_repeated / (len(words) - 1)


def store_repetition(store: TokenStore) -> Float64[np.ndarray, " G"]:
    """The repetition of each document of a store, computed once in a process.

    Of a store whose documents are taken in groups, the mean of each group, weighted by tokens.
    """
    group_N = document_groups(store)
    n_groups = int(group_N[-1]) + 1
    files = (file for shard in store.shards for file in (shard.tokens, shard.documents))
    key = (store.tokenizer_hash, str(n_groups), *(file.sha256 for file in files))
    if key not in _COMPUTED:
        tokenizer = store.tokenizer()
        documents = (store.document(index).tolist() for index in range(store.n_documents))
        repetition_N = np.array([repetition(tokenizer.decode(ids)) for ids in documents])
        tokens_N = store.document_lengths(0, store.n_documents)
        tokens_G = np.bincount(group_N, tokens_N)
        _COMPUTED[key] = np.bincount(group_N, repetition_N * tokens_N) / tokens_G
    return _COMPUTED[key]


def quarters(
    repetition_G: Float64[np.ndarray, " G"], tokens_G: Int64[np.ndarray, " G"]
) -> Int64[np.ndarray, " G"]:
    """The quarter of each document, 0 to 3 from the least repetitive, of nearly equal tokens.

    Documents are sorted by repetition, equal ones in their order, and laid end to end; each is of
    the quarter of all tokens that its middle falls into. None is divided.
    """
    order = np.argsort(repetition_G, kind="stable")
    ends = np.cumsum(tokens_G[order])
    # Twice the middle, in whole numbers: what falls on a border goes to the later quarter.
    middles = 2 * ends - tokens_G[order]
    quarter_G = np.empty(len(order), np.int64)
    quarter_G[order] = np.minimum(N_QUARTERS * middles // (2 * ends[-1]), N_QUARTERS - 1)
    return quarter_G


def quarter_losses(
    store: TokenStore, nats: Sequence[float], tokens: Sequence[int]
) -> QuarterLosses:
    """A model's loss in each quarter, from its sums over each document of `DocumentLosses`."""
    tokens_G = np.asarray(tokens, np.int64)
    quarter_G = quarters(store_repetition(store), tokens_G)
    nats_Q = np.bincount(quarter_G, nats, minlength=N_QUARTERS)
    tokens_Q = np.bincount(quarter_G, tokens_G, minlength=N_QUARTERS).astype(np.int64)
    pairs = zip(nats_Q.tolist(), tokens_Q.tolist(), strict=True)
    return QuarterLosses(
        tuple(total / n_tokens if n_tokens else None for total, n_tokens in pairs),
        tuple(tokens_Q.tolist()),
    )
