# SPDX-License-Identifier: Apache-2.0
"""Debiased linear CKA: how alike two representations of the same positions are.

CKA (Kornblith et al. 2019, arXiv 1905.00414) with the unbiased HSIC of Song et al. 2012 (JMLR 13,
1393): plain linear CKA is near 1 for unrelated wide representations of few positions.

n positions, W and D columns; no n x n matrix is formed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from sgatlin.circuits.record import Record
from sgatlin.circuits.rows import SparseRows
from sgatlin.errors import UserError, require_at_least

Rows = SparseRows | np.ndarray

# Of the product of two representations, which is W x D and may be large.
_COLUMNS = 512


class Cka(NamedTuple):
    """Likeness, and what it is when positions are paired by chance."""

    cka: float
    """At most 1, of the same up to rotation and scale; about 0 (and below) of unrelated ones."""
    null_mean: float
    null_95: float
    """95th percentile of the permutations."""
    p_value: float
    """(1 + permutations at least as alike) / (1 + permutations)."""


def cka(
    x: Rows,
    y: Rows,
    *,
    permutations: int = 20,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Cka:
    """CKA of (n, W) and (n, D), with a null of permuted positions.

    Raises:
      UserError: of fewer than 4 positions, different ones, or a representation without variation.
    """
    require_at_least(1, permutations=permutations)
    if len(x) != len(y):
        raise UserError(f"CKA is of the same positions: {len(x)} here, {len(y)} there")
    if len(x) < 4:
        raise UserError(f"CKA needs 4 positions, and there are {len(x)}: record more")
    x_csr, y_csr = _matrix(x), _matrix(y)
    scale = np.sqrt(max(0.0, unbiased_hsic(x_csr, x_csr)) * max(0.0, unbiased_hsic(y_csr, y_csr)))
    if scale == 0:
        raise UserError("a representation does not vary over these positions: record more")
    observed, rng, null = unbiased_hsic(x_csr, y_csr) / scale, np.random.default_rng(seed), []
    for done in range(permutations):
        null.append(unbiased_hsic(x_csr, y_csr[rng.permutation(len(y))]) / scale)
        progress(done + 1, permutations)
    above = sum(value >= observed for value in null)
    return Cka(
        float(observed),
        float(np.mean(null)),
        float(np.quantile(null, 0.95)),
        (1 + above) / (1 + permutations),
    )


def check_same_positions(one: Record, other: Record) -> None:
    """UserError unless two records are of the same tokens of the same documents."""
    names = ["sequence", "position", "token"]
    same = one.manifest.tokenizer_hash == other.manifest.tokenizer_hash and len(one) == len(other)
    if not same or one.positions().select(names) != other.positions().select(names):
        raise UserError(
            f"{one.path} and {other.path} are of different tokens: record both with the same "
            "--data and --tokens"
        )


def unbiased_hsic(x: Any, y: Any) -> float:
    """Song et al.'s HSIC_1 of linear kernels X X^T and Y Y^T with their diagonals left out."""
    n = x.shape[0]
    diagonals = [_squares(one) for one in (x, y)]
    sums = [
        one @ np.asarray(one.sum(0)).reshape(-1) - diagonal
        for one, diagonal in zip((x, y), diagonals, strict=True)
    ]
    trace = _squared_norm(x, y) - diagonals[0] @ diagonals[1]
    ones = sums[0].sum() * sums[1].sum() / ((n - 1) * (n - 2))
    return float((trace + ones - 2 / (n - 2) * (sums[0] @ sums[1])) / (n * (n - 3)))


def _squared_norm(x: Any, y: Any) -> float:
    """Of X^T Y, a block of rows at a time."""
    columns = x.tocsc() if scipy.sparse.issparse(x) else x
    total = 0.0
    for start in range(0, x.shape[1], _COLUMNS):
        block = columns[:, start : start + _COLUMNS].T @ y
        values = block.data if scipy.sparse.issparse(block) else block
        total += float((values**2).sum())
    return total


def _squares(x: Any) -> np.ndarray:
    """The kernel's diagonal."""
    return np.asarray((x * x).sum(1)).reshape(-1)


def _matrix(x: Rows) -> Any:
    """Float64: sums of squares of squares cancel."""
    return (x.matrix() if isinstance(x, SparseRows) else x).astype(np.float64)
