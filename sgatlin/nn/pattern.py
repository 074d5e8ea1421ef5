# SPDX-License-Identifier: Apache-2.0
"""A model's blocks by their place in the period of its pattern of feed-forward layers.

Blocks of one place have layers of one kind, so their parameters can be stacked along a leading axis
and scanned. A model without a pattern has one stack, `blocks`; one with a pattern of P layers has
P: `blocks/0` holds blocks 0, P, 2 P and so on, `blocks/1` blocks 1, P + 1, and so on.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from sgatlin.nn.feed_forward import FeedForwardConfig, PatternConfig, layers_of
from sgatlin.nn.gates import GatedConfig


def stacks(blocks: Any, config: FeedForwardConfig) -> list[Any]:
    """The stacks of a tree like the blocks' parameters, by place."""
    if not isinstance(config, PatternConfig):
        return [blocks]
    return [blocks[str(place)] for place in range(len(config.layers))]


def joined(parts: Sequence[Any], config: FeedForwardConfig) -> Any:
    """The tree whose `stacks` are these."""
    if not isinstance(config, PatternConfig):
        return parts[0]
    return {str(place): part for place, part in enumerate(parts)}


def gated_places(config: FeedForwardConfig) -> list[int]:
    """Places in the period whose layers have gates."""
    return [i for i, layer in enumerate(layers_of(config)) if isinstance(layer, GatedConfig)]


def gated_paths(config: FeedForwardConfig) -> list[str]:
    """Paths of the stacks of feed-forward layers with gates in the parameters' tree, by place."""
    by_place = isinstance(config, PatternConfig)
    middle = [f"{place}/" if by_place else "" for place in gated_places(config)]
    return [f"blocks/{place}feed_forward" for place in middle]


def with_gated_layers(
    change: Callable[[Any, Any], Any],
    params: Mapping[str, Any],
    of_layers: Any,
    config: FeedForwardConfig,
) -> dict[str, Any]:
    """A model's parameters with `change` made to those of its feed-forward layers with gates.

    It is called with each stack of them and the same layers of `of_layers`, whose arrays have a
    leading axis of all layers with gates.
    """
    parts, places = stacks(params["blocks"], config), gated_places(config)
    for number, place in enumerate(places):
        own = every(of_layers, number, len(places))
        changed = change(parts[place]["feed_forward"], own)
        parts[place] = parts[place] | {"feed_forward": changed}
    return {**params, "blocks": joined(parts, config)}


def every(tree: Any, place: int, period: int) -> Any:
    """Of arrays with a leading layer axis the layers at one place of each period."""
    return tree if period == 1 else jax.tree.map(lambda array: array[place::period], tree)


def interleaved(trees: Sequence[Any]) -> Any:
    """The tree of which these are `every` place, in order; None of no trees."""
    if len(trees) < 2:
        return trees[0] if trees else None

    def one_by_one(*arrays: jax.Array) -> jax.Array:
        stacked = jnp.stack(arrays, axis=1)
        return stacked.reshape(-1, *stacked.shape[2:])

    return jax.tree.map(one_by_one, *trees)


def interleaved_by_name(trees: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`interleaved` of each name, over the trees that have it."""
    names = dict.fromkeys(name for tree in trees for name in tree)
    return {name: interleaved([tree[name] for tree in trees if name in tree]) for name in names}
