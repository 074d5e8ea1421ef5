# SPDX-License-Identifier: Apache-2.0
"""The endless, shuffled stream of training windows: of one store, or of several by weight.

The stream is a function of the position, so that any place is reached at once. With several parts
it is cut into blocks of 10,000 positions. In each block every part has the same number of them, by
its weight, in an order that is the block's own; and each part goes through its windows in endless
epochs that are shuffled independently.
"""

import functools
import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from grain.experimental import index_shuffle

from sgatlin.errors import UserError
from sgatlin.input.store import TokenStore
from sgatlin.input.windows import Batch, Windows, first_bos, stacked

# Weights take effect in steps of 1 / BLOCK; runs that are to be repeated exactly depend on it.
BLOCK = 10_000
# Grain's own shuffle takes 4 rounds, whose permutations of neighbouring positions and of
# neighbouring seeds are correlated by -0.1; with 8 no correlation is left.
_SHUFFLE_ROUNDS = 8
# What a hashed seed is for.
_PART, _BLOCK = 1, 2


class Part(NamedTuple):
    """A store that training windows come from, and how much of them."""

    store: TokenStore
    weight: float = 1.0
    set: str | None = None
    """The name of the set, if the store is a subset."""

    @property
    def name(self) -> str:
        path = str(self.store.path)
        return path if self.set is None else f"{path}, set {self.set}"


class TrainingStream:
    """Random access to the endless stream of training windows of one or more parts.

    Every window has an id: its number in its part, after all windows of the parts before.

    Raises:
      UserError: when a part does not hold one window or its weight is too small to count, and when
        parts have different tokenizers.
    """

    def __init__(self, parts: Sequence[Part], seq_len: int, seed: int):
        if seed < 0:
            raise UserError(f"seed={seed} must not be negative")
        for part in parts:
            if part.store.tokenizer_hash != parts[0].store.tokenizer_hash:
                raise UserError(
                    f"{part.store.path} has another tokenizer than {parts[0].store.path}: "
                    "prepare both with one"
                )
        self.parts = tuple(parts)
        self.seq_len = seq_len
        self._windows = [Windows(part.store, seq_len, name=part.name) for part in parts]
        *self._starts, self.n_windows = accumulate(map(len, self._windows), initial=0)
        self._seed = seed
        self._part_seeds = [_hashed(seed, _PART, number) for number in range(len(parts))]
        self.slots = shared_slots([part.weight for part in parts])
        for part, slots in zip(parts, self.slots, strict=True):
            if slots == 0:
                raise UserError(
                    f"weight={part.weight} of {part.name} is less than one in {BLOCK:,}: "
                    "give it more, or leave it out"
                )

    def windows_at(self, positions: Iterable[int]) -> list[int]:
        """The ids of the windows at these positions of the stream."""
        if len(self.parts) == 1:
            return shuffled_windows(positions, n_windows=self.n_windows, seed=self._seed)
        its_turns: list[list[int]] = [[] for _ in self.parts]
        rows: list[list[int]] = [[] for _ in self.parts]
        for row, position in enumerate(positions):
            block, index = divmod(position, BLOCK)
            order = _block_order(self.slots, self._seed, block)
            part = order.parts[index]
            its_turns[part].append(block * self.slots[part] + order.ranks[index])
            rows[part].append(row)
        ids = np.empty(sum(map(len, rows)), dtype=np.int64)
        for part, windows in enumerate(self._windows):
            numbers = shuffled_windows(
                its_turns[part], n_windows=len(windows), seed=self._part_seeds[part]
            )
            ids[rows[part]] = self._starts[part] + np.array(numbers, dtype=np.int64)
        return ids.tolist()

    def batch(self, positions: Iterable[int], *, document_boundaries: bool = False) -> Batch:
        """The windows at these positions, in this order, with segments if asked for.

        UserError if one of them holds a token that is not of the vocabulary.
        """
        ids = self.windows_at(positions)
        store = self.parts[0].store
        windows = np.empty((len(ids), self.seq_len + 1), dtype=store.dtype)
        for row, window_id in enumerate(ids):
            part, window = self._locate(window_id)
            windows[row] = self._windows[part][window]
        # Of the whole batch at once: a look at each window would cost as much as copying it.
        if windows.max() >= store.vocab_size:
            for part, window in map(self._locate, ids):
                self._windows[part].check(window)
        bos_id = first_bos(store) if document_boundaries else None
        return stacked(windows, np.array(ids, dtype=np.int64), bos_id=bos_id)

    def named(self, ids: Iterable[int]) -> str:
        """In words which windows these are: "windows 3, 17 of PATH, set NAME; ..."."""
        located = self.located(ids).items()
        return "; ".join(f"windows {', '.join(map(str, own))} of {name}" for name, own in located)

    def located(self, ids: Iterable[int]) -> dict[str, list[int]]:
        """By part, in their order, the numbers that windows have there."""
        found: dict[int, list[int]] = {}
        for window_id in ids:
            part, window = self._locate(int(window_id))
            found.setdefault(part, []).append(window)
        return {self.parts[part].name: found[part] for part in sorted(found)}

    def described(self, n_examples: int) -> list[str]:
        """A line for each of several parts: share, windows, and epochs in so many examples."""
        lines: list[str] = []
        if len(self.parts) == 1:
            return lines
        for part, windows, slots in zip(self.parts, self._windows, self.slots, strict=True):
            share = slots / BLOCK
            lines.append(
                f"{part.name}: {100 * share:.2f} %, {len(windows):,} windows, "
                f"{n_examples * share / len(windows):.2f} epochs"
            )
        return lines

    def _locate(self, window_id: int) -> tuple[int, int]:
        """The part that a window is of, and its number in there."""
        part = bisect_right(self._starts, window_id) - 1
        return part, window_id - self._starts[part]


def shared_slots(weights: Sequence[float]) -> tuple[int, ...]:
    """BLOCK slots shared out by weight: rounded down, the rest to the largest remainders.

    Of equal remainders the earlier one is served first.
    """
    if not weights or not all(0 < weight < math.inf for weight in weights):
        raise UserError(f"weights={tuple(weights)} must be above 0 and finite")
    exact = [Fraction(weight) for weight in weights]
    quotas = [BLOCK * weight / sum(exact) for weight in exact]
    slots = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(slots)), key=lambda i: slots[i] - quotas[i])
    for i in by_remainder[: BLOCK - sum(slots)]:
        slots[i] += 1
    return tuple(slots)


def shuffled_windows(positions: Iterable[int], *, n_windows: int, seed: int) -> list[int]:
    """The windows at positions of one part's stream: in each epoch each window once."""
    windows = []
    for position in positions:
        epoch, index = divmod(position, n_windows)
        windows.append(
            index_shuffle(
                index,
                max_index=n_windows - 1,
                seed=_epoch_seed(seed, epoch),
                rounds=_SHUFFLE_ROUNDS,
            )
        )
    return windows


class _BlockOrder(NamedTuple):
    """Of each position of a block: the part it goes to, and how many before it go there too."""

    parts: list[int]
    ranks: list[int]


@functools.lru_cache(maxsize=8)
def _block_order(slots: tuple[int, ...], seed: int, block: int) -> _BlockOrder:
    shuffle_seed = _hashed(seed, _BLOCK, block) % 2**32
    shuffled = [
        index_shuffle(i, max_index=BLOCK - 1, seed=shuffle_seed, rounds=_SHUFFLE_ROUNDS)
        for i in range(BLOCK)
    ]
    parts = np.repeat(np.arange(len(slots)), slots)[shuffled]
    ranks = np.empty(BLOCK, dtype=np.int64)
    for part, n_slots in enumerate(slots):
        ranks[parts == part] = np.arange(n_slots)
    return _BlockOrder(parts.tolist(), ranks.tolist())


@functools.lru_cache(maxsize=256)
def _hashed(seed: int, purpose: int, number: int) -> int:
    # A spawn key cannot meet an epoch's seed: numpy hashes it behind the padded entropy.
    sequence = np.random.SeedSequence(seed, spawn_key=(purpose, number))
    return int(sequence.generate_state(1, np.uint64)[0])


@functools.lru_cache(maxsize=256)
def _epoch_seed(seed: int, epoch: int) -> int:
    # Hashed together: with a sum, epoch 1 of one seed would be epoch 0 of the next.
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])
