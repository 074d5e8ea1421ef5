# SPDX-License-Identifier: Apache-2.0
"""Who feeds whom: the graph of direct effects among embeddings, neurons and logits of a text.

An edge's weight is what its source adds to the <w_in, x> of a neuron, or to a logit, with gates,
attention patterns and norms frozen (`sgatlin.circuits.frozen`): edges into a node add up to its
value. Which nodes and edges matter is told by *influence*, as in circuit-tracer (Ameisen et al.
2025, "Circuit tracing"): the share of a node's absolute input that an edge has, multiplied along
paths to the logits, added up over paths.

L layers, T time, P neurons of a position, S = L * T * P + T sources, n neurons kept, G logits.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Float64, Int, Int64

from sgatlin.circuits.attribution import TOLERANCE, Attribution
from sgatlin.circuits.frozen import Frozen, direct_effects, freeze
from sgatlin.circuits.model import CircuitModel
from sgatlin.circuits.parts import logit_directions, take_apart
from sgatlin.circuits.pruning import cumulative_share, fewest, prune, shares
from sgatlin.errors import UserError, require_at_least
from sgatlin.nn.transformer import TransformerConfig

CHUNK = 32
"""Nodes whose incoming edges are computed at a time."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GraphSettings:
    """What of a graph is kept."""

    node_threshold: float = 0.8
    """The fewest nodes with this share of all influence; 1 keeps all."""
    edge_threshold: float = 0.98
    """Among them the fewest edges with this share of all influence; 1 keeps all."""
    max_neurons: int = 5000
    """Neurons whose incoming edges are computed: the most influential of each layer."""

    def __post_init__(self) -> None:
        require_at_least(1, max_neurons=self.max_neurons)
        for name in ("node_threshold", "edge_threshold"):
            if not 0 < getattr(self, name) <= 1:
                raise UserError(f"{name}={getattr(self, name)} must be above 0 and at most 1")


class Neurons(NamedTuple):
    """Chosen neurons at positions of a text, by layer and position."""

    layer: Int64[np.ndarray, " n"]
    position: Int64[np.ndarray, " n"]
    channel: Int64[np.ndarray, " n"]
    neuron: Int64[np.ndarray, " n"]
    z: Float32[np.ndarray, " n"]
    coefficient: Float32[np.ndarray, " n"]


@dataclasses.dataclass(frozen=True)
class AttributionGraph:
    """Nodes that matter, and the edges among them. Its logits are the attribution's targets."""

    attribution: Attribution
    neurons: Neurons
    into_neurons: Float32[np.ndarray, "n sources"]
    """Weights of the edges from neurons, then embeddings; 0 where there is no edge."""
    into_logits: Float32[np.ndarray, "G sources"]
    influence: Float32[np.ndarray, " sources"]
    """Of neurons, then embeddings: the share of all influence that a node and those above it in
    influence have. A threshold keeps what is below it."""
    error: float
    """How far a node's incoming edges, before any was left out, miss its value at most: as a
    fraction of the sum of their magnitudes, or of the most that <w_in, x> can be, |w_in| |x|,
    where that is larger. A sum in fp32 is as exact as its largest terms."""
    n_considered: int
    """Neurons whose incoming edges were computed, of `n_neurons`."""
    n_neurons: int


def build_graph(
    model: CircuitModel,
    attribution: Attribution,
    settings: GraphSettings | None = None,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> AttributionGraph:
    """The graph of an attribution's text, with its targets for logits.

    `progress` is told layers done, and their total. UserError if edges do not add up, which in
    fp32 they do.
    """
    settings = settings or GraphSettings()
    with jax.default_matmul_precision("highest"):
        whole = _Whole.of(model, attribution)
        influence, considered = _influences(whole, settings, progress)
        kept = _kept_neurons(influence, considered, settings.node_threshold, whole.n_neurons)
        sources = np.concatenate([kept, np.arange(whole.n_neurons, len(influence))])
        rows = [rows[:, sources] for _, rows in whole.rows(kept)]
    weights = np.concatenate([*rows, whole.logit_rows[:, sources]])
    if not whole.error <= TOLERANCE:
        raise UserError(
            f"edges miss what they should add up to by {whole.error:.1e} of their magnitude, "
            f"more than {TOLERANCE:.0e}: open the model with dtype=float32"
        )
    edges, alive = prune(weights, len(kept), whole.logit_weights, settings.edge_threshold)
    weights = np.where(edges, weights, 0)
    # Sources are the neurons that are left, then all embeddings.
    is_source = np.append(alive, np.ones(len(attribution.tokens), bool))
    return AttributionGraph(
        attribution=attribution,
        neurons=whole.neurons(kept[alive]),
        into_neurons=weights[: len(kept)][alive][:, is_source],
        into_logits=weights[len(kept) :][:, is_source],
        influence=cumulative_share(influence)[sources[is_source]],
        error=whole.error,
        n_considered=int(considered.sum()),
        n_neurons=whole.n_neurons,
    )


@dataclasses.dataclass
class _Whole:
    """All of a text's neurons, numbered through, and after them its embeddings."""

    frozen: Frozen
    indices: Int[np.ndarray, "L T C K"]
    z: Float32[np.ndarray, " all"]
    bounds: Float32[np.ndarray, " all"]
    """|w_in| |x|, which z does not exceed."""
    coefficients: Float32[np.ndarray, " all"]
    logit_rows: Float32[np.ndarray, "G S"]
    logit_weights: Float64[np.ndarray, " G"]
    """How much each counts: its probability among them."""
    error: float = 0.0
    """The largest so far, of all rows computed."""

    @classmethod
    def of(cls, model: CircuitModel, attribution: Attribution) -> "_Whole":
        tokens_n = [target.token for target in attribution.targets]
        others_n = [-1 if t.other is None else t.other for t in attribution.targets]
        frozen, logit_rows, logit_bounds, *of_neurons = _frozen_pass(
            model.params,
            jnp.asarray(attribution.tokens),
            jnp.array(tokens_n, jnp.int32),
            jnp.array(others_n, jnp.int32),
            config=model.config,
        )
        indices, z, bounds, coefficients = map(np.asarray, of_neurons)
        probabilities = attribution.probabilities
        if not probabilities.any():  # in fp32
            probabilities = np.ones_like(probabilities)
        whole = cls(
            frozen=frozen,
            indices=indices,
            z=z.reshape(-1),
            bounds=bounds.reshape(-1),
            coefficients=coefficients.reshape(-1),
            logit_rows=np.asarray(logit_rows),
            logit_weights=shares(probabilities[None])[0],
        )
        whole.check(whole.logit_rows, attribution.values, np.asarray(logit_bounds))
        return whole

    @property
    def n_neurons(self) -> int:
        return len(self.z)

    def rows(self, chosen: Int64[np.ndarray, " m"]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Numbers of some of the chosen neurons, and what each source adds to their z: (., S)."""
        for start in range(0, len(chosen), CHUNK):
            some = chosen[start : start + CHUNK]
            padded = np.pad(some, (0, CHUNK - len(some)), mode="edge")
            rows = np.asarray(_neuron_rows(self.frozen, jnp.asarray(padded)))[: len(some)]
            self.check(rows, self.z[some], self.bounds[some])
            yield some, rows

    def check(self, rows: np.ndarray, values: np.ndarray, bounds: np.ndarray) -> None:
        """Notes how far rows are from adding up."""
        scales = np.maximum(np.abs(rows).sum(1), bounds) + np.finfo(np.float32).tiny
        errors = np.abs(rows.sum(1, dtype=np.float64) - values) / scales
        self.error = float(np.maximum(self.error, errors.max()))

    def neurons(self, chosen: Int64[np.ndarray, " m"]) -> Neurons:
        layer, position, channel, k = np.unravel_index(chosen, self.indices.shape)
        neuron = self.indices[layer, position, channel, k].astype(np.int64)
        return Neurons(layer, position, channel, neuron, self.z[chosen], self.coefficients[chosen])


def _influences(
    whole: _Whole, settings: GraphSettings, progress: Callable[[int, int], None]
) -> tuple[Float64[np.ndarray, " S"], Bool[np.ndarray, " all"]]:
    """Each source's influence on the logits; which neurons' incoming edges it was passed along."""
    influence = whole.logit_weights @ shares(whole.logit_rows)
    considered = np.zeros(whole.n_neurons, bool)
    n_layers = len(whole.indices)
    of_layer = whole.n_neurons // n_layers
    # A layer's influence is complete when all layers above it have passed on theirs.
    for layer in reversed(range(n_layers)):
        own = np.arange(layer * of_layer, (layer + 1) * of_layer)
        budget = max((settings.max_neurons - int(considered.sum())) // (layer + 1), 1)
        chosen = own[np.argsort(-influence[own], kind="stable")[:budget]]
        chosen = chosen[influence[chosen] > 0]
        considered[chosen] = True
        for some, rows in whole.rows(chosen):
            influence += influence[some] @ shares(rows)
        progress(n_layers - layer, n_layers)
    return influence, considered


def _kept_neurons(
    influence: np.ndarray, considered: np.ndarray, threshold: float, n_neurons: int
) -> Int64[np.ndarray, " n"]:
    return np.flatnonzero(fewest(influence, threshold)[:n_neurons] & considered)


@functools.partial(jax.jit, static_argnames="config")
def _frozen_pass(
    params: Any, tokens_T: Array, tokens_n: Array, others_n: Array, *, config: TransformerConfig
) -> tuple[Array | Frozen, ...]:
    """The frozen pass, logits' rows and bounds; neurons' indices, z, bounds and coefficients."""
    parts = take_apart(config, params, tokens_T)
    frozen = freeze(config, params, parts)
    directions_nD = logit_directions(params, parts.streams[-1, -1], tokens_n, others_n)
    last = jnp.full(tokens_n.shape, config.n_layers), jnp.full(tokens_n.shape, len(tokens_T) - 1)
    logit_rows = _joined(direct_effects(frozen, *last, directions_nD))
    norm = functools.partial(jnp.linalg.norm, axis=-1)
    read_LTPD = frozen.neuron_w_in * frozen.neuron_gain[:, :, None]
    bounds_LTP = norm(read_LTPD) * norm(parts.streams[:-1])[..., None]
    logit_bounds = norm(directions_nD) * norm(parts.streams[-1, -1])
    of_neurons = parts.gates.indices, parts.z, bounds_LTP, parts.coefficients
    return frozen, logit_rows, logit_bounds, *of_neurons


@jax.jit
def _neuron_rows(frozen: Frozen, chosen_n: Array) -> Float[Array, "n S"]:
    layer_n, position_n, pick_n = jnp.unravel_index(chosen_n, frozen.written.shape[:3])
    gain_nD = frozen.neuron_gain[layer_n, position_n]
    directions_nD = frozen.neuron_w_in[layer_n, position_n, pick_n] * gain_nD
    return _joined(direct_effects(frozen, layer_n, position_n, directions_nD))


def _joined(effects: tuple[Array, Array]) -> Float[Array, "n S"]:
    neurons_nLTP, embedding_nT = effects
    return jnp.concatenate([neurons_nLTP.reshape(len(neurons_nLTP), -1), embedding_nT], axis=1)
