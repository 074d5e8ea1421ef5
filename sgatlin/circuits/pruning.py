# SPDX-License-Identifier: Apache-2.0
"""Which edges of a graph matter: shares of influence, as circuit-tracer has them.

n neurons, m rows, S sources, G logits.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64


def prune(
    weights: Float32[np.ndarray, "nodes sources"],
    n: int,
    logit_weights: Float64[np.ndarray, " G"],
    threshold: float,
) -> tuple[Bool[np.ndarray, "nodes sources"], Bool[np.ndarray, " n"]]:
    """The edges to keep of a graph of n neurons, and the neurons that are then left.

    Rows are what edges lead to, neurons and then logits; columns neurons and then embeddings. Kept
    are the fewest edges with `threshold` of all influence; a neuron that nothing feeds then, or
    that feeds nothing, goes with its edges.
    """
    share = shares(weights)
    passed = logit_weights @ share[n:]
    influence = passed[:n].copy()
    while passed[:n].any():  # ends: neurons feed only layers above
        passed = passed[:n] @ share[:n]
        influence += passed[:n]
    edges = fewest(np.append(influence, logit_weights)[:, None] * share, threshold)
    edges &= weights != 0
    alive = np.ones(n, bool)
    while True:
        left = alive & edges[:, :n].any(0) & edges[:n].any(1)
        if (left == alive).all():
            return edges, alive
        alive = left
        edges[:n][~alive] = False
        edges[:, :n][:, ~alive] = False


def shares(rows: Float32[np.ndarray, "m S"]) -> Float64[np.ndarray, "m S"]:
    """Magnitudes, of which each row's add up to 1, if it has any."""
    magnitudes = np.abs(rows, dtype=np.float64)
    return magnitudes / np.maximum(magnitudes.sum(1, keepdims=True), np.finfo(np.float64).tiny)


def fewest(scores: Float64[np.ndarray, "*shape"], share: float) -> Bool[np.ndarray, "*shape"]:
    """Marks the fewest scores that add up to a share of the sum; all if that is 1."""
    if share >= 1:
        return np.ones(scores.shape, bool)
    flat = scores.reshape(-1)
    order = np.argsort(-flat, kind="stable")
    above = np.cumsum(flat[order]) - flat[order]
    marked = np.zeros(flat.shape, bool)
    marked[order] = above < share * flat.sum()
    return marked.reshape(scores.shape)


def cumulative_share(scores: Float64[np.ndarray, " S"]) -> Float32[np.ndarray, " S"]:
    """Of each score the share of the sum that it and all larger ones have."""
    order = np.argsort(-scores, kind="stable")
    shared = np.empty(scores.shape, np.float32)
    shared[order] = np.cumsum(scores[order]) / max(scores.sum(), np.finfo(np.float64).tiny)
    return shared
