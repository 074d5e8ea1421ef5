# SPDX-License-Identifier: Apache-2.0
"""Grouped matmuls equal brute force with plain autodiff, however they are computed.

R rows sorted by group, E groups, D and F widths, T tokens with K groups each.
"""

import sys
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from sgatlin.errors import UserError
from sgatlin.ops import grouped
from sgatlin.ops.grouped import blocks, loop, reference, rows

E, D, F = 4, 5, 3
# In blocks of 4 rows.
SIZES = [
    (3, 4, 1, 5),
    (0, 6, 0, 7),
    (13, 0, 0, 0),
    (0, 0, 0, 13),
    (1, 4, 8, 0),
]
IMPLEMENTATIONS = ("loop", "blocks", "ragged_dot", "tokamax", "reference")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    for module in (loop, blocks):
        monkeypatch.setattr(module, "BLOCK_ROWS", 4)
    # It runs on GPUs only, and has the interface of JAX's own.
    pretended = SimpleNamespace(
        ragged_dot=jax.lax.ragged_dot, ragged_dot_general=jax.lax.ragged_dot_general
    )
    monkeypatch.setitem(sys.modules, "tokamax", pretended)


def draw(n_rows: int, seed: int = 0) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    shapes = {"x": (n_rows, D), "w": (E, D, F), "y": (n_rows, F)}
    return {name: jnp.float32(rng.normal(size=shape)) for name, shape in shapes.items()}


def orders(matmul, outer, drawn, along, sizes_E):
    """Of both operations: the value, a loss's gradients, and gradients of a slope of that loss."""
    results = {}
    for name, fn, operands in (("matmul", matmul, "xw"), ("outer", outer, "xy")):

        def loss(*at, fn=fn):
            value = fn(*at, sizes_E)
            return jnp.sum(jnp.sin(value)), value

        def slope(*at, loss=loss, operands=operands):
            gradients, value = jax.grad(loss, (0, 1), has_aux=True)(*at)
            towards = [along[operand] for operand in operands]
            return sum(map(jnp.vdot, gradients, towards)), (gradients, value)

        at = [drawn[operand] for operand in operands]
        results[name] = jax.grad(slope, (0, 1), has_aux=True)(*at)
    return results


def assert_close(ours, expected, tolerance: float = 1e-5) -> None:
    def check(path, ours, expected):
        ours, expected = np.float64(ours), np.float64(expected)
        assert ours.shape == expected.shape
        error = np.linalg.norm(ours - expected) / max(np.linalg.norm(expected), 1e-9)
        assert error < tolerance, jax.tree_util.keystr(path)

    jax.tree.map_with_path(check, ours, expected)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_values_and_gradients_equal_plain_autodiff_of_brute_force(implementation):
    given = {"implementation": implementation}
    ours = jax.jit(
        partial(
            orders,
            partial(grouped.grouped_matmul, **given),
            partial(grouped.grouped_outer, **given),
        )
    )
    brute_force = jax.jit(partial(orders, reference.matmul, reference.outer))
    for sizes in SIZES:
        operands = draw(sum(sizes)), draw(sum(sizes), seed=1), jnp.array(sizes)
        assert_close(ours(*operands), brute_force(*operands))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_one_row(implementation):
    drawn, sizes = draw(1), jnp.array([0, 0, 1, 0])

    @jax.jit
    def value_and_gradients(drawn):
        matmul = partial(grouped.grouped_matmul, implementation=implementation)
        value, pull_back = jax.vjp(lambda x, w: matmul(x, w, sizes), drawn["x"], drawn["w"])
        return value, *pull_back(drawn["y"])

    x_D, y_F, w_DF = np.float64(drawn["x"][0]), np.float64(drawn["y"][0]), drawn["w"][2]
    dw_EDF = np.zeros((E, D, F))
    dw_EDF[2] = np.outer(x_D, y_F)
    expected = ((x_D @ w_DF)[None], (w_DF @ y_F)[None], dw_EDF)
    assert_close(value_and_gradients(drawn), expected)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_values_worked_out_by_hand(implementation):
    # Two groups, of two rows and of one.
    x, w = jnp.float32([[1, 2], [3, 4], [5, 6]]), jnp.float32([[[1], [10]], [[100], [1000]]])
    y, sizes = jnp.float32([[1], [2], [3]]), jnp.array([2, 1])

    @jax.jit
    def both(x, w, y):
        given = {"implementation": implementation}
        return grouped.grouped_matmul(x, w, sizes, **given), grouped.grouped_outer(
            x, y, sizes, **given
        )

    product, outer = both(x, w, y)
    # 1 + 20, 3 + 40, 500 + 6000
    assert product.tolist() == [[21], [43], [6500]]
    # 1 * (1, 2) + 2 * (3, 4), and 3 * (5, 6)
    assert outer.tolist() == [[[7], [10]], [[15], [18]]]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_an_empty_group_has_no_gradient_at_all(implementation):
    drawn, sizes = draw(13), jnp.array([0, 6, 0, 7])
    outer = jax.jit(partial(grouped.grouped_outer, implementation=implementation))
    gradient_EDF = outer(drawn["x"], drawn["y"], sizes)
    assert np.any(gradient_EDF, axis=(1, 2)).tolist() == [False, True, False, True]


@pytest.mark.parametrize("implementation", ["loop", "blocks"])
def test_a_row_that_is_not_finite_changes_no_other(implementation):
    drawn, sizes = draw(13), jnp.array([3, 4, 1, 5])
    matmul = jax.jit(partial(grouped.grouped_matmul, implementation=implementation))
    y_RF = matmul(drawn["x"].at[4].set(jnp.inf), drawn["w"], sizes)
    assert np.isfinite(y_RF).all(axis=1).tolist() == [row != 4 for row in range(13)]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_bf16_is_summed_in_fp32(implementation):
    # In bf16, 256 + 1 is 256, and 600 is a number.
    many = 600
    ones = partial(jnp.ones, dtype=jnp.bfloat16)

    @jax.jit
    def sums():
        given = {"implementation": implementation}
        one, all_of_them = jnp.array([1]), jnp.array([many])
        return (
            grouped.grouped_matmul(ones((1, many)), ones((1, many, 1)), one, **given),
            grouped.grouped_outer(ones((many, 1)), ones((many, 1)), all_of_them, **given),
        )

    product, outer = sums()
    assert (product.item(), product.dtype) == (many, jnp.bfloat16)
    assert (outer.item(), outer.dtype) == (many, jnp.float32)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_bf16_stays_within_half_a_percent_of_fp32(implementation):
    drawn, sizes = draw(64), jnp.array([10, 0, 40, 14])
    narrow = {name: array.astype(jnp.bfloat16) for name, array in drawn.items()}

    @partial(jax.jit, static_argnums=0)
    def value_and_gradients(fn, drawn):
        value, pull_back = jax.vjp(lambda x, w: fn(x, w, sizes), drawn["x"], drawn["w"])
        return value, pull_back(drawn["y"])

    ours = value_and_gradients(
        partial(grouped.grouped_matmul, implementation=implementation), narrow
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(ours)} == {jnp.dtype("bfloat16")}
    assert_close(ours, value_and_gradients(reference.matmul, drawn), 5e-3)


def test_blocks_are_few_however_uneven_the_groups():
    for sizes in SIZES:
        n_rows = sum(sizes)
        padded = blocks._blocks(jnp.array(sizes), n_rows)
        assert len(padded.group_n) <= min(n_rows, n_rows / 4 + E)
        # Each row has a slot of its own, in a block of its own group.
        group_R = np.repeat(np.arange(E), sizes)
        assert padded.used_nb.reshape(-1)[padded.slot_R].all()
        assert padded.row_nb.reshape(-1)[padded.slot_R].tolist() == list(range(n_rows))
        block = padded.row_nb.shape[1]
        assert padded.group_n[padded.slot_R // block].tolist() == group_R.tolist()
        assert int(padded.used_nb.sum()) == n_rows


def test_an_unknown_implementation_is_named(monkeypatch):
    # As for those who do not check types at run time.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    drawn = draw(2)
    with pytest.raises(ValueError, match="implementation='fast' is not one of reference, loop, "):
        grouped.grouped_matmul(
            drawn["x"], drawn["w"], jnp.array([2, 0, 0, 0]), implementation="fast"
        )


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokamax", None)
    drawn = draw(2)
    with pytest.raises(UserError, match="implementation='tokamax' needs the package tokamax"):
        grouped.grouped_matmul(
            drawn["x"], drawn["w"], jnp.array([2, 0, 0, 0]), implementation="tokamax"
        )


def test_rows_are_sorted_by_group_and_keep_their_order():
    groups_TK = jnp.array([[2, 0], [0, 2], [1, 0]])
    sorting = rows.sort_by_group(groups_TK)
    # Pairs 0 to 5 are of the groups 2 0 0 2 1 0.
    assert sorting.pair_R.tolist() == [1, 2, 5, 4, 0, 3]
    assert sorting.group_R.tolist() == [0, 0, 0, 1, 2, 2]
    assert sorting.row_TK.tolist() == [[4, 0], [1, 5], [3, 2]]


@pytest.mark.parametrize("few", [0, 4], ids=["scatter", "comparisons"])
def test_groups_are_counted(monkeypatch, few):
    monkeypatch.setattr(rows, "FEW_GROUPS", few)
    groups_TK = jnp.array([[2, 0], [0, 2], [1, 0]])
    assert rows.group_sizes(groups_TK, 4).tolist() == [3, 1, 2, 0]
    assert rows.group_sizes(groups_TK[None, :, :, None], 3).tolist() == [3, 1, 2]


def test_moving_rows_has_the_gradients_of_plain_indexing():
    rng = np.random.default_rng(0)
    groups_TK = jnp.asarray(rng.integers(E, size=(7, 2)))
    x_TD, bias_ED, weights_TK = (
        jnp.float32(rng.normal(size=size)) for size in ((7, D), (E, D), (7, 2))
    )
    sorting = rows.sort_by_group(groups_TK)

    def ours(x_TD, bias_ED, weights_TK):
        rows_RD = rows.add_group_bias(rows.spread(x_TD, sorting), bias_ED, sorting.group_R)
        return rows.combine(jnp.sin(rows_RD), weights_TK, sorting)

    def plain(x_TD, bias_ED, weights_TK):
        rows_TKD = jnp.sin(x_TD[:, None] + bias_ED[groups_TK])
        return (weights_TK[:, :, None] * rows_TKD).sum(axis=1)

    @partial(jax.jit, static_argnums=0)
    def derivatives(fn, *at):
        def slope(*at):
            gradients = jax.grad(lambda *at: jnp.sum(fn(*at) ** 2), (0, 1, 2))(*at)
            return sum(map(jnp.vdot, gradients, at)), gradients

        return fn(*at), jax.grad(slope, (0, 1, 2), has_aux=True)(*at)

    at = x_TD, bias_ED, weights_TK
    assert_close(derivatives(ours, *at), derivatives(plain, *at))
