# SPDX-License-Identifier: Apache-2.0
"""Several processes of one run: how they find each other, take turns and agree.

Every process runs the same program on its own devices. What only one may do, such as writing a
file, the first does. Where all have to do the same, such as stopping after the same step, they
vote. A run of one process does none of this.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from sgatlin.errors import UserError
from sgatlin.mesh import everywhere

T = TypeVar("T")


def join(
    coordinator: str | None = None, n_processes: int | None = None, process: int | None = None
) -> None:
    """Connects this process with the others of its run, before anything uses a device.

    Without arguments as Slurm, Open MPI, Kubernetes or a TPU pod say. `coordinator` is HOST:PORT
    of the first process, which all can reach.

    Raises:
      UserError: where these are not all given, nothing says them, or nobody answers.
    """
    given = {"coordinator": coordinator, "processes": n_processes, "process": process}
    missing = [f"--{name}" for name, value in given.items() if value is None]
    if 0 < len(missing) < len(given):
        raise UserError(f"--distributed: {', '.join(missing)} must be given too, or none of them")
    if process is not None and n_processes is not None and not 0 <= process < n_processes:
        raise UserError(f"--process {process} must be in 0..{n_processes - 1}: --processes says so")
    try:
        jax.distributed.initialize(coordinator, n_processes, process)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        mend = "give --coordinator HOST:PORT, --processes and --process" if missing else "check it"
        told = f"--distributed: cannot join the other processes ({reason}): {mend}"
        raise UserError(told) from None


def is_first() -> bool:
    """Whether this process writes and tells for all."""
    return jax.process_index() == 0


def wait_for_all(what: str) -> None:
    """Returns when every process has come to the same place, which `what` names."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def first_then_others(fn: Callable[[], T], what: str) -> T:
    """fn() in the first process, and when it is done in the others, which find its files."""
    if not is_first():
        wait_for_all(what)
        return fn()
    try:
        return fn()
    finally:
        wait_for_all(what)


def firsts(number: int) -> int:
    """The first process's number (of 32 bits), in all; they wait for it."""
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.broadcast_one_to_all(np.int32(number)))


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any process; all have to ask at the same place, and wait."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


class Vote:
    """Whether any process has asked for each of some things: known to all at the same step.

    With several processes that is a step later: the questions go to the devices behind the step
    that was just dispatched, so that nobody waits for them.
    """

    def __init__(self, mesh: Mesh | None):
        self._mesh = mesh if jax.process_count() > 1 else None
        self._cast: jax.Array | None = None
        if self._mesh is not None:
            self._sharding = NamedSharding(self._mesh, PartitionSpec(self._mesh.axis_names))
            self._any = jax.jit(partial(jnp.any, axis=0), out_shardings=everywhere(self._mesh))

    def __call__(self, *flags: bool) -> tuple[bool, ...]:
        """Casts this process's votes, and returns what came of those cast a step before."""
        if self._mesh is None:
            return flags
        before = self._cast
        devices = list(self._sharding.addressable_devices)
        own = jax.device_put([np.array([flags])] * len(devices), devices)
        shape = (self._mesh.size, len(flags))
        votes = jax.make_array_from_single_device_arrays(shape, self._sharding, own)
        self._cast = self._any(votes)
        return (False,) * len(flags) if before is None else tuple(map(bool, np.asarray(before)))
