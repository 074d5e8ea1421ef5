# SPDX-License-Identifier: Apache-2.0
"""Which implementation computes the neuron primitives, where nobody says."""

from typing import Literal, get_args

import jax.numpy as jnp

from sgatlin.errors import UserError, require_one_of
from sgatlin.ops import triton_call
from sgatlin.ops.neurons.triton import COLUMNS, DTYPES
from sgatlin.ops.platform import platform

Implementation = Literal["reference", "xla", "dense", "triton"]
"""`reference` gathers all rows at once, `xla` in chunks of tokens, `dense` multiplies with all rows
of the table, `triton` has kernels for NVIDIA GPUs."""

# Rows of the table for each row chosen up to which `dense` is the faster (docs/performance.md).
# On a TPU it is an estimate: its matrix units do some hundred operations for each byte it gathers.
DENSE_ROWS = {"cpu": 8, "gpu": 5, "tpu": 256}


def pick(
    implementation: Implementation | None,
    *,
    n_rows: int,
    n_picks: int,
    width: int,
    dtype: jnp.dtype,
) -> Implementation:
    """The implementation that is asked for, or what suits the platform and the shapes.

    Raises:
      UserError: for one that there is not, or that cannot run here.
    """
    name = jnp.dtype(dtype).name
    if implementation is None:
        return best(n_rows=n_rows, n_picks=n_picks, width=width, dtype=dtype)[0]
    require_one_of(get_args(Implementation), implementation=implementation)
    if implementation == "triton" and (problem := _no_triton(width, name)):
        raise UserError(f"implementation='triton' cannot be used: {problem}; None picks what can")
    return implementation


def best(*, n_rows: int, n_picks: int, width: int, dtype: jnp.dtype) -> tuple[Implementation, str]:
    """What is taken where nobody says, and why."""
    if n_rows <= DENSE_ROWS.get(platform(), 0) * n_picks:
        return "dense", "the table is small"
    reason = _no_triton(width, jnp.dtype(dtype).name)
    return ("triton", "an NVIDIA GPU") if reason is None else ("xla", reason)


def _no_triton(width: int, dtype: str) -> str | None:
    if reason := triton_call.why_not():
        return reason
    if width % COLUMNS:
        return f"the width {width} is no multiple of {COLUMNS}"
    return None if dtype in DTYPES else f"tables are {dtype}"
