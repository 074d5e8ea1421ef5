# SPDX-License-Identifier: Apache-2.0
"""What loading a run gives, of a run that nobody trained or saved."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from sgatlin.nn.feed_forward import FeedForwardConfig
from sgatlin.train.load import LoadedRun, abstract_params


def with_layer(loaded: LoadedRun, feed_forward: FeedForwardConfig) -> LoadedRun:
    """The run with another layer, and normal parameters: none is as it would be if left out."""
    model = dataclasses.replace(loaded.config.model, feed_forward=feed_forward, dtype="float32")
    config, rng = dataclasses.replace(loaded.config, model=model), np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape), leaf.dtype),
        abstract_params(config),
    )
    return loaded._replace(config=config, params=params)
