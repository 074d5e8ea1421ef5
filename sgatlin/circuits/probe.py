# SPDX-License-Identifier: Apache-2.0
"""What a representation of positions knows of their tokens and classes.

n positions that are looked at.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, Integer

from sgatlin.circuits.labels import PositionLabels, word_numbers
from sgatlin.circuits.purity import Purity, near_rows, purity
from sgatlin.circuits.representations import EMBEDDING, Representation
from sgatlin.circuits.rows import SparseRows
from sgatlin.errors import UserError

NEIGHBOURS = (10, 20)
COMPONENTS = 50
"""Directions of a wide representation that k-means sees."""


class Scores(NamedTuple):
    """Of one representation in one layer."""

    purities: dict[tuple[str, int], Purity]
    """By label, and how many neighbours are looked at."""
    ami: float
    """Of k-means clusters with classes, chance-corrected: 0 by chance, 1 if they are the same."""
    silhouette: float
    """Of classes, by cosine: -1 to 1."""


class Probed(NamedTuple):
    """One row of the report."""

    layer: int
    representation: str
    scores: Scores


def probe(
    of_layer: Callable[[int], Mapping[str, Representation]],
    layers: Sequence[int],
    labels: Mapping[str, PositionLabels],
    sequences_n: Int64[np.ndarray, " n"],
    *,
    permutations: int = 100,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Probed]:
    """Scores of all representations of the layers; those of the embedding are computed once."""
    found: list[Probed] = []
    for done, layer in enumerate(layers):
        named = of_layer(layer)
        for place, (name, x) in enumerate(named.items()):
            known = [one.scores for one in found if one.representation == name == EMBEDDING]
            found.append(
                Probed(
                    layer,
                    name,
                    known[0]
                    if known
                    else score(x, labels, sequences_n, permutations=permutations, seed=seed),
                )
            )
            progress(done * len(named) + place + 1, len(layers) * len(named))
    return found


def score(
    x: Representation,
    labels: Mapping[str, PositionLabels],
    sequences_n: Int64[np.ndarray, " n"],
    *,
    permutations: int = 100,
    seed: int = 0,
) -> Scores:
    """Purity for each label with its nulls, AMI and silhouette of the classes.

    Neighbours are of other sequences, and for `class` of other tokens too. Its null permutes
    classes among words, those of other labels permute labels among positions.

    Raises:
      UserError: without scikit-learn.
    """
    tokens_n = labels["token"].ids
    filters = [[sequences_n], [sequences_n, tokens_n]]
    near, near_others = near_rows(x, max(NEIGHBOURS), filters)
    words_n = word_numbers(labels["token"], labels["class"])
    purities = {}
    for name, label in labels.items():
        is_class = name == "class"
        for m in NEIGHBOURS:
            purities[name, m] = purity(
                (near_others if is_class else near)[:, :m],
                label.ids,
                filters[is_class],
                words_n=words_n if is_class else None,
                permutations=permutations,
                seed=seed,
            )
    return Scores(purities, *clusters(x, labels["class"].ids, seed=seed))


def clusters(
    x: Representation, classes_n: Integer[np.ndarray, " n"], *, seed: int
) -> tuple[float, float]:
    """AMI of k-means with k classes, and the classes' silhouette; NaN of fewer than 2 classes.

    Raises:
      UserError: without scikit-learn.
    """
    try:
        from sklearn.cluster import KMeans
        from sklearn.decomposition import TruncatedSVD
        from sklearn.metrics import adjusted_mutual_info_score, silhouette_score
        from sklearn.preprocessing import normalize
    except ImportError:
        raise UserError(
            "probes need scikit-learn: install it with `uv sync --extra circuits`"
        ) from None
    known = np.flatnonzero(classes_n >= 0)
    of_known = classes_n[known]
    k = len(np.unique(of_known))
    if not 2 <= k < len(known):
        return float("nan"), float("nan")
    chosen = x[known].matrix() if isinstance(x, SparseRows) else x[known]
    unit = normalize(chosen)
    silhouette = silhouette_score(unit, of_known, metric="cosine")
    if unit.shape[1] > COMPONENTS:
        unit = TruncatedSVD(COMPONENTS, random_state=seed).fit_transform(unit)
    elif isinstance(x, SparseRows):
        unit = unit.toarray()
    found = KMeans(k, n_init=4, random_state=seed).fit_predict(unit)
    return float(adjusted_mutual_info_score(of_known, found)), float(silhouette)
