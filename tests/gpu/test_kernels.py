# SPDX-License-Identifier: Apache-2.0
"""The GPU's kernels equal the reference in fp64, values and every gradient, on many shapes.

    make test-gpu

T tokens, P rows chosen by each, R rows of the table, D width, M sub-keys of each half, K chosen,
C channels, Q width of queries.
"""

import itertools
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sgatlin.ops import neurons
from sgatlin.ops.neurons import reference
from sgatlin.ops.product_topk import product_topk, search
from sgatlin.ops.triton_call import why_not

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(why_not() is not None, reason=f"Triton cannot run: {why_not()}"),
]

SHAPES = [
    # T, P, R, D: every T with every kind of the others
    (n_tokens, *rest)
    for n_tokens, rest in itertools.product(
        (1, 3, 129, 4097),
        [(1, 7, 8), (3, 100, 24), (16, 4096, 256), (128, 65_536, 136), (130, 65_537, 768)],
    )
    if n_tokens * rest[0] * rest[2] < 2**29
] + [
    (65_537, 8, 1024, 64),
    (65_536, 4, 300, 128),
    (500, 1024, 2000, 40),
    (2, 1024, 50, 512),
    (300, 64, 5000, 4096),
]
PATTERNS = {
    "uniform": lambda rng, shape, n_rows: rng.integers(0, n_rows, shape),
    "zipf": lambda rng, shape, n_rows: np.minimum(rng.zipf(1.3, shape), n_rows) - 1,
    "one row": lambda rng, shape, n_rows: np.full(shape, n_rows // 2),
    "two rows": lambda rng, shape, n_rows: rng.choice([0, n_rows - 1], shape),
}


def relative_error(ours, expected) -> float:
    ours, expected = (jnp.asarray(x, jnp.float32) for x in (ours, expected))
    assert ours.shape == expected.shape
    return float(jnp.linalg.norm(ours - expected) / jnp.linalg.norm(expected))


def results(module, given, x, a, table, indices):
    """Values and gradients of all three, compiled as one program."""
    n_rows = len(table)
    dot = partial(module.gather_dot, **given)
    total = partial(module.gather_sum, **given)
    scatter = partial(module.scatter_outer, **given)
    z, pull_z = jax.vjp(lambda x, table: dot(x, indices, table), x, table)
    y, pull_y = jax.vjp(lambda a, table: total(a, indices, table), a, table)
    g, pull_g = jax.vjp(lambda a, x: scatter(a, indices, x, n_rows), a, x)
    return {
        "dot": (z, pull_z(a)),
        "sum": (y, pull_y(x.astype(y.dtype))),
        "scatter": (g, pull_g(table.astype(g.dtype))),
    }


ours_of = jax.jit(partial(results, neurons, {"implementation": "triton"}))
expected_of = jax.jit(partial(results, reference, {}))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients_equal_the_reference(shape, dtype):
    n_tokens, n_picks, n_rows, width = shape
    for number, (name, draw) in enumerate(PATTERNS.items()):
        rng = np.random.default_rng(number)
        x = jnp.asarray(rng.standard_normal((n_tokens, width), np.float32), dtype)
        a = jnp.asarray(rng.standard_normal((n_tokens, n_picks), np.float32))
        table = jnp.asarray(rng.standard_normal((n_rows, width), np.float32), dtype)
        indices = jnp.asarray(draw(rng, (n_tokens, n_picks), n_rows), jnp.int32)
        ours = ours_of(x, a, table, indices)
        # In fp64: fp32 sums of half a million terms, one after another, are not good to 1e-5.
        with jax.enable_x64(True):
            wide = [array.astype(jnp.float64) for array in (x, a, table)]
            expected = jax.tree.map(
                lambda leaf: leaf.astype(jnp.float32), expected_of(*wide, indices)
            )
        bound = 1e-5 if dtype == "float32" else 5e-3
        for (path, o), e in zip(
            jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(expected), strict=True
        ):
            assert relative_error(o, e) < bound, (name, jax.tree_util.keystr(path))
        unused = np.setdiff1d(np.arange(n_rows), np.asarray(indices))
        for key in ("dot", "sum"):
            assert not np.any(np.asarray(ours[key][1][1], np.float32)[unused])


def test_the_same_bits_every_time():
    rng = np.random.default_rng(0)
    x, a = jnp.float32(rng.normal(size=(4096, 256))), jnp.float32(rng.normal(size=(4096, 64)))
    table = jnp.float32(rng.normal(size=(1024, 256)))
    indices = jnp.asarray(PATTERNS["zipf"](rng, (4096, 64), 1024), jnp.int32)
    first = ours_of(x, a, table, indices)
    for _ in range(5):
        jax.tree.map(np.testing.assert_array_equal, ours_of(x, a, table, indices), first)


def test_both_tables_gradients_share_one_sort():
    x, a = jnp.ones((4096, 64)), jnp.ones((4096, 16))
    table, indices = jnp.ones((1024, 64)), jnp.zeros((4096, 16), jnp.int32)

    def layer(w_in, w_out):
        z = neurons.gather_dot(x, indices, w_in, implementation="triton")
        return jnp.sum(neurons.gather_sum(z * a, indices, w_out, implementation="triton") ** 2)

    text = jax.jit(jax.grad(layer, (0, 1))).lower(table, table).compile().as_text()
    assert len(re.findall(r'custom_call_target="[^"]*sort', text)) == 1


@pytest.mark.parametrize(
    ("n_subkeys", "top_k"), [(4, 4), (16, 8), (32, 8), (64, 8), (88, 8), (130, 16), (256, 3)]
)
@pytest.mark.parametrize("ties", [False, True])
def test_product_topk_equals_xlas(n_subkeys, top_k, ties):
    rng = np.random.default_rng(0)
    shape = (2, 501, 3, n_subkeys)
    draws = rng.integers(-2, 3, size=shape) if ties else rng.normal(size=shape)
    halves, weights = jnp.float32(draws), jnp.float32(rng.normal(size=(501, 3, top_k)))

    @partial(jax.jit, static_argnums=0)
    def found(implementation, halves):
        def scores(halves):
            indices, scores = product_topk(*halves, top_k, implementation=implementation)
            return scores, indices

        scores, pull, indices = jax.vjp(scores, halves, has_aux=True)
        return indices, scores, pull(weights)[0]

    for ours, expected in zip(found("triton", halves), found("xla", halves), strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(
    ("n_tokens", "width", "n_channels", "n_subkeys", "top_k"),
    [
        (1, 16, 1, 5, 3),
        (777, 128, 8, 32, 8),
        (300, 128, 16, 64, 8),
        (257, 100, 2, 88, 8),
        (64, 64, 1, 200, 4),
    ],
)
def test_search_equals_the_search_of_stored_scores(
    n_tokens, width, n_channels, n_subkeys, top_k, dtype
):
    # Small integers: sums of products are exact in any order.
    rng = np.random.default_rng(0)
    query = jnp.asarray(rng.integers(-8, 9, size=(n_tokens, width)), dtype)
    key = jnp.asarray(rng.integers(-8, 9, size=(width, 2 * n_channels * n_subkeys)), dtype)
    weights = jnp.float32(rng.integers(-8, 9, size=(n_tokens, n_channels, top_k)))

    @partial(jax.jit, static_argnums=0)
    def found(implementation, query, key):
        def scores(query, key):
            out = search(query, key, n_channels, top_k, implementation=implementation)
            return out[1], out[0]

        scores, pull, indices = jax.vjp(scores, query, key, has_aux=True)
        return indices, scores, *pull(weights)

    ours, expected = found("triton", query, key), found("xla", query, key)
    np.testing.assert_array_equal(ours[0], expected[0])
    np.testing.assert_array_equal(ours[1], expected[1])
    for o, e in zip(ours[2:], expected[2:], strict=True):
        assert relative_error(o, e) < 5e-3


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_stay_in_the_pool(value):
    rng = np.random.default_rng(0)
    special = np.where(rng.random((2, 400, 32)) < 0.7, value, rng.normal(size=(2, 400, 32)))
    special[0, 1], special[:, 2] = value, value
    indices, _ = product_topk(*jnp.float32(special), 8, implementation="triton")
    assert 0 <= np.min(indices) <= np.max(indices) < 1024
    query = jnp.where(jnp.arange(99)[:, None] % 2, value, jnp.ones((99, 64))).astype(jnp.bfloat16)
    indices, _ = search(query, jnp.ones((64, 128), jnp.bfloat16), 2, 8, implementation="triton")
    assert 0 <= np.min(indices) <= np.max(indices) < 1024
