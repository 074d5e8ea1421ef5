# SPDX-License-Identifier: Apache-2.0
"""The nearest circuits: exact, whatever their number, and never as a table of all with all.

A block of rows meets all queries at once. Rows are sparse and queries written out, so that their
products are sums of a few rows of a table, `gather_sum`, which a GPU has a kernel for.

n rows, B of a block, q queries, P non-zeros, W columns, k neighbours.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int32, Int64, Integer

from sgatlin.circuits.largest import largest
from sgatlin.circuits.rows import SparseRows
from sgatlin.errors import UserError, require_at_least
from sgatlin.ops.neurons import gather_sum

Metric = Literal["cosine", "jaccard"]

# As many products as a cache holds: 8 MiB.
_ROWS = 8192
_QUERIES = 256


class Labels(NamedTuple):
    """Rows and queries by a label: what has the same one is not compared.

    A sequence, a token or the row's own number; of a query from elsewhere one that no row has.
    """

    rows: Integer[np.ndarray, " n"]
    queries: Integer[np.ndarray, " q"]


class Neighbours(NamedTuple):
    """Of each query the k nearest rows, nearest first; of equally near ones the first first."""

    rows: Int64[np.ndarray, "q k"]
    """Row numbers, and -1 where a query has no more rows to compare with."""
    distances: Float32[np.ndarray, "q k"]
    """Infinite where there is no row."""


def nearest(
    rows: SparseRows,
    queries: SparseRows,
    k: int,
    *,
    metric: Metric = "cosine",
    apart: Sequence[Labels] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Neighbours:
    """The k rows nearest to each query, or all if there are fewer.

    The cosine distance is 1 - cos of signed scores, from 0 to 2, and 1 from a vector of zeros. The
    Jaccard distance is 1 - |A and B| / |A or B| of the sets of columns given, whatever their
    scores. Rows that share a label of `apart` with a query are left out before k are taken.
    `progress` is told how many blocks of rows are done, and how many there are.

    Raises:
      UserError: when k is below 1, or rows and queries are not equally wide.
    """
    require_at_least(1, k=k)
    if rows.width != queries.width:
        raise UserError(
            f"queries of {queries.width} columns, rows of {rows.width}: take both of the same "
            "channels of one model"
        )
    k = min(k, len(rows))
    labels = [_small(one) for one in apart]
    n_blocks = -(-len(rows) // _ROWS)
    n_parts = -(-len(queries) // _QUERIES)
    found_rows = np.empty((len(queries), k), np.int64)
    distances = np.empty((len(queries), k), np.float32)
    for part in range(n_parts):
        at = slice(part * _QUERIES, (part + 1) * _QUERIES)
        best = _search(
            rows,
            queries[at],
            k,
            metric,
            [Labels(one.rows, one.queries[at]) for one in labels],
            functools.partial(_tell, progress, part * n_blocks, n_parts * n_blocks),
        )
        similarity_qk, found_rows[at] = np.asarray(best.similarity), np.asarray(best.rows)
        distances[at] = np.clip(1 - similarity_qk, 0, None)
    return Neighbours(found_rows, distances)


class _Best(NamedTuple):
    similarity: Float[Array, "q k"]
    rows: Int32[Array, "q k"]


def _search(
    rows: SparseRows,
    queries: SparseRows,
    k: int,
    metric: Metric,
    labels: Sequence[Labels],
    progress: Callable[[int], None],
) -> _Best:
    table_WQ = _written_out(queries, metric)
    none = jnp.full((len(queries), k), -jnp.inf)
    best = _Best(none, jnp.full(none.shape, -1, jnp.int32))
    query_labels = [jnp.asarray(one.queries) for one in labels]
    for block, start in enumerate(range(0, len(rows), _ROWS)):
        part = rows[start : start + _ROWS]
        of_part = [one.rows[start : start + _ROWS] for one in labels]
        if (missing := _ROWS - len(part)) and start:  # a second shape would be compiled for
            indices, values = _padded(part.indices, missing), _padded(part.values, missing)
            part = SparseRows(indices, values, part.width)
            of_part = [_padded(array, missing) for array in of_part]
        best = _with_block(
            best,
            part.indices,
            part.values,
            start,
            len(rows),
            table_WQ,
            of_part,
            query_labels,
            metric=metric,
            n_chosen=queries.indices.shape[1],
        )
        jax.block_until_ready(best)  # blocks wait here and not in memory
        progress(block + 1)
    return best


@functools.partial(jax.jit, static_argnames=("metric", "n_chosen"))
def _with_block(
    best: _Best,
    indices_BP: Array,
    values_BP: Array,
    start: Array,
    n_rows: Array,
    table_WQ: Array,
    row_labels: Sequence[Array],
    query_labels: Sequence[Array],
    *,
    metric: Metric,
    n_chosen: int,
) -> _Best:
    if metric == "cosine":
        similarity_BQ = gather_sum(_unit(values_BP), indices_BP, table_WQ)
    else:
        shared_BQ = gather_sum(jnp.ones_like(values_BP), indices_BP, table_WQ)
        similarity_BQ = shared_BQ / (indices_BP.shape[1] + n_chosen - shared_BQ)
    numbers_B = start + jnp.arange(len(indices_BP), dtype=jnp.int32)
    allowed_BQ: Any = (numbers_B < n_rows)[:, None]
    for of_rows_B, of_queries_Q in zip(row_labels, query_labels, strict=True):
        allowed_BQ &= of_rows_B[:, None] != of_queries_Q
    similarity_QB = jnp.where(allowed_BQ, similarity_BQ, -jnp.inf).T
    k = best.rows.shape[1]
    of_block_Qk, places_Qk = largest(similarity_QB, min(k, similarity_QB.shape[1]))
    # The earlier rows stand first and equals keep their order: ties go by row number.
    similarity_Q2k = jnp.concatenate([best.similarity, of_block_Qk], axis=1)
    rows_Q2k = jnp.concatenate([best.rows, numbers_B[places_Qk]], axis=1)
    similarity_Qk, places_Qk = largest(similarity_Q2k, k)
    rows_Qk = jnp.take_along_axis(rows_Q2k, places_Qk, axis=1)
    return _Best(similarity_Qk, jnp.where(similarity_Qk == -jnp.inf, -1, rows_Qk))


def _unit(values_BP: Float[Array, "B P"]) -> Float[Array, "B P"]:
    """Scaled to length 1; zeros stay zeros. First by the largest, whose square may be infinite."""
    tiny = jnp.finfo(values_BP.dtype).tiny
    scaled_BP = values_BP / jnp.maximum(jnp.abs(values_BP).max(1, keepdims=True), tiny)
    norm_B1 = jnp.linalg.norm(scaled_BP, axis=1, keepdims=True)
    return scaled_BP / jnp.where(norm_B1 > 0, norm_B1, 1)


def _written_out(queries: SparseRows, metric: Metric) -> Float[Array, "W q"]:
    """Queries as columns: of length 1, or of ones where a column is given."""
    values = np.asarray(_unit(jnp.asarray(queries.values)))
    if metric == "jaccard":
        values = np.ones_like(values)
    return jnp.asarray(SparseRows(queries.indices, values, queries.width).dense().T)


def _tell(progress: Callable[[int, int], None], before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _small(labels: Labels) -> Labels:
    """As int32, which JAX has, whatever the numbers were."""
    both = np.concatenate([labels.rows, labels.queries])
    ranks = np.unique(both, return_inverse=True)[1].astype(np.int32)
    return Labels(ranks[: len(labels.rows)], ranks[len(labels.rows) :])


def _padded(array: np.ndarray, n: int) -> np.ndarray:
    return np.pad(array, [(0, n)] + [(0, 0)] * (array.ndim - 1))
