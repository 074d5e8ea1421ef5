# SPDX-License-Identifier: Apache-2.0
"""Types that sums and statistics are computed in."""

import jax.numpy as jnp
from jaxtyping import Array


def sum_dtype(operand: Array) -> jnp.dtype:
    """What sums are accumulated in: fp32, or the operand's type where that is wider."""
    return jnp.promote_types(operand.dtype, jnp.float32)
