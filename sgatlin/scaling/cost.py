# SPDX-License-Identifier: Apache-2.0
"""What a run costs, as a table: parameters, operations, bytes, memory. Nothing is compiled."""

import dataclasses
from collections.abc import Callable, Mapping

import jax

from sgatlin.config import Config
from sgatlin.nn.transformer import TransformerConfig
from sgatlin.scaling.flops import count_parameters, forward_flops, gathered_bytes, training_flops
from sgatlin.scaling.xla import xla_forward_flops
from sgatlin.tables import aligned
from sgatlin.train.layout import layout
from sgatlin.train.memory import Platform, training_memory


def cost(config: Config, platform: Platform | None = None) -> dict[str, str]:
    """Names and values in the order of the table; memory on `platform`, or else this machine's."""
    model, seq_len = config.model, config.data.seq_len
    tokens = config.train.steps * config.tokens_per_step
    parameters = count_parameters(model)
    forward, training = forward_flops(model, seq_len), training_flops(model, seq_len)
    sizes = config.mesh.planned(jax.device_count())
    layout(config, sizes)  # or it is told why not
    memory = training_memory(config, platform, sizes)
    each = f", on each of {sizes.devices} devices" if sizes.devices > 1 else ""
    return {
        "layer": model.kinds,
        "width x layers": f"{model.d_model} x {model.n_layers}",
        "parameters": f"{parameters.total:,}",
        "parameters, without the embedding": f"{parameters.non_embedding:,}",
        "parameters, active per token": f"{parameters.active:,}",
        **{f"one feed-forward layer: {name}": value for name, value in _one_layer(model).items()},
        "forward FLOPs per token, layers only (paper)": f"{forward.paper:,}",
        "forward FLOPs per token, with unembedding (full)": f"{forward.full:,}",
        "forward FLOPs per token, layers only, causal attention (causal)": f"{forward.causal:,}",
        "forward FLOPs per token, as XLA counts": f"{xla_forward_flops(model, seq_len):,}",
        "steps": f"{config.train.steps:,}",
        "tokens": f"{tokens:,}",
        "training FLOPs, layers only (paper)": f"{training.paper * tokens:.3g}",
        "training FLOPs, with unembedding (full)": f"{training.full * tokens:.3g}",
        "training FLOPs, layers only, causal attention (causal)": f"{training.causal * tokens:.3g}",
        **{f"memory: {name}": _mebibytes(size) for name, size in memory._asdict().items()},
        f"memory: in all, about, on a {platform or jax.default_backend()}{each}": _mebibytes(
            memory.total
        ),
    }


def _one_layer(model: TransformerConfig) -> dict[str, str]:
    """What one feed-forward layer costs, or each layer of a pattern, in the order of its kinds."""
    alone = [dataclasses.replace(model, n_layers=1, feed_forward=one) for one in model.period]

    def each(number: Callable[[TransformerConfig], int]) -> str:
        return " / ".join(f"{number(one):,}" for one in alone)

    return {
        "parameters": each(lambda one: count_parameters(one).layer),
        "active per token": each(lambda one: count_parameters(one).active_layer),
        "bytes chosen per token (bf16)": each(gathered_bytes),
        "forward FLOPs per token": each(lambda one: one.period[0].forward_flops(one.d_model)),
    }


def cost_table(columns: Mapping[str, Config], platform: Platform | None = None) -> str:
    """The costs of several runs side by side, under their names."""
    costs = [cost(config, platform) for config in columns.values()]
    rows = [("", *columns)]
    rows += [(name, *(column[name] for column in costs)) for name in costs[0]]
    return "\n".join(aligned(rows))


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
