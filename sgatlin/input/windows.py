# SPDX-License-Identifier: Apache-2.0
"""Windows of a token store, and the batches that they are stacked into.

B batch, T time (`seq_len`).
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, Int64

from sgatlin.errors import UserError, require_at_least
from sgatlin.input.store import TokenStore

PADDING_ID = -1
# Of what `check_vocabulary` looks at in one go.
_CHUNK_TOKENS = 1 << 22


class Batch(NamedTuple):
    """What a step reads; the weight is 0 where there is only padding, else 1."""

    inputs_BT: Int32[np.ndarray, "B T"]
    targets_BT: Int32[np.ndarray, "B T"]  # the token after each input
    weights_BT: Float32[np.ndarray, "B T"]
    example_ids_B: Int64[np.ndarray, " B"]  # number of the window or document, or PADDING_ID
    segments_BT: Int32[np.ndarray, "B T"] | None = None  # `segments` of the inputs, if asked for

    def model_inputs(self) -> tuple[np.ndarray, ...]:
        """What goes to the device: inputs, targets, weights, and segments if there are any."""
        arrays = (self.inputs_BT, self.targets_BT, self.weights_BT)
        return arrays if self.segments_BT is None else (*arrays, self.segments_BT)


class Windows:
    """Random access to a store cut into windows of seq_len + 1 tokens, one every seq_len tokens.

    Neighbours share one token, so that every token but the first is a target exactly once; what is
    left over at the end of the store is not used.

    Raises:
      UserError: when the store does not hold one window; it calls the store `name`, or its path.
    """

    def __init__(self, store: TokenStore, seq_len: int, *, name: str | None = None):
        require_at_least(1, seq_len=seq_len)
        if store.n_tokens < seq_len + 1:
            raise UserError(
                f"seq_len={seq_len} is longer than the data: {name or store.path} has "
                f"{store.n_tokens} tokens, so at most seq_len={store.n_tokens - 1}"
            )
        self.store = store
        self.seq_len = seq_len

    def __len__(self) -> int:
        return (self.store.n_tokens - 1) // self.seq_len

    def __getitem__(self, index: int) -> np.ndarray:
        """The tokens of one window: the store's `dtype`, read-only, (seq_len + 1,)."""
        start = index * self.seq_len
        return self.store.slice(start, start + self.seq_len + 1)

    def check(self, index: int) -> None:
        """UserError, naming file and window, if a token is not of the store's vocabulary."""
        start = index * self.seq_len
        _check_slice(self.store, start, self[index], where=f" in window {index}")


def stacked(windows: np.ndarray, example_ids_B: np.ndarray, *, bos_id: int | None) -> Batch:
    """A batch of whole windows (B, T + 1); with segments if the id of bos is given."""
    inputs_BT = windows[:, :-1].astype(np.int32)
    return Batch(
        inputs_BT=inputs_BT,
        targets_BT=windows[:, 1:].astype(np.int32),
        weights_BT=np.ones(inputs_BT.shape, dtype=np.float32),
        example_ids_B=example_ids_B,
        segments_BT=None if bos_id is None else segments(inputs_BT, bos_id),
    )


def segments(inputs_BT: Int32[np.ndarray, "B T"], bos_id: int) -> Int32[np.ndarray, "B T"]:
    """Which document of its window each token is of: how many bos there are up to it."""
    return np.cumsum(inputs_BT == bos_id, axis=-1, dtype=np.int32)


def first_bos(store: TokenStore) -> int:
    """The id of bos: every document begins with it, and so does a store."""
    return int(store.slice(0, 1)[0])


def evenly_spaced(n_chosen: int, n_all: int) -> Sequence[int]:
    """`n_chosen` of 0..n_all-1 in order, each the middle one of an equal share; at most all."""
    if n_chosen >= n_all:
        return range(n_all)
    return [(2 * i + 1) * n_all // (2 * n_chosen) for i in range(n_chosen)]


def check_vocabulary(store: TokenStore, *, max_tokens: int = 1 << 30) -> None:
    """Looks for ids outside of the store's vocabulary: in all tokens, up to `max_tokens`.

    Of a longer store, as many in evenly spaced chunks of 4 Mi. What is missed is found when
    training reads its window.

    Raises:
      UserError: naming the file and the first id in it that cannot be.
    """
    n_chunks = -(-store.n_tokens // _CHUNK_TOKENS)
    for chunk in evenly_spaced(max(1, max_tokens // _CHUNK_TOKENS), n_chunks):
        start = chunk * _CHUNK_TOKENS
        stop = min(start + _CHUNK_TOKENS, store.n_tokens)
        _check_slice(store, start, store.slice(start, stop))


def _check_slice(store: TokenStore, start: int, tokens: np.ndarray, where: str = "") -> None:
    """UserError about the first of `tokens`, read from position `start`, that cannot be."""
    if tokens.max() < store.vocab_size:
        return
    first = int(np.argmax(tokens >= store.vocab_size))
    raise UserError(
        f"{_file_at(store, start + first)} holds token {tokens[first]}{where}, outside the "
        f"vocabulary of {store.vocab_size}: it is damaged, prepare or copy {store.path} again "
        f"(`sgatlin data verify {store.path}` names all that is)"
    )


def _file_at(store: TokenStore, position: int) -> Path:
    """The file that holds the token at a position of the store."""
    ends = list(accumulate(shard.n_tokens for shard in store.shards))
    return store.path / store.shards[bisect_right(ends, position)].tokens.file
