# SPDX-License-Identifier: Apache-2.0
"""Training batches, endless and shuffled, read ahead by a thread.

The unit of position is one example, that is one window; the place in the stream is a single count
of examples consumed, the same for every process count.
"""

import sys
from collections.abc import Generator, Sequence

import grain

from sgatlin.errors import UserError
from sgatlin.input.mixture import Part, TrainingStream
from sgatlin.input.store import TokenStore
from sgatlin.input.windows import Batch


class _Batches:
    """Random access to batches of the stream: what Grain reads from.

    A whole batch per item, because Grain's overhead per item (20 us) exceeds the copying of a
    window.
    """

    def __init__(
        self,
        stream: TrainingStream,
        *,
        first_example: int,
        stride: int,
        rows: Sequence[int],
        document_boundaries: bool,
    ):
        """Item i holds `rows` of the `stride` examples from `first_example + i * stride`."""
        self._stream = stream
        self._first_example = first_example
        self._stride = stride
        self._rows = rows
        self._document_boundaries = document_boundaries

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, index: int) -> Batch:
        start = self._first_example + index * self._stride
        positions = [start + row for row in self._rows]
        return self._stream.batch(positions, document_boundaries=self._document_boundaries)


def train_batches(
    data: TokenStore | Sequence[Part],
    *,
    batch_size: int,
    seq_len: int,
    seed: int,
    start_example: int = 0,
    prefetch: int = 2,
    rows: Sequence[int] | None = None,
    document_boundaries: bool = False,
) -> Generator[Batch, None, None]:
    """Endless training batches; each epoch has every window exactly once, in an order of its own.

    A batch may straddle two epochs. Starting at `start_example=k` gives what an uninterrupted
    iterator gives after k examples.

    Args:
      data: a store, or parts that are mixed by weight: each has epochs of its own.
      seed: with the number of the epoch, determines the order.
      prefetch: batches that a background thread reads ahead; 0 reads in the caller's thread.
      rows: those of each batch that are wanted, in this order, as a process of many has its own;
        None for all.
      document_boundaries: batches carry segments.

    Returns:
      An iterator; `close()`, or the garbage collector, ends its thread.

    Raises:
      UserError: when the data is shorter than a window or than a batch, or a weight is too small;
        later, when a window holds a token that cannot be.
    """
    parts = [Part(data)] if isinstance(data, TokenStore) else data
    stream = TrainingStream(parts, seq_len, seed)
    if not 1 <= batch_size <= stream.n_windows:
        raise UserError(
            f"batch_size={batch_size} must be in 1..{stream.n_windows}, the number of windows of "
            f"seq_len={seq_len} in {'; '.join(part.name for part in parts)}"
        )
    batches = _Batches(
        stream,
        first_example=start_example,
        stride=batch_size,
        rows=range(batch_size) if rows is None else rows,
        document_boundaries=document_boundaries,
    )
    options = grain.ReadOptions(num_threads=min(prefetch, 1), prefetch_buffer_size=prefetch)
    return _closing(grain.MapDataset.source(batches).to_iter_dataset(options))


def _closing(dataset: grain.IterDataset[Batch]) -> Generator[Batch, None, None]:
    iterator = iter(dataset)
    try:
        yield from iterator
    finally:
        iterator.close()
