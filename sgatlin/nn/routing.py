# SPDX-License-Identifier: Apache-2.0
"""Routers: which K of a channel's N neurons a token uses, and the score of each.

B batch, T time, D model, Q router width, C channels, N neurons per channel, K chosen; H halves of
a key with M keys each: 2 of sqrt(N / G) in a product router, else 1 of N / G. Leading axes ("...")
are arbitrary; most often (B, T).

G neurons side by side, i * G to i * G + G - 1, form group i and share its score: a router scores
the N / G groups of a channel and chooses K / G of them. Gates stay per neuron: the G neurons of a
group lie side by side in them, each with the group's score.

Product routers score all N / G groups by sums of two sub-scores and never form the N / G sums
(Lample 2019, arXiv 1907.05242); scores and searches are fp32 whatever the compute type, because
with bf16 scores half of all rows have ties.
"""

import math
from collections.abc import Mapping
from typing import Literal, Protocol, get_args, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from sgatlin.errors import UserError, require_at_least, require_one_of
from sgatlin.nn.gates import Gates, choice_counts
from sgatlin.nn.norm import rms_normalised
from sgatlin.nn.roles import Router as RouterParam
from sgatlin.nn.roles import Scale
from sgatlin.ops.dtypes import sum_dtype
from sgatlin.ops.neurons import Implementation
from sgatlin.ops.product_topk import product_topk, search, topk
from sgatlin.parallel import device_max, device_mean, split, token_mean

RouterKind = Literal["product_dense", "dense", "key_value", "product_key_value"]
PRODUCT_ROUTERS = ("product_dense", "product_key_value")
"""Keys are pairs of sub-keys."""
QUERY_PER_CHANNEL = ("key_value", "product_key_value")
"""Each channel, and half, has a query of its own; the others share one."""

GateKind = Literal["score", "softmax"]


@runtime_checkable
class RouterConfig(Protocol):
    """What a router reads of its layer's config."""

    @property
    def n_channels(self) -> int: ...
    @property
    def n_neurons(self) -> int: ...
    @property
    def top_k(self) -> int: ...
    @property
    def group(self) -> int: ...
    @property
    def d_key(self) -> int: ...
    @property
    def router(self) -> RouterKind: ...
    @property
    def gate(self) -> GateKind: ...
    @property
    def query_norm(self) -> bool: ...
    @property
    def balance_weight(self) -> float: ...
    @property
    def implementation(self) -> Implementation | None: ...


def key_shape(config: RouterConfig) -> tuple[int, int]:
    """(H, M): halves of a key, and keys of each half."""
    n_groups = config.n_neurons // config.group
    if config.router in PRODUCT_ROUTERS:
        return 2, math.isqrt(n_groups)
    return 1, n_groups


def group_indices(indices: Int[Array, "... K"], group: int) -> Int[Array, "... chosen"]:
    """The K / G groups of G = `group` neurons that a router chose, from its gates' neurons.

    Only of gates as a router makes them: given or adjusted ones need not be whole groups.
    """
    return indices[..., ::group] // group


def check_routing(config: RouterConfig) -> None:
    """Raises UserError where no router of this kind can choose `top_k` of `n_neurons`."""
    require_one_of(get_args(RouterKind), router=config.router)
    require_one_of(get_args(GateKind), gate=config.gate)
    require_at_least(1, n_channels=config.n_channels, n_neurons=config.n_neurons)
    require_at_least(1, top_k=config.top_k, group=config.group, d_key=config.d_key)
    if not 0 <= config.balance_weight < math.inf:
        raise UserError(f"balance_weight={config.balance_weight} must be at least 0 and finite")
    _check_groups(config)
    (halves, side), group = key_shape(config), config.group
    limit, reason = group * side, "at most n_neurons"
    if halves == 2:
        root = "sqrt(n_neurons)" if group == 1 else "group * sqrt(n_neurons / group)"
        limit, reason = group * (side - 1), f"below {root}"
    if config.top_k > limit:
        grouped = "" if group == 1 else f" and group={group}"
        raise UserError(
            f"top_k={config.top_k} is too large for n_neurons={config.n_neurons}{grouped}: "
            f"it must be {reason}, at most {limit}"
        )


def _check_groups(config: RouterConfig) -> None:
    """Raises UserError unless neurons and choices are whole groups that the router can search."""
    group, (halves, side) = config.group, key_shape(config)
    if side**halves * group != config.n_neurons:
        fitting = [group * n**halves for n in (side, side + 1) if n]
        reason = f"is not a multiple of group={group}"
        if halves == 2:
            times = "" if group == 1 else f"group={group} times "
            reason = f"is not {times}a perfect square, which the router {config.router!r} needs"
        raise UserError(
            f"n_neurons={config.n_neurons} {reason}: try {' or '.join(map(str, fitting))}"
        )
    if config.top_k % group:
        below = config.top_k // group * group
        fitting = [n for n in (below, below + group) if n]
        raise UserError(
            f"top_k={config.top_k} is not a multiple of group={group}: "
            f"try {' or '.join(map(str, fitting))}"
        )


class Router(nnx.Module):
    """Declares the parameters that `key_scores` reads.

    `query` (D, Q) and `key` (Q, H * C * M), both by their fan-in; or, with a query per channel,
    `query` (H, C, D, Q) by its fan-in and `key` (H, C, M, Q) normal, truncated at 2.
    """

    def __init__(self, d_model: int, config: RouterConfig, *, rngs: nnx.Rngs):
        (halves, side), c, q = key_shape(config), config.n_channels, config.d_key
        query_key, key_key = jax.random.split(rngs.params())
        if config.router in QUERY_PER_CHANNEL:
            queries = nnx.initializers.variance_scaling(
                1.0, "fan_in", "truncated_normal", batch_axis=(0, 1)
            )
            keys = nnx.initializers.truncated_normal(1.0)
            query = queries(query_key, (halves, c, d_model, q), jnp.float32)
            key = keys(key_key, (halves, c, side, q), jnp.float32)
            dims = (None, "channels", None, None)
            self.query, self.key = (RouterParam(x, dims=dims) for x in (query, key))
        else:
            dense = nnx.initializers.lecun_normal()
            self.query = RouterParam(dense(query_key, (d_model, q), jnp.float32))
            # Drawn as a matrix: on (Q, 2, C, M) the fan-in would be taken to be C.
            self.key = RouterParam(dense(key_key, (q, halves * c * side), jnp.float32))
        if config.query_norm:
            self.query_scale = Scale(jnp.ones((q,)))


def key_scores(
    params: Mapping[str, Array], x: Float[Array, "... D"], config: RouterConfig
) -> Float[Array, "... H C M"]:
    """The score of every key of each half, fp32; `params` are a `Router`'s, in x's type.

    C is this device's share of the channels. Scores are raw (arXiv 2606.07414); the key-value forms
    divide by the root of the key width, as PEER does (arXiv 2407.04153).
    """
    query, key = _queries(params, x, config), _keys(params, config)
    (halves, side), wide = key_shape(config), sum_dtype(x)
    if config.router in QUERY_PER_CHANNEL:
        scores = jnp.einsum("...hcq,hcmq->...hcm", query, key, preferred_element_type=wide)
        return scores / math.sqrt(halves * config.d_key)
    scores = jnp.matmul(query, key, preferred_element_type=wide)
    return scores.reshape(*x.shape[:-1], halves, -1, side)


def _queries(
    params: Mapping[str, Array], x: Float[Array, "... D"], config: RouterConfig
) -> Float[Array, "... Q"]:
    """One for all channels, (..., Q), or for each half and channel, (..., H, C, Q)."""
    channels, per_channel = split(config.n_channels), config.router in QUERY_PER_CHANNEL
    x = channels.enter(x) if per_channel else x
    query = jnp.einsum("...d,hcdq->...hcq" if per_channel else "...d,dq->...q", x, params["query"])
    if config.query_norm:
        scale = params["query_scale"]
        query = rms_normalised(query, channels.enter(scale) if per_channel else scale)
    return query if per_channel else channels.enter(query)


def _keys(params: Mapping[str, Array], config: RouterConfig) -> Array:
    """Those of this device's channels."""
    channels, key = split(config.n_channels), params["key"]
    if config.router in QUERY_PER_CHANNEL or channels.parts == 1:
        return key
    halves, side = key_shape(config)
    by_channel = channels.enter(key).reshape(len(key), halves, config.n_channels, side)
    return channels.own(by_channel, axis=2).reshape(len(key), -1)


def choose(scores: Float[Array, "... H C M"], config: RouterConfig) -> Gates:
    """The gates of the `top_k` neurons of each channel: fp32, descending."""
    n_chosen = config.top_k // config.group
    if config.router in PRODUCT_ROUTERS:
        indices, chosen = product_topk(
            scores[..., 0, :, :],
            scores[..., 1, :, :],
            n_chosen,
            implementation=config.implementation,
        )
    else:
        # The gradient must not go through the search's maxima, which split it among ties.
        _, indices = topk(jax.lax.stop_gradient(scores[..., 0, :, :]), n_chosen)
        chosen = jnp.take_along_axis(scores[..., 0, :, :], indices, axis=-1)
    return _gates(indices, chosen, config)


def _gates(indices: Array, scores: Array, config: RouterConfig) -> Gates:
    """Those of each neuron, from the indices and scores of groups, (..., C, K / G)."""
    group = config.group
    scores = jax.nn.softmax(scores, axis=-1) if config.gate == "softmax" else scores
    if group == 1:
        return Gates(indices, scores)
    neurons = indices[..., None] * group + jnp.arange(group, dtype=indices.dtype)
    neurons = neurons.reshape(*indices.shape[:-1], config.top_k)
    return Gates(neurons, jnp.repeat(scores, group, axis=-1))


def route(params: Mapping[str, Array], x: Float[Array, "... D"], config: RouterConfig) -> Gates:
    """`choose` of `key_scores`, without storing the scores where that can be."""
    if config.router != "product_dense":
        return choose(key_scores(params, x, config), config)
    indices, scores = search(
        _queries(params, x, config),
        _keys(params, config),
        config.n_channels // split(config.n_channels).parts,
        config.top_k // config.group,
        implementation=config.implementation,
    )
    return _gates(indices, scores, config)


def balance_loss(
    scores: Float[Array, "... H C M"], gates: Gates, config: RouterConfig
) -> Float[Array, ""]:
    """n * sum over i of f[i] * P[i], averaged over channels: 1 when all groups are used alike.

    n = N / G is the number of groups. f[i] is the share of choices that went to group i, which has
    no gradient, and P[i] the mean over tokens of its softmax probability among all n (Fedus 2021,
    arXiv 2101.03961, eq. 4-6, with groups for experts). Scores of a product router add, so its
    probabilities multiply.
    """
    channels, n_groups = split(config.n_channels), config.n_neurons // config.group
    n_channels = config.n_channels // channels.parts  # this device's
    probabilities = jax.nn.softmax(scores, axis=-1).reshape(-1, *scores.shape[-3:])
    if config.router in PRODUCT_ROUTERS:
        first_TCM, second_TCM = probabilities[:, 0], probabilities[:, 1]
        both_CMM = jnp.einsum("tcm,tcn->cmn", first_TCM, second_TCM) / len(first_TCM)
        mean_Cn = both_CMM.reshape(n_channels, n_groups)
    else:
        mean_Cn = probabilities[:, 0].mean(axis=0)
    chosen = gates._replace(indices=group_indices(gates.indices, config.group))
    counts_Cn = choice_counts(chosen, (n_channels, n_groups))
    share_Cn = token_mean(counts_Cn / (len(probabilities) * (config.top_k // config.group)))
    overlap = channels.leave(jnp.sum(share_Cn * token_mean(mean_Cn)))
    return n_groups * overlap / config.n_channels


def router_flops(config: RouterConfig, d_model: int) -> int:
    """Floating-point operations of the router's matmuls per token, forward (multiply-add = 2)."""
    (halves, side), c, q = key_shape(config), config.n_channels, config.d_key
    queries = halves * c if config.router in QUERY_PER_CHANNEL else 1
    flops = 2 * queries * d_model * q + 2 * halves * c * side * q
    if config.balance_weight and halves == 2:
        flops += 2 * c * side**2  # the mean probabilities of all pairs
    return flops


def router_parameters(config: RouterConfig, d_model: int) -> int:
    """Parameters of a `Router`."""
    (halves, side), c, q = key_shape(config), config.n_channels, config.d_key
    queries = halves * c if config.router in QUERY_PER_CHANNEL else 1
    return queries * d_model * q + halves * c * side * q + (q if config.query_norm else 0)


def router_health(gates: Gates, counts: Int[Array, "tables N"]) -> dict[str, Float[Array, ""]]:
    """Three numbers that tell early when a router goes wrong; `counts` are `choice_counts`.

    `score_rms`: root mean square of the gates' scores. `largest_score`: the largest of them, which
    is a logit unless a softmax or sigmoid made the gates.
    `choice_entropy`: entropy of the neurons chosen in this batch, per table and averaged over
    tables, divided by log N: 1 when all are chosen equally often. Neurons that share a score count
    one by one, so that with groups of G it is at least log G / log N.
    """
    n_neurons = counts.shape[-1]
    p_CN = counts / counts.sum(axis=-1, keepdims=True)
    entropy = device_mean(jax.scipy.special.entr(p_CN).sum(axis=-1).mean())
    return {
        "score_rms": jnp.sqrt(device_mean(jnp.mean(gates.scores**2))),
        "largest_score": device_max(gates.scores.max()),
        "choice_entropy": entropy / math.log(n_neurons) if n_neurons > 1 else jnp.ones(()),
    }
