# SPDX-License-Identifier: Apache-2.0
"""Batches of token windows from a store: endless and shuffled, or once and in order.

B batch, T time (`seq_len`). The unit of position is one example, that is one window; the place in
the stream is a single count of examples consumed, the same for every process count.
"""

import functools
import sys
from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple

import grain
import numpy as np
from grain.experimental import index_shuffle
from jaxtyping import Float32, Int32, Int64

from sgatlin.errors import UserError
from sgatlin.input.store import TokenStore

PADDING_ID = -1
# Grain's own shuffle takes 4 rounds, whose permutations of neighbouring positions and of
# neighbouring seeds are correlated by -0.1; with 8 no correlation is left.
_SHUFFLE_ROUNDS = 8


class Batch(NamedTuple):
    """What a step reads; the weight is 0 where there is only padding, else 1."""

    inputs_BT: Int32[np.ndarray, "B T"]
    targets_BT: Int32[np.ndarray, "B T"]  # the token after each input
    weights_BT: Float32[np.ndarray, "B T"]
    example_ids_B: Int64[np.ndarray, " B"]  # number of the window in its store, or PADDING_ID


class Windows:
    """Random access to a store cut into windows of seq_len + 1 tokens, one every seq_len tokens.

    Neighbours share one token, so that every token but the first is a target exactly once; what is
    left over at the end of the store is not used.

    Raises:
      UserError: when the store does not hold one window.
    """

    def __init__(self, store: TokenStore, seq_len: int):
        if seq_len < 1:
            raise UserError(f"seq_len={seq_len} must be at least 1")
        if store.n_tokens < seq_len + 1:
            raise UserError(
                f"seq_len={seq_len} is longer than the data: {store.path} has {store.n_tokens} "
                f"tokens, so at most seq_len={store.n_tokens - 1}"
            )
        self._store = store
        self._seq_len = seq_len

    def __len__(self) -> int:
        return (self._store.n_tokens - 1) // self._seq_len

    def __getitem__(
        self, index: int
    ) -> tuple[Int32[np.ndarray, " T"], Int32[np.ndarray, " T"], np.int64]:
        """Inputs, targets and id of one window."""
        batch = self.batch([index])
        return batch.inputs_BT[0], batch.targets_BT[0], batch.example_ids_B[0]

    def batch(self, indices: Sequence[int]) -> Batch:
        """The windows of these numbers, in this order."""
        windows = np.empty((len(indices), self._seq_len + 1), dtype=self._store.dtype)
        for row, index in enumerate(indices):
            start = index * self._seq_len
            windows[row] = self._store.slice(start, start + self._seq_len + 1)
        return Batch(
            inputs_BT=windows[:, :-1].astype(np.int32),
            targets_BT=windows[:, 1:].astype(np.int32),
            weights_BT=np.ones((len(indices), self._seq_len), dtype=np.float32),
            example_ids_B=np.array(indices, dtype=np.int64),
        )


class _ShuffledBatches:
    """Random access to the endless stream of training batches: what Grain reads from.

    A whole batch per item, because Grain's overhead per item (20 us) exceeds the copying of a
    window; a shuffle that is a function of the position, so that any place is reached in O(1).
    """

    def __init__(self, windows: Windows, *, seed: int, first_example: int, stride: int, rows: int):
        """Item i holds `rows` examples of the stream from `first_example + i * stride`."""
        self._windows = windows
        self._seed = seed
        self._first_example = first_example
        self._stride = stride
        self._rows = rows

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, index: int) -> Batch:
        start = self._first_example + index * self._stride
        n_windows = len(self._windows)
        return self._windows.batch(
            [
                shuffled_window(position, n_windows=n_windows, seed=self._seed)
                for position in range(start, start + self._rows)
            ]
        )


def shuffled_window(position: int, *, n_windows: int, seed: int) -> int:
    """The window at a position of the endless stream: in each epoch each window once."""
    epoch, index = divmod(position, n_windows)
    return index_shuffle(
        index, max_index=n_windows - 1, seed=_epoch_seed(seed, epoch), rounds=_SHUFFLE_ROUNDS
    )


@functools.lru_cache(maxsize=16)
def _epoch_seed(seed: int, epoch: int) -> int:
    # Hashed together: with a sum, epoch 1 of one seed would be epoch 0 of the next.
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])


def train_batches(
    store: TokenStore,
    *,
    batch_size: int,
    seq_len: int,
    seed: int,
    start_example: int = 0,
    prefetch: int = 2,
    process_index: int = 0,
    process_count: int = 1,
) -> Generator[Batch, None, None]:
    """Endless training batches; each epoch has every window exactly once, in an order of its own.

    A batch may straddle two epochs. Starting at `start_example=k` gives what an uninterrupted
    iterator gives after k examples. Every process gets its rows of each global batch, in order of
    `process_index`: batch_size / process_count of them.

    Args:
      seed: with the number of the epoch, determines the order.
      prefetch: batches that a background thread reads ahead; 0 reads in the caller's thread.

    Returns:
      An iterator; `close()`, or the garbage collector, ends its thread.

    Raises:
      UserError: when the store is shorter than a window or than a batch, or a batch cannot be
        shared equally.
    """
    windows = Windows(store, seq_len)
    if not 1 <= batch_size <= len(windows):
        raise UserError(
            f"batch_size={batch_size} must be in 1..{len(windows)}, the number of windows of "
            f"seq_len={seq_len} in {store.path}"
        )
    if batch_size % process_count:
        raise UserError(f"batch_size={batch_size} cannot be shared by {process_count} processes")
    if seed < 0:
        raise UserError(f"seed={seed} must not be negative")
    rows = batch_size // process_count
    batches = _ShuffledBatches(
        windows,
        seed=seed,
        first_example=start_example + process_index * rows,
        stride=batch_size,
        rows=rows,
    )
    options = grain.ReadOptions(num_threads=min(prefetch, 1), prefetch_buffer_size=prefetch)
    return _closing(grain.MapDataset.source(batches).to_iter_dataset(options))


def eval_batches(
    store: TokenStore, *, batch_size: int, seq_len: int, max_tokens: int | None = None
) -> Iterator[Batch]:
    """The store from its beginning, every token but the first predicted exactly once.

    The last window and the last batch are padded with weight 0, so that all batches have one shape.

    Args:
      max_tokens: stop after so many predicted tokens; None takes all.

    Raises:
      UserError: when nothing is to be predicted.
    """
    n_targets = store.n_tokens - 1
    if max_tokens is not None:
        n_targets = min(n_targets, max_tokens)
    if min(n_targets, batch_size, seq_len) < 1:
        raise UserError(
            f"nothing to evaluate: batch_size={batch_size}, seq_len={seq_len}, "
            f"max_tokens={max_tokens}, {store.path} has {store.n_tokens} tokens"
        )
    span = batch_size * seq_len
    return (
        _eval_batch(store, start, min(start + span, n_targets), batch_size, seq_len)
        for start in range(0, n_targets, span)
    )


def _eval_batch(store: TokenStore, start: int, stop: int, batch_size: int, seq_len: int) -> Batch:
    """One batch that predicts the tokens after positions start to stop."""
    tokens = store.slice(start, stop + 1)
    inputs_BT = np.zeros((batch_size, seq_len), dtype=np.int32)
    targets_BT = np.zeros_like(inputs_BT)
    weights_BT = np.zeros_like(inputs_BT, dtype=np.float32)
    inputs_BT.reshape(-1)[: stop - start] = tokens[:-1]
    targets_BT.reshape(-1)[: stop - start] = tokens[1:]
    weights_BT.reshape(-1)[: stop - start] = 1.0
    example_ids_B = np.arange(batch_size, dtype=np.int64) + start // seq_len
    example_ids_B[weights_BT[:, 0] == 0] = PADDING_ID
    return Batch(inputs_BT, targets_BT, weights_BT, example_ids_B)


def _closing(dataset: grain.IterDataset[Batch]) -> Generator[Batch, None, None]:
    iterator = iter(dataset)
    try:
        yield from iterator
    finally:
        iterator.close()
