# SPDX-License-Identifier: Apache-2.0
"""Which edges of a graph of three neurons are kept, worked out by hand."""

import numpy as np
import pytest

from sgatlin.circuits.pruning import cumulative_share, fewest, prune

# Rows: neurons 0, 1, 2 and a logit; columns: neurons 0, 1, 2 and an embedding. The edges' shares of
# influence: the logit's 0.8 from neuron 1, 0.1 from neuron 2, 0.1 from the embedding; neuron 1's
# 0.2 from neuron 0, 0.6 from the embedding; 0.2 and 0.1 from the embedding to neurons 0 and 2.
WEIGHTS = np.float32([[0, 0, 0, 2], [1, 0, 0, -3], [0, 0, 0, 5], [0, 8, -1, 1]])
ONE_LOGIT = np.ones(1)


@pytest.mark.parametrize(
    ("threshold", "edges", "alive"),
    [
        (1, WEIGHTS != 0, [True, True, True]),
        # 0.8, 0.6, 0.2 and 0.2 are more than 0.85 of 2.1; neuron 2 then feeds nothing.
        (0.85, [[0, 0, 0, 1], [1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]], [True, True, False]),
        # 0.8, 0.6 and one 0.2: the embedding's edge into neuron 0, which then feeds nothing.
        (0.70, [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]], [False, True, False]),
    ],
)
def test_edges_are_kept_by_influence(threshold, edges, alive):
    kept, left = prune(WEIGHTS, 3, ONE_LOGIT, threshold)
    np.testing.assert_array_equal(kept, np.array(edges, bool))
    assert left.tolist() == alive


def test_the_fewest_scores_with_a_share():
    scores = np.array([1.0, 5, 0, 4])
    assert fewest(scores, 0.5).tolist() == [False, True, False, False]
    assert fewest(scores, 0.51).tolist() == [False, True, False, True]
    assert fewest(scores, 1).tolist() == [True] * 4
    np.testing.assert_allclose(cumulative_share(scores), [1, 0.5, 1, 0.9])
