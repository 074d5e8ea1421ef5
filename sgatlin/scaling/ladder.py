# SPDX-License-Identifier: Apache-2.0
"""The paper's ladder of models (arXiv 2606.07414), and the layers compared at each width.

Scale s has width D = 128 s and 2 s layers; half steps work too.
"""

import dataclasses

from sgatlin.errors import UserError
from sgatlin.nn.feed_forward import FeedForwardConfig
from sgatlin.nn.mlp import MlpConfig, SwigluConfig, matching_d_hidden
from sgatlin.nn.moe import MoeConfig
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.spark import SparkConfig
from sgatlin.nn.topk_mlp import TopkMlpConfig

SCALES = tuple(half / 2 for half in range(2, 19))
"""1, 1.5, ..., 9; the paper's end at 8."""

SPARK_SHARE = 0.08
"""Units that fire in the sparse dense layers, as in Spark Transformer's models."""

BALANCE_WEIGHT, Z_WEIGHT = 1e-2, 1e-3
"""Of our own mixture, as in Switch Transformer and ST-MoE."""

POOL_BALANCE_WEIGHT = 0.1
"""Of sgatlin's own balanced variant."""


def width(scale: float) -> int:
    """D of a model of the ladder."""
    _check_scale(scale)
    return round(128 * scale)


def depth(scale: float) -> int:
    """Layers of a model of the ladder."""
    _check_scale(scale)
    return round(2 * scale)


def dense_layers(d_model: int) -> dict[str, FeedForwardConfig]:
    """The layers that multiply with all their weights, of equal hidden width; by variant name."""
    hidden = matching_d_hidden(d_model)
    active = round(SPARK_SHARE * hidden)
    return {
        "mlp": MlpConfig(d_hidden=hidden),
        "swiglu": SwigluConfig(d_hidden=hidden),
        "topk-mlp": TopkMlpConfig(d_hidden=hidden, top_k=active),
        "spark": SparkConfig(d_hidden=hidden, n_active=active),
    }


def mixtures(d_model: int) -> dict[str, FeedForwardConfig]:
    """Mixtures of 16 experts as wide as the model, of which a token uses two; by variant name.

    `moe` is gpt-oss's with balancing and z-loss; `moe-paper` is as in the paper's runs, which have
    neither.
    """
    return {
        "moe": MoeConfig(d_hidden=d_model, balance_weight=BALANCE_WEIGHT, z_weight=Z_WEIGHT),
        "moe-paper": MoeConfig(d_hidden=d_model, routing="paper"),
    }


def neuron_layers(n_channels: int, n_neurons: int) -> dict[str, FeedForwardConfig]:
    """sgatlin and PEER with as many channels; PEER's one pool has 4 N neurons, as in the paper."""
    peer = PeerConfig(n_channels=n_channels, n_neurons=4 * n_neurons, top_k=8, d_key=128)
    sgatlin = SgatlinConfig(n_channels=n_channels, n_neurons=n_neurons, top_k=8, d_key=128)
    return {
        "sgatlin": sgatlin,
        "sgatlin-balanced": dataclasses.replace(sgatlin, balance_weight=POOL_BALANCE_WEIGHT),
        "peer": peer,
        "peer-matched": dataclasses.replace(peer, init="matched"),
    }


def layers(d_model: int, *, n_channels: int, n_neurons: int) -> dict[str, FeedForwardConfig]:
    """Every layer of the comparison at one width, by variant name; sgatlin is the first."""
    return {
        **neuron_layers(n_channels, n_neurons),
        **mixtures(d_model),
        **dense_layers(d_model),
    }


def ladder_layers(scale: float) -> dict[str, FeedForwardConfig]:
    """Every layer of the comparison at one scale: N = (16 + 12 s)^2 neurons in 16 channels."""
    side = round(16 + 12 * scale)
    return layers(width(scale), n_channels=16, n_neurons=side**2)


def _check_scale(scale: float) -> None:
    if scale not in SCALES:
        raise UserError(f"scale={scale} is not one of {', '.join(f'{s:g}' for s in SCALES)}")
