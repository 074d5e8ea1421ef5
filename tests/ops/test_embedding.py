# SPDX-License-Identifier: Apache-2.0
"""Looking up rows, and the products with all of them.

B batch, T time, D width, V vocabulary.
"""

import jax
import jax.numpy as jnp
import numpy as np

from sgatlin.ops.embedding import embed, unembed

B, T, V, D = 3, 5, 7, 4
BFLOAT16 = jnp.dtype("bfloat16")


def draw():
    """Ids below 5 only, the first of them more than once."""
    rng = np.random.default_rng(0)
    tokens_BT = rng.integers(0, 5, (B, T))
    tokens_BT[0, :3] = 0
    embedding_VD, dx_BTD = (jnp.float32(rng.normal(size=s)) for s in ((V, D), (B, T, D)))
    return embedding_VD, jnp.asarray(tokens_BT), dx_BTD


@jax.jit
def rows_and_gradient(embedding_VD, tokens_BT, dx_BTD):
    rows_BTD, pull_back = jax.vjp(lambda embedding: embed(embedding, tokens_BT), embedding_VD)
    return rows_BTD, pull_back(dx_BTD)[0]


def test_rows_and_the_sum_of_what_comes_back():
    embedding_VD, tokens_BT, dx_BTD = draw()
    rows_BTD, gradient_VD = rows_and_gradient(embedding_VD, tokens_BT, dx_BTD)
    np.testing.assert_array_equal(rows_BTD, np.asarray(embedding_VD)[tokens_BT])
    expected_VD = np.zeros((V, D))
    for b, t in np.ndindex(B, T):
        expected_VD[tokens_BT[b, t]] += dx_BTD[b, t]
    np.testing.assert_allclose(gradient_VD, expected_VD, rtol=1e-5, atol=1e-6)
    assert not np.asarray(gradient_VD)[5:].any()


def test_in_bf16_the_gradient_is_summed_in_fp32():
    many = 600  # in bf16, 256 + 1 is 256
    ones = jnp.ones((1, many, 1), BFLOAT16)
    embedding_VD = jnp.ones((1, 1), BFLOAT16)
    _, gradient_VD = rows_and_gradient(embedding_VD, jnp.zeros((1, many), int), ones)
    assert gradient_VD.dtype == BFLOAT16
    assert gradient_VD.item() == many


def test_ids_outside_are_clamped():
    embedding_VD, _, dx_BTD = draw()
    outside = rows_and_gradient(embedding_VD, jnp.array([[-1, V, 2]]), dx_BTD[:1, :3])
    inside = rows_and_gradient(embedding_VD, jnp.array([[0, V - 1, 2]]), dx_BTD[:1, :3])
    jax.tree.map(np.testing.assert_array_equal, outside, inside)


def test_products_with_all_rows():
    embedding_VD, _, hidden_BTD = draw()
    expected_BTV = np.einsum("btd,vd->btv", np.float64(hidden_BTD), np.float64(embedding_VD))
    np.testing.assert_allclose(unembed(hidden_BTD, embedding_VD), expected_BTV, rtol=1e-5)
    rounded_BTV = unembed(hidden_BTD, embedding_VD, BFLOAT16)
    assert rounded_BTV.dtype == jnp.float32
    error_BTV = np.abs(rounded_BTV - expected_BTV)
    assert 1e-4 < error_BTV.max() < 0.03
