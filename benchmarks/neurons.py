# SPDX-License-Identifier: Apache-2.0
"""Times the neuron primitives and the product search: the fast form against the brute-force one.

python -m benchmarks.neurons [--d-model 128 --n-neurons 256 ...] [--json PATH]
"""

import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import tyro

from sgatlin.cli import run_command
from sgatlin.errors import require_at_least
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.ops.neurons import reference, xla
from sgatlin.ops.product_topk import product_topk, topk


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """What is timed; the default is the layer of the default config."""

    tokens: int = 2048
    d_model: int = 128
    n_channels: int = 4
    n_neurons: int = 256
    top_k: int = 8
    repeats: int = 20
    json: Path | None = None
    """Also write the medians here."""

    def __post_init__(self) -> None:
        require_at_least(1, tokens=self.tokens, d_model=self.d_model, repeats=self.repeats)
        # What a layer cannot have is not timed.
        SgatlinConfig(n_channels=self.n_channels, n_neurons=self.n_neurons, top_k=self.top_k)


def main(shape: Shape) -> None:
    keys = jax.random.split(jax.random.key(0), 5)
    rows, picks = shape.n_channels * shape.n_neurons, shape.n_channels * shape.top_k
    x = jax.random.normal(keys[0], (shape.tokens, shape.d_model))
    a = jax.random.normal(keys[1], (shape.tokens, picks))
    table = jax.random.normal(keys[2], (rows, shape.d_model))
    indices = jax.random.randint(keys[3], (shape.tokens, picks), 0, rows)
    side = round(shape.n_neurons**0.5)
    halves = jax.random.normal(keys[4], (2, shape.tokens, shape.n_channels, side))

    def scatter(implementation: Any) -> Callable[..., Any]:
        return lambda a, indices, x: implementation.scatter_outer(a, indices, x, rows)

    pairs: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[Any, ...]]] = {
        "gather_dot": (reference.gather_dot, xla.gather_dot, (x, indices, table)),
        "gather_sum": (reference.gather_sum, xla.gather_sum, (a, indices, table)),
        "scatter_outer": (scatter(reference), scatter(xla), (a, indices, x)),
        "topk of one half": (
            lambda scores: jax.lax.top_k(scores, shape.top_k),
            lambda scores: topk(scores, shape.top_k),
            (halves[0],),
        ),
        "product_topk": (
            lambda first, second: _all_sums(first, second, shape.top_k),
            lambda first, second: product_topk(first, second, shape.top_k),
            (halves[0], halves[1]),
        ),
    }
    print(f"{jax.devices()[0].device_kind}, JAX {jax.__version__}, {shape}")
    print(f"{'median of ' + str(shape.repeats):18} {'reference':>12} {'fast':>12} {'ratio':>8}")
    results = {}
    for name, (slow, fast, arguments) in pairs.items():
        slow_ms, fast_ms = (_milliseconds(fn, arguments, shape.repeats) for fn in (slow, fast))
        results[name] = {"reference_ms": slow_ms, "fast_ms": fast_ms}
        print(f"{name:18} {slow_ms:9.2f} ms {fast_ms:9.2f} ms {slow_ms / fast_ms:7.1f}x")
    if shape.json is not None:
        shape.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _all_sums(first: jax.Array, second: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    sums = first[..., :, None] + second[..., None, :]
    values, indices = jax.lax.top_k(sums.reshape(*sums.shape[:-2], -1), k)
    return indices, values


def _milliseconds(fn: Callable[..., Any], arguments: tuple[Any, ...], repeats: int) -> float:
    compiled = jax.jit(fn)
    jax.block_until_ready(compiled(*arguments))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Shape)))
