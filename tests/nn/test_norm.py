# SPDX-License-Identifier: Apache-2.0
"""RMSNorm computes its formula, in fp32."""

import jax.numpy as jnp
import numpy as np
from flax import nnx

from sgatlin.nn.norm import RMSNorm


def test_value():
    norm = RMSNorm(2)
    nnx.update(norm, {"scale": jnp.float32([1, -2])})
    # rms of (3, 4) is sqrt(12.5), of (0, 0.002) is sqrt(2e-6), which 1e-6 is added to.
    found = norm(jnp.float32([[3, 4], [0, 0.002]]))
    expected = [[3 / 12.5**0.5, -8 / 12.5**0.5], [0, -0.004 / 3e-6**0.5]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_bf16_is_normalised_in_fp32_and_returned_in_bf16():
    x = jnp.bfloat16(np.random.default_rng(0).normal(size=(4, 512)))
    found = RMSNorm(512)(x)
    assert found.dtype == jnp.bfloat16
    wide = np.float64(np.float32(x))
    expected = wide / np.sqrt((wide**2).mean(axis=-1, keepdims=True))
    # Rounded once, at the end: bf16 has 8 bits.
    np.testing.assert_allclose(np.float32(found), expected, rtol=2**-8)
