# SPDX-License-Identifier: Apache-2.0
"""Timing, and the machine's ceilings that times are held against."""

import math
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from sgatlin.errors import UserError

# One measurement on an accelerator is as many calls as take about this long, so that the host's
# dispatching is hidden behind the device's work.
WINDOW_SECONDS = 0.02
MAX_CALLS = 50

# Of a copy and of a square matmul that no cache holds and that fill the device.
COPY_BYTES = {"cpu": 2**27}
ACCELERATOR_COPY_BYTES = 2**30
MATMUL_SIDE = {"cpu": 1024}
ACCELERATOR_MATMUL_SIDE = 8192


def median_ms(call: Callable[[], Any], repeats: int) -> float:
    """Median milliseconds of `call()`, whose results are waited for; two calls before warm up."""
    return statistics.median(call_ms(call, repeats))


def call_ms(call: Callable[[], Any], repeats: int) -> list[float]:
    """Milliseconds of `call()` in each of `repeats` measurements, after two calls."""
    jax.block_until_ready(call())
    start = time.perf_counter()
    jax.block_until_ready(call())
    calls = 1
    if jax.default_backend() != "cpu":
        once = time.perf_counter() - start
        calls = min(MAX_CALLS, max(1, math.ceil(WINDOW_SECONDS / once)))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(calls - 1):
            call()  # what it returns is freed before the next results need the room
        jax.block_until_ready(call())
        times.append(1e3 * (time.perf_counter() - start) / calls)
    return times


class Measured(NamedTuple):
    """What a compiled function took."""

    ms: float
    """Median milliseconds of a call."""
    temporaries: int | None
    """Bytes that XLA plans besides arguments and results; None where it does not say."""


def measure(fn: Callable[..., Any], arguments: tuple[Any, ...], repeats: int) -> Measured:
    """Compiles `fn` for these arguments and times it."""
    compiled = jax.jit(fn).lower(*arguments).compile()
    return Measured(median_ms(lambda: compiled(*arguments), repeats), temporary_bytes(compiled))


def temporary_bytes(compiled: Any) -> int | None:
    """`temp_size_in_bytes` of XLA's memory analysis of a compiled function, if it has one."""
    return getattr(compiled.memory_analysis(), "temp_size_in_bytes", None)


def reason(error: Exception) -> str:
    """Why something could not be measured, in a part of a line."""
    message = " ".join(str(error).split())
    if not isinstance(error, UserError):
        message = f"{type(error).__name__}: {message}"
    return message[:160]


class Ceilings(NamedTuple):
    """The most that this device was seen to do."""

    copy: float
    """Bytes per second, read and written, of a large elementwise operation."""
    matmul: float
    """FLOP/s of a large square matmul in the compute type."""


def ceilings(dtype: jnp.dtype, repeats: int = 10) -> Ceilings:
    """Both, measured now."""
    backend = jax.default_backend()
    size = COPY_BYTES.get(backend, ACCELERATOR_COPY_BYTES)
    side = MATMUL_SIDE.get(backend, ACCELERATOR_MATMUL_SIDE)
    large = jax.random.normal(jax.random.key(0), (size // 4,))
    # In place: on a CPU a fresh result's pages would be mapped anew at every call.
    negative = jax.jit(jnp.negative, donate_argnums=0)

    def copy() -> jax.Array:
        nonlocal large
        large = negative(large)
        return large

    square = jax.random.normal(jax.random.key(1), (side, side)).astype(dtype)
    multiply = jax.jit(jnp.matmul)
    # The best, not the median: a ceiling is what nothing else got in the way of.
    copy_ms = min(call_ms(copy, repeats))
    matmul_ms = min(call_ms(lambda: multiply(square, square), repeats))
    return Ceilings(copy=2 * size / (1e-3 * copy_ms), matmul=2 * side**3 / (1e-3 * matmul_ms))


def machine() -> dict[str, str]:
    """What a measurement was made on and with."""
    return {
        "device": jax.devices()[0].device_kind,
        "backend": jax.default_backend(),
        "jax": jax.__version__,
        "jaxlib": version("jaxlib"),
        "python": platform.python_version(),
    }
