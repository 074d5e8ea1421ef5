# SPDX-License-Identifier: Apache-2.0
"""Mixtures: exact shares in every block, epochs of each part's own, any place reached exactly."""

import itertools
import re
from collections import Counter

import numpy as np
import pytest

from sgatlin.errors import UserError
from sgatlin.input.mixture import BLOCK, Part, TrainingStream, shared_slots
from sgatlin.input.pipeline import train_batches
from sgatlin.input.store import TokenStore
from sgatlin.input.tokenizer import train_bpe
from sgatlin.input.windows import Windows
from sgatlin.input.write import StoreWriter
from tests.input.random_stores import write_sets, write_store

SEQ_LEN = 2
# 2,400, 4,900 and 1,800 windows. Grain shuffles smaller numbers slowly.
SETS = {"books": [4801], "code": [4801, 5000], "web": [3601]}
FIRST = {"books": 0, "code": 2400, "web": 7300}
END = 9100


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> TokenStore:
    return write_sets(tmp_path_factory.mktemp("sets") / "store", SETS)


@pytest.fixture(scope="module")
def parts(store) -> list[Part]:
    weights = {"books": 2.0, "code": 3.0, "web": 1.0}
    return [Part(store.subset(name), weight, name) for name, weight in weights.items()]


@pytest.fixture(scope="module")
def order(parts) -> np.ndarray:
    """The ids of the first three blocks."""
    stream = TrainingStream(parts, SEQ_LEN, seed=0)
    return np.array(stream.windows_at(range(3 * BLOCK)))


def part_of(ids) -> np.ndarray:
    return np.searchsorted([2400, 7300, END], ids, side="right")


def take(parts, n_batches: int, *, batch_size=12, seed=0, **options) -> list:
    batches = train_batches(parts, batch_size=batch_size, seq_len=SEQ_LEN, seed=seed, **options)
    taken = list(itertools.islice(batches, n_batches))
    batches.close()
    return taken


def ids(batches) -> list[int]:
    return np.concatenate([batch.example_ids_B for batch in batches]).tolist()


@pytest.mark.parametrize(
    ("weights", "slots"),
    [
        ([1], [10_000]),
        ([1, 1, 1], [3334, 3333, 3333]),
        ([2, 3, 1], [3333, 5000, 1667]),
        ([0.29, 0.71], [2900, 7100]),
        ([7, 7, 7, 7, 7, 7, 7], [1429] * 4 + [1428] * 3),
        ([1, 9999], [1, 9999]),
        ([1, 30_000], [0, 10_000]),
        # The paper's training sets of SlimPajama, in percent.
        ([52.2, 26.7, 5.2, 4.2, 4.6, 3.8, 3.3], [5220, 2670, 520, 420, 460, 380, 330]),
    ],
)
def test_slots_are_shared_by_largest_remainder(weights, slots):
    assert list(shared_slots(weights)) == slots


def test_every_block_has_exact_shares_in_an_order_of_its_own(order):
    blocks = part_of(order).reshape(3, BLOCK)
    for block in blocks:
        assert np.bincount(block).tolist() == [3333, 5000, 1667]
    # Two orders of this kind agree in 39 % of places, give or take half a percent.
    agreement = 0.3333**2 + 0.5**2 + 0.1667**2
    for a, b in itertools.combinations(blocks, 2):
        assert (a == b).mean() == pytest.approx(agreement, abs=0.03)


def test_shares_are_even_within_a_block_too(order):
    parts = part_of(order)
    for start in range(0, len(parts), 1000):
        # Three in a thousand of a thousand: 0.047 are three standard deviations.
        assert (parts[start : start + 1000] == 1).mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(("part", "n_windows"), [(0, 2400), (1, 4900), (2, 1800)])
def test_each_part_has_epochs_of_its_own(order, part, n_windows):
    """Across blocks, too: an epoch does not care where a block ends."""
    first = list(FIRST.values())[part]
    its = order[part_of(order) == part] - first
    whole = len(its) // n_windows
    epochs = its[: whole * n_windows].reshape(whole, n_windows)
    assert whole >= 2
    for epoch in epochs:
        assert sorted(epoch) == list(range(n_windows))
    assert len({tuple(epoch) for epoch in epochs}) == whole


def test_parts_are_shuffled_independently(store):
    """The same store twice is two parts: their orders are no more alike than chance makes them."""
    web = store.subset("web")
    stream = TrainingStream([Part(web), Part(web)], SEQ_LEN, seed=0)
    found = np.array(stream.windows_at(range(2 * BLOCK)))
    first, second = found[found < 1800], found[found >= 1800] - 1800
    alone = TrainingStream([Part(web)], SEQ_LEN, seed=0).windows_at(range(BLOCK))
    for a, b in ((first, second), (first, alone), (second, alone)):
        # 10,000 pairs: four standard deviations.
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.04
        assert (np.asarray(a) == np.asarray(b)).mean() < 0.003


def test_seed_alone_decides_the_order(parts, order):
    def positions(seed: int) -> list[int]:
        stream = TrainingStream(parts, SEQ_LEN, seed)
        return stream.windows_at(range(500))

    assert positions(0) == order[:500].tolist()
    assert positions(1) != positions(0)
    agreement = (part_of(positions(1)) == part_of(positions(0))).mean()
    assert agreement == pytest.approx(0.3889, abs=0.1)


def test_one_part_is_the_store_itself(store):
    alone = train_batches(store, batch_size=12, seq_len=SEQ_LEN, seed=3)
    for batch, same in zip(alone, take([Part(store, 0.2)], 100, seed=3), strict=False):
        assert batch.example_ids_B.tolist() == same.example_ids_B.tolist()


STARTS = [0, 1, 12, 77, BLOCK - 13, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK - 5]


@pytest.mark.parametrize("start", STARTS)
def test_resuming_anywhere_equals_the_uninterrupted_stream(parts, order, start):
    assert ids(take(parts, 10, start_example=start)) == order[start : start + 120].tolist()


@pytest.mark.parametrize("process_count", [1, 2, 3, 6, 12])
@pytest.mark.parametrize("start", [5, BLOCK - 20])
def test_processes_share_the_same_stream(parts, order, process_count, start):
    rows = np.arange(12).reshape(process_count, -1)
    shares = [take(parts, 4, start_example=start, rows=own) for own in rows.tolist()]
    together = [ids(rows) for rows in zip(*shares, strict=True)]
    assert [*itertools.chain(*together)] == order[start : start + 48].tolist()


def test_uninterrupted_batches_are_the_stream(parts, order):
    assert ids(take(parts, 900)) == order[:10_800].tolist()


def test_resuming_far_away_is_immediate(parts):
    first, second = take(parts, 2, start_example=10**15)
    assert ids(take(parts, 1, start_example=10**15 + 12)) == ids([second])
    assert ids([first]) != ids([second])


def test_rows_are_the_windows_that_the_ids_say(store, parts):
    windows = {name: Windows(store.subset(name), SEQ_LEN) for name in SETS}
    for batch in take(parts, 20):
        for row, window in enumerate(batch.example_ids_B.tolist()):
            name = list(SETS)[int(part_of([window])[0])]
            expected = windows[name][window - FIRST[name]].tolist()
            assert batch.inputs_BT[row].tolist() == expected[:-1]
            assert batch.targets_BT[row].tolist() == expected[1:]


def test_windows_are_named_by_part(store, parts):
    stream = TrainingStream(parts, SEQ_LEN, seed=0)
    assert stream.named([7300 + 7, 2399, 2400, 7300, 0]) == (
        f"windows 2399, 0 of {store.path}, set books; windows 0 of {store.path}, set code; "
        f"windows 7, 0 of {store.path}, set web"
    )
    alone = TrainingStream([Part(store)], SEQ_LEN, seed=0)
    assert alone.named([3, 17]) == f"windows 3, 17 of {store.path}"


def test_each_part_is_described(store, parts):
    # 60,000 examples are 19,998, 30,000 and 10,002 of 2,400, 4,900 and 1,800 windows.
    assert TrainingStream(parts, SEQ_LEN, seed=0).described(60_000) == [
        f"{store.path}, set books: 33.33 %, 2,400 windows, 8.33 epochs",
        f"{store.path}, set code: 50.00 %, 4,900 windows, 6.12 epochs",
        f"{store.path}, set web: 16.67 %, 1,800 windows, 5.56 epochs",
    ]
    assert TrainingStream([Part(store)], SEQ_LEN, seed=0).described(60_000) == []


def test_bad_mixtures_are_told(tmp_path, store, parts):
    few = [Part(store), Part(store.subset("books"), 0.00004, "books")]
    with pytest.raises(
        UserError, match=r"weight=4e-05 of .*, set books is less than one in 10,000"
    ):
        TrainingStream(few, SEQ_LEN, seed=0)
    for weight in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="must be above 0 and finite"):
            TrainingStream([Part(store), Part(store, weight)], SEQ_LEN, seed=0)
    with pytest.raises(UserError, match=r"longer than the data: .*, set web has 3601 tokens"):
        TrainingStream(parts, 4000, seed=0)
    with pytest.raises(UserError, match=re.escape(f"1..{END}, the number of windows")):
        train_batches(parts, batch_size=END + 1, seq_len=SEQ_LEN, seed=0)

    other = train_bpe(["aaaa aaaa"], vocab_size=258)
    with StoreWriter(tmp_path / "other", other, source="a test") as writer:
        writer.add(list(range(1, 50)), n_bytes=49)
    mixed = [Part(store), Part(TokenStore.open(tmp_path / "other"))]
    with pytest.raises(UserError, match=r"other has another tokenizer than .*: prepare both"):
        TrainingStream(mixed, SEQ_LEN, seed=0)


def test_a_mixture_of_stores_takes_all_their_windows(tmp_path, store):
    second = write_store(tmp_path / "second", 2001)
    stream = TrainingStream([Part(store), Part(second, 3.0)], SEQ_LEN, seed=0)
    # Of 9,101 and 1,000 windows; a quarter and three quarters of 10,000.
    found = Counter(stream.windows_at(range(BLOCK)))
    assert sum(count for window, count in found.items() if window >= 9101) == 7500
    assert {count for window, count in found.items() if window < 9101} == {1}
    assert {found[window] for window in range(9101, 10_101)} == {7, 8}  # 7500 / 1000
    assert max(found) == 10_100
