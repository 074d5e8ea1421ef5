# SPDX-License-Identifier: Apache-2.0
"""One layer and what it is fed: random, or taken from a trained run.

T tokens, D width, C channels of N neurons, K chosen.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from functools import partial
from operator import itemgetter
from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from sgatlin.config import load_config
from sgatlin.errors import UserError, require_at_least
from sgatlin.eval.command import store_for
from sgatlin.input.evaluation import eval_batches
from sgatlin.input.windows import Batch
from sgatlin.nn.gates import LayerOutput
from sgatlin.nn.routing import route
from sgatlin.nn.sgatlin import Sgatlin, SgatlinConfig
from sgatlin.nn.transformer import Dtype, TransformerConfig, bind
from sgatlin.train.load import LoadedRun, load_run

Preset = Literal["default", "tinystories", "s4", "s6"]
PRESETS: dict[Preset, str] = {
    "default": "storyworld:sgatlin",
    "tinystories": "tinystories:sgatlin",
    "s4": "slimpajama:sgatlin-s4",
    "s6": "slimpajama:sgatlin-s6",
}
"""Configs whose layers are timed."""

ZIPF_EXPONENT = 0.7
DISTRIBUTIONS = ("uniform", "zipf")


class Shape(NamedTuple):
    """A layer's sizes."""

    d_model: int
    layer: SgatlinConfig

    def describe(self) -> str:
        layer = self.layer
        return (
            f"D {self.d_model}, N {layer.n_neurons:,}, C {layer.n_channels}, K {layer.top_k}, "
            + (f"G {layer.group}, " if layer.group > 1 else "")
            + f"Q {layer.d_key}"
        )


class Case(NamedTuple):
    """A layer with its parameters and inputs, in the compute type."""

    shape: Shape
    params: Any
    x_TD: Float[Array, "T D"]
    indices_TCK: Int[Array, "T C K"]
    chosen: bool
    """The indices are what the layer's own router chooses for x."""


def preset_shape(preset: Preset, **changes: int | None) -> Shape:
    """A preset with some of `d_model`, `n_neurons`, `n_channels`, `top_k` and `group` changed."""
    model = load_config(PRESETS[preset]).model
    assert isinstance(model.feed_forward, SgatlinConfig)
    given: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
    d_model = given.pop("d_model", model.d_model)
    require_at_least(1, d_model=d_model)
    return Shape(d_model, dataclasses.replace(model.feed_forward, **given))


def random_case(shape: Shape, n_tokens: int, dtype: jnp.dtype, distribution: str) -> Case:
    """A fresh layer, normal inputs, and indices of one of DISTRIBUTIONS."""
    d_model, layer = shape

    @jax.jit
    def make(key: Array) -> tuple[Any, Array]:
        params_key, x_key = jax.random.split(key)
        module = Sgatlin(d_model, layer, rngs=nnx.Rngs(params=params_key))
        params = nnx.to_pure_dict(nnx.state(module))
        x_TD = jax.random.normal(x_key, (n_tokens, d_model))
        return jax.tree.map(lambda leaf: leaf.astype(dtype), (params, x_TD))

    params, x_TD = make(jax.random.key(0))
    indices_TCK = jnp.asarray(random_indices(distribution, n_tokens, layer))
    return Case(shape, params, x_TD, indices_TCK, chosen=False)


def random_indices(
    distribution: str, n_tokens: int, layer: SgatlinConfig
) -> Int[np.ndarray, "T C K"]:
    """Independent draws of groups, all alike, or the r-th of a channel as often as r ** -0.7.

    The neurons of a group lie side by side, as a router has them; without groups each is one. A
    token may draw a group twice, which a router never does.
    """
    n_channels, group = layer.n_channels, layer.group
    n_groups, n_chosen = layer.n_neurons // group, layer.top_k // group
    rng = np.random.default_rng(0)
    if distribution == "uniform":
        drawn_TCk = rng.integers(n_groups, size=(n_tokens, n_channels, n_chosen))
    else:
        share_n = np.arange(1, n_groups + 1) ** -ZIPF_EXPONENT
        ends_n = np.cumsum(share_n) / share_n.sum()
        # Popular neurons of real routers are scattered over the table.
        order_Cn = np.stack([rng.permutation(n_groups) for _ in range(n_channels)])
        ranks_CTk = np.searchsorted(ends_n, rng.random((n_channels, n_tokens, n_chosen)))
        chosen = [order[ranks] for order, ranks in zip(order_Cn, ranks_CTk, strict=True)]
        drawn_TCk = np.stack(chosen, axis=1)
    neurons = drawn_TCk[..., None] * group + np.arange(group)
    return neurons.reshape(n_tokens, n_channels, layer.top_k).astype(np.int32)


def recorded_case(spec: str, n_tokens: int, dtype: jnp.dtype) -> Case:
    """The middle layer of a trained run, its inputs and choices on the run's validation text.

    Raises:
      UserError: where there is no such run, its layer is not the paper's, or the text is too short.
    """
    loaded = load_run(spec)
    model = loaded.config.model
    layer = _plain(model.feed_forward, spec)
    number = model.n_layers // 2
    params = jax.tree.map(
        lambda leaf: leaf[number].astype(dtype), loaded.params["blocks"]["feed_forward"]
    )
    inputs = jax.jit(
        partial(layer_inputs, dataclasses.replace(model, dtype=cast(Dtype, dtype.name)), number)
    )
    found, missing = [], n_tokens
    for batch in _validation_batches(loaded, n_tokens):
        x_BTD = inputs(loaded.params, batch.inputs_BT, batch.segments_BT)
        found.append(x_BTD[batch.weights_BT > 0][:missing])
        missing -= len(found[-1])
    if missing:
        raise UserError(
            f"the validation text of {spec} has {n_tokens - missing} tokens: give "
            f"--tokens {n_tokens - missing} or fewer"
        )
    x_TD = jnp.concatenate(found)
    routed = jax.jit(lambda router, x_TD: route(router, x_TD, layer).indices)
    return Case(
        Shape(model.d_model, layer), params, x_TD, routed(params["router"], x_TD), chosen=True
    )


def _plain(layer: Any, spec: str) -> SgatlinConfig:
    """The config of a run's layer without its balance loss; UserError if it is not the paper's."""
    if isinstance(layer, SgatlinConfig):
        layer = dataclasses.replace(layer, balance_weight=0.0, implementation=None)
        sizes = ("n_channels", "n_neurons", "top_k", "group", "d_key", "init")
        if layer == SgatlinConfig(**{name: getattr(layer, name) for name in sizes}):
            return layer
    raise UserError(
        f"{spec} has another layer than the one timed here, sgatlin with router=product_dense, "
        "gate=score, activation=identity, d_in=None and a table for each channel: name another run"
    )


class _Tap:
    """A feed-forward layer that keeps what it reads."""

    def __init__(self, layer: Any):
        self.layer = layer
        self.x: Any = None

    def __call__(self, x: Array) -> LayerOutput:
        self.x = x
        return self.layer(x)


def layer_inputs(
    config: TransformerConfig,
    number: int,
    params: Mapping[str, Any],
    ids_BT: Int[Array, "B T"],
    segments_BT: Int[Array, "B T"] | None,
) -> Float[Array, "B T D"]:
    """What the feed-forward layer of block `number` reads, in the compute type."""
    model = bind(config, params)
    graph, layers = nnx.split(model.blocks)
    x_BTD = model.embedding[...][ids_BT]
    for block_number in range(number):
        block = nnx.merge(graph, jax.tree.map(itemgetter(block_number), layers))
        x_BTD = block(x_BTD, config.compute_dtype, None, None, segments_BT)[0].y
    block = nnx.merge(graph, jax.tree.map(itemgetter(number), layers))
    tap = _Tap(block.feed_forward)
    block.feed_forward = tap
    block(x_BTD, config.compute_dtype, None, None, segments_BT)
    return tap.x


def _validation_batches(loaded: LoadedRun, n_tokens: int) -> Iterator[Batch]:
    """Windows of the run's validation store, evenly spaced over it: `n_tokens` tokens, or all."""
    data = loaded.config.data
    return eval_batches(
        store_for(loaded),
        batch_size=16,
        seq_len=data.seq_len,
        max_tokens=-(-n_tokens // data.seq_len) * data.seq_len,
        document_boundaries=data.document_boundaries,
    )
