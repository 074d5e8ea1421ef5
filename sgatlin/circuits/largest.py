# SPDX-License-Identifier: Apache-2.0
"""The largest numbers of rows, and where they stand.

M numbers of a row, K of them kept.
"""

import jax
from jaxtyping import Array, Float, Int


def largest(
    x_M: Float[Array, "*batch M"], k: int
) -> tuple[Float[Array, "*batch K"], Int[Array, "*batch K"]]:
    """As `jax.lax.top_k`, largest first; equals, infinite ones too, in the order of their places.

    On GPUs by a sort: there XLA promises no order among equals, and with JAX 0.11.2 its kernel
    returned numbers of other rows where its argument was a transpose (tests/gpu/test_circuits.py).
    """
    return jax.lax.platform_dependent(
        x_M, cuda=lambda x: _sorted(x, k), default=lambda x: tuple(jax.lax.top_k(x, k))
    )


def _sorted(x_M: Array, k: int) -> tuple[Array, Array]:
    places_M = jax.lax.broadcasted_iota("int32", x_M.shape, x_M.ndim - 1)
    minus_M, places_M = jax.lax.sort((-x_M, places_M), num_keys=1, is_stable=True)
    return -minus_M[..., :k], places_M[..., :k]
