# SPDX-License-Identifier: Apache-2.0
"""Trees of arrays on disk, and JSON beside them: all that Orbax does for checkpoints.

No other file of the package imports it. Trees are stored flat, keyed by the path of each leaf: the
structure comes from the tree that is read into, and what holds no array (None, optax.EmptyState)
never reaches the disk.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

JSON = "data"
"""The one entry of a state that is plain JSON; all others are trees of arrays."""

# Orbax logs a failed write as pages of tracebacks, and raises it too: a user reads our one line.
logging.getLogger("absl").addFilter(lambda record: f"{os.sep}orbax{os.sep}" not in record.pathname)


def flatten(tree: Any) -> dict[str, Any]:
    """The leaves of a pytree keyed by their path, as layers/w_in or opt/0/mu/embedding."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    flat = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
    if len(flat) != len(leaves):
        raise ValueError("two leaves of the tree have one path: a key contains a slash")
    return flat


def write(folder: Path, state: dict[str, Any]) -> Callable[[], None]:
    """Begins to write flat trees, and JSON, by name; returns once they are safe from the caller.

    What is returned waits until all is on disk, and raises whatever Orbax or the disk does.
    """
    with _context():
        written = ocp.save_checkpointables_async(folder.absolute(), state)
    return written.result


def read(folder: Path, likes: dict[str, Any]) -> dict[str, Any]:
    """The named trees, each in the structure and at the place of its like; JSON is like None.

    A like is a pytree of jax.ShapeDtypeStruct (arrays do too); leaves without a sharding go to the
    first device.
    """
    targets = {
        name: None if like is None else {path: _target(x) for path, x in flatten(like).items()}
        for name, like in likes.items()
    }
    with _context():
        read: dict[str, Any] = ocp.load_checkpointables(folder.absolute(), targets)
    for name, target in targets.items():
        if target is not None:
            leaves = [read[name][path] for path in target]
            read[name] = jax.tree.unflatten(jax.tree.structure(likes[name]), leaves)
    return read


def _target(leaf: Any) -> jax.ShapeDtypeStruct:
    sharding = getattr(leaf, "sharding", None) or jax.sharding.SingleDeviceSharding(
        jax.devices()[0]
    )
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _context() -> ocp.Context:
    """How Orbax shall work, for `with`."""
    registry = ocp.handlers.local_registry(include_global_registry=False)
    registry.add(ocp.handlers.PyTreeHandler)
    # Unless told, Orbax takes a dict of numbers for a pytree of arrays.
    registry.add(ocp.handlers.JsonHandler, checkpointable_name=JSON)
    context = ocp.Context()
    context.checkpointables.registry = registry
    # Made in the background, directories that cannot be made leave threads behind that hold up the
    # end of the process for five minutes.
    context.asynchronous.create_directories_asynchronously = False
    return context
