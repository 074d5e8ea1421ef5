# SPDX-License-Identifier: Apache-2.0
"""A pass with everything frozen that is not linear: what then is left of it is one linear map.

Frozen are attention patterns, norms' 1 / rms, and of the feed-forward layers what each chosen
neuron puts out. What one part writes to the stream then reaches what later ones read along the
stream and through attention, and no other neuron: *directly*. Nothing is left over, as attention
has no bias: what a neuron reads is a sum over the embeddings and the neurons below it.

L layers, T time, D model, H heads, A head width, E = H * A, P neurons of a position.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sgatlin.circuits.parts import Parts, neuron_weights
from sgatlin.nn.attention import rope
from sgatlin.nn.norm import EPSILON, rms_normalised
from sgatlin.nn.transformer import TransformerConfig


class Frozen(NamedTuple):
    """The linear map, and what is put into it."""

    patterns: Float[Array, "L H T T"]
    """Attention weights: of a query's position (the first T) on each key's."""
    attention_gain: Float[Array, "L T D"]
    """Each attention norm as a factor: scale / rms."""
    neuron_gain: Float[Array, "L T D"]
    """Each feed-forward norm, likewise."""
    w_value: Float[Array, "L D E"]
    w_out: Float[Array, "L E D"]
    embedding: Float[Array, "T D"]
    neuron_w_in: Float[Array, "L T P D"]
    written: Float[Array, "L T P D"]
    """What each chosen neuron adds to the stream."""


def freeze(config: TransformerConfig, params: Any, parts: Parts) -> Frozen:
    """The pass that was taken apart. Usable inside `jax.jit`."""
    blocks = params["blocks"]
    after_LTD = parts.streams[:-1] + parts.outputs
    read_LTD = jnp.concatenate([parts.embedding[None], after_LTD[:-1]])
    attention_gain = _gain(read_LTD, blocks["attention_norm"]["scale"])
    attention = blocks["attention"]
    w_out_LTPD = neuron_weights("w_out", config, params, parts.gates.indices)
    coefficients_LTP = parts.coefficients.reshape(w_out_LTPD.shape[:3])
    return Frozen(
        patterns=jax.vmap(lambda x_TD, weights: attention_pattern(x_TD, weights, config.d_head))(
            read_LTD * attention_gain, attention
        ),
        attention_gain=attention_gain,
        neuron_gain=_gain(parts.streams[:-1], blocks["feed_forward_norm"]["scale"]),
        w_value=attention["w_value"],
        w_out=attention["w_out"],
        embedding=parts.embedding,
        neuron_w_in=neuron_weights("w_in", config, params, parts.gates.indices),
        written=coefficients_LTP[..., None] * w_out_LTPD,
    )


def carry(
    frozen: Frozen, embedding_TD: Float[Array, "T D"], outputs_LTD: Float[Array, "L T D"]
) -> Float[Array, "L1 T D"]:
    """The streams that feed-forward layers read, and the one after the last; as `Trace.streams`."""
    n_heads = frozen.patterns.shape[1]

    def block(x_TD: Array, of_layer: tuple[Array, ...]) -> tuple[Array, Array]:
        pattern_HTS, gain_TD, w_value_DE, w_out_ED, y_TD = of_layer
        value_TE = (x_TD * gain_TD) @ w_value_DE
        value_SHA = value_TE.reshape(len(x_TD), n_heads, -1)
        mixed_THA = jnp.einsum("hts,sha->tha", pattern_HTS, value_SHA)
        x_TD += mixed_THA.reshape(value_TE.shape) @ w_out_ED
        return x_TD + y_TD, x_TD

    linear = (frozen.patterns, frozen.attention_gain, frozen.w_value, frozen.w_out)
    last_TD, streams = jax.lax.scan(block, embedding_TD, (*linear, outputs_LTD))
    return jnp.concatenate([streams, last_TD[None]])


def direct_effects(
    frozen: Frozen,
    streams_n: Int[Array, " n"],
    positions_n: Int[Array, " n"],
    directions_nD: Float[Array, "n D"],
) -> tuple[Float[Array, "n L T P"], Float[Array, "n T"]]:
    """What each neuron and each embedding adds to <stream, direction>, of n streams and positions.

    The streams are those of `carry`; each row adds up to that product.
    """
    shape = (len(frozen.patterns) + 1, *frozen.embedding.shape)
    outputs_LTD = frozen.written.sum(2)
    _, pull = jax.vjp(lambda *written: carry(frozen, *written), frozen.embedding, outputs_LTD)

    def of_one(stream: Array, position: Array, direction_D: Array) -> tuple[Array, Array]:
        read = jnp.zeros(shape).at[stream, position].set(direction_D)
        embedding_TD, output_LTD = pull(read)
        neurons_LTP = jnp.einsum("ltd,ltpd->ltp", output_LTD, frozen.written)
        return neurons_LTP, jnp.einsum("td,td->t", embedding_TD, frozen.embedding)

    return jax.vmap(of_one)(streams_n, positions_n, directions_nD)


def attention_pattern(
    x_TD: Float[Array, "T D"], weights: Any, d_head: int
) -> Float[Array, "H T T"]:
    """The causal attention weights of a layer that reads x, normalised; see `nn.attention`."""
    positions_T = jnp.arange(len(x_TD))

    def heads(name: str) -> Array:
        projected_THA = (x_TD @ weights[f"w_{name}"]).reshape(len(x_TD), -1, d_head)
        normed_THA = rms_normalised(projected_THA, weights[f"{name}_norm"]["scale"])
        return rope(normed_THA[None], positions_T)[0]

    scores_HTS = jnp.einsum("tha,sha->hts", heads("query"), heads("key")) / jnp.sqrt(d_head)
    causal_TS = positions_T <= positions_T[:, None]
    return jax.nn.softmax(jnp.where(causal_TS, scores_HTS, -jnp.inf), axis=-1)


def _gain(x_LTD: Float[Array, "L T D"], scale_LD: Float[Array, "L D"]) -> Float[Array, "L T D"]:
    mean_square_LT1 = jnp.mean(x_LTD**2, axis=-1, keepdims=True)
    return scale_LD[:, None] * jax.lax.rsqrt(mean_square_LT1 + EPSILON)
