# SPDX-License-Identifier: Apache-2.0
"""What of a run is split over which devices, in words, and where it cannot be."""

from sgatlin.config import Config
from sgatlin.errors import UserError
from sgatlin.mesh import Sizes, check_shared
from sgatlin.nn.moe import MoeConfig
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.sgatlin import SgatlinConfig


def layout(config: Config, sizes: Sizes) -> list[str]:
    """Lines about the mesh, none for one device.

    Raises:
      UserError: where channels or windows cannot be shared out equally.
    """
    if sizes.devices == 1:
        return []
    check_shared(config.data.batch_size, sizes, config.train.accumulate)
    units = [("attention", "heads", config.model.n_heads)]
    whole = []
    for layer in dict.fromkeys(config.model.period):
        if isinstance(layer, SgatlinConfig | PeerConfig):
            if layer.n_channels % sizes.tensor:
                raise UserError(
                    f"model.feed_forward.n_channels={layer.n_channels} is not a multiple of "
                    f"mesh.tensor={sizes.tensor}: each device needs as many channels; change either"
                )
            if layer.shared_pool and sizes.tensor > 1:
                whole.append("the pool (one table for all channels)")
        elif isinstance(layer, MoeConfig):
            units.append(("the mixture", "experts", layer.n_experts))
        else:
            units.append(("the feed-forward layer", "hidden units", layer.d_hidden))
    whole += [f"{name} ({number} {unit})" for name, unit, number in units if number % sizes.tensor]
    lines = [
        f"{sizes.devices} devices: data {sizes.data}, fsdp {sizes.fsdp}, tensor {sizes.tensor}; "
        f"{config.data.batch_size // sizes.windows} windows a step on each"
    ]
    if whole:
        lines.append(
            f"whole on each device of tensor, which does not divide it: {', '.join(whole)}"
        )
    return lines
