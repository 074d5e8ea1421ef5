# SPDX-License-Identifier: Apache-2.0
"""A mixture of swiglu experts, of which each token uses a few: dropless, only the chosen computed.

    y = sum over the chosen experts e of  score[e] * swiglu[e](x)   + the shared experts' swiglu(x)

Tokens are sorted by expert, each expert multiplies its own, and the results are sorted back.

T tokens, D model, E experts, K chosen, F hidden width of an expert, S shared experts, L layers,
R = T * K rows, one for each token and choice, sorted by expert.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from sgatlin.errors import UserError, require_at_least, require_one_of
from sgatlin.nn.gates import Adjust, Gates, LayerOutput, adjusted, choice_counts, choose_gates
from sgatlin.nn.mlp import swiglu
from sgatlin.nn.roles import Balance, Bias, Expert, Router
from sgatlin.ops.dtypes import sum_dtype
from sgatlin.ops.grouped import Implementation, grouped_matmul
from sgatlin.ops.grouped.rows import add_group_bias, combine, sort_by_group, spread
from sgatlin.ops.product_topk import topk
from sgatlin.parallel import Split, split, token_mean

Routing = Literal["topk_softmax", "sigmoid_bias", "paper"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MoeConfig:
    """`n_experts` swiglu experts, `top_k` of them used by a token."""

    kind: Literal["moe"] = "moe"
    n_experts: int = 16
    """E: experts that the router chooses from."""
    top_k: int = 2
    """K: experts chosen per token."""
    d_hidden: int = 512
    """F: hidden width of each expert."""
    routing: Routing = "topk_softmax"
    """What a chosen expert is multiplied with: a softmax over the chosen (topk_softmax, gpt-oss's)
    or over all experts (paper); or a normalised sigmoid, the choice being balanced by offsets set
    after each step instead of a loss (sigmoid_bias, DeepSeek-V3's)."""
    n_shared_experts: int = 0
    """S: further experts that every token uses, with weight 1 (DeepSeekMoE, arXiv 2401.06066)."""
    balance_weight: float = 0.0
    """Weight of Switch Transformer's load-balancing loss; the loss itself is 1 for equal loads."""
    z_weight: float = 0.0
    """Weight of ST-MoE's router z-loss."""
    bias_update_speed: float = 1e-3
    """How far sigmoid_bias moves an expert's offset after each step."""
    implementation: Implementation | None = None
    """What computes the experts; None picks for the platform."""

    def __post_init__(self) -> None:
        require_one_of(get_args(Routing), routing=self.routing)
        require_at_least(1, n_experts=self.n_experts, top_k=self.top_k, d_hidden=self.d_hidden)
        for name in ("n_shared_experts", "balance_weight", "z_weight", "bias_update_speed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"{name}={getattr(self, name)} must be finite and at least 0")
        if self.top_k > self.n_experts:
            raise UserError(
                f"top_k={self.top_k} is too large for n_experts={self.n_experts}: "
                f"it must be at most {self.n_experts}"
            )

    @property
    def n_channels(self) -> int:
        return 1

    @property
    def pool_shape(self) -> tuple[int, int]:
        """(1, E): one channel, whose choices are the experts."""
        return 1, self.n_experts

    def build(self, d_model: int, *, rngs: nnx.Rngs) -> "Moe":
        return Moe(d_model, self, rngs=rngs)

    def forward_flops(self, d_model: int) -> int:
        """Floating-point operations of the matmuls per token, forward (multiply-add = 2)."""
        used = self.top_k + self.n_shared_experts
        return 2 * d_model * self.n_experts + 6 * used * d_model * self.d_hidden

    def active_parameters(self, d_model: int) -> int:
        """Parameters that one token's output is computed with."""
        offsets = 0 if self.routing == "paper" else self.n_experts
        shared = self.n_shared_experts * self._expert_parameters(d_model)
        return d_model * self.n_experts + offsets + shared + self.gathered_parameters(d_model)

    def gathered_parameters(self, d_model: int) -> int:
        """Of the active parameters those that a token's gates choose."""
        return self.top_k * self._expert_parameters(d_model)

    def _expert_parameters(self, d_model: int) -> int:
        return 3 * d_model * self.d_hidden + 2 * self.d_hidden + d_model

    def after_step(self, params: dict[str, Any], counts: Int[Array, "L 1 E"]) -> dict[str, Any]:
        """The layers' stacked parameters, with sigmoid_bias's offsets moved by the batch's load.

        Experts that were chosen more often than the mean become a step less likely to be, the
        others a step more (DeepSeek-V3, arXiv 2412.19437, section 2.1.2).
        """
        if self.routing != "sigmoid_bias":
            return params
        load_LE = counts[:, 0].astype(jnp.float32)
        direction_LE = jnp.sign(load_LE.mean(axis=1, keepdims=True) - load_LE)
        balance_LE = params["balance"] + self.bias_update_speed * direction_LE
        return params | {"balance": balance_LE.astype(params["balance"].dtype)}


class Moe(nnx.Module):
    """The layer as a module; `moe` is the same as a function of a parameter dict."""

    def __init__(self, d_model: int, config: MoeConfig, *, rngs: nnx.Rngs):
        experts, hidden = config.n_experts, config.d_hidden
        # Each expert is drawn as a dense layer of its own.
        stack = nnx.initializers.lecun_normal(batch_axis=0)
        router = nnx.initializers.lecun_normal()
        self.config = config
        self.router = Router(router(rngs.params(), (d_model, experts), jnp.float32))
        if config.routing == "topk_softmax":
            self.router_bias = Bias(jnp.zeros((experts,)))
        if config.routing == "sigmoid_bias":
            self.balance = Balance(jnp.zeros((experts,)))
        for prefix, n in (("", experts), ("shared_", config.n_shared_experts)):
            if n:
                w_in = stack(rngs.params(), (n, d_model, 2 * hidden), jnp.float32)
                w_out = stack(rngs.params(), (n, hidden, d_model), jnp.float32)
                of = None if prefix else "experts"
                setattr(self, f"{prefix}w_in", Expert(w_in, dims=(of, None, None)))
                setattr(self, f"{prefix}b_in", Bias(jnp.zeros((n, 2 * hidden)), dims=(of, None)))
                setattr(self, f"{prefix}w_out", Expert(w_out, dims=(of, None, None)))
                setattr(self, f"{prefix}b_out", Bias(jnp.zeros((n, d_model)), dims=(of, None)))

    def __call__(
        self,
        x: Float[Array, "... D"],
        *,
        gates: Gates | None = None,
        replace: Bool[Array, "... C"] | None = None,
        adjust: Adjust | None = None,
    ) -> LayerOutput:
        """Applies the layer; see `moe`."""
        params = nnx.to_pure_dict(nnx.state(self))
        return moe(params, x, self.config, gates=gates, replace=replace, adjust=adjust)


def moe(
    params: Mapping[str, Any],
    x: Float[Array, "... D"],
    config: MoeConfig,
    *,
    gates: Gates | None = None,
    replace: Bool[Array, "... C"] | None = None,
    adjust: Adjust | None = None,
) -> LayerOutput:
    """The layer's output in x's type, the gates that produced it, and the router's losses.

    `params` are a `Moe` module's: {"router": (D, E), "w_in": (E, D, 2F), "b_in": (E, 2F),
    "w_out": (E, F, D), "b_out": (E, D), ...}; experts compute in x's type, the router in fp32 or
    wider. `gates`, of shape (..., 1, K), are used instead of the router's own (patching,
    steering); with `replace`, only where it is true. Their scores are then adjusted, if asked for.
    Losses are of the router's own choices.
    Indices outside 0..E-1 are clamped.
    """
    x_TD = x.reshape(-1, x.shape[-1])
    losses: dict[str, Array] = {}
    own = counts_E = None
    if gates is None or replace is not None:
        logits_TE = router_logits(params, x_TD)
        indices_TK, scores_TK = choose(params, logits_TE, config)
        shape = (*x.shape[:-1], 1, config.top_k)
        own = Gates(indices_TK.reshape(shape), scores_TK.reshape(shape))
        counts_E = choice_counts(own, config.pool_shape)[0]
        losses = router_losses(logits_TE, counts_E, config)
        gates = choose_gates(gates, own, replace)
    gates = adjusted(gates, adjust)

    indices_TK, scores_TK = (part.reshape(len(x_TD), -1) for part in gates)
    indices_TK = jnp.clip(indices_TK, 0, config.n_experts - 1)
    if counts_E is None or gates is not own:
        counts_E = choice_counts(gates, config.pool_shape)[0]
    experts = split(config.n_experts)
    own_TK, own_scores_TK = own_choices(indices_TK, experts.enter(scores_TK), experts, config)
    y_TD = chosen_experts(
        params,
        experts.enter(x_TD),
        own_TK,
        own_scores_TK,
        experts.own(counts_E, axis=0),
        config.implementation,
        others=experts.parts > 1,
    )
    y_TD = experts.leave(y_TD)
    if config.n_shared_experts:
        y_TD += shared_experts(params, x_TD)
    return LayerOutput(y_TD.astype(x.dtype).reshape(x.shape), gates, losses)


def router_logits(params: Mapping[str, Any], x_TD: Float[Array, "T D"]) -> Float[Array, "T E"]:
    """What the experts are chosen by, in fp32 or wider.

    Input and weights are widened too (Switch Transformer's selective precision, arXiv 2101.03961,
    section 2.4): it costs little, and narrow logits tie.
    """
    dtype = sum_dtype(x_TD)
    logits_TE = x_TD.astype(dtype) @ params["router"].astype(dtype)
    return logits_TE + params["router_bias"].astype(dtype) if "router_bias" in params else logits_TE


def choose(
    params: Mapping[str, Any], logits_TE: Float[Array, "T E"], config: MoeConfig
) -> tuple[Int[Array, "T K"], Float[Array, "T K"]]:
    """The experts of each token, best first, and what each is multiplied with."""
    preference_TE = logits_TE
    if config.routing == "sigmoid_bias":
        preference_TE = jax.nn.sigmoid(logits_TE) + params["balance"].astype(logits_TE.dtype)
    # Of the choice there is no gradient: a search's would be split among ties.
    _, indices_TK = topk(jax.lax.stop_gradient(preference_TE), config.top_k)
    if config.routing == "paper":
        return indices_TK, _select(jax.nn.softmax(logits_TE), indices_TK)
    return indices_TK, jax.nn.softmax(_select(_log_affinity(logits_TE, config), indices_TK))


def router_losses(
    logits_TE: Float[Array, "T E"], counts_E: Int[Array, " E"], config: MoeConfig
) -> dict[str, Float[Array, ""]]:
    """The router's own terms of the training loss, with their weights; those of weight 0 left out.

    `counts_E` is how often each expert was chosen.
    "balance": E * sum over experts of their share of all choices times their mean probability
    (Switch Transformer, arXiv 2101.03961, equations 4 to 6). "z": the mean squared logarithm of
    the softmax's denominator (ST-MoE, arXiv 2202.08906, equation 5).
    """
    losses = {}
    if config.balance_weight > 0:
        share_E = token_mean(counts_E / (len(logits_TE) * config.top_k))
        mean_E = token_mean(jax.nn.softmax(_log_affinity(logits_TE, config)).mean(axis=0))
        overlap = jnp.sum(share_E.astype(mean_E.dtype) * mean_E)
        losses["balance"] = config.balance_weight * config.n_experts * overlap
    if config.z_weight > 0:
        log_sums_T = jax.nn.logsumexp(logits_TE, axis=-1)
        losses["z"] = config.z_weight * token_mean(jnp.mean(log_sums_T**2))
    return losses


def own_choices(
    indices_TK: Int[Array, "T K"], scores_TK: Float[Array, "T K"], experts: Split, config: MoeConfig
) -> tuple[Int[Array, "T K"], Float[Array, "T K"]]:
    """The choices that fall on this device's experts, counted from its first.

    Other devices' have the index after the last, and a score of zero.
    """
    if experts.parts == 1:
        return indices_TK, scores_TK
    n_own = config.n_experts // experts.parts
    of_own_TK = indices_TK - experts.own(jnp.arange(config.n_experts), axis=0)[0]
    is_own_TK = (of_own_TK >= 0) & (of_own_TK < n_own)
    return jnp.where(is_own_TK, of_own_TK, n_own), jnp.where(is_own_TK, scores_TK, 0)


def chosen_experts(
    params: Mapping[str, Any],
    x_TD: Float[Array, "T D"],
    indices_TK: Int[Array, "T K"],
    scores_TK: Float[Array, "T K"],
    sizes_E: Int[Array, " E"],
    implementation: Implementation | None = None,
    *,
    others: bool = False,
) -> Float[Array, "T D"]:
    """Each token's experts' outputs, each times its score, summed in fp32 or wider.

    `sizes_E` is how often each expert is in `indices_TK`. With `others` an index may be E: that is
    none of these experts, and needs a score of zero.
    """
    dtype = x_TD.dtype
    sorting = sort_by_group(indices_TK)

    def layer(rows_R: Array, name: str) -> Array:
        weights, bias = (params[f"{part}_{name}"].astype(dtype) for part in "wb")
        out_R = grouped_matmul(rows_R, weights, sizes_E, implementation=implementation)
        bias = jnp.pad(bias, ((0, int(others)), (0, 0)))
        return add_group_bias(out_R, bias, sorting.group_R)

    hidden_RF = swiglu(*jnp.split(layer(spread(x_TD, sorting), "in"), 2, axis=-1))
    return combine(layer(hidden_RF, "out"), scores_TK, sorting)


def shared_experts(params: Mapping[str, Any], x_TD: Float[Array, "T D"]) -> Float[Array, "T D"]:
    """The sum of the experts that all tokens use."""
    w_in, b_in, w_out, b_out = (
        params[f"shared_{name}"].astype(x_TD.dtype) for name in ("w_in", "b_in", "w_out", "b_out")
    )
    both_TSF = jnp.einsum("td,sdf->tsf", x_TD, w_in) + b_in
    hidden_TSF = swiglu(*jnp.split(both_TSF, 2, axis=-1))
    y_TD = jnp.einsum("tsf,sfd->td", hidden_TSF, w_out, preferred_element_type=sum_dtype(x_TD))
    return y_TD + b_out.sum(axis=0, dtype=y_TD.dtype)


def _log_affinity(logits_TE: Array, config: MoeConfig) -> Array:
    """What is a logarithm of the experts' affinities: their softmax normalises those."""
    return jax.nn.log_sigmoid(logits_TE) if config.routing == "sigmoid_bias" else logits_TE


def _select(values_TE: Array, indices_TK: Array) -> Array:
    # Comparisons fuse and have a gradient without a scatter.
    chosen_TKE = indices_TK[:, :, None] == jnp.arange(values_TE.shape[-1])
    return jnp.where(chosen_TKE, values_TE[:, None, :], 0).sum(axis=-1)
