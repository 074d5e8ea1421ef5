# SPDX-License-Identifier: Apache-2.0
"""A pass taken apart: what adds up to the residual stream, and what reads a logit from it.

B batch, T time, D model, V vocabulary, L layers, C channels, K chosen, P = C * K, n logits.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from sgatlin.circuits.model import circuit_layer, effective_rows, neuron_rows, trace
from sgatlin.nn.gates import Gates
from sgatlin.nn.norm import EPSILON
from sgatlin.nn.sgatlin import gated_activation
from sgatlin.nn.transformer import TransformerConfig, bind
from sgatlin.ops.embedding import embed


class Parts(NamedTuple):
    """What adds up to the residual stream of a text, all of it in fp32."""

    embedding: Float[Array, "T D"]
    attention: Float[Array, "L T D"]
    outputs: Float[Array, "L T D"]
    """Of the feed-forward layers, by the layers themselves."""
    gates: Gates
    """(L, T, C, K)"""
    z: Float[Array, "L T C K"]
    coefficients: Float[Array, "L T C K"]
    streams: Float[Array, "L1 T D"]
    """Those of `Trace`."""
    logits: Float[Array, "T V"]


def take_apart(config: TransformerConfig, params: Any, tokens_T: Int[Array, " T"]) -> Parts:
    """One pass over a text, and each half of each block again on what it read in that pass."""
    seen = trace(config, params, tokens_T[None])
    model = bind(config, params)
    graph, blocks = nnx.split(model.blocks)
    embedding_BTD = embed(model.embedding[...], tokens_T[None])
    dtype = config.compute_dtype

    def halves(x_BTD: Array, of_layer: tuple[Any, ...]) -> tuple[Array, tuple[Array, Array]]:
        weights, stream_BTD, gates = of_layer
        block: Any = nnx.merge(graph, weights)
        attended_BTD, _ = block.attention(block.attention_norm(x_BTD).astype(dtype))
        x_BTD = block.feed_forward_norm(stream_BTD).astype(dtype)
        y_BTD = block.feed_forward(x_BTD, gates=gates).y
        return stream_BTD + y_BTD, (attended_BTD[0], y_BTD[0])

    per_layer = (blocks, seen.streams[:-1], seen.gates)
    attention, outputs = jax.lax.scan(halves, embedding_BTD, per_layer)[1]
    gates, z = jax.tree.map(lambda array: array[:, 0], (seen.gates, seen.z))
    coefficients = gated_activation(z, gates.scores, circuit_layer(config))
    streams, logits = seen.streams[:, 0], seen.logits[0]
    return Parts(embedding_BTD[0], attention, outputs, gates, z, coefficients, streams, logits)


def neuron_weights(
    table: Literal["w_in", "w_out"],
    config: TransformerConfig,
    params: Any,
    indices_LTCK: Int[Array, "L T C K"],
) -> Float[Array, "L T P D"]:
    """Input or output weights of the chosen neurons.

    Input weights are those with which a neuron reads the normalised stream, whether there is a
    projection between them or not.
    """
    layer = circuit_layer(config)

    def of_layer(indices_TCK: Array, own: dict[str, Any]) -> Array:
        weights = own[table].reshape(-1, own[table].shape[-1])[neuron_rows(indices_TCK, layer)]
        return jnp.asarray(effective_rows(weights, own, layer)) if table == "w_in" else weights

    return jax.vmap(of_layer)(indices_LTCK, params["blocks"]["feed_forward"])


def logit_directions(
    params: Any, stream_D: Float[Array, " D"], tokens_n: Array, others_n: Array
) -> Float[Array, "n D"]:
    """What a part of a stream is multiplied with to give its contribution; others below 0: none."""
    embedding_VD = params["embedding"]
    others_nD = jnp.where((others_n >= 0)[:, None], embedding_VD[others_n], 0)
    inverse_rms = jax.lax.rsqrt(jnp.mean(stream_D**2) + EPSILON)
    return (embedding_VD[tokens_n] - others_nD) * params["norm"]["scale"] * inverse_rms
