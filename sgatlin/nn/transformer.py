# SPDX-License-Identifier: Apache-2.0
"""A decoder-only transformer whose feed-forward layer is a choice.

Pre-norm blocks with rotary attention, residual stream in fp32, tied embedding. Blocks are stacked
along a leading layer axis and scanned, so that compile time does not grow with depth.

B batch, T time, D model, V vocabulary, L layers, C channels, K chosen, N neurons of a table.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from sgatlin.errors import UserError, require_at_least
from sgatlin.mesh import Sizes
from sgatlin.nn.attention import Attention, Cache
from sgatlin.nn.feed_forward import FeedForwardConfig
from sgatlin.nn.gates import Adjust, GatedConfig, Gates, LayerOutput, choice_counts
from sgatlin.nn.norm import RMSNorm
from sgatlin.nn.roles import Embedding, Expert, Matrix, Pool
from sgatlin.nn.routing import router_health
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.ops.embedding import embed, unembed
from sgatlin.ops.platform import platform
from sgatlin.parallel import partition_spec, sizes, split, token_sum, whole

Dtype = Literal["auto", "float32", "bfloat16"]
LogitsDtype = Literal["float32", "compute"]
Remat = Literal["none", "dots", "full"]

MOST_UNROLLED = 16
"""Deeper models are looped over where nobody says: compile time grows with what is unrolled."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """The model."""

    vocab_size: int
    """V: number of token ids."""
    d_model: int
    """D: width of the residual stream."""
    n_layers: int
    """L: number of blocks."""
    d_head: int = 64
    """Width of an attention head; d_model / d_head heads."""
    feed_forward: FeedForwardConfig = dataclasses.field(default_factory=SgatlinConfig)
    """The feed-forward layer of every block."""
    dtype: Dtype = "auto"
    """Computation type over fp32 parameters; auto: float32 on a CPU, bfloat16 elsewhere."""
    logits_dtype: LogitsDtype = "float32"
    """What the unembedding multiplies, in training, evaluation and generation alike: float32, or
    numbers of the computation type (compute), which a GPU does twice as many of. Logits are sums in
    fp32 either way, and so is the loss; its gradient is computed in the computation type."""
    remat: Remat = "none"
    """Recomputed in the backward pass: nothing, all but matmul results (dots), or all (full)."""
    unroll: int | None = None
    """Layers that the loop over layers takes at a time. All at once spare the copies that a loop
    makes of what it keeps for the backward pass, a third of a step on a GPU and half of its
    memory, and take longer to compile. None: all on a GPU, up to 16; one elsewhere."""

    def __post_init__(self) -> None:
        require_at_least(1, vocab_size=self.vocab_size, n_layers=self.n_layers)
        require_at_least(1, d_model=self.d_model, d_head=self.d_head, unroll=self.unroll)
        if self.d_head % 2:
            raise UserError(f"d_head={self.d_head} must be even: rotary positions rotate halves")
        if self.d_model % self.d_head:
            raise UserError(
                f"d_model={self.d_model} is not a multiple of d_head={self.d_head}: change either"
            )

    @property
    def n_heads(self) -> int:
        return self.d_model // self.d_head

    @property
    def compute_dtype(self) -> jnp.dtype:
        """`dtype` with auto resolved for the default backend."""
        if self.dtype == "auto":
            return jnp.dtype("float32" if jax.default_backend() == "cpu" else "bfloat16")
        return jnp.dtype(self.dtype)

    @property
    def layers_at_once(self) -> int:
        """`unroll` with None resolved for the platform."""
        if self.unroll is not None:
            return min(self.unroll, self.n_layers)
        return self.n_layers if platform() == "gpu" and self.n_layers <= MOST_UNROLLED else 1

    @property
    def unembedding_dtype(self) -> jnp.dtype:
        """`logits_dtype` as a type."""
        return self.compute_dtype if self.logits_dtype == "compute" else jnp.dtype("float32")


class GateEdit(NamedTuple):
    """Gates to use instead of the routers' own, for every layer, and what becomes of scores."""

    gates: Gates | None = None
    """indices and scores of shape (L, B, T, C, K)."""
    replace: Bool[Array, "L B T C"] | None = None
    """Where they are used; B and T may be 1, for all. None is everywhere."""
    adjust: Adjust | None = None
    """(L, C, N): of the scores of all choices, replaced or not."""


class Output(NamedTuple):
    """What a forward pass returns."""

    logits: Float[Array, "B T V"] | None
    """fp32; None if not asked for."""
    hidden: Float[Array, "B T D"]
    """What the logits are products of: the residual stream after the last block, normed; fp32."""
    embedding: Float[Array, "V D"]
    """And the embedding, which they are the products with."""
    gates: Gates | None
    """(L, B, T, C, K), if asked for and the layer has gates."""
    cache: Cache | None
    """The extended cache, if one was given."""
    losses: dict[str, Float[Array, " L"]]
    """What each layer adds to the training loss, by name; most often empty."""
    health: dict[str, Float[Array, " L"]]
    """`router_health` of each layer, if asked for and the layer has gates; else empty."""
    counts: Int[Array, "L tables N"] | None
    """`choice_counts` of each layer, likewise."""
    streams: Float[Array, "layers B T D"] | None
    """If asked for: the residual stream that each layer's feed-forward layer reads and adds to, and
    last of all the stream after the last block: L + 1 of them; fp32."""


class Block(nnx.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x))."""

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
        self.attention_norm = RMSNorm(config.d_model)
        self.attention = Attention(config.d_model, config.d_head, rngs=rngs)
        self.feed_forward_norm = RMSNorm(config.d_model)
        self.feed_forward = config.feed_forward.build(config.d_model, rngs=rngs)

    def __call__(
        self,
        x_BTD: Float[Array, "B T D"],
        dtype: jnp.dtype,
        cache: Cache | None,
        edit: GateEdit | None,
        segments_BT: Int[Array, "B T"] | None = None,
    ) -> tuple[LayerOutput, Array, Cache | None]:
        """What the block hands on, the stream between its halves, and the extended cache."""
        normed_BTD = self.attention_norm(x_BTD).astype(dtype)
        mixed_BTD, cache = self.attention(normed_BTD, cache, segments_BT)
        x_BTD += mixed_BTD.astype(x_BTD.dtype)
        gating: dict[str, Any] = {} if edit is None else edit._asdict()
        output = self.feed_forward(self.feed_forward_norm(x_BTD).astype(dtype), **gating)
        return output._replace(y=x_BTD + output.y.astype(x_BTD.dtype)), x_BTD, cache


class Transformer(nnx.Module):
    """The language model: token ids to next-token logits."""

    def __init__(self, config: TransformerConfig, *, rngs: nnx.Rngs):
        embedding = jax.random.normal(rngs.params(), (config.vocab_size, config.d_model))
        keys = jax.random.split(rngs.params(), config.n_layers)
        self.config = config
        self.embedding = Embedding(embedding / jnp.sqrt(config.d_model))
        self.blocks = nnx.vmap(lambda key: Block(config, rngs=nnx.Rngs(params=key)))(keys)
        self.norm = RMSNorm(config.d_model)

    def __call__(
        self,
        tokens_BT: Int[Array, "B T"],
        *,
        cache: Cache | None = None,
        edit: GateEdit | None = None,
        segments_BT: Int[Array, "B T"] | None = None,
        return_logits: bool = True,
        return_gates: bool = False,
        return_health: bool = False,
        return_streams: bool = False,
    ) -> Output:
        """Logits for the token after each position.

        With a `cache` of `empty_cache`, tokens continue those already in it. `edit` replaces gates
        (patching, steering); UserError if the feed-forward layer has none. With segments a token
        attends only to those of its own segment (document), as if each stood alone; ValueError if
        there is a cache too. A loss needs no logits: `sgatlin.ops.cross_entropy` takes the hidden
        states.
        """
        graph, layers = nnx.split(self.blocks)
        layers = narrowed(layers, self.config.compute_dtype)
        specs = partition_specs(self.config, sizes())
        embedding_VD = whole(self.embedding[...], specs["embedding"])
        gated = self.config.feed_forward
        if edit is not None and not isinstance(gated, GatedConfig):
            raise UserError(f"feed_forward is {gated.kind!r}, which has no gates to edit")

        def layer(x_BTD: Array, per_layer: tuple[Any, ...]) -> tuple[Array, tuple[Any, ...]]:
            params, layer_cache, layer_edit = per_layer
            block = nnx.merge(graph, whole_layer(params, specs["blocks"]))
            (x_BTD, gates, losses), stream_BTD, layer_cache = block(
                x_BTD, self.config.compute_dtype, layer_cache, layer_edit, segments_BT
            )
            health, counts = {}, None
            if return_health and gates is not None and isinstance(gated, GatedConfig):
                counts = all_counts(gates, gated)
                health = router_health(gates, counts)
            gates, stream = gates if return_gates else None, stream_BTD if return_streams else None
            return x_BTD, (layer_cache, gates, losses, health, counts, stream)

        x_BTD = embed(embedding_VD, tokens_BT)
        x_BTD, (cache, gates, losses, health, counts, streams) = jax.lax.scan(
            rematerialised(layer, self.config),
            x_BTD,
            (layers, cache, edit),
            unroll=self.config.layers_at_once,
        )
        hidden_BTD, logits_BTV = self.norm(x_BTD), None
        if return_logits:
            dtype = self.config.unembedding_dtype
            logits_BTV = unembed(hidden_BTD, embedding_VD, dtype)
        if return_streams:
            streams = jnp.concatenate([streams, x_BTD[None]])
        return Output(
            logits_BTV, hidden_BTD, embedding_VD, gates, cache, losses, health, counts, streams
        )

    def empty_cache(self, batch_size: int, max_length: int) -> Cache:
        """A cache for `batch_size` sequences of up to `max_length` positions."""
        config = self.config
        shape = (config.n_layers, batch_size, max_length, config.n_heads, config.d_head)
        return Cache(
            keys=jnp.zeros(shape, config.compute_dtype),
            values=jnp.zeros(shape, config.compute_dtype),
            length=jnp.zeros((config.n_layers,), jnp.int32),
        )


@functools.cache
def partition_specs(config: TransformerConfig, sizes: Sizes) -> dict[str, Any]:
    """Where each parameter is split on a mesh of such sizes: a tree like the parameters'."""
    units = {"heads": config.n_heads}

    def spec(path: tuple[Any, ...], variable: nnx.Variable) -> nnx.Variable:
        stacked = path[0] == "blocks"
        dims = getattr(variable, "dims", ())
        one = partition_spec(variable.shape[stacked:], dims, sizes, units)
        return variable.replace(PartitionSpec(*(None,) * stacked, *one))

    return nnx.to_pure_dict(nnx.map_state(spec, nnx.state(abstract_model(config))))


def whole_layer(params: nnx.State[Any, Any], specs: Mapping[str, Any]) -> nnx.State[Any, Any]:
    """One layer's parameters, as far as `fsdp` had split them; specs are those of the stack."""

    def gathered(path: tuple[Any, ...], variable: nnx.Variable) -> nnx.Variable:
        spec: Any = functools.reduce(lambda tree, name: tree[name], path, specs)
        return variable.replace(whole(variable[...], PartitionSpec(*spec[1:])))

    return nnx.map_state(gathered, params)


def all_counts(gates: Gates, config: GatedConfig) -> Int[Array, "tables N"]:
    """`choice_counts` of all devices' tokens, and of their channels where these share a table."""
    counts = token_sum(choice_counts(gates, config.pool_shape))
    shared = config.pool_shape[0] == 1
    return split(config.n_channels).leave(counts) if shared else counts


def narrowed(state: nnx.State[Any, Any], dtype: jnp.dtype) -> nnx.State[Any, Any]:
    """`state` with its large weights in `dtype`: once a step, where layers would cast at each use.

    Routers stay as they are, because a mixture's computes in fp32; so does all that is small.
    """

    def cast(_: Any, variable: nnx.Variable) -> nnx.Variable:
        if not isinstance(variable, Matrix | Expert | Pool):
            return variable
        return variable.replace(variable[...].astype(dtype))

    return nnx.map_state(cast, state)


def rematerialised(layer: Callable, config: TransformerConfig) -> Callable:
    """`layer` with what `remat` names recomputed in the backward pass instead of stored."""
    # Where layers are written out one after another XLA sees that a thing is computed twice; not so
    # of gathered parameters, and a barrier would keep it from recomputing what costs little.
    prevent_cse = config.layers_at_once > 1 and config.remat != "none"
    policies: dict[Remat, Callable[..., bool]] = {
        "none": _all_but_reshapes,
        "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
        "full": jax.checkpoint_policies.nothing_saveable,
    }
    return jax.checkpoint(layer, policy=policies[config.remat], prevent_cse=prevent_cse)


def _all_but_reshapes(primitive: Any, *_: Any, **__: Any) -> bool:
    """A reshape costs nothing; a reshaped table that is stored is a copy of it, of every layer.

    So is one that was gathered: the backward pass gathers it again (ZeRO's third stage, Rajbhandari
    2020, arXiv 1910.02054).
    """
    return primitive.name not in ("reshape", "all_gather")


def init_params(config: TransformerConfig, seed: int) -> dict[str, Any]:
    """Freshly initialised parameters: a nested dict of fp32 arrays."""
    init = jax.jit(
        lambda key: nnx.to_pure_dict(nnx.state(Transformer(config, rngs=nnx.Rngs(params=key))))
    )
    return init(jax.random.key(seed))


def abstract_model(config: TransformerConfig) -> Transformer:
    """The model with shapes in the place of arrays."""
    return nnx.eval_shape(lambda: Transformer(config, rngs=nnx.Rngs(0)))


def bind(config: TransformerConfig, params: Mapping[str, Any]) -> Transformer:
    """The model over given parameters, which may be traced: usable inside `jax.jit`."""
    return nnx.merge(nnx.graphdef(abstract_model(config)), nnx.State(params))
