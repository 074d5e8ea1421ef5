# SPDX-License-Identifier: Apache-2.0
"""The toy run's model with other layers and random parameters: every kind that has circuits."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from sgatlin.circuits.model import CircuitModel, circuit_layer
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.transformer import abstract_model

SIZE = {"n_channels": 2, "n_neurons": 16, "top_k": 2, "d_key": 8}
SGATLIN = SgatlinConfig(**SIZE)
PEER = PeerConfig(**SIZE)
AFTER = SgatlinConfig(**SIZE, activation="swish", shared_pool=True)
# The neurons of four groups of four, which read a projection of the stream.
GROUPED = SgatlinConfig(n_channels=2, n_neurons=16, top_k=4, group=4, d_in=6, d_key=8)
LAYERS = {"sgatlin": SGATLIN, "peer": PEER, "after": AFTER, "grouped": GROUPED}


def variant(run: Path, name: str) -> CircuitModel:
    """The toy model with such layers, three of them, all parameters drawn at random."""
    model = CircuitModel.open(str(run))
    config = dataclasses.replace(model.config, n_layers=3, feed_forward=LAYERS[name])
    shapes = nnx.to_pure_dict(nnx.state(abstract_model(config)))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: jnp.float32(0.4 * rng.normal(size=leaf.shape)), shapes)
    return dataclasses.replace(model, config=config, layer=circuit_layer(config), params=params)
