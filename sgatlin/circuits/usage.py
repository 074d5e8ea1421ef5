# SPDX-License-Identifier: Apache-2.0
"""How evenly the neurons of one channel are used. Never pooled over channels: tables differ.

n positions, K chosen of a channel's N neurons.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Integer

from sgatlin.errors import require_at_least


class Usage(NamedTuple):
    """Of one layer and channel, over n positions."""

    used: float
    """Share of neurons that some position chose."""
    expected_used: float
    """The same if choices were uniform: 1 - (1 - K/N)^n, about 1 - e^(-nK/N)."""
    entropy: float
    """Of the choices, over log N: 1 if all neurons are chosen equally often."""
    gini: float
    """0 if all are chosen equally often, 1 - 1/N if always the same one."""
    variation: float
    """Standard deviation of the counts over their mean."""


def usage(indices_nK: Integer[np.ndarray, "n K"], n_neurons: int) -> Usage:
    """Usage of one channel's neurons, of the indices that positions chose."""
    n, k = indices_nK.shape
    require_at_least(1, positions=n, n_neurons=n_neurons)
    counts_N = np.bincount(indices_nK.reshape(-1), minlength=n_neurons).astype(np.float64)
    share_N = counts_N[counts_N > 0] / counts_N.sum()
    ranks_N = np.arange(1, n_neurons + 1)
    gini = 2 * (ranks_N @ np.sort(counts_N)) / (n_neurons * counts_N.sum()) - 1 - 1 / n_neurons
    entropy = -(share_N @ np.log(share_N)) / np.log(n_neurons) if n_neurons > 1 else 1.0
    return Usage(
        used=float((counts_N > 0).mean()),
        expected_used=1 - (1 - k / n_neurons) ** n,
        entropy=float(entropy),
        gini=float(gini),
        variation=float(counts_N.std() / counts_N.mean()),
    )
