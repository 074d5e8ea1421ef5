# SPDX-License-Identifier: Apache-2.0
"""Speed of the input pipeline alone: tokens per second at several sequence lengths.

    taskset -c 0 python -m benchmarks.loader --json loader.json

makes a store of random tokens in a temporary folder and reads shuffled batches from it.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import grain
import numpy as np

from sgatlin.cli import run_command
from sgatlin.input.pipeline import train_batches
from sgatlin.input.store import TokenStore
from sgatlin.input.tokenizer import train_bpe
from sgatlin.input.write import StoreWriter

# (seq_len, batch_size): some 8 k to 64 k tokens a batch, as in training.
SHAPES = ((128, 64), (128, 512), (256, 32), (256, 256), (1024, 32), (2048, 32))


def random_store(path: Path, n_tokens: int) -> TokenStore:
    """A store of documents of 200 random tokens, in shards of 8 M tokens."""
    rng = np.random.default_rng(0)
    tokenizer = train_bpe([], vocab_size=257)
    with StoreWriter(path, tokenizer, source="random", max_shard_tokens=1 << 23) as writer:
        for document in rng.integers(1, tokenizer.vocab_size, (n_tokens // 200, 199)):
            writer.add(document, n_bytes=len(document))
    return TokenStore.open(path)


def tokens_per_second(
    store: TokenStore, *, seq_len: int, batch_size: int, prefetch: int, seconds: float
) -> float:
    """Tokens per second of wall time, over `seconds` after five batches of warm-up."""
    batches = train_batches(
        store, batch_size=batch_size, seq_len=seq_len, seed=0, prefetch=prefetch
    )
    for _ in range(5):
        next(batches)
    n_batches, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        next(batches)
        n_batches += 1
    batches.close()
    return n_batches * batch_size * seq_len / elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description="Tokens per second of the input pipeline alone.")
    parser.add_argument("--tokens", type=int, default=20_000_000, help="size of the store")
    parser.add_argument("--seconds", type=float, default=2.0, help="of measuring per row")
    parser.add_argument("--json", type=Path, help="also write the table here")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        store = random_store(Path(folder), arguments.tokens)
        print("seq_len  batch_size  prefetch  M tokens/s")
        for seq_len, batch_size in SHAPES:
            for prefetch in (0, 2):
                row = {"seq_len": seq_len, "batch_size": batch_size, "prefetch": prefetch}
                speed = tokens_per_second(store, **row, seconds=arguments.seconds)
                rows.append(row | {"tokens_per_second": round(speed)})
                print(f"{seq_len:7d}  {batch_size:10d}  {prefetch:8d}  {speed / 1e6:10.1f}")
    if arguments.json:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        machine = {"machine": platform.machine(), "cores": cores, "grain": grain.__version__}
        arguments.json.write_text(json.dumps(machine | {"rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    run_command(main)
