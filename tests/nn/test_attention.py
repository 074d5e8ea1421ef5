# SPDX-License-Identifier: Apache-2.0
"""Attention equals an explicit loop; rotary positions are relative.

B batch, T time, D model, H heads, A head width.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sgatlin.nn.attention import Attention, Cache, causal_attention, rope

B, T, H, A = 2, 5, 3, 4
D = H * A


def draw(seed: int = 0):
    """Parameters, norm scales among them, and x (B, T, D)."""
    rng = np.random.default_rng(seed)
    graph, state = nnx.split(nnx.eval_shape(lambda: Attention(D, A, rngs=nnx.Rngs(0))))
    params = jax.tree.map(
        lambda leaf: jnp.float32(rng.normal(size=leaf.shape)), nnx.to_pure_dict(state)
    )
    return graph, params, jnp.float32(rng.normal(size=(B, T, D)))


def rotated(vector_A: np.ndarray, position: int) -> np.ndarray:
    """Element i and element i + A/2 as a complex number, turned by position * 10000^(-2i/A)."""
    half = A // 2
    pairs = vector_A[:half] + 1j * vector_A[half:]
    pairs = pairs * np.exp(1j * position * 10_000.0 ** (-2 * np.arange(half) / A))
    return np.concatenate([pairs.real, pairs.imag])


def explicit_attention(params, x_TD: np.ndarray) -> np.ndarray:
    """One position, one head, one earlier position after another."""

    def project(name: str) -> np.ndarray:
        return (x_TD @ np.float64(params[name])).reshape(T, H, A)

    def normed(vector_A, name: str) -> np.ndarray:
        rms = np.sqrt((vector_A**2).mean() + 1e-6)
        return vector_A / rms * np.float64(params[name]["scale"])

    query, key, value = (project(name) for name in ("w_query", "w_key", "w_value"))
    mixed_TD = np.zeros((T, D))
    for t in range(T):
        for h in range(H):
            turned = rotated(normed(query[t, h], "query_norm"), t)
            weights = [
                np.exp(turned @ rotated(normed(key[s, h], "key_norm"), s) / np.sqrt(A))
                for s in range(t + 1)
            ]
            head = sum(w * value[s, h] for s, w in enumerate(weights)) / sum(weights)
            mixed_TD[t, h * A : (h + 1) * A] = head
    return mixed_TD @ np.float64(params["w_out"])


def test_equals_an_explicit_loop():
    graph, params, x_BTD = draw()
    y_BTD, cache = jax.jit(lambda params, x: nnx.merge(graph, nnx.State(params))(x))(params, x_BTD)
    expected = [explicit_attention(params, np.float64(x_TD)) for x_TD in x_BTD]
    np.testing.assert_allclose(y_BTD, expected, rtol=1e-4, atol=1e-4)
    assert cache is None


def test_scores_are_fp32_whatever_the_operands():
    # Keys of the two positions differ by less than bf16 can tell in a score of 256.
    query_BTHA = jnp.bfloat16([[[[16, 0.5]], [[16, 0.5]]]])
    key_BSHA = jnp.bfloat16([[[[16, 0]], [[16, 1]]]])
    value_BSHA = jnp.bfloat16([[[[0, 0]], [[1, 0]]]])
    mixed = causal_attention(query_BTHA, key_BSHA, value_BSHA, jnp.arange(2))
    assert mixed.dtype == jnp.bfloat16
    expected = 1 / (1 + np.exp(-0.5 / np.sqrt(2)))
    np.testing.assert_allclose(np.float32(mixed[0, 1, 0]), [expected, 0], rtol=2**-8)


rotate = jax.jit(rope)


def test_rope_depends_on_relative_positions_only():
    rng = np.random.default_rng(0)
    query_A, key_A = jnp.float32(rng.normal(size=(2, 8)))
    positions_T = jnp.array([0, 1, 2, 3, 100, 107])
    at = [rotate(jnp.broadcast_to(v, (1, 6, 1, 8)), positions_T)[0, :, 0] for v in (query_A, key_A)]
    products_TT = np.asarray(at[0] @ at[1].T)
    # Of distance 1, 2 and 3 in two places each; of distance 0 everywhere.
    np.testing.assert_allclose(np.diag(products_TT), query_A @ key_A, rtol=1e-5)
    np.testing.assert_allclose(np.diag(products_TT, 1)[:3], products_TT[0, 1], rtol=1e-4)
    np.testing.assert_allclose(products_TT[1, 3], products_TT[0, 2], rtol=1e-4)
    # And on the distance they do depend, and on its sign.
    assert abs(products_TT[0, 1] - products_TT[0, 2]) > 0.1
    assert abs(products_TT[0, 1] - products_TT[1, 0]) > 0.1


def test_rope_turns_halves_as_pairs_and_keeps_norms():
    vectors_TA = np.random.default_rng(0).normal(size=(6, A))
    positions = [0, 1, 2, 3, 100, 1000]
    found_TA = rotate(jnp.float32(vectors_TA)[None, :, None, :], jnp.array(positions))[0, :, 0]
    expected = [rotated(v, position) for v, position in zip(vectors_TA, positions, strict=True)]
    np.testing.assert_allclose(found_TA, expected, atol=1e-3)
    np.testing.assert_allclose(
        np.linalg.norm(found_TA, axis=-1), np.linalg.norm(vectors_TA, axis=-1), rtol=1e-5
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_output_has_the_inputs_type(dtype):
    graph, params, x_BTD = draw()
    y_BTD, _ = jax.eval_shape(lambda x: nnx.merge(graph, nnx.State(params))(x), x_BTD.astype(dtype))
    assert (y_BTD.shape, y_BTD.dtype) == ((B, T, D), dtype)


SEGMENTS_BT = jnp.array([[0, 0, 1, 1, 1], [1, 2, 2, 2, 3]])


def test_segments_attend_as_if_alone():
    """Each stretch of one segment gives what it gives by itself, at its positions or at others."""
    graph, params, x_BTD = draw()
    attend = jax.jit(lambda params, x, *given: nnx.merge(graph, nnx.State(params))(x, *given)[0])
    together = attend(params, x_BTD, None, SEGMENTS_BT)
    for row, segments_T in enumerate(np.asarray(SEGMENTS_BT)):
        for segment in np.unique(segments_T):
            here = np.flatnonzero(segments_T == segment)
            alone = attend(params, x_BTD[row : row + 1, here])
            np.testing.assert_allclose(together[row, here], alone[0], rtol=1e-4, atol=1e-5)
    # And without segments they would not.
    assert np.abs(np.asarray(attend(params, x_BTD) - together)).max() > 0.1


def test_one_segment_changes_no_bit():
    graph, params, x_BTD = draw()
    attend = jax.jit(lambda params, x, *given: nnx.merge(graph, nnx.State(params))(x, *given)[0])
    ones = attend(params, x_BTD, None, jnp.ones((B, T), jnp.int32))
    np.testing.assert_array_equal(ones, attend(params, x_BTD))


def test_segments_and_a_cache_exclude_each_other():
    graph, params, x_BTD = draw()
    empty = jnp.zeros((B, T, H, A))
    with pytest.raises(ValueError, match="a cache does not know segments"):
        nnx.merge(graph, nnx.State(params))(x_BTD, Cache(empty, empty, jnp.int32(0)), SEGMENTS_BT)
