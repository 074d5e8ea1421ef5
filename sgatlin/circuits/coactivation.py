# SPDX-License-Identifier: Apache-2.0
"""Which neurons are chosen together, beyond what their sub-keys in common explain.

Neuron i = a * M + b of a product router has sub-keys a and b. Two neurons that share one are
chosen together by construction, so the null draws the two halves of a pair independently: of two
choices of a position, P(a1, b1, a2, b2) = P(a1, a2) P(b1, b2), both as observed. Where neurons
share scores in groups, it is groups that have sub-keys and are chosen, and pairs are of groups.

n positions, K chosen of N = M * M neurons, or groups.
"""

import math
from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Float64, Int64, Integer

from sgatlin.errors import UserError


class Coactivation(NamedTuple):
    """Pairs that some position chose together, strongest lift first."""

    pairs: Int64[np.ndarray, "m 2"]
    counts: Int64[np.ndarray, " m"]
    """Positions that chose both."""
    pmi: Float64[np.ndarray, " m"]
    """log P(i, j) / P(i) P(j), in nats."""
    null_pmi: Float64[np.ndarray, " m"]
    """The same under the null."""
    lift: Float64[np.ndarray, " m"]
    """P(i, j) over the null's."""
    mean_pmi: float
    """Over all pairs of choices, as observed."""
    mean_null_pmi: float
    """Over all pairs of choices that the null makes."""


def coactivation(
    first_nK: Integer[np.ndarray, "n K"],
    second_nK: Integer[np.ndarray, "n K"] | None,
    n_neurons: int,
    *,
    group: int = 1,
    product: bool = True,
    min_count: int = 1,
) -> Coactivation:
    """Of neurons of one channel, or of two channels, if a second one's choices are given.

    With `group` above 1, a router's choices of neurons that share scores in such groups, pairs are
    of groups, by their numbers. Without `product`, for routers whose keys have no halves, the null
    draws whole neurons independently. Pairs of fewer than `min_count` positions are left out of the
    list, not of means.

    Raises:
      UserError: when `n_neurons` / `group` is no square, so that no product router chose.
    """
    first_nK, n_neurons = first_nK[:, ::group] // group, n_neurons // group
    second_nK = None if second_nK is None else second_nK[:, ::group] // group
    side = math.isqrt(n_neurons)
    if product and side**2 != n_neurons:
        what = "n_neurons" if group == 1 else "n_neurons / group"
        raise UserError(
            f"{what}={n_neurons} is no square: name --no-product for a router without sub-keys"
        )
    (n, k), one = first_nK.shape, second_nK is None
    if k < 2 and one:
        what = "top_k=1" if group == 1 else "one group a token"
        raise UserError(f"a channel of {what} has no pairs: choose two channels")
    other_nK = first_nK if second_nK is None else second_nK
    p_N, q_N = (np.bincount(x.reshape(-1), minlength=n_neurons) / n for x in (first_nK, other_nK))
    joint = (_counts(first_nK, n_neurons).T @ _counts(other_nK, n_neurons)).tocoo()
    kept = joint.row < joint.col if one else np.ones(joint.nnz, bool)
    i, j, counts = (x[kept].astype(np.int64) for x in (joint.row, joint.col, joint.data))
    divide = side if product else 1
    a = _half(first_nK // divide, other_nK // divide, n_neurons // divide, one, product)
    b = _half(first_nK % divide, other_nK % divide, divide, one, product)
    # No position chooses a neuron twice: the null's pairs of equal halves are not pairs.
    whole = 1 - np.trace(a.joint) * np.trace(b.joint) if one else 1.0
    slots = k * (k - 1 if one else other_nK.shape[1])
    choices = first_nK.shape[1] * other_nK.shape[1]
    null_slot = a.joint[i // divide, j // divide] * b.joint[i % divide, j % divide] / whole
    lift = counts / n / (slots * null_slot)
    pmi = np.log(counts / n) - np.log(p_N[i] * q_N[j])
    ratio = a.ratio[i // divide, j // divide] + b.ratio[i % divide, j % divide]
    constant = math.log(slots / choices / whole)
    order = np.argsort(-lift, kind="stable")
    order = order[counts[order] >= min_count]
    return Coactivation(
        np.stack([i, j], 1)[order],
        counts[order],
        pmi[order],
        (ratio + constant)[order],
        lift[order],
        float(np.average(pmi, weights=counts)),
        constant + _mean_ratio(a, b, one) / whole,
    )


class _Half(NamedTuple):
    """Sub-keys of two choices of a position."""

    joint: np.ndarray
    """(M, M): share of pairs of choices."""
    ratio: np.ndarray
    """(M, M): log of it over the product of the marginals; 0 where there are no such pairs."""


def _half(first_nK: np.ndarray, other_nK: np.ndarray, m: int, one: bool, joint: bool) -> _Half:
    x, y = (_counts(halves, m) for halves in (first_nK, other_nK))
    alone = [np.asarray(counts.sum(0)).reshape(-1) for counts in (x, y)]
    product = np.outer(*(counts / counts.sum() for counts in alone))
    if not joint:
        return _Half(product, np.zeros_like(product))
    together = (x.T @ y).toarray()
    if one:  # a choice makes no pair with itself
        together -= np.diag(alone[0])
    together /= together.sum()
    seen = together > 0
    return _Half(
        together, np.log(together / np.where(seen, product, 1), where=seen, out=together * 0)
    )


def _mean_ratio(a: _Half, b: _Half, one: bool) -> float:
    """Of pairs under the null, without those of equal halves where there are none; unscaled."""
    total = (a.joint * a.ratio).sum() + (b.joint * b.ratio).sum()
    if one:
        joint_a, ratio_a, joint_b, ratio_b = (np.diag(x) for x in (*a, *b))
        total -= (joint_a * ratio_a).sum() * joint_b.sum() + joint_a.sum() * (joint_b @ ratio_b)
    return float(total)


def _counts(indices_nK: np.ndarray, width: int) -> scipy.sparse.csr_array:
    """(n, width): how often a row names each column."""
    n, k = indices_nK.shape
    at = (np.repeat(np.arange(n), k), indices_nK.reshape(-1).astype(np.int64))
    return scipy.sparse.coo_array((np.ones(n * k), at), shape=(n, width)).tocsr()
