# SPDX-License-Identifier: Apache-2.0
"""What is split over which axis of the mesh (`sgatlin/mesh.py`), and the sums that this takes.

A training step is one program for each device (`jax.shard_map`): it sees its own windows and its
own parts of parameters, and says where devices have to talk. Layers do so by a `Split`. Outside of
such a program there is one device, and nothing here does anything.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import partial

import jax
from jax.sharding import PartitionSpec
from jaxtyping import Array

from sgatlin.mesh import AXES, TOKEN_AXES, Sizes

TENSOR_DIMS = frozenset({"channels", "experts", "heads", "hidden"})
"""Names of a parameter's dimensions that are split over `tensor`, where that divides them."""

FSDP_LEAST = 2**12
"""Parameters of a layer with fewer numbers are whole on all devices of `fsdp`."""


def sizes() -> Sizes:
    """Those of the mesh that the program being traced is one device's of."""
    return Sizes(*map(_size, AXES))


def _size(axis: str) -> int:
    try:
        return jax.lax.axis_size(axis)
    except NameError:
        return 1


@dataclasses.dataclass(frozen=True)
class Split:
    """Equal shares of a layer's units (heads, say) on the devices of `tensor`; or all on each.

    Between `enter` and `leave` a device computes its own units' part. These are f and g of
    Megatron-LM (Shoeybi 2019, arXiv 1909.08053, section 3).
    """

    parts: int

    def enter(self, x: Array) -> Array:
        """x as it is, for the own units; its gradient is the sum of all devices'."""
        return x if self.parts == 1 else _enter(x)

    def leave(self, y: Array) -> Array:
        """The sum of all devices' parts of y."""
        return y if self.parts == 1 else _leave("tensor", y)

    def own(self, x: Array, axis: int) -> Array:
        """Of what all devices hold the own share along `axis`."""
        if self.parts == 1:
            return x
        length = x.shape[axis] // self.parts
        start = length * jax.lax.axis_index("tensor")
        return jax.lax.dynamic_slice_in_dim(x, start, length, axis)

    def gathered(self, x: Array, axis: int) -> Array:
        """All devices' x, one after another along `axis`; without a gradient."""
        if self.parts == 1:
            return x
        return jax.lax.all_gather(jax.lax.stop_gradient(x), "tensor", axis=axis, tiled=True)


UNSPLIT = Split(1)


def split(n_units: int) -> Split:
    """How `n_units` are split here: not at all where `tensor` does not divide them."""
    parts = _size("tensor")
    return Split(1 if n_units % parts else parts)


@jax.custom_vjp
def _enter(x: Array) -> Array:
    return x


_enter.defvjp(lambda x: (x, None), lambda _, dx: (jax.lax.psum(dx, "tensor"),))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _leave(axes: str | tuple[str, ...], y: Array) -> Array:
    return jax.lax.psum(y, axes)


# Every device goes on with the sum in the same way: the gradient that comes back is that of all.
_leave.defvjp(lambda axes, y: (_leave(axes, y), None), lambda axes, _, dy: (dy,))


def token_sum(x: Array) -> Array:
    """The sum over all devices' windows.

    Its gradient is that of the own part alone: gradients of parameters are added up at the end.
    """
    axes = tuple(axis for axis in TOKEN_AXES if _size(axis) > 1)
    return _leave(axes, x) if axes else x


def all_windows(x: Array) -> Array:
    """What all devices have of their windows, (B, ...), in the order of the batch."""
    axes = tuple(axis for axis in TOKEN_AXES if _size(axis) > 1)
    return jax.lax.all_gather(x, axes, tiled=True) if axes else x


def token_mean(x: Array) -> Array:
    """The mean of all devices' means over as many tokens each."""
    return token_sum(x) / sizes().windows


def device_mean(x: Array) -> Array:
    """The mean over all devices, for what is only looked at: it has no gradient."""
    axes, x = _present(), jax.lax.stop_gradient(x)
    return jax.lax.pmean(x, axes) if axes else x


def device_max(x: Array) -> Array:
    """The largest of all devices', likewise."""
    axes, x = _present(), jax.lax.stop_gradient(x)
    return jax.lax.pmax(x, axes) if axes else x


def _present() -> tuple[str, ...]:
    return tuple(axis for axis in AXES if _size(axis) > 1)


def partition_spec(
    shape: tuple[int, ...],
    dims: Sequence[str | None],
    sizes: Sizes,
    units: Mapping[str, int],
) -> PartitionSpec:
    """Where a parameter of one layer is split.

    Over `tensor` along the dimension that has one of the names TENSOR_DIMS, if that divides its
    units (its length, unless `units` says otherwise); over `fsdp` along the longest other one that
    it divides, the last of equals, if there are FSDP_LEAST numbers.
    """
    where: list[str | None] = [None] * len(shape)
    for axis, name in enumerate(dims):
        divides = name in TENSOR_DIMS and units.get(name, shape[axis]) % sizes.tensor == 0
        if divides and sizes.tensor > 1:
            where[axis] = "tensor"
    if sizes.fsdp > 1 and math.prod(shape) >= FSDP_LEAST:
        free = [axis for axis, name in enumerate(where) if name is None]
        fitting = [axis for axis in free if shape[axis] % sizes.fsdp == 0]
        if fitting:
            where[max(fitting, key=lambda axis: (shape[axis], axis))] = "fsdp"
    return PartitionSpec(*where)


def whole(x: Array, spec: PartitionSpec) -> Array:
    """A parameter's parts on all devices of `fsdp`, put together.

    The gradient is the own part's, summed over these devices.
    """
    for axis, name in enumerate(spec):
        if name == "fsdp":
            x = jax.lax.all_gather(x, "fsdp", axis=axis, tiled=True)
    return x


def summed_gradient(gradient: Array, spec: PartitionSpec) -> Array:
    """The sum over windows of a parameter's gradient, where `whole` has not summed it yet."""
    axes = tuple(axis for axis in TOKEN_AXES if axis not in spec)
    return jax.lax.psum(gradient, axes)
