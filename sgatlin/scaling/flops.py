# SPDX-License-Identifier: Apache-2.0
"""Floating-point operations, parameters and memory of a run, in stated conventions.

D model, T sequence length, V vocabulary, L layers. A multiply-add counts as 2; only matrix
products (and the neurons' gathered products) are counted.
"""

from typing import NamedTuple

import jax
from flax import nnx

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
    """Operations in two conventions."""

    paper: int
    """The layers' matrix products only, without the unembedding (arXiv 2606.07414)."""
    full: int
    """The same and the unembedding."""


def forward_flops(config: TransformerConfig, seq_len: int) -> Flops:
    """Operations per token of a forward pass over `seq_len` tokens."""
    attention = 8 * config.d_model**2 + 4 * seq_len * config.d_model
    layers = config.n_layers * (attention + config.feed_forward.forward_flops(config.d_model))
    return Flops(paper=layers, full=layers + 2 * config.d_model * config.vocab_size)


def training_flops(config: TransformerConfig, seq_len: int) -> Flops:
    """Operations per token of a training step on sequences of `seq_len` tokens."""
    forward = forward_flops(config, seq_len)
    return Flops(*(TRAINING_OVER_FORWARD * flops for flops in forward))


def n_parameters(config: TransformerConfig) -> int:
    """All parameters, the tied embedding counted once."""
    leaves = jax.tree.leaves(nnx.to_pure_dict(nnx.state(abstract_model(config))))
    return sum(leaf.size for leaf in leaves)


def peak_flops(device_kind: str) -> float | None:
    """Peak bf16 FLOP/s of a device by JAX's name for it; None where it is not known."""
    for name, peak in PEAK_FLOPS.items():
        if device_kind.startswith(name):
            return peak
    return None
