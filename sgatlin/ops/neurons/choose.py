# SPDX-License-Identifier: Apache-2.0
"""Which implementation computes the neuron primitives, where nobody says."""

import functools
import logging
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from sgatlin.errors import UserError, require_one_of
from sgatlin.ops import triton_call
from sgatlin.ops.neurons.triton import COLUMNS, DTYPES

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
) -> Implementation:
    """The implementation that is asked for, or what suits the default device and the shapes.

    Raises:
      UserError: for one that there is not, or that cannot run here.
    """
    if implementation is None:
        return _best(jax.default_backend(), n_rows, n_picks, width, jnp.dtype(dtype).name)
    require_one_of(get_args(Implementation), implementation=implementation)
    if implementation == "triton" and (reason := _no_triton(width, jnp.dtype(dtype).name)):
        raise UserError(f"implementation='triton' cannot be used: {reason}; None picks what can")
    return implementation


@functools.cache
def _best(platform: str, n_rows: int, n_picks: int, width: int, dtype: str) -> Implementation:
    # Cached, so that what it logs is said once.
    chosen: Implementation = "xla"
    reason = _no_triton(width, dtype)
    if n_rows <= DENSE_ROWS.get(platform, 0) * n_picks:
        chosen, reason = "dense", f"{n_rows:,} rows are few for {n_picks} picks"
    elif reason is None:
        chosen, reason = "triton", jax.devices()[0].device_kind
    logging.getLogger("sgatlin").info(
        "neurons by %s (%s), %s rows of %d, %d a token",
        chosen,
        reason,
        f"{n_rows:,}",
        width,
        n_picks,
    )
    return chosen


def _no_triton(width: int, dtype: str) -> str | None:
    if reason := triton_call.why_not():
        return reason
    if width % COLUMNS:
        return f"the width {width} is no multiple of {COLUMNS}"
    return None if dtype in DTYPES else f"tables are {dtype}"
