# SPDX-License-Identifier: Apache-2.0
"""The Triton kernels, by Triton's interpreter: values and gradients equal the reference.

tests/gpu runs the same kernels on a GPU, over many more shapes. T tokens, P rows chosen by each,
R rows of the table, D width, M sub-keys of each half, K chosen, C channels, Q width of queries.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sgatlin.nn.sgatlin import Sgatlin, SgatlinConfig, sgatlin
from sgatlin.ops import neurons
from sgatlin.ops.neurons import reference
from sgatlin.ops.product_topk import product_topk, search
from tests.ops.interpreter import interpreted  # noqa: F401 (a fixture)

pytestmark = pytest.mark.usefixtures("interpreted")


def relative_error(ours, expected) -> float:
    ours, expected = np.asarray(ours, np.float64), np.asarray(expected, np.float64)
    assert ours.shape == expected.shape
    return float(np.linalg.norm(ours - expected) / np.linalg.norm(expected))


def operands(n_tokens, n_picks, n_rows, width, dtype, *, used=None, seed=0):
    """x, a, table and indices; of `used` rows only, all by default."""
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.normal(size=(n_tokens, width)), dtype)
    a = jnp.float32(rng.normal(size=(n_tokens, n_picks)))
    table = jnp.asarray(rng.normal(size=(n_rows, width)), dtype)
    indices = jnp.asarray(rng.choice(used or n_rows, size=(n_tokens, n_picks)))
    return x, a, table, indices


SHAPES = [
    # T, P, R, D, rows that are used; what it is there for
    (5, 7, 6, 8, None),  # less of everything than a block
    (3, 20, 50, 136, None),  # two pieces of the columns, the last of 8; two blocks of rows
    (1, 64, 2**16 + 9, 8, None),  # keys of 32 bits, and nearly all rows unused
    (9, 32, 3, 8, [1]),  # one row chosen by all, over five blocks of pairs
    (33, 16, 9, 40, [0, 8]),  # the first row and the last
]


@pytest.mark.parametrize(
    ("n_tokens", "n_picks", "n_rows", "width", "used", "dtype"),
    # Shapes and types are apart: a GPU's tests have both.
    [*((*shape, "float32") for shape in SHAPES), (*SHAPES[0], "bfloat16")],
)
def test_values_and_gradients_equal_the_reference(n_tokens, n_picks, n_rows, width, used, dtype):
    x, a, table, indices = operands(n_tokens, n_picks, n_rows, width, dtype, used=used)

    def results(gather_dot, gather_sum, x, a, table):
        z, pull_z = jax.vjp(lambda x, table: gather_dot(x, indices, table), x, table)
        y, pull_y = jax.vjp(lambda a, table: gather_sum(a, indices, table), a, table)
        return z, pull_z(a), y, pull_y(x.astype(y.dtype))

    by_triton = (
        partial(getattr(neurons, name), implementation="triton")
        for name in ("gather_dot", "gather_sum")
    )
    ours = results(*by_triton, x, a, table)
    wide = [array.astype(jnp.float32) for array in (x, a, table)]
    expected = results(reference.gather_dot, reference.gather_sum, *wide)
    bound = 1e-5 if dtype == "float32" else 5e-3
    errors = jax.tree.leaves(jax.tree.map(relative_error, ours, expected))
    assert max(errors) < bound
    unused = np.setdiff1d(np.arange(n_rows), np.asarray(indices))
    for gradients in (ours[1], ours[3]):
        assert not np.any(np.asarray(gradients[1], np.float32)[unused])
        assert gradients[1].dtype == table.dtype


def test_scatter_outer_alone_and_its_gradient():
    x, a, _, indices = operands(6, 5, 7, 24, "float32")

    def loss(scatter, a, x):
        return jnp.sum(jnp.sin(scatter(a, indices, x, 7)))

    by_triton = partial(neurons.scatter_outer, implementation="triton")
    ours = jax.grad(partial(loss, by_triton), (0, 1))(a, x)
    expected = jax.grad(partial(loss, reference.scatter_outer), (0, 1))(a, x)
    assert max(map(relative_error, ours, expected)) < 1e-5


def test_of_nothing_comes_nothing():
    x, a, table, indices = operands(0, 5, 7, 24, "float32")
    assert neurons.gather_dot(x, indices, table, implementation="triton").shape == (0, 5)
    assert neurons.gather_sum(a, indices, table, implementation="triton").shape == (0, 24)
    g = neurons.scatter_outer(a, indices, x, 7, implementation="triton")
    assert g.shape == (7, 24)
    assert not np.any(g)


def test_indices_outside_the_table_are_clamped():
    x, a, table, _ = operands(2, 3, 6, 8, "float32")
    outside, inside = jnp.array([[-1, 2, 6], [13, -9, 0]]), jnp.array([[0, 2, 5], [5, 0, 0]])
    for fn, first in ((neurons.gather_dot, x), (neurons.gather_sum, a)):
        found = fn(first, outside, table, implementation="triton")
        np.testing.assert_array_equal(found, fn(first, inside, table, implementation="triton"))


@pytest.mark.parametrize(("n_subkeys", "top_k"), [(5, 1), (5, 5), (16, 3), (33, 8)])
@pytest.mark.parametrize("ties", [False, True])
def test_product_topk_equals_xlas(n_subkeys, top_k, ties):
    rng = np.random.default_rng(0)
    shape = (2, 3, 7, n_subkeys)
    draws = rng.integers(-2, 3, size=shape) if ties else rng.normal(size=shape)
    halves = jnp.float32(draws)
    weights = jnp.float32(rng.normal(size=(3, 7, top_k)))

    def results(implementation):
        def scores(halves):
            indices, scores = product_topk(*halves, top_k, implementation=implementation)
            return scores, indices

        scores, pull, indices = jax.vjp(scores, halves, has_aux=True)
        return indices, scores, pull(weights)[0]

    for ours, expected in zip(results("triton"), results("xla"), strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_stay_in_the_pool(value):
    rng = np.random.default_rng(0)
    special = np.where(rng.random((2, 40, 9)) < 0.7, value, rng.normal(size=(2, 40, 9)))
    special[0, 1], special[:, 2] = value, value
    indices, _ = product_topk(*jnp.float32(special), 4, implementation="triton")
    assert 0 <= np.min(indices) <= np.max(indices) < 81
    query = jnp.full((3, 16), value, jnp.float16)
    indices, _ = search(query, jnp.ones((16, 36), jnp.float16), 2, 4, implementation="triton")
    assert 0 <= np.min(indices) <= np.max(indices) < 81


@pytest.mark.parametrize(("n_tokens", "width", "n_subkeys"), [(1, 24, 5), (130, 16, 17)])
def test_search_equals_the_search_of_stored_scores(n_tokens, width, n_subkeys):
    # Small integers: sums of products are exact in any order (of bf16 the interpreter has none).
    rng = np.random.default_rng(0)
    n_channels, top_k = 2, 4
    query = jnp.float16(rng.integers(-8, 9, size=(n_tokens, width)))
    key = jnp.float16(rng.integers(-8, 9, size=(width, 2 * n_channels * n_subkeys)))
    weights = jnp.float32(rng.integers(-8, 9, size=(n_tokens, n_channels, top_k)))

    def results(implementation):
        def scores(query, key):
            found = search(query, key, n_channels, top_k, implementation=implementation)
            return found[1], found[0]

        scores, pull, indices = jax.vjp(scores, query, key, has_aux=True)
        return indices, scores, *pull(weights)

    for ours, expected in zip(results("triton"), results("xla"), strict=True):
        np.testing.assert_array_equal(np.float32(ours), np.float32(expected))
        assert ours.dtype == expected.dtype


def test_the_layer_equals_itself_by_xla():
    config = SgatlinConfig(n_channels=2, n_neurons=25, top_k=3, d_key=16)
    params = nnx.to_pure_dict(nnx.state(Sgatlin(16, config, rngs=nnx.Rngs(0))))
    x = jax.random.normal(jax.random.key(1), (2, 3, 16))

    def loss(params, x, implementation):
        chosen = dataclasses.replace(config, implementation=implementation)
        y, gates, _ = sgatlin(params, x, chosen)
        return jnp.sum(jnp.sin(y)), gates

    step = jax.grad(loss, (0, 1), has_aux=True)
    ours, expected = (step(params, x, name) for name in ("triton", "xla"))
    np.testing.assert_array_equal(ours[1].indices, expected[1].indices)
    jax.tree.map(
        lambda o, e: np.testing.assert_allclose(o, e, rtol=1e-4, atol=1e-5), ours, expected
    )
