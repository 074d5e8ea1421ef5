# SPDX-License-Identifier: Apache-2.0
"""The one place that knows how Triton kernels are called from JAX, and where they can be.

Triton and jax-triton are imported when a kernel is first called: they come with the extra `cuda`,
and jax-triton cannot even be imported beside a jaxlib without CUDA.
"""

import functools
import importlib
import importlib.util
from collections.abc import Mapping, Sequence

import jax
from jaxtyping import Array

from sgatlin.ops.gpu import no_nvidia_gpu
from sgatlin.ops.platform import only_traced


def triton_call(
    kernel: str,
    *inputs: Array | int,
    out: Sequence[jax.ShapeDtypeStruct],
    grid: tuple[int, ...],
    constants: Mapping[str, int],
    warps: int = 1,
    zeroed: Sequence[int] = (),
    updated: Mapping[int, int] | None = None,
) -> list[Array]:
    """What `kernel` writes to arrays of the shapes `out`, its last arguments but for `constants`.

    PACKAGE.NAME is NAME of sgatlin/ops/PACKAGE/triton_kernels.py. Where a program is only traced,
    something that has its inputs and outputs stands for it.
    `zeroed` outputs hold zeros before the kernel runs, `updated` ones, {input: output}, what an
    input holds; the others hold anything.
    """
    if only_traced():
        arrays = [value for value in inputs if not isinstance(value, int)]
        return list(jax.ffi.ffi_call(kernel, list(out))(*arrays))
    import jax_triton

    package, _, name = kernel.partition(".")
    module = importlib.import_module(f"sgatlin.ops.{package}.triton_kernels")
    results: Sequence[Array] = jax_triton.triton_call(
        *inputs,
        kernel=getattr(module, name),
        out_shape=list(out),
        grid=grid,
        num_warps=warps,
        zeroed_outputs=tuple(zeroed),
        input_output_aliases=dict(updated or {}),
        **constants,
    )
    return list(results)


def why_not() -> str | None:
    """Why Triton kernels cannot run on this machine's default device; None if they can."""
    return no_nvidia_gpu() or (None if only_traced() else _missing())


@functools.cache
def _missing() -> str | None:
    for package in ("triton", "jax_triton"):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed: the extra `cuda` has it"
    return None


def power_of_two(n: int, *, least: int = 1, most: int = 1 << 30) -> int:
    """The smallest power of two that is at least n, within bounds: sizes of Triton's blocks."""
    return max(least, min(most, 1 << (max(1, n) - 1).bit_length()))
