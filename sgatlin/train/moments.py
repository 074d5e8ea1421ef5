# SPDX-License-Identifier: Apache-2.0
"""An optimizer's moments in bfloat16, which halves what they take.

A second moment moves by a thousandth of itself a step, of which rounding to the nearest of eight
bits would leave nothing: it is rounded up or down at random, right in the mean.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, UInt


class Narrow(NamedTuple):
    """The state of an optimizer whose moments are in bfloat16."""

    step: Int[Array, ""]
    inner: Any


def in_bfloat16(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """The same optimizer, whose fp32 state is kept in bfloat16 between steps.

    What is random depends on the number of the step and on an entry's place alone.
    """

    def init(params: Any) -> Narrow:
        return Narrow(jnp.zeros((), jnp.int32), jax.tree.map(_nearest, optimizer.init(params)))

    def update(updates: Any, state: Narrow, params: Any = None) -> tuple[Any, Narrow]:
        inner = jax.tree.map(_widened, state.inner)
        updates, inner = optimizer.update(updates, inner, params)
        leaves, structure = jax.tree.flatten(inner)
        # Moments of one parameter must not be rounded alike.
        rounded = [_rounded(leaf, state.step, number) for number, leaf in enumerate(leaves)]
        return updates, Narrow(state.step + 1, jax.tree.unflatten(structure, rounded))

    return optax.GradientTransformation(init, update)


def _is_moment(leaf: Array) -> bool:
    return leaf.dtype == jnp.float32 and leaf.ndim > 0


def _nearest(leaf: Array) -> Array:
    return leaf.astype(jnp.bfloat16) if _is_moment(leaf) else leaf


def _widened(leaf: Array) -> Array:
    return leaf.astype(jnp.float32) if leaf.dtype == jnp.bfloat16 else leaf


def _rounded(leaf: Array, step: Array, number: int) -> Array:
    if not _is_moment(leaf):
        return leaf
    return stochastically_rounded(leaf, hashed(leaf.shape, step, number))


def stochastically_rounded(x: Float[Array, "..."], bits: UInt[Array, "..."]) -> Float[Array, "..."]:
    """x in bfloat16: the next one towards or away from zero, as likely as x is near to it.

    Of the random `bits`, 32 each, the lower half is used. What is not finite stays so.
    """
    raw = jax.lax.bitcast_convert_type(x, jnp.uint32)
    raw = (raw + (bits & 0xFFFF)) & jnp.uint32(0xFFFF0000)
    rounded = jax.lax.bitcast_convert_type(raw, jnp.float32)
    return jnp.where(jnp.isfinite(x), rounded, x).astype(jnp.bfloat16)


def hashed(shape: tuple[int, ...], step: Int[Array, ""], number: int) -> UInt[Array, "..."]:
    """32 bits for each entry, as if random: an integer's, mixed (MurmurHash3's finalizer).

    A few operations that are fused with what reads them; a generator's bits would be written first.
    """
    place, stride = jnp.zeros(shape, jnp.uint32), 1
    for axis in reversed(range(len(shape))):
        place += jnp.uint32(stride % 2**32) * jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
        stride *= shape[axis]
    seed = _mixed(step.astype(jnp.uint32) * jnp.uint32(0x9E3779B9) + jnp.uint32(number))
    return _mixed(place ^ seed)


def _mixed(x: Array) -> Array:
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
