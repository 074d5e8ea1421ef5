# SPDX-License-Identifier: Apache-2.0
"""The three primitives equal brute force with plain autodiff, however they are computed.

T tokens, P rows chosen by each, R rows of the table, D width.
"""

import re
from functools import partial

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from sgatlin.errors import UserError
from sgatlin.ops import neurons
from sgatlin.ops.neurons import reference, xla

R, D = 6, 5
UNUSED_ROW = 3
IMPLEMENTATIONS = ("reference", "xla", "dense")
OPERANDS = {
    "gather_dot": ("x", "table"),
    "gather_sum": ("a", "table"),
    "scatter_outer": ("a", "x"),
}


def draw(n_tokens: int, n_picks: int, seed: int = 0) -> dict[str, jax.Array]:
    """Operands by name; no token chooses UNUSED_ROW, the first chooses one row all the time."""
    rng = np.random.default_rng(seed)
    shapes = {"a": (n_tokens, n_picks), "x": (n_tokens, D), "table": (R, D)}
    arrays = {name: jnp.float32(rng.normal(size=shape)) for name, shape in shapes.items()}
    used = [row for row in range(R) if row != UNUSED_ROW]
    indices = rng.choice(used, size=(n_tokens, n_picks))
    indices[0] = 1
    return arrays | {"indices": jnp.asarray(indices)}


def primitive(name: str, module, indices_TP, **options):
    """The primitive as a function of its two operands that have gradients."""
    fn = getattr(module, name)
    if name == "scatter_outer":
        return lambda a, x: fn(a, indices_TP, x, R, **options)
    return lambda first, table: fn(first, indices_TP, table, **options)


def orders(module, drawn, direction, **options):
    """Of each primitive: its value, a loss's gradients, and gradients of a slope of that loss."""
    results = {}
    for name, operands in OPERANDS.items():
        fn = primitive(name, module, drawn["indices"], **options)

        def loss(*at, fn=fn):
            return jnp.sum(jnp.sin(fn(*at)))

        def slope(*at, loss=loss, along=tuple(direction[operand] for operand in operands)):
            return sum(map(jnp.vdot, jax.grad(loss, (0, 1))(*at), along))

        at = [drawn[operand] for operand in operands]
        results[name] = {
            "value": fn(*at),
            "gradients": jax.grad(loss, (0, 1))(*at),
            "second-order gradients": jax.grad(slope, (0, 1))(*at),
        }
    return results


def relative_error(ours, expected) -> float:
    ours, expected = np.asarray(ours, np.float64), np.asarray(expected, np.float64)
    assert ours.shape == expected.shape
    return float(np.linalg.norm(ours - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize(
    ("implementation", "n_tokens", "n_picks", "chunk_elements", "n_chunks"),
    [
        ("xla", 13, 4, 5 * 4 * D, 3),  # 5 tokens each: the last chunk is padded
        ("xla", 1, 3, 2**18, 1),
        ("xla", 4, 1, D // 2, 4),  # a chunk too small for a token takes one
        ("reference", 13, 4, None, None),  # as it is called, with gradients written by hand
        ("dense", 13, 4, None, None),
    ],
)
def test_values_and_gradients_equal_plain_autodiff(
    monkeypatch, implementation, n_tokens, n_picks, chunk_elements, n_chunks
):
    monkeypatch.setitem(xla.CHUNK_ELEMENTS, "cpu", chunk_elements)
    drawn, direction = draw(n_tokens, n_picks), draw(n_tokens, n_picks, seed=1)
    ours = jax.jit(partial(orders, neurons, implementation=implementation))
    program = ours.trace(drawn, direction)
    if n_chunks is not None:
        assert set(re.findall(r"length=(\d+)", str(program.jaxpr))) == {str(n_chunks)}

    def check(path, ours, expected):
        assert relative_error(ours, expected) < 1e-5, jax.tree_util.keystr(path)

    expected = jax.jit(partial(orders, reference))(drawn, direction)
    jax.tree.map_with_path(check, program.lower().compile()(drawn, direction), expected)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_row_that_nobody_chose_has_no_gradient_at_all(implementation):
    drawn = draw(13, 4)
    for name in ("gather_dot", "gather_sum"):
        fn = primitive(name, neurons, drawn["indices"], implementation=implementation)
        first, table = (drawn[operand] for operand in OPERANDS[name])
        gradient_RD = jax.jit(jax.grad(lambda t, fn=fn, f=first: fn(f, t).sum()))(table)
        used = np.any(gradient_RD, axis=1).tolist()
        assert used == [row != UNUSED_ROW for row in range(R)]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_bf16_tables_stay_within_half_a_percent_of_fp32(implementation):
    drawn = draw(64, 8)
    narrow = drawn | {name: drawn[name].astype(jnp.bfloat16) for name in ("x", "table")}

    @partial(jax.jit, static_argnums=0, static_argnames="implementation")
    def values_and_gradients(module, drawn, **options):
        results = {}
        for name, operands in OPERANDS.items():
            fn = primitive(name, module, drawn["indices"], **options)
            value, pull_back = jax.vjp(fn, *(drawn[operand] for operand in operands))
            results[name] = {"value": value, "gradients": pull_back(value)}
        return results

    ours = values_and_gradients(neurons, narrow, implementation=implementation)
    expected = values_and_gradients(reference, drawn)

    def check(path, ours, expected):
        assert relative_error(ours, expected) < 5e-3, jax.tree_util.keystr(path)

    jax.tree.map_with_path(check, ours, expected)
    for name, operands in OPERANDS.items():
        assert ours[name]["value"].dtype == jnp.float32
        assert [g.dtype for g in ours[name]["gradients"]] == [narrow[o].dtype for o in operands]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_bf16_is_summed_in_fp32(implementation):
    # In bf16, 256 + 1 is 256.
    many = 600
    ones, zeros = partial(jnp.ones, dtype=jnp.bfloat16), partial(jnp.zeros, dtype=int)

    @jax.jit
    def sums():
        given = {"implementation": implementation}
        return (
            neurons.gather_dot(ones((1, many)), zeros((1, 1)), ones((1, many)), **given),
            neurons.gather_sum(ones((1, many)), zeros((1, many)), ones((1, 1)), **given),
            neurons.scatter_outer(ones((many, 1)), zeros((many, 1)), ones((many, 1)), 1, **given),
        )

    assert [total.item() for total in sums()] == [many, many, many]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_indices_outside_the_table_are_clamped(implementation):
    drawn = draw(2, 3)

    @jax.jit
    def values(indices_TP):
        return {
            name: primitive(name, neurons, indices_TP, implementation=implementation)(
                *(drawn[operand] for operand in operands)
            )
            for name, operands in OPERANDS.items()
        }

    outside = values(jnp.array([[-1, 2, R], [R + 7, -9, 0]]))
    inside = values(jnp.array([[0, 2, R - 1], [R - 1, 0, 0]]))
    jax.tree.map(np.testing.assert_array_equal, outside, inside)


@pytest.mark.parametrize("name", OPERANDS)
def test_an_unknown_implementation_is_named(monkeypatch, name):
    # As for those who do not check types at run time.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    drawn = draw(2, 3)
    fn = primitive(name, neurons, drawn["indices"], implementation="fast")
    with pytest.raises(UserError, match="implementation='fast' is not one of reference, xla"):
        fn(*(drawn[operand] for operand in OPERANDS[name]))
