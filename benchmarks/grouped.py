# SPDX-License-Identifier: Apache-2.0
"""Times the grouped matmul, however it is computed, beside an equal-sized plain batched one.

python -m benchmarks.grouped                                            # as on a CPU
python -m benchmarks.grouped --tokens 65536 --d-model 512 --d-hidden 512 --dtype bfloat16

T tokens choose k of E experts: R = T k rows, times (E, D, 2F), the first matmul of a mixture's
layer; `skew` makes experts unequal. An implementation that fails prints why in a line.
"""

import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from sgatlin.cli import run_command
from sgatlin.errors import require_at_least
from sgatlin.ops.grouped import Implementation, blocks, grouped_matmul, loop


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """What is timed; the default is a small layer's."""

    tokens: int = 1024
    top_k: int = 2
    n_experts: int = 16
    d_model: int = 128
    d_hidden: int = 128
    dtype: Literal["float32", "bfloat16"] = "float32"
    skew: float = 0.5
    """Standard deviation of the logarithms of the experts' loads; 0 makes them equal."""
    repeats: int = 20
    implementations: tuple[Implementation, ...] = ("loop", "blocks", "ragged_dot", "tokamax")
    block_rows: tuple[int, ...] = (64, 128, 256, 512, 1024)
    """Rows of a block to try, for `loop` and `blocks`."""
    json: Path | None = None
    """Also write the medians here."""

    def __post_init__(self) -> None:
        require_at_least(1, tokens=self.tokens, top_k=self.top_k, n_experts=self.n_experts)
        require_at_least(1, d_model=self.d_model, d_hidden=self.d_hidden, repeats=self.repeats)
        for rows in self.block_rows:
            require_at_least(1, block_rows=rows)


def main(shape: Shape) -> None:
    n_rows, n_experts = shape.tokens * shape.top_k, shape.n_experts
    dtype = jnp.dtype(shape.dtype)
    keys = jax.random.split(jax.random.key(0), 3)
    x_RD = jax.random.normal(keys[0], (n_rows, shape.d_model), dtype)
    w_EDF = jax.random.normal(keys[1], (n_experts, shape.d_model, 2 * shape.d_hidden), dtype)
    dy_RF = jax.random.normal(keys[2], (n_rows, 2 * shape.d_hidden), dtype)
    sizes_E = group_sizes(n_rows, n_experts, shape.skew)
    sizes = jnp.asarray(sizes_E, jnp.int32)

    def batched(x_RD: jax.Array, w_EDF: jax.Array) -> jax.Array:
        each = n_rows // n_experts
        x_ErD = x_RD[: each * n_experts].reshape(n_experts, each, -1)
        y_RF = jnp.einsum("erd,edf->erf", x_ErD, w_EDF).reshape(each * n_experts, -1)
        return jnp.pad(y_RF, ((0, n_rows - len(y_RF)), (0, 0)))

    device = jax.devices()[0].device_kind
    print(f"{device}, JAX {jax.__version__}, {shape}")
    print(f"rows of an expert: {min(sizes_E)} to {max(sizes_E)}, mean {n_rows / n_experts:.0f}")
    print(f"{'median of ' + str(shape.repeats):24} {'forward':>12} {'and backward':>12}")
    results = {"batched": report("batched, equal sizes", batched, (x_RD, w_EDF, dy_RF), shape)}
    for implementation in shape.implementations:

        def grouped(x: jax.Array, w: jax.Array, name: Implementation = implementation) -> jax.Array:
            return grouped_matmul(x, w, sizes, implementation=name)

        module = {"loop": loop, "blocks": blocks}.get(implementation)
        for rows in (None,) if module is None else shape.block_rows:
            name = implementation if rows is None else f"{implementation}, {rows} rows"
            if module is not None:
                # Read while tracing, which happens anew for each line.
                vars(module)["BLOCK_ROWS"] = rows
            results[name] = report(name, grouped, (x_RD, w_EDF, dy_RF), shape)
    if shape.json is not None:
        shape.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def group_sizes(n_rows: int, n_experts: int, skew: float) -> list[int]:
    """Rows of each expert: log-normal loads of deviation `skew`."""
    load_E = np.exp(skew * np.random.default_rng(0).normal(size=n_experts))
    ends_E = np.round(n_rows * np.cumsum(load_E) / load_E.sum()).astype(int)
    return np.diff(ends_E, prepend=0).tolist()


def report(
    name: str, fn: Callable[..., jax.Array], arguments: tuple[jax.Array, ...], shape: Shape
) -> dict[str, float | str]:
    """Prints a line with milliseconds of `fn` and of it with its gradients, or with its error."""
    *at, cotangent = arguments

    def with_gradients(*args: jax.Array) -> Any:
        y, pull_back = jax.vjp(fn, *args[:-1])
        return y, pull_back(args[-1])

    try:
        # A new function, so that nothing traced for another line is used again.
        forward = milliseconds(jax.jit(lambda *args: fn(*args)), tuple(at), shape.repeats)
        both = milliseconds(jax.jit(with_gradients), (*at, cotangent), shape.repeats)
    except Exception as error:
        message = f"{type(error).__name__}: {error}".splitlines()[0][:120]
        print(f"{name:24} {message}", flush=True)
        return {"error": message}
    print(f"{name:24} {forward:9.3f} ms {both:9.3f} ms", flush=True)
    return {"forward_ms": forward, "forward_backward_ms": both}


def milliseconds(compiled: Callable[..., Any], arguments: tuple[Any, ...], repeats: int) -> float:
    """Median time of a call, after two."""
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[2:])


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Shape)))
