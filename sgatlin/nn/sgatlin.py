# SPDX-License-Identifier: Apache-2.0
"""Sparsely gated linear neurons (Schug 2026, arXiv 2606.07414): the layer this project is about.

    y = sum over channels c and chosen neurons k of  s[c, k] * <w_in[c, i], x> * w_out[c, i],
    i = indices[c, k]

with raw scores s and no activation: given its gates, a token's layer is a linear map of rank at
most C * K.

B batch, T time, D model, C channels, N neurons per channel, K chosen, R = C * N rows of a table.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from sgatlin.nn.roles import Pool
from sgatlin.nn.routing import Gates, Router, RouterKind, check_routing, route, router_flops
from sgatlin.ops.neurons import Implementation, gather_dot, gather_sum


@dataclasses.dataclass(frozen=True, kw_only=True)
class SgatlinConfig:
    """A pool of `n_channels` * `n_neurons` linear neurons, `top_k` of each channel used a token."""

    kind: Literal["sgatlin"] = "sgatlin"
    n_channels: int = 8
    """C: independent routers, each with its own table of neurons."""
    n_neurons: int = 1024
    """N: neurons per channel; a perfect square for the product routers."""
    top_k: int = 8
    """K: neurons chosen per channel and token; below sqrt(n_neurons) for the product routers."""
    d_key: int = 128
    """Q: width of the router's query."""
    router: RouterKind = "product_dense"
    """How neurons are scored; `product_dense` is the paper's."""
    implementation: Implementation | None = None
    """What computes the neurons; None picks for the platform."""

    def __post_init__(self) -> None:
        check_routing(self)

    def build(self, d_model: int, *, rngs: nnx.Rngs) -> "Sgatlin":
        return Sgatlin(d_model, self, rngs=rngs)

    def forward_flops(self, d_model: int) -> int:
        """Floating-point operations per token, forward (multiply-add = 2)."""
        return router_flops(self, d_model) + 4 * self.top_k * self.n_channels * d_model


class Sgatlin(nnx.Module):
    """The layer as a module; `sgatlin` is the same as a function of a parameter dict."""

    def __init__(self, d_model: int, config: SgatlinConfig, *, rngs: nnx.Rngs):
        # The paper's initialisation takes the neuron axis for the fan-in: standard deviation
        # 1 / sqrt(N) after truncation.
        table = nnx.initializers.variance_scaling(1.0, "fan_in", "truncated_normal", batch_axis=0)
        shape = (config.n_channels, config.n_neurons, d_model)
        self.config = config
        self.router = Router(d_model, config, rngs=rngs)
        self.w_in = Pool(table(rngs.params(), shape, jnp.float32))
        self.w_out = Pool(table(rngs.params(), shape, jnp.float32))

    def __call__(
        self,
        x: Float[Array, "... D"],
        *,
        gates: Gates | None = None,
        replace: Bool[Array, "... C"] | None = None,
    ) -> tuple[Float[Array, "... D"], Gates]:
        """Applies the layer; see `sgatlin`."""
        params = nnx.to_pure_dict(nnx.state(self))
        return sgatlin(params, x, self.config, gates=gates, replace=replace)


def sgatlin(
    params: Mapping[str, Any],
    x: Float[Array, "... D"],
    config: SgatlinConfig,
    *,
    gates: Gates | None = None,
    replace: Bool[Array, "... C"] | None = None,
) -> tuple[Float[Array, "... D"], Gates]:
    """The layer's output in x's type, and the gates that produced it.

    `params` are a `Sgatlin` module's: {"router": ..., "w_in": (C, N, D), "w_out": (C, N, D)}; the
    layer computes in x's type, and sums in fp32. `gates`, of shape (..., C, K), are used instead
    of the router's own (patching, steering); with `replace`, only where it is true.
    """
    dtype = x.dtype
    if gates is None or replace is not None:
        router = {name: weights.astype(dtype) for name, weights in params["router"].items()}
        own = route(router, x, config)
        gates = own if gates is None else choose_gates(gates, own, replace)
    y = gated_neurons(
        x, gates, params["w_in"].astype(dtype), params["w_out"].astype(dtype), config.implementation
    )
    return y, gates


def choose_gates(given: Gates, own: Gates, replace: Bool[Array, "... C"] | None) -> Gates:
    """`given` where `replace` is true, `own` elsewhere; `given` everywhere when it is None."""
    if replace is None:
        return given
    return Gates(*(jnp.where(replace[..., None], g, o) for g, o in zip(given, own, strict=True)))


def gated_neurons(
    x: Float[Array, "... D"],
    gates: Gates,
    w_in_CND: Float[Array, "C N D"],
    w_out_CND: Float[Array, "C N D"],
    implementation: Implementation | None = None,
) -> Float[Array, "... D"]:
    """The chosen neurons' outputs, each times its score, summed over channels and neurons.

    Indices outside 0..N-1 are clamped.
    """
    n_channels, n_neurons, d_model = w_in_CND.shape
    indices_TCK = gates.indices.reshape(-1, *gates.indices.shape[-2:])
    rows_TCK = jnp.clip(indices_TCK, 0, n_neurons - 1) + n_neurons * jnp.arange(n_channels)[:, None]
    rows_TP = rows_TCK.reshape(len(rows_TCK), -1)
    w_in_RD, w_out_RD = (w.reshape(-1, d_model) for w in (w_in_CND, w_out_CND))

    x_TD = x.reshape(-1, d_model)
    activations_TP = gather_dot(x_TD, rows_TP, w_in_RD, implementation=implementation)
    z_TP = activations_TP * gates.scores.reshape(rows_TP.shape)
    y_TD = gather_sum(z_TP, rows_TP, w_out_RD, implementation=implementation)
    return y_TD.astype(x.dtype).reshape(x.shape)
