# SPDX-License-Identifier: Apache-2.0
"""Times the search for the nearest circuits among many, compilation included.

    python -m benchmarks.neighbours

Circuits are random: the default model's shape, of 4 channels of 256 neurons, 8 chosen of each.
"""

import dataclasses
import time

import numpy as np
import tyro

from sgatlin.circuits.neighbours import Labels, nearest
from sgatlin.circuits.rows import SparseRows
from sgatlin.cli import run_command


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    circuits: int = 1_000_000
    queries: int = 100
    k: int = 20
    n_channels: int = 4
    n_neurons: int = 256
    top_k: int = 8


def main(arguments: Arguments) -> None:
    rng = np.random.default_rng(0)
    rows = random_rows(arguments, rng)
    chosen = rng.integers(0, len(rows), arguments.queries)
    queries = rows[chosen]
    sequences = np.arange(len(rows)) // 200
    apart = [Labels(sequences, sequences[chosen])]
    for metric in ("cosine", "jaccard"):
        start = time.perf_counter()
        nearest(rows, queries, arguments.k, metric=metric, apart=apart)
        seconds = time.perf_counter() - start
        print(
            f"{metric}: {arguments.queries} queries of {len(rows):,} circuits, k = {arguments.k}, "
            f"own sequences left out: {seconds:.2f} s"
        )


def random_rows(arguments: Arguments, rng: np.random.Generator) -> SparseRows:
    """Neurons chosen evenly, normal scores."""
    n, c, k = arguments.circuits, arguments.n_channels, arguments.top_k
    indices = np.empty((n, c, k), np.int32)
    for start in range(0, n, 100_000):
        some = rng.random((min(100_000, n - start), c, arguments.n_neurons), dtype=np.float32)
        indices[start : start + len(some)] = np.argpartition(some, k, axis=-1)[..., :k]
    indices += arguments.n_neurons * np.arange(c, dtype=np.int32)[:, None]
    values = rng.standard_normal((n, c * k), dtype=np.float32)
    return SparseRows(indices.reshape(n, -1), values, c * arguments.n_neurons)


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Arguments)))
