# SPDX-License-Identifier: Apache-2.0
"""Tokens in chunks, one after another: T tokens, t of a chunk."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array


def map_tokens(fn: Callable[..., Array], *args_T: Array, tokens: int) -> Array:
    """Applies `fn` to chunks of at most so many tokens and joins what it returns."""
    out = jax.lax.map(lambda chunk: fn(*chunk), split_tokens(*args_T, tokens=tokens))
    return out.reshape(-1, *out.shape[2:])[: len(args_T[0])]


def split_tokens(*args_T: Array, tokens: int) -> tuple[Array, ...]:
    """(T, ...) -> (chunks, t, ...), the last chunk padded with zeros, which add nothing."""
    tokens = max(1, min(tokens, len(args_T[0])))

    def split(x: Array) -> Array:
        padding = -x.shape[0] % tokens
        if padding:
            x = jnp.pad(x, ((0, padding), *((0, 0) for _ in x.shape[1:])))
        return x.reshape(-1, tokens, *x.shape[1:])

    return tuple(split(x) for x in args_T)
