# SPDX-License-Identifier: Apache-2.0
"""Purity: the share of a position's nearest positions, by cosine, that have its label.

Neighbours are of other sequences, and for the class of other tokens too: left out before m are
taken, or else the token's figure would explain the class's.

n positions, m neighbours, B of a block.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Float64, Int64, Integer

from sgatlin.circuits.largest import largest
from sgatlin.circuits.rows import SparseRows
from sgatlin.errors import require_at_least

Apart = Sequence[Integer[np.ndarray, " n"]]
"""Labels of positions; those that share one are not compared."""

# A block's cosines, twice as float64 and twice as float32: 24 MB for 4,000 positions.
_QUERIES = 256


class Purity(NamedTuple):
    """Of the positions with a label that have neighbours, mean; NaN if there are none."""

    purity: float
    frequency: float
    """Of neighbours drawn evenly from those allowed: how frequent labels are."""
    null: float
    """Expected with labels permuted: among words if they are given, else among positions."""
    null_95: float
    """95th percentile of the draws among words; NaN without words, of which no draw is made."""
    null_positions: float
    """Expected with labels permuted among the positions that have one."""

    @property
    def lift(self) -> float:
        """Over permuted labels."""
        return _ratio(self.purity, self.null)

    @property
    def lift_positions(self) -> float:
        """Over labels permuted among positions."""
        return _ratio(self.purity, self.null_positions)

    @property
    def lift_frequency(self) -> float:
        """Over the labels' frequency."""
        return _ratio(self.purity, self.frequency)


def near_rows(
    x: SparseRows | np.ndarray, m: int, filters: Sequence[Apart]
) -> list[Int64[np.ndarray, "n m"]]:
    """The m nearest rows of each row, nearest first; for each filter, none that it keeps apart.

    -1 where a row has fewer than m. Of equally near ones the first come first: cosines are summed
    in float64 and compared in float32, so that rows which are the same are equally near.
    """
    require_at_least(1, m=m)
    matrix = _unit(x.matrix() if isinstance(x, SparseRows) else x)
    n, turned = matrix.shape[0], matrix.T
    if scipy.sparse.issparse(turned):
        turned = turned.tocsr()
    found = [np.full((n, m), -1, np.int64) for _ in filters]
    for start in range(0, n, _QUERIES):
        at = slice(start, start + _QUERIES)
        product = matrix[at] @ turned
        cosine_BN = product.toarray() if scipy.sparse.issparse(product) else product
        for of_filter, apart in zip(found, filters, strict=True):
            barred_BN = np.zeros(cosine_BN.shape, bool)
            for groups in apart:
                barred_BN |= groups[at, None] == groups
            near_BN = jnp.asarray(np.where(barred_BN, -np.inf, cosine_BN), jnp.float32)
            cosine_Bm, order_Bm = map(np.asarray, largest(near_BN, min(m, n)))
            of_filter[at, : order_Bm.shape[1]] = np.where(np.isfinite(cosine_Bm), order_Bm, -1)
    return found


def purity(
    near_nm: Integer[np.ndarray, "n m"],
    labels_n: Integer[np.ndarray, " n"],
    apart: Apart,
    *,
    words_n: Integer[np.ndarray, " n"] | None = None,
    permutations: int = 100,
    seed: int = 0,
) -> Purity:
    """Of neighbours by `near_rows`, found with the same `apart`; labels of -1 are none.

    A neighbour without label counts as of another one. `words_n`, of a label that is the word's
    and so the same wherever the word stands, makes the stricter null: labels are permuted among
    the words that have one. It keeps what a representation knows of the word alone, which a
    permutation among positions would count as knowledge of the label. The nulls' expectations are
    exact; `permutations` draws serve the percentile.
    """
    asked = np.flatnonzero((labels_n >= 0) & (near_nm >= 0).any(1))
    if not len(asked):
        return Purity(*[float("nan")] * 5)
    near_qm = near_nm[asked]
    there_qm = near_qm >= 0
    weights_qm = there_qm / there_qm.sum(1, keepdims=True) / len(asked)
    known_qm = weights_qm * (there_qm & (labels_n[near_qm] >= 0))
    same = float(weights_qm[there_qm & (labels_n[near_qm] == labels_n[asked, None])].sum())
    of_positions = float(known_qm.sum()) * _chance(labels_n[labels_n >= 0])
    frequency = float(_frequencies(labels_n, apart)[asked].mean())
    if words_n is None:
        return Purity(same, frequency, of_positions, float("nan"), of_positions)
    words, first, word_n = np.unique(words_n, return_index=True, return_inverse=True)
    labels_w = labels_n[first]
    pairs = _word_pairs(word_n[asked], word_n[near_qm], known_qm, len(words))
    chance = _chance(labels_w[labels_w >= 0])
    of_words = pairs.same + float(pairs.weights.sum()) * chance
    draws = _draws(pairs, labels_w, permutations, seed)
    return Purity(same, frequency, of_words, float(np.quantile(draws, 0.95)), of_positions)


class _WordPairs(NamedTuple):
    """How often a word with a label has another one near it, as a share of all neighbours."""

    first: Int64[np.ndarray, " p"]
    second: Int64[np.ndarray, " p"]
    weights: Float64[np.ndarray, " p"]
    same: float
    """Of the word itself, whose label is always its own."""


def _word_pairs(
    words_q: np.ndarray, words_qm: np.ndarray, weights_qm: np.ndarray, n_words: int
) -> _WordPairs:
    keys, at = np.unique(words_q[:, None] * n_words + words_qm, return_inverse=True)
    weights = np.bincount(at.reshape(-1), weights_qm.reshape(-1))
    first, second = np.divmod(keys, n_words)
    kept = (weights > 0) & (first != second)
    same = float(weights[first == second].sum())
    return _WordPairs(first[kept], second[kept], weights[kept], same)


def _draws(pairs: _WordPairs, labels_w: np.ndarray, permutations: int, seed: int) -> list[float]:
    """Purity with labels permuted among the words that have one."""
    rng, labelled, drawn = np.random.default_rng(seed), np.flatnonzero(labels_w >= 0), []
    for _ in range(permutations):
        shuffled_w = labels_w.copy()
        shuffled_w[labelled] = labels_w[rng.permutation(labelled)]
        alike = shuffled_w[pairs.first] == shuffled_w[pairs.second]
        drawn.append(pairs.same + float(pairs.weights[alike].sum()))
    return drawn


def _chance(labels: np.ndarray) -> float:
    """That two labels, drawn without putting the first one back, are the same."""
    counts = np.unique(labels, return_counts=True)[1].astype(np.float64)
    n = len(labels)
    return float((counts * (counts - 1)).sum() / (n * (n - 1))) if n > 1 else 0.0


def _frequencies(labels_n: np.ndarray, apart: Apart) -> Float64[np.ndarray, " n"]:
    """Share of each position's label among the positions it may have as neighbours; 0 of none."""
    same_n, allowed_n = np.zeros((2, len(labels_n)))
    # Inclusion and exclusion: what is kept apart by several labels is taken away but once.
    for size in range(len(apart) + 1):
        for groups in itertools.combinations(apart, size):
            sign = (-1) ** size
            allowed_n += sign * _alike(len(labels_n), groups)
            same_n += sign * _alike(len(labels_n), (labels_n, *groups))
    return same_n / np.maximum(allowed_n, 1)


def _alike(n: int, keys: Apart) -> np.ndarray:
    """How many positions have all of each one's keys, itself included."""
    ids = np.zeros(n, np.int64)
    for key in keys:
        ranks = np.unique(key, return_inverse=True)[1]
        ids = np.unique(ids * (1 + ranks.max(initial=0)) + ranks, return_inverse=True)[1]
    return np.bincount(ids)[ids]


def _ratio(one: float, other: float) -> float:
    return one / other if other else float("nan")


def _unit(matrix: Any) -> Any:
    """Rows of length 1, as float64; zeros stay zeros."""
    matrix = matrix.astype(np.float64)
    squares = np.asarray((matrix * matrix).sum(1)).reshape(-1)
    scale = 1 / np.sqrt(np.where(squares > 0, squares, 1))
    if scipy.sparse.issparse(matrix):
        return scipy.sparse.csr_array(scipy.sparse.diags_array(scale) @ matrix)
    return matrix * scale[:, None]
