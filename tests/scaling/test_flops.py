# SPDX-License-Identifier: Apache-2.0
"""Counted operations and parameters are those of the program that runs."""

import math

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax.extend.core import ClosedJaxpr, Jaxpr

from sgatlin.nn.mlp import MlpConfig, SwigluConfig
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.transformer import TransformerConfig, abstract_model, bind
from sgatlin.scaling.flops import (
    Flops,
    forward_flops,
    n_parameters,
    peak_flops,
    training_flops,
)

# No two alike, so that no product is mistaken for another.
D, L, V, T = 24, 3, 101, 5
C, N, K, Q = 2, 49, 4, 10
M, F = 7, 33


def sgatlin(router: str) -> SgatlinConfig:
    # The reference form does the neurons' products in one piece and without padding.
    return SgatlinConfig(
        n_channels=C, n_neurons=N, top_k=K, d_key=Q, router=router, implementation="reference"
    )


# Feed-forward layers, their operations per token, and their parameters.
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
    "mlp": (MlpConfig(d_hidden=F), 4 * D * F, 2 * D * F),
    "swiglu": (SwigluConfig(d_hidden=F), 6 * D * F, 3 * D * F + 2 * F + D),
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


def test_training_is_three_forward_passes():
    config = transformer("product_dense")
    forward = forward_flops(config, seq_len=T)
    assert training_flops(config, seq_len=T) == Flops(
        paper=3 * forward.paper, full=3 * forward.full
    )


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
