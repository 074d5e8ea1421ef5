# SPDX-License-Identifier: Apache-2.0
"""Training batches: every window once an epoch, and any place of the stream reached exactly."""

import gc
import itertools
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from sgatlin.errors import UserError
from sgatlin.input import pipeline
from sgatlin.input.mixture import shuffled_windows
from sgatlin.input.pipeline import train_batches
from sgatlin.input.store import TokenStore
from sgatlin.input.windows import Batch, Windows
from tests.input.random_stores import BOS, damage, write_store

SEQ_LEN = 16
N_TOKENS = 1000  # 62 windows, 7 tokens left over
N_WINDOWS = 62


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> TokenStore:
    return write_store(tmp_path_factory.mktemp("store"), N_TOKENS)


@pytest.fixture(scope="module")
def tokens(store) -> np.ndarray:
    return store.slice(0, store.n_tokens).astype(np.int64)


def take(store, n_batches: int, *, batch_size=8, seed=0, **options) -> list[Batch]:
    batches = train_batches(store, batch_size=batch_size, seq_len=SEQ_LEN, seed=seed, **options)
    taken = list(itertools.islice(batches, n_batches))
    batches.close()
    return taken


def ids(batches: list[Batch]) -> list[int]:
    return np.concatenate([batch.example_ids_B for batch in batches]).tolist()


def assert_equal(a: Batch, b: Batch) -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def fields(batches: list[Batch]) -> list[np.ndarray]:
    """The rows of batches without segments, field by field."""
    return [np.concatenate(field) for field in zip(*(b[:4] for b in batches), strict=True)]


def test_windows_overlap_by_one_token(store, tokens):
    windows = Windows(store, SEQ_LEN)
    assert len(windows) == N_WINDOWS
    for index in (0, 1, 13, N_WINDOWS - 1):
        start = index * SEQ_LEN
        assert windows[index].tolist() == tokens[start : start + SEQ_LEN + 1].tolist()


@pytest.mark.parametrize(("n_tokens", "n_windows"), [(17, 1), (32, 1), (33, 2)])
def test_windows_at_the_borders(tmp_path, n_tokens, n_windows):
    assert len(Windows(write_store(tmp_path, n_tokens), SEQ_LEN)) == n_windows


def test_batches_are_windows_with_weight_one(store):
    windows = Windows(store, SEQ_LEN)
    for batch in take(store, 10):
        for row, window in enumerate(batch.example_ids_B.tolist()):
            assert batch.inputs_BT[row].tolist() == windows[window][:-1].tolist()
            assert batch.targets_BT[row].tolist() == windows[window][1:].tolist()
        assert [x.dtype for x in batch[:4]] == [np.int32, np.int32, np.float32, np.int64]
        assert [x.shape for x in batch[:4]] == [(8, SEQ_LEN)] * 3 + [(8,)]
        assert all(x.flags.c_contiguous for x in batch[:4])
        assert (batch.weights_BT == 1).all()
        assert batch.segments_BT is None


def test_segments_count_the_bos_of_a_window(store):
    for batch in take(store, 10, document_boundaries=True):
        assert batch.segments_BT.dtype == np.int32
        for inputs_T, segments_T in zip(batch.inputs_BT, batch.segments_BT, strict=True):
            seen = [inputs_T[: t + 1].tolist().count(BOS) for t in range(SEQ_LEN)]
            assert segments_T.tolist() == seen


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_token_that_cannot_be_is_found_when_it_is_read(tmp_path, prefetch):
    store = write_store(tmp_path, N_TOKENS)
    damage(tmp_path / "tokens-00001.bin", 5, 257)
    with pytest.raises(
        UserError, match=r"tokens-00001.bin holds token 257 in window \d+, outside .* of 257"
    ):
        take(store, 8, prefetch=prefetch)


def test_each_epoch_has_every_window_once(store):
    # 62 batches of 8 are 8 epochs: epochs straddle batches.
    epochs = np.array(ids(take(store, 62))).reshape(8, N_WINDOWS)
    for epoch in epochs:
        assert sorted(epoch) == list(range(N_WINDOWS))
    assert len({tuple(epoch) for epoch in epochs}) == 8


def test_order_is_shuffled_and_depends_on_the_seed_alone(store):
    orders = [ids(take(store, 31, seed=seed)) for seed in (0, 1, 2**40)]
    assert ids(take(store, 31, seed=0)) == orders[0]
    assert len({tuple(order) for order in orders}) == 3
    for order in orders:
        assert order[:N_WINDOWS] != sorted(order[:N_WINDOWS])
    # The second epoch of a seed is not the first of the next.
    assert orders[0][N_WINDOWS : 2 * N_WINDOWS] != orders[1][:N_WINDOWS]


def test_shuffle_has_no_correlations():
    n_windows, n_positions = 46_875, 8_000

    def order(seed: int, start: int = 0) -> np.ndarray:
        positions = range(start, start + n_positions)
        return np.array(shuffled_windows(positions, n_windows=n_windows, seed=seed))

    first = order(0)
    positions, neighbours = np.arange(n_positions), np.roll(first, 1)
    for other in (positions, neighbours, order(1), order(0, start=n_windows)):
        # 4 / sqrt(8,000): four standard deviations for independent orders.
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.045


@pytest.mark.parametrize("start_example", [0, 8, 40, 61, 62, 63, 125, 250])
def test_resuming_anywhere_equals_the_uninterrupted_stream(store, start_example):
    whole = take(store, 42)
    resumed = take(store, 10, start_example=start_example)
    for field, rest in zip(fields(resumed), fields(whole), strict=True):
        np.testing.assert_array_equal(field, rest[start_example : start_example + 80])


def test_resuming_far_away_is_immediate(store):
    examples = 10**12  # 2e10 epochs
    first, second = take(store, 2, start_example=examples)
    assert_equal(take(store, 1, start_example=examples + 8)[0], second)
    assert ids([first]) != ids([second])


@pytest.mark.parametrize("process_count", [2, 4])
def test_process_shares_make_up_the_global_batch(store, process_count):
    whole = take(store, 20, start_example=3)
    rows = np.arange(8).reshape(process_count, -1)
    shares = [take(store, 20, start_example=3, rows=own) for own in rows.tolist()]
    for batch, parts in zip(whole, zip(*shares, strict=True), strict=True):
        assert_equal(batch, Batch(*fields(parts)))


@pytest.mark.parametrize("prefetch", [0, 1, 4])
def test_prefetch_changes_nothing(store, prefetch):
    for a, b in zip(take(store, 10), take(store, 10, prefetch=prefetch), strict=True):
        assert_equal(a, b)


def test_bad_arguments_are_told(store):
    with pytest.raises(UserError, match=r"seq_len=1000 is longer than the data: .* 1000 tokens"):
        train_batches(store, batch_size=1, seq_len=1000, seed=0)
    for batch_size in (0, 63):
        with pytest.raises(UserError, match=rf"batch_size={batch_size} must be in 1..62"):
            train_batches(store, batch_size=batch_size, seq_len=SEQ_LEN, seed=0)
    with pytest.raises(UserError, match="seed=-1"):
        train_batches(store, batch_size=8, seq_len=SEQ_LEN, seed=-1)
    with pytest.raises(UserError, match="seq_len=0"):
        train_batches(store, batch_size=8, seq_len=0, seed=0)


def grain_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("grain")]


@pytest.mark.parametrize("end", ["close", "garbage"])
def test_reading_thread_ends_with_the_iterator(store, end):
    batches = train_batches(store, batch_size=8, seq_len=SEQ_LEN, seed=0)
    next(batches)
    threads = grain_threads()
    assert threads
    if end == "close":
        batches.close()
    else:
        del batches
        gc.collect()
    for thread in threads:
        thread.join(timeout=10)
    assert not grain_threads()


def test_program_that_leaves_an_iterator_open_exits_silently(store):
    program = (
        "import sys, pathlib\n"
        "from sgatlin.input.pipeline import train_batches\n"
        "from sgatlin.input.store import TokenStore\n"
        "store = TokenStore.open(pathlib.Path(sys.argv[1]))\n"
        "batches = train_batches(store, batch_size=8, seq_len=16, seed=0)\n"
        "print(next(batches).example_ids_B.tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(store.path)],
        cwd=Path(pipeline.__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{ids(take(store, 1))}\n"
