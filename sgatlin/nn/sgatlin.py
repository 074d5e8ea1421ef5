# SPDX-License-Identifier: Apache-2.0
"""Sparsely gated linear neurons (Schug 2026, arXiv 2606.07414): the layer this project is about.

    y = sum over channels c and chosen neurons k of  s[c, k] * <w_in[c, i], x> * w_out[c, i],
    i = indices[c, k]

with raw scores s and no activation: given its gates, a token's layer is a linear map of rank at
most C * K. Options add, one at a time, what PEER (He 2024, arXiv 2407.04153) does otherwise. Two
more make the neurons cheaper: with `group` neurons side by side share a score (fine-grained experts
of few neurons; Krajewski 2024, arXiv 2402.07871), and with `d_in` they read a projection of x,
<w_in[c, i], A^T x> with A of d_in columns.

B batch, T time, D model, I width of w_in's rows (D, or d_in), C channels, N neurons per channel,
K chosen, P = C * K, R rows of a table.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from sgatlin.errors import require_at_least, require_one_of
from sgatlin.nn.gates import Adjust, Gates, LayerOutput, adjusted, choose_gates
from sgatlin.nn.roles import Matrix, Pool
from sgatlin.nn.routing import (
    GateKind,
    Router,
    RouterKind,
    balance_loss,
    check_routing,
    choose,
    key_scores,
    route,
    router_flops,
    router_parameters,
)
from sgatlin.ops.neurons import Implementation, gather_dot, gather_sum
from sgatlin.ops.neurons.choose import best
from sgatlin.parallel import split

Activation = Literal["identity", "relu", "gelu", "swish"]
Placement = Literal["after_gate", "before_gate"]
PoolInit = Literal["paper", "width", "matched"]

_ACTIVATIONS: dict[Activation, Callable[[Array], Array]] = {
    "identity": lambda z: z,
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "swish": jax.nn.swish,
}

GELU_RMS = math.sqrt(1 / 3 + 1 / (2 * math.pi * math.sqrt(3)))
"""Root of E[gelu(z)^2] over standard normal z: the output of a GELU MLP at initialisation."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SgatlinConfig:
    """A pool of `n_channels` * `n_neurons` linear neurons, `top_k` of each channel used a token."""

    kind: Literal["sgatlin"] = "sgatlin"
    n_channels: int = 8
    """C: independent routers, each with its own table of neurons."""
    n_neurons: int = 1024
    """N: neurons per channel, a multiple of `group`. For the product routers n_neurons / group is a
    perfect square."""
    top_k: int = 8
    """K: neurons chosen per channel and token, a multiple of `group`. For the product routers
    top_k / group is below sqrt(n_neurons / group)."""
    group: int = 1
    """G: neurons that lie side by side are chosen together and share one score. The router scores
    n_neurons / group groups of a channel and chooses top_k / group of them."""
    d_in: int | None = None
    """Width of the rows of w_in. They then read a dense projection of the layer's input to this
    width. None: the rows are as wide as the model and read the input itself."""
    d_key: int = 128
    """Q: width of the router's query."""
    router: RouterKind = "product_dense"
    """How neurons are scored; `product_dense` is the paper's."""
    gate: GateKind = "score"
    """What multiplies a neuron: the score of its group, or the softmax of that score over the
    groups chosen in its channel. The softmax adds up to 1 over groups, so to `group` over
    neurons."""
    query_norm: bool = False
    """Normalize queries by their root mean square, with a learned scale."""
    activation: Activation = "identity"
    """Nonlinearity of a neuron."""
    activation_at: Placement = "after_gate"
    """act(s * <w_in, x>), as in the paper's ablation, or act(<w_in, x>) * s, as in PEER."""
    shared_pool: bool = False
    """One table of N neurons for all channels instead of one for each."""
    init: PoolInit = "paper"
    """Tables' standard deviation: `paper` 1 / sqrt(N); `width` 1 / sqrt(row's width), that is D, or
    d_in for the rows of w_in if it is set; `matched` such that the output is as large as a GELU
    MLP's."""
    balance_weight: float = 0.0
    """Weight of the router's balance loss; 0 computes none."""
    implementation: Implementation | None = None
    """What computes the neurons; None picks for the platform."""

    def __post_init__(self) -> None:
        check_routing(self)
        require_one_of(get_args(Activation), activation=self.activation)
        require_one_of(get_args(Placement), activation_at=self.activation_at)
        require_one_of(get_args(PoolInit), init=self.init)
        require_at_least(1, d_in=self.d_in)

    @property
    def pool_shape(self) -> tuple[int, int]:
        """Tables, and neurons of each."""
        return 1 if self.shared_pool else self.n_channels, self.n_neurons

    def input_width(self, d_model: int) -> int:
        """I: width of the rows of w_in."""
        return d_model if self.d_in is None else self.d_in

    def computed_by(self, d_model: int, dtype: jnp.dtype) -> str:
        """A line of what computes the neurons here, and why."""
        n_tables, n_neurons = self.pool_shape
        n_rows, n_picks = n_tables * n_neurons, self.n_channels * self.top_k
        widths = tuple(dict.fromkeys((self.input_width(d_model), d_model)))

        def chosen(width: int) -> str:
            if self.implementation is not None:
                return f"{self.implementation} (as the config says)"
            name, reason = best(n_rows=n_rows, n_picks=n_picks, width=width, dtype=dtype)
            return f"{name} ({reason})"

        by = " and ".join(dict.fromkeys(map(chosen, widths)))
        used = f"{n_rows:,} rows of {' and of '.join(map(str, widths))}, {n_picks} of them a token"
        return f"neurons by {by}: {used}"

    def build(self, d_model: int, *, rngs: nnx.Rngs) -> "Sgatlin":
        return Sgatlin(d_model, self, rngs=rngs)

    def forward_flops(self, d_model: int) -> int:
        """Floating-point operations per token, forward (multiply-add = 2)."""
        project = 0 if self.d_in is None else 2 * d_model * self.d_in
        return router_flops(self, d_model) + project + 2 * self.gathered_parameters(d_model)

    def active_parameters(self, d_model: int) -> int:
        """Parameters that one token's output is computed with."""
        project = 0 if self.d_in is None else d_model * self.d_in
        return router_parameters(self, d_model) + project + self.gathered_parameters(d_model)

    def gathered_parameters(self, d_model: int) -> int:
        """Of the active parameters those that a token's gates choose."""
        return self.n_channels * self.top_k * (self.input_width(d_model) + d_model)


class Sgatlin(nnx.Module):
    """The layer as a module; `sgatlin` is the same as a function of a parameter dict."""

    def __init__(self, d_model: int, config: SgatlinConfig, *, rngs: nnx.Rngs):
        # The paper's initialisation takes the neuron axis for the fan-in; the others, the rows'.
        table = nnx.initializers.variance_scaling(
            1.0,
            "fan_in" if config.init == "paper" else "fan_out",
            "truncated_normal",
            batch_axis=0,
        )
        shapes = [(*config.pool_shape, width) for width in (config.input_width(d_model), d_model)]
        self.config = config
        self.router = Router(d_model, config, rngs=rngs)
        w_in, w_out = (table(rngs.params(), shape, jnp.float32) for shape in shapes)
        if config.init == "matched":
            router = nnx.to_pure_dict(nnx.state(self.router))
            deviation = matched_deviation(router, config, d_model, rngs.params())
            w_in, w_out = (w * math.sqrt(w.shape[-1]) * deviation for w in (w_in, w_out))
        dims = (None if config.shared_pool else "channels", None, None)
        self.w_in, self.w_out = (Pool(w, dims=dims) for w in (w_in, w_out))
        if config.d_in is not None:
            dense = nnx.initializers.lecun_normal()
            self.projection = Matrix(dense(rngs.params(), (d_model, config.d_in), jnp.float32))

    def __call__(
        self,
        x: Float[Array, "... D"],
        *,
        gates: Gates | None = None,
        replace: Bool[Array, "... C"] | None = None,
        adjust: Adjust | None = None,
    ) -> LayerOutput:
        """Applies the layer; see `sgatlin`."""
        params = nnx.to_pure_dict(nnx.state(self))
        return sgatlin(params, x, self.config, gates=gates, replace=replace, adjust=adjust)


def sgatlin(
    params: Mapping[str, Any],
    x: Float[Array, "... D"],
    config: SgatlinConfig,
    *,
    gates: Gates | None = None,
    replace: Bool[Array, "... C"] | None = None,
    adjust: Adjust | None = None,
) -> LayerOutput:
    """The layer's output in x's type, the gates that produced it, and the router's losses.

    `params` are a `Sgatlin` module's: {"router": ..., "w_in": (C, N, I), "w_out": (C, N, D)}, or
    one table (1, N, I) and (1, N, D) for a shared pool, and "projection" (D, I) where the config
    has `d_in`; the layer computes in x's type, and sums in fp32. `gates`, of shape (..., C, K), are
    used instead of the router's own (patching, steering); with `replace`, only where it is true.
    Their scores are then adjusted, if asked for.
    """
    dtype = x.dtype
    losses: dict[str, Array] = {}
    if gates is None or replace is not None:
        router = {name: weights.astype(dtype) for name, weights in params["router"].items()}
        if config.balance_weight:
            scores = key_scores(router, x, config)
            own = choose(scores, config)
            losses["balance"] = config.balance_weight * balance_loss(scores, own, config)
        else:
            own = route(router, x, config)
        gates = choose_gates(gates, own, replace)
    gates = adjusted(gates, adjust)
    channels = split(config.n_channels)
    w_in, w_out = (params[name].astype(dtype) for name in ("w_in", "w_out"))
    if config.shared_pool:
        w_in, w_out = channels.enter(w_in), channels.enter(w_out)
    # Projected before channels are parted: what each device then sends back is I numbers a token.
    read = channels.enter(neuron_input(params, x, config))
    y = channels.leave(gated_neurons(read, gates, w_in, w_out, config))
    return LayerOutput(y, gates, losses)


def neuron_input(
    params: Mapping[str, Any], x: Float[Array, "... D"], config: SgatlinConfig
) -> Float[Array, "... I"]:
    """What the rows of w_in are multiplied with: x, or its projection; in x's type."""
    return x if config.d_in is None else x @ params["projection"].astype(x.dtype)


def gated_neurons(
    x: Float[Array, "... I"],
    gates: Gates,
    w_in: Float[Array, "tables N I"],
    w_out: Float[Array, "tables N D"],
    config: SgatlinConfig,
) -> Float[Array, "... D"]:
    """The chosen neurons' outputs, each times its gate, summed over channels and neurons.

    `x` is `neuron_input`. Indices outside 0..N-1 are clamped.
    """
    n_tables, n_neurons, d_model = w_out.shape
    indices_TCK = gates.indices.reshape(-1, *gates.indices.shape[-2:])
    rows_TCK = jnp.clip(indices_TCK, 0, n_neurons - 1)
    if not config.shared_pool:
        rows_TCK += n_neurons * jnp.arange(n_tables)[:, None]
    rows_TP = rows_TCK.reshape(len(rows_TCK), -1)
    w_in_RI, w_out_RD = (w.reshape(-1, w.shape[-1]) for w in (w_in, w_out))

    x_TI = x.reshape(-1, x.shape[-1])
    z_TP = gather_dot(x_TI, rows_TP, w_in_RI, implementation=config.implementation)
    a_TP = gated_activation(z_TP, gates.scores.reshape(rows_TP.shape), config)
    y_TD = gather_sum(a_TP, rows_TP, w_out_RD, dtype=x.dtype, implementation=config.implementation)
    return y_TD.reshape(*x.shape[:-1], d_model)


def gated_activation(
    z: Float[Array, "*batch"], scores: Float[Array, "*batch"], config: SgatlinConfig
) -> Float[Array, "*batch"]:
    """What multiplies a neuron's output weights, of z = <w_in, x> and its gate."""
    activation = _ACTIVATIONS[config.activation]
    if config.activation_at == "before_gate":
        return activation(z) * scores
    return activation(z * scores)


def matched_deviation(
    router: Mapping[str, Array], config: SgatlinConfig, d_model: int, key: Array
) -> Float[Array, ""]:
    """Deviation of both tables with which the layer's output is as large as a GELU MLP's.

    It is found for the given initial router on random normalised inputs, for neurons whose
    <w_in, x> are normal and independent. Both tables take the same share: with all of it in w_out,
    whose entries then are near 1, an optimizer with steps of a fixed size hardly moves it.
    """
    x_key, z_key = jax.random.split(key)
    x_TD = jax.random.normal(x_key, (512, d_model))
    # A model's layers are made side by side (vmap), which a GPU's kernels cannot be.
    plain = dataclasses.replace(config, implementation="xla")
    scores_TCK = route(router, x_TD, plain).scores
    # A projection keeps its input's scale: what a row of w_in reads is I numbers of variance 1.
    z_TCK = jax.random.normal(z_key, scores_TCK.shape) * math.sqrt(config.input_width(d_model))

    def output_rms(deviation: Array) -> Array:
        a_TCK = gated_activation(deviation * z_TCK, scores_TCK, config)
        return deviation * jnp.sqrt(jnp.sum(a_TCK**2) / len(x_TD))

    def halve(_: Array, logs: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = logs
        middle = (low + high) / 2
        is_small = output_rms(jnp.exp(middle)) < GELU_RMS
        return jnp.where(is_small, middle, low), jnp.where(is_small, high, middle)

    # The output grows with the deviation: bisection of its logarithm.
    low, high = jax.lax.fori_loop(0, 24, halve, (jnp.log(1e-4), jnp.log(1e4)))
    return jnp.exp((low + high) / 2)
