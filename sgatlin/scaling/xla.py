# SPDX-License-Identifier: Apache-2.0
"""What XLA counts for a forward pass: a second opinion on `forward_flops`."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from sgatlin.nn.feed_forward import LayerConfig, with_each_layer
from sgatlin.nn.moe import MoeConfig
from sgatlin.nn.pattern import stacks
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.transformer import TransformerConfig, abstract_model


def xla_forward_flops(config: TransformerConfig, seq_len: int) -> int:
    """Operations per token of a forward pass, by XLA's cost analysis of the unoptimised program.

    It adds a few percent for what is elementwise, and counts all experts of a mixture for every
    row. Layers are counted one by one, since XLA counts the body of a scan once. Nothing is
    compiled.
    """
    layer = with_each_layer(config.feed_forward, _without_loops)
    config = dataclasses.replace(config, feed_forward=layer)
    x_BTD = _float32(1, seq_len, config.d_model)

    def of_block(stack: Any) -> float:
        graph, layers = nnx.split(stack)

        def block(params: Any, x_BTD: Array) -> Array:
            output, *_ = nnx.merge(graph, params)(x_BTD, jnp.dtype("float32"), None, None)
            return output.y

        one_layer = jax.tree.map(lambda leaf: _float32(*leaf.shape[1:]), layers)
        return _count(block, one_layer, x_BTD)

    def unembedding(x_BTD: Array, embedding: Array) -> Array:
        return x_BTD @ embedding.T

    embedding = _float32(config.vocab_size, config.d_model)
    blocks = stacks(abstract_model(config).blocks, config.feed_forward)
    total = config.n_periods * sum(map(of_block, blocks))
    return round((total + _count(unembedding, x_BTD, embedding)) / seq_len)


def _without_loops(layer: LayerConfig) -> LayerConfig:
    """The layer in a form without loops, whose bodies would be counted once too."""
    if isinstance(layer, MoeConfig):
        return dataclasses.replace(layer, implementation="ragged_dot")
    if isinstance(layer, SgatlinConfig | PeerConfig):
        return dataclasses.replace(layer, implementation="reference")
    return layer


def _count(fn: Any, *arguments: Any) -> float:
    analysis: Any = jax.jit(fn).lower(*arguments).cost_analysis()
    return float(analysis["flops"])


def _float32(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)
