# SPDX-License-Identifier: Apache-2.0
import jax
import numpy as np
import pytest

from sgatlin.circuits.largest import _sorted, largest


@pytest.mark.parametrize("of", [largest, _sorted])  # what CPUs take, and what GPUs do
@pytest.mark.parametrize("k", [1, 3, 9])
def test_equals_and_infinite_numbers_keep_their_order(of, k):
    rng = np.random.default_rng(0)
    x = rng.choice([-np.inf, -1.0, 0.0, 0.5, np.inf], size=(4, 5, 9)).astype(np.float32)

    values, places = jax.jit(of, static_argnums=1)(x, k)

    expected = np.argsort(-x, axis=-1, kind="stable")[..., :k]
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(x, expected, axis=-1))
