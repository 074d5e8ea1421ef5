# SPDX-License-Identifier: Apache-2.0
"""A loss over windows of a store, told apart by the documents that its tokens are of.

What varies between held-out texts varies by document: intervals and paired comparisons of models
need the loss of each.

B batch, T time.
"""

import numpy as np
from jaxtyping import Float, Int64

from sgatlin.input.store import TokenStore
from sgatlin.input.windows import Batch

MAX_GROUPS = 1024
"""Documents of a larger store are taken together, neighbours in groups of nearly equal number."""


def document_groups(store: TokenStore) -> Int64[np.ndarray, " N"]:
    """The group of each of a store's N documents: up to MAX_GROUPS of them its own number."""
    n_groups = min(MAX_GROUPS, store.n_documents)
    return np.arange(store.n_documents) * n_groups // store.n_documents


class DocumentLosses:
    """Sums of the loss by document: of a store up to MAX_GROUPS of them, else of groups.

    A token counts for the document that it is of; its bos, which ends the one before, too.
    """

    def __init__(self, store: TokenStore, seq_len: int):
        self._seq_len = seq_len
        self._ends_N = np.cumsum(store.document_lengths(0, store.n_documents))
        self._group_N = document_groups(store)
        n_groups = int(self._group_N[-1]) + 1
        self.nats = np.zeros(n_groups)
        self.tokens = np.zeros(n_groups, np.int64)

    def add(self, batch: Batch, nats_BT: Float[np.ndarray, "B T"]) -> None:
        """A batch of `eval_batches` and each token's loss in nats, 0 where its weight is."""
        counted_BT = batch.weights_BT > 0
        # The target after the input at t is token t + 1 of the window.
        within_T = np.arange(1, self._seq_len + 1)
        positions_BT = batch.example_ids_B[:, None] * self._seq_len + within_T
        document = np.searchsorted(self._ends_N, positions_BT[counted_BT], side="right")
        group = self._group_N[document]
        self.nats += np.bincount(group, nats_BT[counted_BT], minlength=len(self.nats))
        self.tokens += np.bincount(group, minlength=len(self.tokens))

    def to_json(self) -> dict[str, list[float] | list[int]]:
        """Nats, to two decimals, and tokens of each."""
        return {"nats": self.nats.round(2).tolist(), "tokens": self.tokens.tolist()}
