# SPDX-License-Identifier: Apache-2.0
"""Which implementation computes the neuron primitives, where nobody says."""

import functools
import logging
from typing import Literal, get_args

import jax.numpy as jnp

from sgatlin.errors import UserError, require_one_of
from sgatlin.ops import triton_call
from sgatlin.ops.neurons.triton import COLUMNS, DTYPES
from sgatlin.ops.platform import only_traced, platform

Implementation = Literal["reference", "xla", "dense", "triton"]
"""`reference` gathers all rows at once, `xla` in chunks of tokens, `dense` multiplies with all rows
of the table, `triton` has kernels for NVIDIA GPUs."""

# Rows of the table for each row chosen up to which `dense` is the faster (docs/performance.md).
# On a TPU it is an estimate: its matrix units do some hundred operations for each byte it gathers.
DENSE_ROWS = {"cpu": 8, "gpu": 0, "tpu": 256}


def pick(
    implementation: Implementation | None,
    *,
    n_rows: int,
    n_picks: int,
    width: int,
    dtype: jnp.dtype,
    tell: bool = False,
) -> Implementation:
    """The implementation that is asked for, or what suits the default device and the shapes.

    With `tell` its own choice is logged, once for each.

    Raises:
      UserError: for one that there is not, or that cannot run here.
    """
    name = jnp.dtype(dtype).name
    if implementation is None:
        chosen, reason = _best(n_rows, n_picks, width, name)
        if tell and not only_traced():
            _tell(f"neurons by {chosen} ({reason}): {n_rows:,} rows of {width}, {n_picks} a token")
        return chosen
    require_one_of(get_args(Implementation), implementation=implementation)
    if implementation == "triton" and (problem := _no_triton(width, name)):
        raise UserError(f"implementation='triton' cannot be used: {problem}; None picks what can")
    return implementation


def _best(n_rows: int, n_picks: int, width: int, dtype: str) -> tuple[Implementation, str]:
    """The choice, and why."""
    if n_rows <= DENSE_ROWS.get(platform(), 0) * n_picks:
        return "dense", "the table is small"
    reason = _no_triton(width, dtype)
    return ("triton", "an NVIDIA GPU") if reason is None else ("xla", reason)


@functools.cache
def _tell(line: str) -> None:
    logging.getLogger("sgatlin").info(line)


def _no_triton(width: int, dtype: str) -> str | None:
    if reason := triton_call.why_not():
        return reason
    if width % COLUMNS:
        return f"the width {width} is no multiple of {COLUMNS}"
    return None if dtype in DTYPES else f"tables are {dtype}"
