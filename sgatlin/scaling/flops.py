# SPDX-License-Identifier: Apache-2.0
"""Floating-point operations and parameters of a model, in stated conventions.

D model, T sequence length, V vocabulary, L layers. A multiply-add counts as 2; only matrix
products (and the neurons' gathered products) are counted.
"""

from typing import Any, NamedTuple

import jax
from flax import nnx

from sgatlin.nn.gates import GatedConfig
from sgatlin.nn.pattern import stacks
from sgatlin.nn.transformer import TransformerConfig, abstract_model

TRAINING_OVER_FORWARD = 3
"""The backward pass does twice the forward's products; recomputation is not counted."""

# Dense bf16 peaks in FLOP/s by what JAX calls the device: vendors' data sheets, without sparsity.
PEAK_FLOPS = {
    "NVIDIA A100": 312e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5p": 459e12,
    "TPU v6 lite": 918e12,
}


class Flops(NamedTuple):
    """Operations in three conventions."""

    paper: int
    """The layers' matrix products only, without the unembedding (arXiv 2606.07414)."""
    full: int
    """The same and the unembedding."""
    causal: int
    """As `paper`, but attention counts only the products that the causal mask leaves: a token
    attends to (T + 1) / 2 tokens on average, not to all T."""


def forward_flops(config: TransformerConfig, seq_len: int) -> Flops:
    """Operations per token of a forward pass over `seq_len` tokens."""
    d_model, n_layers = config.d_model, config.n_layers
    feed_forward = sum(layer.forward_flops(d_model) for layer in config.period)
    others = 8 * n_layers * d_model**2 + config.n_periods * feed_forward
    layers = others + 4 * n_layers * seq_len * d_model
    return Flops(
        paper=layers,
        full=layers + 2 * d_model * config.vocab_size,
        causal=others + 2 * n_layers * (seq_len + 1) * d_model,
    )


def training_flops(config: TransformerConfig, seq_len: int) -> Flops:
    """Operations per token of a training step on sequences of `seq_len` tokens."""
    forward = forward_flops(config, seq_len)
    return Flops(*(TRAINING_OVER_FORWARD * flops for flops in forward))


def steps_for(flops: float, config: TransformerConfig, *, seq_len: int, batch_size: int) -> int:
    """Optimizer steps that `flops` operations, in the convention `paper`, pay for; at least 1."""
    per_step = training_flops(config, seq_len).paper * seq_len * batch_size
    return max(1, round(flops / per_step))


class Parameters(NamedTuple):
    """Numbers of parameters, the tied embedding counted once."""

    total: int
    active: int
    """Those that a token's logits are computed with: of a pool only what is chosen."""
    non_embedding: int
    """Total without the embedding."""
    layer: int
    """Of one feed-forward layer; in a pattern of layers the mean, rounded down."""
    active_layer: int
    """Of it those that a token uses."""


def count_parameters(config: TransformerConfig) -> Parameters:
    """Counted on the model; a layer with gates says itself what a token uses."""
    params = nnx.to_pure_dict(nnx.state(abstract_model(config)))
    total = _size(params)
    blocks = stacks(params["blocks"], config.feed_forward)
    layers = [_size(stack["feed_forward"]) // config.n_periods for stack in blocks]
    active_layers = [
        layer.active_parameters(config.d_model) if isinstance(layer, GatedConfig) else size
        for layer, size in zip(config.period, layers, strict=True)
    ]
    return Parameters(
        total=total,
        active=total - config.n_periods * (sum(layers) - sum(active_layers)),
        non_embedding=total - _size(params["embedding"]),
        layer=sum(layers) // len(layers),
        active_layer=sum(active_layers) // len(layers),
    )


def n_parameters(config: TransformerConfig) -> int:
    """All parameters, the tied embedding counted once."""
    return count_parameters(config).total


def gathered_bytes(config: TransformerConfig, itemsize: int = 2) -> int:
    """Bytes of weights that a token's gates choose in one layer with gates, read in a forward pass.

    Tokens that choose the same neurons or experts are not counted as sharing a read: a bound from
    above for a mixture, whose batch reads each expert once.
    """
    layer = config.gated_layer
    return 0 if layer is None else layer.gathered_parameters(config.d_model) * itemsize


def _size(tree: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def peak_flops(device_kind: str) -> float | None:
    """Peak bf16 FLOP/s of a device by JAX's name for it; None where it is not known."""
    for name, peak in PEAK_FLOPS.items():
        if device_kind.startswith(name):
            return peak
    return None
