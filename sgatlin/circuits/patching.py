# SPDX-License-Identifier: Apache-2.0
"""What a circuit carries: a run with some of its gates replaced by those of another run.

    diff(l)           =  logsumexp(l[clean answers]) - logsumexp(l[counterfactual answers])
    recovered effect  =  (diff(clean) - diff(patched)) / (diff(clean) - diff(counterfactual))
    rank flip         =  a counterfactual answer outranks all clean ones after patching

B pairs, I interventions, T time, V vocabulary, L layers, C channels, K chosen, n nouns.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float64, Int

from sgatlin.circuits.clustered import Interval, clustered_weights, ratio_interval
from sgatlin.circuits.facts import Noun, Template
from sgatlin.circuits.interventions import Intervention
from sgatlin.circuits.model import CircuitModel, trace
from sgatlin.errors import UserError
from sgatlin.nn.gates import Gates
from sgatlin.nn.transformer import GateEdit, TransformerConfig

BATCH = 64


class Pair(NamedTuple):
    """Numbers of two nouns: whose prompt is run, and whose gates it is given."""

    clean: int
    counterfactual: int


class Pairs(NamedTuple):
    chosen: tuple[Pair, ...]
    n_left_out: int
    """Whose clean run does not rank its own answer above the other's."""


class Effect(NamedTuple):
    """What an intervention does, over all pairs."""

    name: str
    mean_of_ratios: Interval
    ratio_of_means: Interval
    rank_flip: Interval


@dataclasses.dataclass(frozen=True)
class Patched:
    """The logits' differences of every pair, and of every intervention."""

    pairs: tuple[Pair, ...]
    names: tuple[str, ...]
    clean: Float64[np.ndarray, " B"]
    counterfactual: Float64[np.ndarray, " B"]
    patched: Float64[np.ndarray, "I B"]
    flipped: Bool[np.ndarray, "I B"]

    def effects(self, seed: int = 0) -> list[Effect]:
        """With intervals by `clustered_weights`. A ratio over nothing is left out of its mean."""
        weights = clustered_weights(self.pairs, seed)
        return [
            self._effect(name, self.clean - patched, flipped.astype(np.float64), weights)
            for name, patched, flipped in zip(self.names, self.patched, self.flipped, strict=True)
        ]

    def beyond(self, name: str, control: str, seed: int = 0) -> Effect:
        """What an intervention does more than another, pair by pair.

        Another noun's gates take away what the clean noun's say and put nothing in its place that
        either answer is about, so that they recover some of the effect too: a half, where they take
        away all. What the counterfactual's do more than those is what they carry over.
        """
        one, other = self.names.index(name), self.names.index(control)
        return self._effect(
            f"{name}, beyond {control.removeprefix('control: ')}",
            self.patched[other] - self.patched[one],
            self.flipped[one].astype(np.float64) - self.flipped[other],
            clustered_weights(self.pairs, seed),
        )

    def _effect(
        self, name: str, part: np.ndarray, flipped: np.ndarray, weights: np.ndarray
    ) -> Effect:
        whole = self.clean - self.counterfactual
        defined = whole != 0
        ratio = np.divide(part, whole, out=np.zeros_like(part), where=defined)
        return Effect(
            name,
            ratio_interval(ratio, defined.astype(np.float64), weights),
            ratio_interval(part, whole, weights),
            ratio_interval(flipped, np.ones_like(part), weights),
        )


def choose_pairs(
    model: CircuitModel,
    template: Template,
    nouns: Sequence[Noun],
    *,
    most: int = 500,
    known_only: bool = True,
    seed: int = 0,
) -> Pairs:
    """A sample of ordered pairs with no answer in common; of those that the model knows.

    UserError if none is left.
    """
    tokens_nT = template.tokens(nouns)
    logits_nV = np.concatenate([_run(model, tokens, None)[0] for tokens in _batches(tokens_nT)])[
        : len(nouns)
    ]
    best = np.array([[logits[list(noun.answers)].max() for noun in nouns] for logits in logits_nV])
    pairs = [
        Pair(i, j)
        for i, clean in enumerate(nouns)
        for j, other in enumerate(nouns)
        if i != j and not set(clean.answers) & set(other.answers)
    ]
    # In an order that does not depend on which of them are known: where rounding decides about one
    # pair, the rest of the sample stays.
    drawn = [pairs[index] for index in np.random.default_rng(seed).permutation(len(pairs))]
    known = [pair for pair in drawn if not known_only or best[pair.clean, pair.clean] > best[pair]]
    if not known:
        raise UserError(
            f"the model ranks no noun's adjective above another's, of {len(pairs)} pairs: train it "
            "longer, choose other facts, or keep all pairs"
        )
    return Pairs(tuple(sorted(known[:most])), len(pairs) - len(known))


def patch(
    model: CircuitModel,
    template: Template,
    elsewhere: Template,
    nouns: Sequence[Noun],
    pairs: Sequence[Pair],
    table: Sequence[Intervention],
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Patched:
    """Runs every intervention on every pair.

    Every run of a pair is of one compiled function and in the same row of a batch, so that to give
    a run its own gates changes nothing, to the bit. The gates of another noun, and of a third, are
    those of two drawn at random, neither of the pair; those of another context are the clean noun's
    in `elsewhere`, whatever position it has there.
    """
    others = np.array([_others(seed, len(nouns), pair) for pair in pairs])
    found: list[tuple[np.ndarray, ...]] = []
    for start in range(0, len(pairs), BATCH):
        some = pairs[start : start + BATCH]
        found.append(
            _patch_batch(
                model, template, elsewhere, nouns, some, others[start:][: len(some)], table
            )
        )
        progress(start + len(some), len(pairs))
    clean, counterfactual, patched, flipped = (
        np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True)
    )
    names = tuple(one.name for one in table)
    return Patched(tuple(pairs), names, clean, counterfactual, patched, flipped)


def _patch_batch(
    model: CircuitModel,
    template: Template,
    elsewhere: Template,
    nouns: Sequence[Noun],
    pairs: Sequence[Pair],
    others: np.ndarray,
    table: Sequence[Intervention],
) -> tuple[np.ndarray, ...]:
    clean = [nouns[pair.clean] for pair in pairs]
    counterfactual = [nouns[pair.counterfactual] for pair in pairs]
    tokens_BT = _padded(template.tokens(clean))
    logits, own = _run(model, tokens_BT, None)
    cf_logits, cf = _run(model, _padded(template.tokens(counterfactual)), None)
    other, third = (
        _run(model, _padded(template.tokens([nouns[index] for index in column])), None)[1]
        for column in others.T
    )
    _, there = _run(model, _padded(elsewhere.tokens(clean)), None)
    moved = jax.tree.map(
        lambda mine, its: mine.at[:, :, template.position].set(its[:, :, elsewhere.position]),
        own,
        there,
    )
    gates = {
        "counterfactual": cf,
        "own": own,
        "other noun": other,
        "third noun": third,
        "other context": moved,
    }

    def measured(logits_BV: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = zip(logits_BV, clean, counterfactual, strict=False)
        answers = [(row[list(c.answers)], row[list(f.answers)]) for row, c, f in rows]
        diffs = [float(np.logaddexp.reduce(c) - np.logaddexp.reduce(f)) for c, f in answers]
        return np.array(diffs), np.array([bool(f.max() > c.max()) for c, f in answers])

    diffs, flips = [], []
    for one in table:
        shape = (one.replace.shape[0], BATCH, *one.replace.shape[1:])
        replace = jnp.asarray(np.broadcast_to(one.replace[:, None], shape))
        edited, _ = _run(model, tokens_BT, GateEdit(gates[one.source], replace))
        diff, flip = measured(edited)
        diffs.append(diff)
        flips.append(flip)
    return measured(logits)[0], measured(cf_logits)[0], np.array(diffs), np.array(flips)


def _others(seed: int, n: int, pair: Pair) -> np.ndarray:
    """Two more nouns for a pair, the same whatever other pairs there are."""
    left = [index for index in range(n) if index not in pair]
    if len(left) < 2:
        raise UserError("the controls with other nouns' gates need four nouns: add facts")
    return np.random.default_rng([seed, *pair]).choice(left, size=2, replace=False)


def _batches(tokens_nT: Int[np.ndarray, "n T"]) -> Iterator[Int[np.ndarray, "B T"]]:
    for start in range(0, len(tokens_nT), BATCH):
        yield _padded(tokens_nT[start : start + BATCH])


def _padded(tokens_nT: Int[np.ndarray, "n T"]) -> Int[np.ndarray, "B T"]:
    """With the last row repeated: one shape, compiled once."""
    return np.pad(tokens_nT, ((0, BATCH - len(tokens_nT)), (0, 0)), mode="edge")


def _run(
    model: CircuitModel, tokens_BT: np.ndarray, edit: GateEdit | None
) -> tuple[np.ndarray, Gates]:
    """The last position's logits in fp64, and the gates (L, B, T, C, K)."""
    if edit is None:
        layer = model.layer
        shape = (model.n_layers, *tokens_BT.shape, layer.n_channels, layer.top_k)
        none = Gates(jnp.zeros(shape, jnp.int32), jnp.zeros(shape, model.config.compute_dtype))
        edit = GateEdit(none, jnp.zeros(shape[:-1], bool))
    logits_BV, gates = _compiled(model.params, jnp.asarray(tokens_BT), edit, config=model.config)
    return np.asarray(logits_BV, np.float64), gates


@functools.partial(jax.jit, static_argnames="config")
def _compiled(
    params: Any, tokens_BT: Array, edit: GateEdit, *, config: TransformerConfig
) -> tuple[Array, Gates]:
    seen = trace(config, params, tokens_BT, edit)
    return seen.logits[:, -1], seen.gates
