# SPDX-License-Identifier: Apache-2.0
"""A decoder-only transformer whose feed-forward layer is a choice.

Pre-norm blocks with rotary attention, residual stream in fp32, tied embedding. Blocks are stacked
along a leading layer axis and scanned, so that compile time does not grow with depth.

B batch, T time, D model, V vocabulary, L layers, C channels, K chosen, N neurons of a table. G: the
layers that have gates. These are all L or none, except with a pattern of layers (`PatternConfig`).
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from sgatlin.errors import UserError
from sgatlin.mesh import Sizes
from sgatlin.nn.attention import Attention, Cache
from sgatlin.nn.feed_forward import LayerConfig
from sgatlin.nn.gates import Adjust, GatedConfig, Gates, LayerOutput, choice_counts
from sgatlin.nn.norm import RMSNorm
from sgatlin.nn.pattern import every, gated_places, interleaved, interleaved_by_name, joined, stacks
from sgatlin.nn.remat import Remat as Remat
from sgatlin.nn.remat import rematerialized
from sgatlin.nn.roles import Embedding, Expert, Matrix, Pool
from sgatlin.nn.routing import router_health
from sgatlin.nn.transformer_config import Dtype as Dtype
from sgatlin.nn.transformer_config import LogitsDtype as LogitsDtype
from sgatlin.nn.transformer_config import TransformerConfig as TransformerConfig
from sgatlin.ops.embedding import embed, unembed
from sgatlin.parallel import partition_spec, sizes, split, token_sum, whole


class GateEdit(NamedTuple):
    """Gates to use instead of the routers' own, for all layers with gates, and changes of scores.

    Layer g here is that of block `TransformerConfig.gated_blocks[g]`.
    """

    gates: Gates | None = None
    """indices and scores of shape (G, B, T, C, K)."""
    replace: Bool[Array, "G B T C"] | None = None
    """Where they are used; B and T may be 1, for all. None is everywhere."""
    adjust: Adjust | None = None
    """(G, C, N): of the scores of all choices, replaced or not."""


class Output(NamedTuple):
    """What a forward pass returns.

    Layer g of gates, health and counts is that of block `TransformerConfig.gated_blocks[g]`.
    """

    logits: Float[Array, "B T V"] | None
    """fp32; None if not asked for."""
    hidden: Float[Array, "B T D"]
    """What the logits are products of: the residual stream after the last block, normed; fp32."""
    embedding: Float[Array, "V D"]
    """And the embedding, which they are the products with."""
    gates: Gates | None
    """(G, B, T, C, K), if asked for and there are layers with gates."""
    cache: Cache | None
    """The extended cache, if one was given."""
    losses: dict[str, Float[Array, " layers"]]
    """What layers add to the training loss, by name, of the layers that have a loss of this name;
    most often empty."""
    health: dict[str, Float[Array, " G"]]
    """`router_health` of each layer with gates, if asked for; else empty."""
    counts: Int[Array, "G tables N"] | None
    """`choice_counts` of each layer with gates, likewise."""
    streams: Float[Array, "layers B T D"] | None
    """If asked for: the residual stream that each layer's feed-forward layer reads and adds to, and
    last of all the stream after the last block: L + 1 of them; fp32."""


class _Seen(NamedTuple):
    """What the blocks of one stack return beside the residual stream; see `Output`."""

    cache: Cache | None
    gates: Gates | None
    losses: dict[str, Array]
    health: dict[str, Array]
    counts: Array | None
    stream: Array | None


class _Asked(NamedTuple):
    """Which of it a caller wants."""

    gates: bool
    health: bool
    streams: bool


class Block(nnx.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x))."""

    def __init__(self, config: TransformerConfig, layer: LayerConfig, *, rngs: nnx.Rngs):
        self.attention_norm = RMSNorm(config.d_model)
        self.attention = Attention(config.d_model, config.d_head, rngs=rngs)
        self.feed_forward_norm = RMSNorm(config.d_model)
        self.feed_forward = layer.build(config.d_model, rngs=rngs)

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

        def stack(place: int, layer: LayerConfig) -> Block:
            own = every(keys, place, len(config.period))
            return nnx.vmap(lambda key: Block(config, layer, rngs=nnx.Rngs(params=key)))(own)

        built = [stack(place, layer) for place, layer in enumerate(config.period)]
        blocks = joined(built, config.feed_forward)
        self.blocks = nnx.Dict(blocks) if isinstance(blocks, dict) else blocks
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
        config, places = self.config, len(self.config.period)
        if edit is not None and config.gated_layer is None:
            raise UserError(f"feed_forward is {config.kinds!r}, which has no gates to edit")
        specs = partition_specs(config, sizes())
        embedding_VD = whole(self.embedding[...], specs["embedding"])
        asked = _Asked(return_gates, return_health, return_streams)
        blocks, params = self._stacks(specs["blocks"], segments_BT, asked)
        caches = [every(cache, place, places) for place in range(places)]

        def period(x_BTD: Array, per_place: list[Any]) -> tuple[Array, list[_Seen]]:
            seen = []
            for block, of_block in zip(blocks, per_place, strict=True):
                x_BTD, shown = block(x_BTD, of_block)
                seen.append(shown)
            return x_BTD, seen

        x_BTD, seen = jax.lax.scan(
            period,
            embed(embedding_VD, tokens_BT),
            list(zip(params, caches, self._edits(edit), strict=True)),
            unroll=config.layers_at_once // places,
        )
        hidden_BTD, logits_BTV, streams = self.norm(x_BTD), None, None
        if return_logits:
            logits_BTV = unembed(hidden_BTD, embedding_VD, config.unembedding_dtype)
        if return_streams:
            streams = jnp.concatenate([interleaved([one.stream for one in seen]), x_BTD[None]])
        return Output(
            logits=logits_BTV,
            hidden=hidden_BTD,
            embedding=embedding_VD,
            gates=interleaved([one.gates for one in seen if one.gates is not None]),
            cache=interleaved([one.cache for one in seen]),
            losses=interleaved_by_name([one.losses for one in seen]),
            health=interleaved_by_name([one.health for one in seen]),
            counts=interleaved([one.counts for one in seen if one.counts is not None]),
            streams=streams,
        )

    def _stacks(
        self, specs: Any, segments_BT: Int[Array, "B T"] | None, asked: _Asked
    ) -> tuple[list[Callable[..., Any]], list[Any]]:
        """By place in the period: what runs one block, and the parameters of all its blocks."""
        config, feed_forward = self.config, self.config.feed_forward
        graphs, params = zip(*map(nnx.split, stacks(self.blocks, feed_forward)), strict=True)
        places = zip(graphs, stacks(specs, feed_forward), config.period, strict=True)
        blocks = [_one_block(config, *place, segments_BT, asked) for place in places]
        return blocks, [narrowed(one, config.compute_dtype) for one in params]

    def _edits(self, edit: GateEdit | None) -> list[GateEdit | None]:
        """An edit's layers by place in the period, None where layers have no gates."""
        places = gated_places(self.config.feed_forward)
        return [
            every(edit, places.index(place), len(places)) if place in places else None
            for place in range(len(self.config.period))
        ]

    def empty_cache(self, batch_size: int, max_length: int) -> Cache:
        """A cache for `batch_size` sequences of up to `max_length` positions."""
        config = self.config
        shape = (config.n_layers, batch_size, max_length, config.n_heads, config.d_head)
        return Cache(
            keys=jnp.zeros(shape, config.compute_dtype),
            values=jnp.zeros(shape, config.compute_dtype),
            length=jnp.zeros((config.n_layers,), jnp.int32),
        )


def _one_block(
    config: TransformerConfig,
    graph: Any,
    specs: Any,
    layer: LayerConfig,
    segments_BT: Int[Array, "B T"] | None,
    asked: _Asked,
) -> Callable[..., tuple[Array, _Seen]]:
    """A function of the residual stream and of a block's parameters, cache and edit."""

    def run(x_BTD: Array, of_block: tuple[Any, ...]) -> tuple[Array, _Seen]:
        params, cache, edit = of_block
        block = nnx.merge(graph, whole_layer(params, specs))
        (x_BTD, gates, losses), stream_BTD, cache = block(
            x_BTD, config.compute_dtype, cache, edit, segments_BT
        )
        health, counts = {}, None
        if asked.health and gates is not None and isinstance(layer, GatedConfig):
            counts = all_counts(gates, layer)
            health = router_health(gates, counts)
        gates, stream = gates if asked.gates else None, stream_BTD if asked.streams else None
        return x_BTD, _Seen(cache, gates, losses, health, counts, stream)

    # Where layers are written out one after another XLA sees that a thing is computed twice; not so
    # of gathered parameters, and a barrier would keep it from recomputing what costs little.
    prevent_cse = config.layers_at_once > 1 and config.remat != "none"
    return rematerialized(run, config.remat, prevent_cse=prevent_cse)


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
