# SPDX-License-Identifier: Apache-2.0
"""What the backward pass computes again instead of keeping it."""

from collections.abc import Callable
from typing import Any, Literal

import jax

Remat = Literal["none", "dots", "full"]


def rematerialized(
    block: Callable[..., Any], remat: Remat, *, prevent_cse: bool
) -> Callable[..., Any]:
    """`block` with what `remat` names recomputed in the backward pass instead of stored.

    `prevent_cse` puts barriers around what is recomputed, so that XLA does not merge it with the
    forward pass where both are in one program; in a loop they are not.
    """
    policies: dict[Remat, Callable[..., bool]] = {
        "none": _all_but_reshapes,
        "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
        "full": jax.checkpoint_policies.nothing_saveable,
    }
    return jax.checkpoint(block, policy=policies[remat], prevent_cse=prevent_cse)


def _all_but_reshapes(primitive: Any, *_: Any, **__: Any) -> bool:
    """A reshape costs nothing; a reshaped table that is stored is a copy of it, of every layer.

    So is one that was gathered: the backward pass gathers it again (ZeRO's third stage, Rajbhandari
    2020, arXiv 1910.02054).
    """
    return primitive.name not in ("reshape", "all_gather")
