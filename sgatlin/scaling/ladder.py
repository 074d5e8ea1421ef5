# SPDX-License-Identifier: Apache-2.0
"""Ladders of models of growing scale s, the paper's first (arXiv 2606.07414), and their layers.

The paper's has width D = 128 s and 2 s layers; half steps work too.
"""

import dataclasses
import math

from sgatlin.errors import UserError
from sgatlin.nn.feed_forward import LayerConfig
from sgatlin.nn.mlp import MlpConfig, SwigluConfig, matching_d_hidden
from sgatlin.nn.moe import MoeConfig
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.spark import SparkConfig
from sgatlin.nn.topk_mlp import TopkMlpConfig

SCALES = tuple(half / 2 for half in range(1, 19))
"""0.5, 1, ..., 9; the paper's are 1 to 8."""

SPARK_SHARE = 0.08
"""Units that fire in the sparse dense layers, as in Spark Transformer's models."""

BALANCE_WEIGHT, Z_WEIGHT = 1e-2, 1e-3
"""Of our own mixture, as in Switch Transformer and ST-MoE."""

POOL_BALANCE_WEIGHT = 0.1
"""Of sgatlin's own balanced variant."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ladder:
    """Widths, depths and layers of models by their scale s; the defaults are the paper's."""

    width: float = 128
    """D is this times s."""
    depth: float = 2
    """Layers are this times s."""
    least_depth: int = 1
    """Fewest layers of a model, whatever its scale: below about four layers a small budget ends
    before the model copies from its context."""
    n_channels: int = 16
    """C of sgatlin and PEER."""
    side: tuple[float, float] = (16, 12)
    """(a, b): a channel has N = (a + b s)^2 neurons; PEER's one pool has 4 N."""
    top_k: int = 8
    """K of sgatlin and PEER."""
    d_key: int = 128
    """Q of sgatlin and PEER."""

    def d_model(self, scale: float) -> int:
        """D, or UserError where it is not whole."""
        return _whole(self.width * scale, scale, "a width")

    def n_layers(self, scale: float) -> int:
        """Layers, at least `least_depth`, or UserError where they are not whole."""
        return max(self.least_depth, _whole(self.depth * scale, scale, "a number of layers"))

    def n_neurons(self, scale: float) -> int:
        """N of a channel, or UserError where its root is not whole."""
        constant, slope = self.side
        return _whole(constant + slope * scale, scale, "a root of n_neurons") ** 2

    def layers(self, scale: float) -> dict[str, LayerConfig]:
        """Every layer of the comparison at one scale, by variant name."""
        return layers(
            self.d_model(scale),
            n_channels=self.n_channels,
            n_neurons=self.n_neurons(scale),
            top_k=self.top_k,
            d_key=self.d_key,
        )


PAPER = Ladder()


def dense_layers(d_model: int) -> dict[str, LayerConfig]:
    """The layers that multiply with all their weights, of equal hidden width; by variant name."""
    hidden = matching_d_hidden(d_model)
    active = round(SPARK_SHARE * hidden)
    return {
        "mlp": MlpConfig(d_hidden=hidden),
        "swiglu": SwigluConfig(d_hidden=hidden),
        "topk-mlp": TopkMlpConfig(d_hidden=hidden, top_k=active),
        "spark": SparkConfig(d_hidden=hidden, n_active=active),
    }


def mixtures(d_model: int) -> dict[str, LayerConfig]:
    """Mixtures of 16 experts as wide as the model, of which a token uses two; by variant name.

    `moe` is gpt-oss's with balancing and z-loss; `moe-paper` is as in the paper's runs, which have
    neither.
    """
    return {
        "moe": MoeConfig(d_hidden=d_model, balance_weight=BALANCE_WEIGHT, z_weight=Z_WEIGHT),
        "moe-paper": MoeConfig(d_hidden=d_model, routing="paper"),
    }


def neuron_layers(
    n_channels: int, n_neurons: int, *, top_k: int = 8, d_key: int = 128
) -> dict[str, LayerConfig]:
    """sgatlin and PEER with as many channels; PEER's one pool has 4 N neurons, as in the paper.

    `sgatlin-g4`, whose neurons share scores in groups of four, is left out where N or K cannot be
    divided into such groups.
    """
    peer = PeerConfig(n_channels=n_channels, n_neurons=4 * n_neurons, top_k=top_k, d_key=d_key)
    sgatlin = SgatlinConfig(n_channels=n_channels, n_neurons=n_neurons, top_k=top_k, d_key=d_key)
    has_groups = top_k % 4 == 0 and math.isqrt(n_neurons) % 2 == 0  # N / 4 is a square too
    grouped = {"sgatlin-g4": dataclasses.replace(sgatlin, group=4)} if has_groups else {}
    return {
        "sgatlin": sgatlin,
        "sgatlin-balanced": dataclasses.replace(sgatlin, balance_weight=POOL_BALANCE_WEIGHT),
        **grouped,
        "peer": peer,
        "peer-matched": dataclasses.replace(peer, init="matched"),
    }


def layers(
    d_model: int, *, n_channels: int, n_neurons: int, top_k: int = 8, d_key: int = 128
) -> dict[str, LayerConfig]:
    """Every layer of the comparison at one width, by variant name; sgatlin is the first."""
    return {
        **neuron_layers(n_channels, n_neurons, top_k=top_k, d_key=d_key),
        **mixtures(d_model),
        **dense_layers(d_model),
    }


def _whole(value: float, scale: float, what: str) -> int:
    if not (value >= 1 and value == int(value)):
        raise UserError(
            f"scale={scale:g} gives {what} of {value:g} on this ladder: choose one that gives a "
            "whole number"
        )
    return int(value)
