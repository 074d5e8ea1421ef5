# SPDX-License-Identifier: Apache-2.0
"""Routers: which K of a channel's N neurons a token uses, and the score of each.

B batch, T time, D model, Q router width, C channels, N neurons per channel, M = sqrt(N) sub-keys
per half, K chosen. Leading axes ("...") are arbitrary; most often (B, T).

Product routers score all N neurons by sums of two sub-scores and never form the N sums (Lample
2019, arXiv 1907.05242); scores and searches are fp32 whatever the compute type, because with bf16
scores half of all rows have ties.
"""

import math
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, Protocol, get_args, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from sgatlin.errors import UserError
from sgatlin.nn.roles import Router as RouterParam
from sgatlin.ops.product_topk import product_topk, topk

RouterKind = Literal["product_dense", "dense", "key_value", "product_key_value"]
PRODUCT_ROUTERS = ("product_dense", "product_key_value")

Params = Mapping[str, Array]


class Gates(NamedTuple):
    """Which neurons a router chose for each token, and how strongly: the token's circuit."""

    indices: Int[Array, "... C K"]
    scores: Float[Array, "... C K"]


@runtime_checkable
class RoutedConfig(Protocol):
    """The config of a layer with gates: the fields that its router reads."""

    @property
    def n_channels(self) -> int: ...
    @property
    def n_neurons(self) -> int: ...
    @property
    def top_k(self) -> int: ...
    @property
    def d_key(self) -> int: ...
    @property
    def router(self) -> RouterKind: ...


def n_subkeys(config: RoutedConfig) -> int:
    """M: sub-keys in each half of a product router."""
    return math.isqrt(config.n_neurons)


def check_routing(config: RoutedConfig) -> None:
    """Raises UserError where no router of this kind can choose `top_k` of `n_neurons`."""
    if config.router not in get_args(RouterKind):
        kinds = ", ".join(get_args(RouterKind))
        raise UserError(f"router={config.router!r} is not one of {kinds}")
    for name in ("n_channels", "n_neurons", "top_k", "d_key"):
        if getattr(config, name) < 1:
            raise UserError(f"{name}={getattr(config, name)} must be at least 1")
    if config.router in PRODUCT_ROUTERS:
        side = n_subkeys(config)
        if side**2 != config.n_neurons:
            raise UserError(
                f"n_neurons={config.n_neurons} is not a perfect square, which the router "
                f"{config.router!r} needs: try {side**2} or {(side + 1) ** 2}"
            )
        limit, reason = side - 1, "below sqrt(n_neurons)"
    else:
        limit, reason = config.n_neurons, "at most n_neurons"
    if config.top_k > limit:
        raise UserError(
            f"top_k={config.top_k} is too large for n_neurons={config.n_neurons}: "
            f"it must be {reason}, at most {limit}"
        )


def _product_dense_init(config: RoutedConfig, d_model: int, key: Array) -> dict[str, Array]:
    query_key, subkey_key = jax.random.split(key)
    dense = nnx.initializers.lecun_normal()
    columns = 2 * config.n_channels * n_subkeys(config)
    return {
        "query": dense(query_key, (d_model, config.d_key), jnp.float32),
        # Drawn as a matrix: on (Q, 2, C, M) the fan-in would be taken to be C.
        "subkey": dense(subkey_key, (config.d_key, columns), jnp.float32),
    }


def _product_dense(params: Params, x: Array, config: RoutedConfig) -> Gates:
    subscores = jnp.matmul(
        x @ params["query"], params["subkey"], preferred_element_type=_score_dtype(x)
    )
    shape = (*x.shape[:-1], 2, config.n_channels, n_subkeys(config))
    return _product_gates(subscores.reshape(shape), config)


def _dense_init(config: RoutedConfig, d_model: int, key: Array) -> dict[str, Array]:
    query_key, key_key = jax.random.split(key)
    dense = nnx.initializers.lecun_normal()
    columns = config.n_channels * config.n_neurons
    return {
        "query": dense(query_key, (d_model, config.d_key), jnp.float32),
        "key": dense(key_key, (config.d_key, columns), jnp.float32),
    }


def _dense(params: Params, x: Array, config: RoutedConfig) -> Gates:
    scores = jnp.matmul(x @ params["query"], params["key"], preferred_element_type=_score_dtype(x))
    return _plain_gates(scores.reshape(*x.shape[:-1], config.n_channels, config.n_neurons), config)


def _key_value_init(config: RoutedConfig, d_model: int, key: Array) -> dict[str, Array]:
    query_key, key_key = jax.random.split(key)
    queries = nnx.initializers.variance_scaling(1.0, "fan_in", "truncated_normal", batch_axis=0)
    keys = nnx.initializers.truncated_normal(1.0)
    c, n, q = config.n_channels, config.n_neurons, config.d_key
    return {
        "query": queries(query_key, (c, d_model, q), jnp.float32),
        "key": keys(key_key, (c, n, q), jnp.float32),
    }


def _key_value(params: Params, x: Array, config: RoutedConfig) -> Gates:
    query = jnp.einsum("...d,cdq->...cq", x, params["query"])
    scores = jnp.einsum(
        "...cq,cnq->...cn", query, params["key"], preferred_element_type=_score_dtype(x)
    )
    return _plain_gates(scores / math.sqrt(config.d_key), config)


def _product_key_value_init(config: RoutedConfig, d_model: int, key: Array) -> dict[str, Array]:
    query_key, subkey_key = jax.random.split(key)
    queries = nnx.initializers.variance_scaling(
        1.0, "fan_in", "truncated_normal", batch_axis=(0, 1)
    )
    keys = nnx.initializers.truncated_normal(1.0)
    c, q = config.n_channels, config.d_key
    return {
        "query": queries(query_key, (2, c, d_model, q), jnp.float32),
        "subkey": keys(subkey_key, (2, c, n_subkeys(config), q), jnp.float32),
    }


def _product_key_value(params: Params, x: Array, config: RoutedConfig) -> Gates:
    query = jnp.einsum("...d,hcdq->...hcq", x, params["query"])
    subscores = jnp.einsum(
        "...hcq,hcmq->...hcm", query, params["subkey"], preferred_element_type=_score_dtype(x)
    )
    return _product_gates(subscores / math.sqrt(2 * config.d_key), config)


def _score_dtype(x: Array) -> jnp.dtype:
    return jnp.promote_types(x.dtype, jnp.float32)


def _product_gates(subscores: Float[Array, "... 2 C M"], config: RoutedConfig) -> Gates:
    return Gates(*product_topk(subscores[..., 0, :, :], subscores[..., 1, :, :], config.top_k))


def _plain_gates(scores: Float[Array, "... C N"], config: RoutedConfig) -> Gates:
    # The gradient must not go through the search's maxima, which split it among ties.
    _, indices = topk(jax.lax.stop_gradient(scores), config.top_k)
    return Gates(indices, jnp.take_along_axis(scores, indices, axis=-1))


class _Router(NamedTuple):
    init: Callable[[RoutedConfig, int, Array], dict[str, Array]]
    route: Callable[[Params, Array, RoutedConfig], Gates]


_ROUTERS: dict[RouterKind, _Router] = {
    "product_dense": _Router(_product_dense_init, _product_dense),
    "dense": _Router(_dense_init, _dense),
    "key_value": _Router(_key_value_init, _key_value),
    "product_key_value": _Router(_product_key_value_init, _product_key_value),
}


def route(params: Params, x: Float[Array, "... D"], config: RoutedConfig) -> Gates:
    """The gates of each token: indices (..., C, K) and fp32 scores (..., C, K), descending.

    `params` are a `Router`'s, in x's type. Scores are raw: no softmax, no scale (arXiv 2606.07414;
    the key-value forms divide by the root of the key width as PEER does, arXiv 2407.04153).
    """
    return _ROUTERS[config.router].route(params, x, config)


class Router(nnx.Module):
    """Declares the parameters that `route` reads for `config.router`."""

    def __init__(self, d_model: int, config: RoutedConfig, *, rngs: nnx.Rngs):
        for name, value in _ROUTERS[config.router].init(config, d_model, rngs.params()).items():
            setattr(self, name, RouterParam(value))


def router_flops(config: RoutedConfig, d_model: int) -> int:
    """Floating-point operations of the router's matmuls per token, forward (multiply-add = 2)."""
    c, q = config.n_channels, config.d_key
    return {
        "product_dense": 2 * d_model * q + 4 * c * n_subkeys(config) * q,
        "dense": 2 * d_model * q + 2 * c * config.n_neurons * q,
        "key_value": 2 * c * d_model * q + 2 * c * config.n_neurons * q,
        "product_key_value": 4 * c * d_model * q + 4 * c * n_subkeys(config) * q,
    }[config.router]


def router_health(gates: Gates, n_neurons: int) -> dict[str, Float[Array, ""]]:
    """Three numbers that tell early when a router goes wrong.

    `score_rms`: root mean square of the chosen scores. `largest_logit`: the largest score.
    `choice_entropy`: entropy of the neurons chosen in this batch, per channel and averaged over
    channels, divided by log N: 1 when all are chosen equally often.
    """
    indices_TCK = gates.indices.reshape(-1, *gates.indices.shape[-2:])
    n_tokens, n_channels, top_k = indices_TCK.shape
    rows = indices_TCK + n_neurons * jnp.arange(n_channels)[:, None]
    counts_CN = jnp.bincount(rows.reshape(-1), length=n_channels * n_neurons)
    p_CN = counts_CN.reshape(n_channels, n_neurons) / (n_tokens * top_k)
    entropy = -jnp.where(p_CN > 0, p_CN * jnp.log(jnp.where(p_CN > 0, p_CN, 1)), 0).sum(-1).mean()
    return {
        "score_rms": jnp.sqrt(jnp.mean(gates.scores**2)),
        "largest_logit": gates.scores.max(),
        "choice_entropy": entropy / math.log(n_neurons) if n_neurons > 1 else jnp.ones(()),
    }
