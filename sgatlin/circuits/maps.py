# SPDX-License-Identifier: Apache-2.0
"""Circuits in the plane: UMAP (McInnes et al. 2018, arXiv 1802.03426) of gate vectors.

From exact neighbours by cosine, with a fixed seed: the same record makes the same map.

n positions of a record, m of them on the map.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Int64

from sgatlin.circuits.contexts import excerpt
from sgatlin.circuits.labels import class_of
from sgatlin.circuits.neighbours import nearest
from sgatlin.circuits.rows import SparseRows
from sgatlin.errors import UserError

Colour = Literal["token", "next", "class"]

NEIGHBOURS = 15
"""Of a position, itself included, that the map keeps together."""
NO_CLASS = "none"

_EXTRA = "maps need umap-learn and plotly: install them with `uv sync --extra circuits`"


def choose_rows(
    groups: Sequence[str | int | None] | np.ndarray, n: int, *, seed: int
) -> Int64[np.ndarray, " m"]:
    """At most n rows of those whose group is not None, as evenly over groups as there are.

    Which of a group is chance, by the seed; they come in their order.
    """
    order = np.random.default_rng(seed).permutation(len(groups))
    seen: Counter = Counter()
    turns = np.empty(len(groups), np.int64)
    for row in order:
        turns[row] = seen[groups[row]]
        seen[groups[row]] += 1
    known = order[[groups[row] is not None for row in order]]
    return np.sort(known[np.argsort(turns[known], kind="stable")[:n]]).astype(np.int64)


def frequent_tokens(positions: pa.Table, n: int) -> list[int | None]:
    """Of each position its token if it is one of the n most frequent, or else None."""
    tokens, counts = np.unique(positions["token"].to_numpy(), return_counts=True)
    kept = set(tokens[np.argsort(-counts, kind="stable")[:n]].tolist())
    return [token if token in kept else None for token in positions["token"].to_pylist()]


def token_classes(positions: pa.Table, classes: Mapping[str, str]) -> list[str | None]:
    """Of each position the class of its token, or None."""
    texts = positions["text"].to_pylist()
    known = {text: class_of(text, classes) for text in set(texts)}
    return [known[text] for text in texts]


def embed(
    rows: SparseRows,
    *,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Float32[np.ndarray, "m 2"]:
    """Places of circuits in the plane. The same rows and seed give the same, bit for bit.

    Raises:
      UserError: without umap-learn, or when there are too few rows to have neighbours.
    """
    if len(rows) < NEIGHBOURS + 1:
        raise UserError(
            f"a map needs {NEIGHBOURS + 1} positions, and there are {len(rows)}: choose more "
            "tokens, or record more"
        )
    import warnings

    near = nearest(rows, rows, NEIGHBOURS, progress=progress)
    start = _first_places(rows, seed)
    with warnings.catch_warnings():
        # That TensorFlow is not there, that no further points could be put on the map, and that a
        # seed means one thread.
        warnings.simplefilter("ignore")
        try:
            import umap
        except ImportError:
            raise UserError(_EXTRA) from None
        fitted = umap.UMAP(
            n_neighbors=NEIGHBOURS,
            metric="cosine",
            init=start,
            random_state=seed,
            n_jobs=1,
            precomputed_knn=(*_own_first(near.rows, near.distances), None),
            # Or it would search for neighbours itself where there are few rows.
            force_approximation_algorithm=True,
        )
        # What it is given is never looked at: the neighbours say all.
        return np.asarray(fitted.fit_transform(start), np.float32)


def map_table(
    positions: pa.Table,
    chosen: Int64[np.ndarray, " m"],
    places: Float32[np.ndarray, "m 2"],
    classes: Mapping[str, str],
) -> pa.Table:
    """A row for each position on the map: its place, its token, next token, class and text."""
    there = positions.take(pa.array(chosen))
    tokens, first = np.unique(positions["token"].to_numpy(), return_index=True)
    names = dict(zip(tokens.tolist(), positions["text"].take(first).to_pylist(), strict=True))
    following = there["next_token"].to_pylist()
    return pa.table(
        {
            "x": places[:, 0],
            "y": places[:, 1],
            **{name: there[name] for name in ("sequence", "position")},
            "token": there["text"],
            # A token that only ever ends a sequence has no text in the record.
            "next": [names.get(token, f"#{token}") for token in following],
            "class": [class_of(text, classes) or NO_CLASS for text in there["text"].to_pylist()],
            "excerpt": [excerpt(positions, int(row)) for row in chosen],
        }
    )


def _first_places(rows: SparseRows, seed: int) -> Float32[np.ndarray, "m 2"]:
    """The two strongest directions, to a width of 10 and a little apart.

    The usual first places, from the graph of neighbours, fail where it falls into many pieces, as
    it does in layers in which a token has one circuit.
    """
    from sklearn.decomposition import TruncatedSVD

    found = TruncatedSVD(2, random_state=seed).fit_transform(rows.matrix())
    noise = np.random.default_rng(seed).normal(scale=1e-3, size=found.shape)
    return (10 * found / max(np.abs(found).max(), 1e-12) + noise).astype(np.float32)


def _own_first(rows: np.ndarray, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours with each row itself as its own first, which equal rows may have taken."""
    own = np.arange(len(rows))[:, None]
    others = np.where(rows == own, -1, rows)
    # Where it is not among them at all the farthest gives way.
    others[:, -1] = np.where((others == -1).any(1), others[:, -1], -1)
    order = np.argsort(others != -1, axis=1, kind="stable")
    sorted_rows = np.take_along_axis(others, order, axis=1)
    sorted_distances = np.take_along_axis(distances, order, axis=1)
    sorted_rows[:, :1], sorted_distances[:, 0] = own, 0
    return sorted_rows, sorted_distances
