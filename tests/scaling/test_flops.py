# SPDX-License-Identifier: Apache-2.0
"""Counted operations and parameters are those of the program that runs."""

import math

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax.extend.core import ClosedJaxpr, Jaxpr

from sgatlin.config import load_config
from sgatlin.nn.mlp import MlpConfig, SwigluConfig
from sgatlin.nn.moe import MoeConfig
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.spark import SparkConfig
from sgatlin.nn.topk_mlp import TopkMlpConfig
from sgatlin.nn.transformer import TransformerConfig, abstract_model, bind
from sgatlin.scaling.flops import (
    Flops,
    count_parameters,
    forward_flops,
    gathered_bytes,
    n_parameters,
    peak_flops,
    steps_for,
    training_flops,
)
from sgatlin.scaling.xla import xla_forward_flops

# No two alike, so that no product is mistaken for another.
D, L, V, T = 24, 3, 101, 5
C, N, K, Q = 2, 49, 4, 10
M, F = 7, 33
G, S_G, K_G, D_IN = 3, 5, 6, 9  # groups, with S_G * S_G of them in a channel
N_G = G * S_G**2
E, K_E, S = 6, 2, 3

# The reference form does the neurons' products in one piece and without padding.
SIZES = {"n_channels": C, "n_neurons": N, "top_k": K, "d_key": Q, "implementation": "reference"}
GROUPED = SIZES | {"n_neurons": N_G, "top_k": K_G, "group": G}


def sgatlin(router: str, **options) -> SgatlinConfig:
    return SgatlinConfig(router=router, **SIZES, **options)


def moe(**options) -> MoeConfig:
    # Its products are of as many rows as there are tokens and choices.
    return MoeConfig(n_experts=E, top_k=K_E, d_hidden=F, implementation="ragged_dot", **options)


ROUTER_FLOPS = 2 * D * Q + 4 * C * M * Q
NEURONS = 4 * K * C * D
EXPERT = 3 * D * F + 2 * F + D

# Feed-forward layers, their operations per token, their parameters, and those a token uses.
LAYERS = {
    "product_dense": (
        sgatlin("product_dense"),
        2 * D * Q + 4 * C * M * Q + 4 * K * C * D,
        D * Q + 2 * C * M * Q + 2 * C * N * D,
    ),
    "dense": (
        sgatlin("dense"),
        2 * D * Q + 2 * C * N * Q + 4 * K * C * D,
        D * Q + C * N * Q + 2 * C * N * D,
    ),
    "key_value": (
        sgatlin("key_value"),
        2 * C * D * Q + 2 * C * N * Q + 4 * K * C * D,
        C * D * Q + C * N * Q + 2 * C * N * D,
    ),
    "product_key_value": (
        sgatlin("product_key_value"),
        4 * C * D * Q + 4 * C * M * Q + 4 * K * C * D,
        2 * C * D * Q + 2 * C * M * Q + 2 * C * N * D,
    ),
    "all options": (
        sgatlin(
            "product_dense",
            gate="softmax",
            query_norm=True,
            activation="gelu",
            shared_pool=True,
            init="matched",
            balance_weight=0.1,
        ),
        # The balance loss needs the mean probability of each of the C * N pairs.
        ROUTER_FLOPS + NEURONS + 2 * C * N,
        D * Q + 2 * C * M * Q + Q + 2 * N * D,
    ),
    "groups": (
        SgatlinConfig(**GROUPED, balance_weight=0.1),
        2 * D * Q + 4 * C * S_G * Q + 4 * K_G * C * D + 2 * C * N_G // G,
        D * Q + 2 * C * S_G * Q + 2 * C * N_G * D,
    ),
    "groups, dense router": (
        SgatlinConfig(**GROUPED, router="dense"),
        2 * D * Q + 2 * C * N_G // G * Q + 4 * K_G * C * D,
        D * Q + C * N_G // G * Q + 2 * C * N_G * D,
    ),
    "narrow rows": (
        sgatlin("product_dense", d_in=D_IN),
        ROUTER_FLOPS + 2 * D * D_IN + 2 * K * C * (D_IN + D),
        D * Q + 2 * C * M * Q + D * D_IN + C * N * (D_IN + D),
    ),
    "groups, narrow rows": (
        SgatlinConfig(**GROUPED, d_in=D_IN),
        2 * D * Q + 4 * C * S_G * Q + 2 * D * D_IN + 2 * K_G * C * (D_IN + D),
        D * Q + 2 * C * S_G * Q + D * D_IN + C * N_G * (D_IN + D),
    ),
    "peer": (
        PeerConfig(**SIZES),
        4 * C * Q * D + 4 * C * M * Q + NEURONS,
        2 * C * D * Q + 2 * C * M * Q + 2 * N * D,
    ),
    "peer, own tables": (
        PeerConfig(**SIZES, shared_pool=False, query_norm=True),
        4 * C * Q * D + 4 * C * M * Q + NEURONS,
        2 * C * D * Q + 2 * C * M * Q + Q + 2 * C * N * D,
    ),
    "moe": (moe(), 2 * D * E + 6 * K_E * D * F, D * E + E + E * EXPERT),
    "moe, paper": (moe(routing="paper"), 2 * D * E + 6 * K_E * D * F, D * E + E * EXPERT),
    "moe, all options": (
        moe(routing="sigmoid_bias", n_shared_experts=S, balance_weight=0.1, z_weight=0.1),
        2 * D * E + 6 * (K_E + S) * D * F,
        D * E + E + (E + S) * EXPERT,
    ),
    "mlp": (MlpConfig(d_hidden=F), 4 * D * F, 2 * D * F),
    "swiglu": (SwigluConfig(d_hidden=F), 6 * D * F, 3 * D * F + 2 * F + D),
    "topk_mlp": (TopkMlpConfig(d_hidden=F, top_k=K), 4 * D * F, 2 * D * F),
    "spark": (SparkConfig(d_hidden=F, n_active=K), 4 * D * F, 2 * D * F),
}

# Parameters that a token does not use: the rows of a pool, or the experts, that are not chosen.
IDLE = dict.fromkeys(LAYERS, 0) | {
    **dict.fromkeys(
        ("product_dense", "dense", "key_value", "product_key_value", "peer, own tables"),
        2 * C * (N - K) * D,
    ),
    **dict.fromkeys(("all options", "peer"), 2 * (N - C * K) * D),
    **dict.fromkeys(("moe", "moe, paper", "moe, all options"), (E - K_E) * EXPERT),
    **dict.fromkeys(("groups", "groups, dense router"), 2 * C * (N_G - K_G) * D),
    "narrow rows": C * (N - K) * (D_IN + D),
    "groups, narrow rows": C * (N_G - K_G) * (D_IN + D),
}
CHOSEN = {
    layer: (K_E * EXPERT if layer.startswith("moe") else 2 * C * K * D) if idle else 0
    for layer, idle in IDLE.items()
} | {
    **dict.fromkeys(("groups", "groups, dense router"), 2 * C * K_G * D),
    "narrow rows": C * K * (D_IN + D),
    "groups, narrow rows": C * K_G * (D_IN + D),
}


def transformer(layer: str) -> TransformerConfig:
    return TransformerConfig(
        vocab_size=V, d_model=D, n_layers=L, d_head=4, feed_forward=LAYERS[layer][0]
    )


def product_flops(jaxpr: Jaxpr) -> int:
    """2 * multiply-adds of all matrix products of a program, those in a scan once per turn."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += 2 * equation.outvars[0].aval.size * math.prod(shape[i] for i in contracted)
        if equation.primitive.name == "ragged_dot_general":
            # (rows, D) times (E, D, F): each row with the matrix of one group.
            total += 2 * equation.outvars[0].aval.size * equation.invars[0].aval.shape[-1]
        assert equation.primitive.name != "while"
        turns = equation.params["length"] if equation.primitive.name == "scan" else 1
        for parameter in equation.params.values():
            if isinstance(parameter, ClosedJaxpr | Jaxpr):
                total += turns * product_flops(getattr(parameter, "jaxpr", parameter))
    return total


@pytest.mark.parametrize("layer", LAYERS)
def test_forward_flops_are_those_of_the_program(layer):
    config = transformer(layer)
    params = nnx.to_pure_dict(nnx.state(abstract_model(config)))
    tokens_BT = jax.ShapeDtypeStruct((1, T), jnp.int32)
    program = jax.make_jaxpr(lambda params, tokens: bind(config, params)(tokens).logits)
    counted = product_flops(program(params, tokens_BT).jaxpr)

    flops = forward_flops(config, seq_len=T)
    assert flops.full * T == counted
    assert flops.full - flops.paper == 2 * D * V
    assert flops.paper == L * (8 * D**2 + 4 * T * D + LAYERS[layer][1])


@pytest.mark.parametrize("layer", LAYERS)
def test_parameters_that_a_token_uses(layer):
    config = transformer(layer)
    parameters = count_parameters(config)
    assert parameters.layer == LAYERS[layer][2]
    assert parameters.active_layer == LAYERS[layer][2] - IDLE[layer]
    assert parameters.active == parameters.total - L * IDLE[layer]
    assert parameters.non_embedding == parameters.total - V * D
    assert gathered_bytes(config) == 2 * CHOSEN[layer]
    assert gathered_bytes(config, itemsize=4) == 4 * CHOSEN[layer]


@pytest.mark.parametrize("layer", ["product_dense", "peer", "moe", "mlp", "spark"])
def test_xla_counts_nearly_the_same(layer):
    config, long = transformer(layer), 64
    expected = forward_flops(config, long).full
    if layer == "moe":
        expected += (E - 1) * L * 6 * K_E * D * F  # it counts each row with every expert
    # It adds what is elementwise, which is no small part of a model as narrow as this.
    assert 1 < xla_forward_flops(config, long) / expected < 1.6


@pytest.mark.parametrize("spec", ["tinystories", "tinystories:spark", "slimpajama:peer-s4"])
def test_at_real_sizes_xla_counts_a_few_percent_more(spec):
    config = load_config(spec)
    seq_len = config.data.seq_len
    ratio = xla_forward_flops(config.model, seq_len) / forward_flops(config.model, seq_len).full
    assert 1 < ratio < 1.05


def test_a_budget_pays_for_so_many_steps():
    config = transformer("mlp")
    per_step = training_flops(config, T).paper * T * 3
    assert steps_for(7.4 * per_step, config, seq_len=T, batch_size=3) == 7
    assert steps_for(0.1 * per_step, config, seq_len=T, batch_size=3) == 1


def test_training_is_three_forward_passes():
    config = transformer("product_dense")
    forward = forward_flops(config, seq_len=T)
    assert training_flops(config, seq_len=T) == Flops(
        paper=3 * forward.paper, full=3 * forward.full, causal=3 * forward.causal
    )


def test_causal_attention_counts_what_the_mask_leaves():
    """Brute force: token t has t + 1 scores of D multiply-adds, and as many for the values."""
    config = transformer("mlp")
    flops = forward_flops(config, seq_len=T)
    attended = sum(2 * 2 * (t + 1) * D for t in range(T))
    assert T * flops.causal == L * (T * (8 * D**2 + LAYERS["mlp"][1]) + attended)
    assert T * (flops.paper - flops.causal) == L * sum(4 * D * (T - t - 1) for t in range(T))


@pytest.mark.parametrize("layer", LAYERS)
def test_parameters_are_counted_once_each(layer):
    # Per layer: attention's four matrices, two norms of width D and two of a head's width 4.
    per_layer = 4 * D**2 + 2 * D + 2 * 4 + LAYERS[layer][2]
    assert n_parameters(transformer(layer)) == L * per_layer + V * D + D


@pytest.mark.parametrize(
    ("device", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("TPU v5 lite", 197e12),
        ("cpu", None),
    ],
)
def test_peaks_by_what_jax_calls_the_device(device, peak):
    assert peak_flops(device) == peak
