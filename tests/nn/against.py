# SPDX-License-Identifier: Apache-2.0
"""A layer against a brute-force form of it: outputs, and gradients of parameters and input."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Layer = Callable[[Any, jax.Array], jax.Array]
"""(parameters, x of (T, D)) to y of (T, D)."""


def assert_same_values_and_gradients(
    layer: Layer, brute_force: Layer, params: Any, x_TD: jax.Array
) -> None:
    """Both forms agree, for a random gradient of the output, and no array is all but zero."""
    dy_TD = jnp.float32(np.random.default_rng(1).normal(size=x_TD.shape))

    def both(form: Layer) -> Any:
        y_TD, pull_back = jax.vjp(form, params, x_TD)
        return y_TD, *pull_back(dy_TD)

    ours, expected = (jax.jit(both, static_argnums=0)(form) for form in (layer, brute_force))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        assert np.abs(b).max() > 0.1
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
