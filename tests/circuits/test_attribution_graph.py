# SPDX-License-Identifier: Apache-2.0
"""Edges equal products of explicit matrices, in fp64; what is kept, and how it is written.

T time, D model, H heads, A head width, E = H * A.
"""

import dataclasses
from functools import cache, partial

import jax
import numpy as np
import pytest

from sgatlin.circuits.attribution import Target, attribute
from sgatlin.circuits.attribution_graph import (
    GraphSettings,
    build_graph,
)
from sgatlin.circuits.model import CircuitModel
from sgatlin.errors import UserError
from sgatlin.nn.sgatlin import gated_activation
from tests.circuits.variants import variant

TOKENS = [0, 5, 9, 40]
T = len(TOKENS)
EVERYTHING = GraphSettings(node_threshold=1, edge_threshold=1)


class Reference:
    """The frozen pass as matrices over all positions' streams side by side: (T * D, T * D)."""

    def __init__(self, model: CircuitModel):
        self.model = model
        as_numpy = partial(np.asarray, dtype=np.float64)
        self.params = jax.tree.map(as_numpy, model.params)
        self.blocks = self.params["blocks"]
        self.seen = model.trace(np.array([TOKENS], np.int32))
        self.streams = as_numpy(self.seen.streams[:, 0])
        self.embedding = self.params["embedding"][TOKENS]

    def gain(self, stream_TD, scale_D):
        return scale_D / np.sqrt((stream_TD**2).mean(-1, keepdims=True) + 1e-6)

    def turned(self, x_TA, scale_A):
        """Normalised and rotated: component i with i + A / 2, by the position / 10000^(2i / A)."""
        x_TA = x_TA * self.gain(x_TA, scale_A)
        half = x_TA.shape[1] // 2
        angles = np.arange(T)[:, None] / 10_000 ** (np.arange(half) / half)
        complex_TA = (x_TA[:, :half] + 1j * x_TA[:, half:]) * np.exp(1j * angles)
        return np.concatenate([complex_TA.real, complex_TA.imag], axis=1)

    def before(self, layer: int):
        """The stream that a block reads: after the first, what all before it made of the text."""
        if layer == 0:
            return self.embedding
        scores, z = self.seen.gates.scores[layer - 1, 0], self.seen.z[layer - 1, 0]
        coefficients = np.asarray(gated_activation(z, scores, self.model.layer), np.float64)
        stream_TD = self.streams[layer - 1].copy()
        for t, c, k in np.ndindex(coefficients.shape):
            neuron = int(self.seen.gates.indices[layer - 1, 0, t, c, k])
            stream_TD[t] += coefficients[t, c, k] * self.writes(layer - 1, c, neuron)
        return stream_TD

    def writes(self, layer: int, channel: int, neuron: int):
        """A neuron's output weights."""
        table = 0 if self.model.layer.shared_pool else channel
        return self.blocks["feed_forward"]["w_out"][layer, table, neuron]

    @cache  # noqa: B019
    def through_attention(self, layer: int):
        """I + OV circuits, of which each head's weights its pattern."""
        weights = jax.tree.map(lambda array: array[layer], self.blocks["attention"])
        x_TD = self.before(layer)
        gain_TD = self.gain(x_TD, self.blocks["attention_norm"]["scale"][layer])
        d_model, d_head = x_TD.shape[1], self.model.config.d_head
        matrix = np.eye(T * d_model).reshape(T, d_model, T, d_model)
        for start in range(0, d_model, d_head):
            head = slice(start, start + d_head)
            query_TA, key_TA = (
                self.turned(
                    (x_TD * gain_TD) @ weights[f"w_{name}"][:, head],
                    weights[f"{name}_norm"]["scale"],
                )
                for name in ("query", "key")
            )
            scores_TS = np.exp(query_TA @ key_TA.T / np.sqrt(d_head)) * np.tri(T)
            pattern_TS = scores_TS / scores_TS.sum(1, keepdims=True)
            ov_DD = weights["w_value"][:, head] @ weights["w_out"][head]
            matrix += np.einsum("ts,sd,de->tesd", pattern_TS, gain_TD, ov_DD)
        return matrix.reshape(T * d_model, T * d_model)

    def arrives(self, written_D, layer: int, position: int, at_layer: int):
        """What layer `at_layer` reads at each position of what is written after `layer`: (T, D)."""
        stream = np.zeros_like(self.embedding)
        stream[position] = written_D
        stream = stream.reshape(-1)
        for between in range(layer + 1, min(at_layer, self.model.n_layers - 1) + 1):
            stream = self.through_attention(between) @ stream
        return stream.reshape(self.embedding.shape)

    def reads(self, layer: int, position: int, channel: int, neuron: int):
        """The vector whose product with the stream is the neuron's <w_in, x>."""
        table = 0 if self.model.layer.shared_pool else channel
        scale_D = self.blocks["feed_forward_norm"]["scale"][layer]
        gain_TD = self.gain(self.streams[layer], scale_D)
        own = self.blocks["feed_forward"]
        direction = own["w_in"][layer, table, neuron]
        if self.model.layer.d_in is not None:
            direction = own["projection"][layer] @ direction
        return direction * gain_TD[position]


@pytest.fixture(scope="module", params=["sgatlin", "peer", "grouped"])
def whole(request, toy_run):
    """A variant, and the graph of two logits with nothing left out."""
    model = variant(toy_run, request.param)
    attribution = attribute(model, TOKENS, [Target(17), Target(30, 200)])
    return model, build_graph(model, attribution, EVERYTHING)


def test_edges_are_products_of_explicit_matrices(whole):
    model, graph = whole
    reference = Reference(model)
    places = list(zip(*graph.neurons, strict=True))
    written = [
        (a * reference.writes(layer, channel, neuron), layer, position)
        for layer, position, channel, neuron, _, a in places
    ]
    written += [(reference.embedding[position], -1, position) for position in range(T)]
    n_layers = model.n_layers
    arriving = np.array(  # (sources, L + 1, T, D)
        [[reference.arrives(*source, layer) for layer in range(n_layers + 1)] for source in written]
    )
    for i, (layer, position, channel, neuron, _, _) in enumerate(places):
        is_below = np.array([source[1] < layer for source in written])
        products = arriving[:, layer, position] @ reference.reads(layer, position, channel, neuron)
        np.testing.assert_allclose(graph.into_neurons[i], products * is_below, rtol=1e-3, atol=1e-4)
    embedding = reference.params["embedding"]
    gain_D = reference.gain(reference.streams[-1], reference.params["norm"]["scale"])[-1]
    for row, direction in zip(
        graph.into_logits, (embedding[17], embedding[30] - embedding[200]), strict=True
    ):
        products = arriving[:, n_layers, -1] @ (gain_D * direction)
        np.testing.assert_allclose(row, products, rtol=1e-3, atol=1e-4)


def test_edges_into_a_node_add_up_to_what_it_reads(whole):
    """Embeddings and neurons are all there is: nothing is left over."""
    model, graph = whole
    n, chosen = len(graph.neurons.z), model.layer.n_channels * model.layer.top_k
    assert n > 20
    # Of the last layer's only those of the last position can matter.
    assert (graph.n_neurons, graph.n_considered) == (3 * T * chosen, 2 * T * chosen + chosen)
    for weights, values in (
        (graph.into_neurons, graph.neurons.z),
        (graph.into_logits, graph.attribution.values),
    ):
        assert weights.shape == (len(values), n + T)
        magnitudes = np.abs(weights).sum(1)
        np.testing.assert_array_less(np.abs(weights.sum(1) - values), 1e-5 * magnitudes)
    assert graph.error < 1e-5


def test_thresholds_leave_out_and_change_nothing_else(whole):
    model, graph = whole
    settings = GraphSettings(node_threshold=0.9, edge_threshold=0.95)
    less = build_graph(model, graph.attribution, settings)
    assert 0 < len(less.neurons.z) < len(graph.neurons.z)
    places = [list(zip(*one.neurons[:4], strict=True)) for one in (graph, less)]
    kept = np.array([places[0].index(place) for place in places[1]])
    sources = np.append(kept, len(places[0]) + np.arange(T))
    for ours, all_edges in (
        (less.into_neurons, graph.into_neurons[kept][:, sources]),
        (less.into_logits, graph.into_logits[:, sources]),
    ):
        is_kept = ours != 0
        np.testing.assert_allclose(ours[is_kept], all_edges[is_kept], rtol=1e-5)
        assert is_kept.sum() < (all_edges != 0).sum()
    np.testing.assert_allclose(less.influence, graph.influence[sources], rtol=1e-5)
    # Every neuron that is left is fed and feeds.
    n = len(kept)
    assert less.into_neurons.any(1).all()
    assert np.concatenate([less.into_neurons, less.into_logits])[:, :n].any(0).all()


def test_only_so_many_neurons_are_followed(whole):
    model, graph = whole
    settings = dataclasses.replace(EVERYTHING, max_neurons=9)
    told = []
    few = build_graph(
        model, graph.attribution, settings, progress=lambda done, total: told.append((done, total))
    )
    assert few.n_considered == 9
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert len(few.neurons.z) <= 9


@pytest.mark.parametrize(
    "changed", [{"node_threshold": 0}, {"edge_threshold": 1.1}, {"max_neurons": 0}]
)
def test_settings_that_make_no_sense(changed):
    with pytest.raises(UserError, match=rf"^{next(iter(changed))}="):
        GraphSettings(**changed)
