# SPDX-License-Identifier: Apache-2.0
"""Usage of hand-made choices, and of uniform ones beside the expectation."""

import numpy as np
import pytest

from sgatlin.circuits.usage import usage


def test_even_use_is_whole_and_equal():
    found = usage(np.array([[0, 1], [2, 3]]), 4)
    assert found.used == 1
    assert found.entropy == pytest.approx(1)
    assert found.gini == pytest.approx(0)
    assert found.variation == 0
    assert found.expected_used == pytest.approx(1 - 0.5**2)


def test_uneven_use_by_hand():
    """Counts 3, 1, 0, 0."""
    found = usage(np.array([[0], [0], [1], [0]]), 4)
    assert found.used == 0.5
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / np.log(4)
    assert found.entropy == pytest.approx(entropy)
    differences = np.abs(np.subtract.outer([3, 1, 0, 0], [3, 1, 0, 0])).sum()
    assert found.gini == pytest.approx(differences / (2 * 16 * 1))
    assert found.variation == pytest.approx(np.std([3, 1, 0, 0]))


def test_uniform_choices_leave_unused_what_is_expected():
    rng = np.random.default_rng(0)
    found = usage(np.argsort(rng.random((300, 900)), axis=1)[:, :3], 900)
    assert found.used == pytest.approx(found.expected_used, abs=0.04)
    assert found.expected_used == pytest.approx(1 - np.exp(-1), abs=0.01)
