# SPDX-License-Identifier: Apache-2.0
"""Gives dead keys of a router, and the neurons behind them, the values of busy ones.

A neuron of a product router cannot be revived alone, as its key is a pair of sub-keys that others
share. When most neurons that a sub-key leads to have been unused for long, it becomes a noisy copy
of a busy one of the same channel and half, and its neurons copies of the other's; the noise is what
lets the two part. Output weights are divided between them, so that for a token that uses both they
add up to what one was (as in the splitting of units by Chen 2016, arXiv 1511.05641); of its K
neurons the weakest then fall out. So that this stays small, a key is copied once at a time.
Restarting dead codes from live ones: Dhariwal 2020, arXiv 2005.00341.

Where neurons share scores in groups of G, a pair of keys leads to a group: all of it is copied.

L layers, H halves of a key, C channels, M keys of a half, N = G M^H neurons of a channel, D model,
Q router width.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from sgatlin.nn.pattern import every
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.routing import QUERY_PER_CHANNEL, RouterConfig, key_shape
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.transformer import TransformerConfig
from sgatlin.train.usage import Usage, UsageConfig, dead


class Replacement(NamedTuple):
    """Which key each key takes its values from; itself, if it lives."""

    source: Int[Array, "L H C M"]
    is_copy: Bool[Array, "L H C M"]


def resampling_router(model: TransformerConfig) -> RouterConfig | None:
    """The router whose keys can be resampled; None without one, or with a table of all channels."""
    layer = model.gated_layer
    if isinstance(layer, PeerConfig):
        layer = layer.as_sgatlin()
    return layer if isinstance(layer, SgatlinConfig) and not layer.shared_pool else None


def choose_sources(
    usage: Usage,
    step: Int[Array, ""],
    key: Array,
    *,
    router: RouterConfig,
    config: UsageConfig,
    enabled: bool | Bool[Array, ""] = True,
) -> Replacement:
    """For each dead key a busy one, drawn in proportion to its choices since the last report.

    A key is dead if `resample_share` of its neurons are, and fewer choices than of a mean key were
    of the rest. None is a source twice; dead keys without one stay as they are, and all do unless
    `enabled`.
    """
    halves, side = key_shape(router)
    shape = (*usage.counts.shape[:2], *(side,) * halves, router.group)
    # Of each group, (L, C, M) or (L, C, M, M).
    dead_LCn = dead(usage, step, config.dead_after).reshape(shape).mean(axis=-1)
    counts_LCn = usage.counts.reshape(shape).sum(axis=-1)
    if halves == 1:
        share_LHCM, busy_LHCM = dead_LCn[:, None], counts_LCn[:, None]
    else:
        share_LHCM = jnp.stack([dead_LCn.mean(axis=3), dead_LCn.mean(axis=2)], axis=1)
        busy_LHCM = jnp.stack([counts_LCn.sum(axis=3), counts_LCn.sum(axis=2)], axis=1)
    is_idle = busy_LHCM < busy_LHCM.mean(axis=-1, keepdims=True)
    is_dead = (share_LHCM >= config.resample_share) & is_idle & enabled
    can_give = ~is_dead & (busy_LHCM > 0)
    # The largest of log weights plus Gumbel noise are a draw without replacement.
    noisy_LHCM = jnp.log(busy_LHCM.astype(jnp.float32)) + jax.random.gumbel(key, is_dead.shape)
    drawn_LHCM = jnp.argsort(jnp.where(can_give, noisy_LHCM, -jnp.inf), axis=-1, descending=True)
    rank_LHCM = jnp.cumsum(is_dead, axis=-1) - 1
    is_copy = is_dead & (rank_LHCM < can_give.sum(axis=-1, keepdims=True))
    giver_LHCM = jnp.take_along_axis(drawn_LHCM, jnp.maximum(rank_LHCM, 0), axis=-1)
    return Replacement(jnp.where(is_copy, giver_LHCM, jnp.arange(side)), is_copy)


def resample(
    params: Any,
    optimizer_state: Any,
    replacement: Replacement,
    key: Array,
    *,
    router: RouterConfig,
    optimizer: optax.GradientTransformation,
    noise: float,
    paths: Sequence[str] = ("blocks/feed_forward",),
) -> tuple[Any, Any]:
    """Parameters and optimizer state with the dead replaced.

    Moments are copied with the parameters that they belong to; copied keys get normal noise of
    `noise` times the keys' root mean square. `paths` are `gated_paths` of the model.
    """
    side, group = replacement.source.shape[-1], router.group
    group_LCn = _of_groups(lambda first, second: first * side + second, replacement.source)
    first_LCN = jnp.repeat(group * group_LCn, group, axis=-1)  # neuron of each group
    neuron_LCN = first_LCN + jnp.arange(first_LCN.shape[-1]) % group
    copies_LCn = _of_groups(jnp.multiply, _n_copies(replacement.source)).astype(jnp.float32)
    copies_LCN = jnp.repeat(copies_LCn, group, axis=-1)

    def copied(leaf: Any, name: str) -> Any:
        own, number = _within(paths, name)
        if isinstance(leaf, optax.MaskedNode):  # of another part of an optimizer of several
            return leaf
        if own == "router/key":
            source = every(replacement.source, number, len(paths))
            taken = jnp.take_along_axis(_as_keys(leaf, router), source[..., None], axis=3)
            return _as_leaf(taken, leaf, router)
        if own in ("w_in", "w_out"):
            neuron = every(neuron_LCN, number, len(paths))
            return jnp.take_along_axis(leaf, neuron[..., None], axis=2)
        return leaf

    def parted(leaf: Array, name: str) -> Array:
        own, number = _within(paths, name)
        if own == "router/key":
            keys, is_copy = _as_keys(leaf, router), every(replacement.is_copy, number, len(paths))
            draw_key = jax.random.fold_in(key, number) if number else key
            drawn = jax.random.normal(draw_key, keys.shape, keys.dtype)
            drawn *= noise * jnp.sqrt(jnp.mean(keys**2))
            return _as_leaf(keys + drawn * is_copy[..., None], leaf, router)
        if own == "w_out":
            return leaf / every(copies_LCN, number, len(paths))[..., None]
        return leaf

    names = jax.tree_util.tree_map_with_path(
        lambda path, _: jax.tree_util.keystr(path, simple=True, separator="/"), params
    )
    optimizer_state = optax.tree_utils.tree_map_params(
        optimizer,
        copied,
        optimizer_state,
        names,
        is_leaf=lambda leaf: isinstance(leaf, optax.MaskedNode),
    )
    params = jax.tree.map(copied, params, names)
    return jax.tree.map(parted, params, names), optimizer_state


def _within(paths: Sequence[str], name: str) -> tuple[str, int]:
    """A parameter's name within its stack of layers, and which stack this is; "" if in none."""
    for number, path in enumerate(paths):
        if name.startswith(f"{path}/"):
            return name.removeprefix(f"{path}/"), number
    return "", 0


def revived(usage: Usage, step: Int[Array, ""], replacement: Replacement) -> Usage:
    """`usage` in which neurons of replaced keys count as used at `step`: they get time to live."""
    is_copy_LCn = _of_groups(jnp.logical_or, replacement.is_copy)
    group = usage.last_used.shape[-1] // is_copy_LCn.shape[-1]
    is_copy_LCN = jnp.repeat(is_copy_LCn, group, axis=-1)
    return usage._replace(last_used=jnp.where(is_copy_LCN, step, usage.last_used))


def _of_groups(pair: Callable[[Array, Array], Array], keys_LHCM: Array) -> Array:
    """What groups have of their keys, (L, C, N / G): `pair` of both halves', or the only one's."""
    if keys_LHCM.shape[1] == 1:
        return keys_LHCM[:, 0]
    pairs_LCMM = pair(keys_LHCM[:, 0, :, :, None], keys_LHCM[:, 1, :, None, :])
    return pairs_LCMM.reshape(*pairs_LCMM.shape[:2], -1)


def _n_copies(source_LHCM: Array) -> Int[Array, "L H C M"]:
    """How many keys now have the values that a key has, itself included."""
    return (source_LHCM[..., :, None] == source_LHCM[..., None, :]).sum(axis=-1)


def _as_keys(leaf: Array, router: RouterConfig) -> Float[Array, "L H C M Q"]:
    if router.router in QUERY_PER_CHANNEL:
        return leaf
    halves, side = key_shape(router)
    keys_LQHCM = leaf.reshape(*leaf.shape[:2], halves, router.n_channels, side)
    return jnp.moveaxis(keys_LQHCM, 1, -1)


def _as_leaf(keys: Float[Array, "L H C M Q"], like: Array, router: RouterConfig) -> Array:
    if router.router in QUERY_PER_CHANNEL:
        return keys
    return jnp.moveaxis(keys, -1, 1).reshape(like.shape)
