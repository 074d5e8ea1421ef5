# SPDX-License-Identifier: Apache-2.0
"""Which neurons a cluster of positions needs, and which are enough for it.

The loss at the cluster's positions and at all others, with a cluster's r strongest neurons left out
(necessity), or with them alone (sufficiency), beside as many others of about the same use.

n positions of a record, m of them in the cluster, D documents, T time, L layers, C channels,
N neurons per channel, W = C * N.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from jaxtyping import Array, Bool, Float, Float64, Int32, Int64

from sgatlin.circuits.clustered import RESAMPLES, Interval, ratio_interval
from sgatlin.circuits.model import CircuitModel, trace
from sgatlin.circuits.record import Record
from sgatlin.errors import UserError, require_at_least
from sgatlin.nn.gates import Adjust
from sgatlin.nn.transformer import GateEdit, TransformerConfig

How = Literal["zero", "mean"]
Kind = Literal["necessity", "sufficiency"]

_BATCH = 8
# A control is one of so many neurons, or groups of them, whose use is nearest.
_ALIKE = 10


@dataclasses.dataclass(frozen=True)
class Documents:
    """Some of a record's documents, from their beginning, padded."""

    tokens_DT: Int32[np.ndarray, "D T"]
    targets_DT: Int32[np.ndarray, "D T"]
    inside_DT: Bool[np.ndarray, "D T"]
    """Positions of the cluster."""
    outside_DT: Bool[np.ndarray, "D T"]
    """All others but the beginning."""


@dataclasses.dataclass(frozen=True)
class Strengths:
    """Of each layer's neurons, over a record."""

    cluster_LW: Float64[np.ndarray, "L W"]
    """Mean magnitude of the score over the cluster's positions, 0 where it is not chosen."""
    overall_LW: Float64[np.ndarray, "L W"]
    """The same over all positions."""
    mean_LW: Float64[np.ndarray, "L W"]
    """Mean score where it is chosen."""


class Point(NamedTuple):
    """Nats per token more than without ablation, with 95 % of a bootstrap over documents."""

    kind: Kind
    r: int
    """Neurons of each layer left out, or kept."""
    cluster: Interval
    others: Interval
    control_cluster: Interval
    """With as many other neurons of about the same use; the mean over draws."""
    control_others: Interval

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """All four, in this order."""
        return self.cluster, self.others, self.control_cluster, self.control_others


def documents_with(
    record: Record,
    positions: pa.Table,
    inside_n: Bool[np.ndarray, " n"],
    bos_id: int,
    *,
    most: int,
    seed: int = 0,
) -> Documents:
    """At most so many of the documents that have positions of the cluster, drawn at random.

    UserError if none has.
    """
    require_at_least(1, documents=most)
    names = ("sequence", "position", "token", "next_token")
    sequences, places, tokens, following = (positions[name].to_numpy() for name in names)
    having = np.unique(sequences[inside_n])
    if not len(having):
        raise UserError(f"{record.path} has no position of the cluster: record more, or another")
    chosen = np.sort(np.random.default_rng(seed).permutation(having)[:most])
    shape = (len(chosen), int(places[np.isin(sequences, chosen)].max()) + 1)
    tokens_DT, targets_DT = np.full(shape, bos_id, np.int32), np.zeros(shape, np.int32)
    inside_DT, outside_DT = np.zeros(shape, bool), np.zeros(shape, bool)
    for row, sequence in enumerate(chosen):
        own = np.flatnonzero(sequences == sequence)
        at = places[own]
        tokens_DT[row, at], targets_DT[row, at] = tokens[own], following[own]
        inside_DT[row, at], outside_DT[row, at] = inside_n[own], ~inside_n[own]
    return Documents(tokens_DT, targets_DT, inside_DT, outside_DT)


def strengths(record: Record, inside_n: Bool[np.ndarray, " n"]) -> Strengths:
    """How strongly a cluster, and all positions, use each neuron."""
    found: list[list[np.ndarray]] = [[], [], []]
    for layer in range(record.n_layers):
        rows = record.rows(layer)
        columns, scores = rows.indices.reshape(-1), rows.values.reshape(-1).astype(np.float64)
        inside = np.repeat(inside_n, rows.indices.shape[1])
        total = functools.partial(np.bincount, minlength=rows.width)
        found[0].append(total(columns[inside], np.abs(scores[inside])) / max(inside_n.sum(), 1))
        found[1].append(total(columns, np.abs(scores)) / len(rows))
        found[2].append(total(columns, scores) / np.maximum(total(columns), 1))
    return Strengths(*(np.stack(one) for one in found))


def strongest(use: Strengths, r: int, layers: Sequence[int]) -> Bool[np.ndarray, "L W"]:
    """The r neurons of each of the layers that the cluster uses most."""
    chosen = np.zeros(use.cluster_LW.shape, bool)
    for layer in layers:
        chosen[layer, np.argsort(-use.cluster_LW[layer], kind="stable")[:r]] = True
    return chosen


def alike(
    use: Strengths,
    chosen_LW: Bool[np.ndarray, "L W"],
    n_neurons: int,
    rng: np.random.Generator,
    *,
    group: int = 1,
) -> Bool[np.ndarray, "L W"]:
    """As many neurons of each layer and channel, not the chosen ones, of about the same use.

    Of neurons that share scores in groups, those of one chosen group are matched by as many of one
    other group, none of which is chosen. Where a channel has too few others, fewer.
    """
    drawn = np.zeros(chosen_LW.shape, bool)
    for layer, channel in np.ndindex(len(chosen_LW), chosen_LW.shape[1] // n_neurons):
        own = slice(channel * n_neurons, (channel + 1) * n_neurons)
        chosen_nG = chosen_LW[layer, own].reshape(-1, group)
        overall_n = use.overall_LW[layer, own].reshape(-1, group).mean(1)
        left_n = np.logical_not(chosen_nG.any(axis=1))
        drawn_nG = drawn[layer, own].reshape(-1, group)  # a view
        for one in np.flatnonzero(chosen_nG.any(1)):
            candidates = np.flatnonzero(left_n)
            if not len(candidates):
                break
            near = np.argsort(np.abs(overall_n[candidates] - overall_n[one]), kind="stable")
            other = candidates[rng.choice(near[:_ALIKE])]
            left_n[other], drawn_nG[other] = False, chosen_nG[one]
    return drawn


def curves(
    model: CircuitModel,
    documents: Documents,
    use: Strengths,
    *,
    layers: Sequence[int] | None = None,
    how: How = "zero",
    counts: Sequence[int] | None = None,
    draws: int = 3,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Point]:
    """Necessity and sufficiency of the r strongest neurons of each layer, for growing r."""
    layers = range(model.n_layers) if layers is None else layers
    counts = powers_of_two(model.width) if counts is None else counts
    rng = np.random.default_rng(seed)
    clean_DT = nats(model, documents, None)
    n_documents = len(clean_DT)
    even = np.full(n_documents, 1 / n_documents)
    weights = rng.multinomial(n_documents, even, size=RESAMPLES).astype(np.float64)
    points, total = [], 2 * len(counts) * (1 + draws)

    def loss_more(kind: Kind, chosen: Bool[np.ndarray, "L W"]) -> Float64[np.ndarray, "D T"]:
        adjust = adjustment(model, use, chosen, kind, layers, how)
        return nats(model, documents, GateEdit(adjust=adjust)) - clean_DT

    def mean(more_DT: np.ndarray, among_DT: np.ndarray) -> Interval:
        sums = (more_DT * among_DT).sum(1)
        return ratio_interval(sums, among_DT.sum(1).astype(np.float64), weights)

    for number, (kind, r) in enumerate((k, r) for k in _KINDS for r in counts):
        chosen = strongest(use, r, layers)
        own = loss_more(kind, chosen)
        others = [
            alike(use, chosen, model.layer.n_neurons, rng, group=model.layer.group)
            for _ in range(draws)
        ]
        control = np.mean([loss_more(kind, other) for other in others], axis=0)
        inside, outside = documents.inside_DT, documents.outside_DT
        means = (mean(more, among) for more in (own, control) for among in (inside, outside))
        points.append(Point(kind, r, *means))
        progress((number + 1) * (1 + draws), total)
    return points


def adjustment(
    model: CircuitModel,
    use: Strengths,
    chosen_LW: Bool[np.ndarray, "L W"],
    kind: Kind,
    layers: Sequence[int],
    how: How,
) -> Adjust:
    """Factors and offsets that leave the chosen neurons out, or all others of these layers."""
    gone = chosen_LW.copy()
    if kind == "sufficiency":
        gone[list(layers)] = ~chosen_LW[list(layers)]
    offsets = np.where(gone, use.mean_LW, 0) if how == "mean" else np.zeros(gone.shape)
    shape = (model.n_layers, model.layer.n_channels, model.layer.n_neurons)
    factors = np.where(gone, 0.0, 1.0)
    return Adjust(*(jnp.asarray(x.reshape(shape), jnp.float32) for x in (factors, offsets)))


def nats(
    model: CircuitModel, documents: Documents, edit: GateEdit | None
) -> Float64[np.ndarray, "D T"]:
    """The loss of every position's next token."""
    found = []
    for start in range(0, len(documents.tokens_DT), _BATCH):
        part = slice(start, start + _BATCH)
        tokens, targets = documents.tokens_DT[part], documents.targets_DT[part]
        padding = ((0, _BATCH - len(tokens)), (0, 0))  # one shape, compiled once
        arrays = (jnp.asarray(np.pad(array, padding)) for array in (tokens, targets))
        nats_BT = _nats(model.params, *arrays, edit, config=model.config)
        found.append(np.asarray(nats_BT, np.float64)[: len(tokens)])
    return np.concatenate(found)


def powers_of_two(width: int) -> list[int]:
    """1, 2, 4 and so on, to a quarter of the width."""
    return [2**e for e in range(max((width // 4).bit_length(), 1))]


def rows_at(
    positions: pa.Table, sequence: int, position: int | None = None
) -> Bool[np.ndarray, " n"]:
    """A cluster of one sequence's positions, or of one of them."""
    inside_n = positions["sequence"].to_numpy() == sequence
    if position is not None:
        inside_n &= positions["position"].to_numpy() == position
    return inside_n


def labelled(ids_n: Int64[np.ndarray, " n"], names: Sequence[str], name: str) -> np.ndarray:
    """A cluster of the positions with a label; UserError if there is no such label."""
    if name not in names:
        known = ", ".join(repr(one) for one in list(names)[:8])
        raise UserError(f"there is no {name!r}: there are {known} and so on")
    return ids_n == list(names).index(name)


_KINDS: tuple[Kind, ...] = ("necessity", "sufficiency")


@functools.partial(jax.jit, static_argnames="config")
def _nats(
    params: Any,
    tokens_BT: Array,
    targets_BT: Array,
    edit: GateEdit | None,
    *,
    config: TransformerConfig,
) -> Float[Array, "B T"]:
    logits_BTV = trace(config, params, tokens_BT, edit).logits
    own_BT = jnp.take_along_axis(logits_BTV, targets_BT[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits_BTV, axis=-1) - own_BT
