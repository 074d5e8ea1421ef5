# SPDX-License-Identifier: Apache-2.0
"""The mesh of devices, and how a batch gets onto it.

    data     windows of a batch; parameters are whole
    fsdp     windows of a batch, and every large parameter (fully sharded data parallelism)
    tensor   channels, experts, attention heads, hidden units: the work of a layer

B windows of a batch, T time.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from sgatlin.errors import UserError, require_at_least

AXES = ("data", "fsdp", "tensor")
TOKEN_AXES = ("data", "fsdp")
"""Axes over which the windows of a batch are divided."""

BATCH_SPEC = PartitionSpec(TOKEN_AXES, None)
"""Where what a step reads, (B, T), is split."""


class Sizes(NamedTuple):
    """How many devices a mesh has along each axis."""

    data: int = 1
    fsdp: int = 1
    tensor: int = 1

    @property
    def windows(self) -> int:
        """Parts that a batch is divided into."""
        return self.data * self.fsdp

    @property
    def devices(self) -> int:
        return math.prod(self)


ONE_DEVICE = Sizes()


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """How the work is divided among devices; a run may go on with another mesh."""

    data: int | None = None
    """Devices that windows are divided among; None for all that the other axes leave."""
    fsdp: int = 1
    """The same, and large parameters, gradients and optimizer state with them."""
    tensor: int = 1
    """Devices that each layer's channels, experts, heads and hidden units are divided among."""

    def __post_init__(self) -> None:
        require_at_least(1, data=self.data, fsdp=self.fsdp, tensor=self.tensor)

    def sizes(self, n_devices: int) -> Sizes:
        """The mesh on so many devices; UserError if it does not fill them."""
        sizes = self.planned(n_devices)
        if sizes.devices != n_devices:
            raise UserError(
                f"a mesh of data={sizes.data}, fsdp={sizes.fsdp}, tensor={sizes.tensor} has "
                f"{sizes.devices} devices, but there are {n_devices}: change mesh.data, mesh.fsdp "
                "or mesh.tensor, or show JAX fewer (CUDA_VISIBLE_DEVICES)"
            )
        return sizes

    def planned(self, n_devices: int) -> Sizes:
        """The mesh that is asked for, whether so many devices fill it or not."""
        others = self.fsdp * self.tensor
        data = max(1, n_devices // others) if self.data is None else self.data
        return Sizes(data, self.fsdp, self.tensor)


def make_mesh(sizes: Sizes) -> Mesh:
    """The mesh of all devices."""
    return jax.make_mesh(tuple(sizes), AXES, axis_types=(AxisType.Auto,) * 3)


def mesh_sizes(mesh: Mesh | AbstractMesh | None) -> Sizes:
    """How many devices there are along each axis; without a mesh there is one."""
    return ONE_DEVICE if mesh is None else Sizes(**{axis: mesh.shape[axis] for axis in AXES})


def everywhere(mesh: Mesh | None) -> NamedSharding | None:
    """Whole on each device; None without a mesh."""
    return None if mesh is None else NamedSharding(mesh, PartitionSpec())


def placed(mesh: Mesh | None, specs: Any) -> Any:
    """The tree of shardings that a tree of specs means on the mesh; all None without one."""
    return jax.tree.map(
        lambda spec: None if mesh is None else NamedSharding(mesh, spec),
        specs,
        is_leaf=lambda node: isinstance(node, PartitionSpec),
    )


def check_shared(batch_size: int, sizes: Sizes, parts: int) -> None:
    """UserError where a batch's windows, in so many parts, cannot be shared out equally."""
    if batch_size % (sizes.windows * parts):
        raise UserError(
            f"data.batch_size={batch_size} is not a multiple of {sizes.windows * parts}: mesh.data "
            "* mesh.fsdp * train.accumulate; change one of them"
        )


class Feed:
    """Puts batches of B windows onto a mesh, each process the windows of its own devices.

    `rows` are those of a batch that this process reads, in its order. A batch that is accumulated
    over `parts` has each part spread over all devices, so that parts are the same sets of windows
    on any mesh.

    Raises:
      UserError: where the windows cannot be shared out equally.
    """

    def __init__(self, mesh: Mesh | None, batch_size: int, parts: int = 1):
        check_shared(batch_size, mesh_sizes(mesh), parts)
        windows = mesh_sizes(mesh).windows
        self._mesh, self._batch_size = mesh, batch_size
        order = np.arange(batch_size).reshape(parts, windows, -1).swapaxes(0, 1).reshape(-1)
        self._places: dict[jax.Device, slice] = {}
        if mesh is None:
            self.rows = order.tolist()
            return
        # What each of the own devices holds, in global places, and these among the own rows.
        held = NamedSharding(mesh, BATCH_SPEC).addressable_devices_indices_map((batch_size, 1))
        spans = {
            device: index[0].indices(batch_size)[:2] for device, index in held.items() if index
        }
        starts = sorted(set(spans.values()))
        self.rows = [int(row) for start, stop in starts for row in order[start:stop]]
        share = batch_size // windows
        for device, span in spans.items():
            at = starts.index(span) * share
            self._places[device] = slice(at, at + share)

    def put(self, *arrays: np.ndarray) -> tuple[jax.Array, ...]:
        """The own rows of each array (B, T), as arrays of the whole batch."""
        if self._mesh is None:
            return jax.device_put(arrays)
        sharding = NamedSharding(self._mesh, BATCH_SPEC)
        devices = list(self._places)

        def put_one(array: np.ndarray) -> jax.Array:
            pieces = [array[place] for place in self._places.values()]
            return jax.make_array_from_single_device_arrays(
                (self._batch_size, *array.shape[1:]), sharding, jax.device_put(pieces, devices)
            )

        return tuple(map(put_one, arrays))
