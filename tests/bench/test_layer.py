# SPDX-License-Identifier: Apache-2.0
"""The naive layer is the layer; the table has its rows; bytes are as counted by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sgatlin.bench import layer as bench
from sgatlin.bench.case import Shape, random_case
from sgatlin.bench.layer import (
    IMPLEMENTATIONS,
    TABLE,
    layer_functions,
    layer_rows,
    usable,
    with_gradients,
)
from sgatlin.bench.measure import Ceilings
from sgatlin.bench.traffic import Traffic
from sgatlin.errors import UserError
from sgatlin.nn.gates import Gates
from sgatlin.nn.sgatlin import SgatlinConfig, sgatlin

SHAPE = Shape(8, SgatlinConfig(n_channels=2, n_neurons=16, top_k=3, d_key=4))
FLOAT32 = jnp.dtype("float32")
# Round numbers, of which fractions are easily told.
CEILINGS = Ceilings(copy=1e9, matmul=1e12)


GROUPED = Shape(8, SgatlinConfig(n_channels=2, n_neurons=32, top_k=6, group=2, d_key=4))


@pytest.fixture(scope="module")
def case():
    return random_case(SHAPE, 37, FLOAT32, "zipf")


@pytest.mark.parametrize("routed", [True, False])
def test_the_naive_layer_is_the_layer_with_its_gradients(case, routed):
    functions = layer_functions(SHAPE, ("xla",), routed=routed)
    given = () if routed else (case.indices_TCK,)
    dy_TD = jax.random.normal(jax.random.key(1), case.x_TD.shape)
    naive, fast = (
        jax.jit(with_gradients(functions[name]))(dy_TD, case.params, case.x_TD, *given)
        for name in ("naive", "xla")
    )
    # y, and gradients of x, both tables and both of the router's matrices.
    assert len(jax.tree.leaves(naive)) == 6
    for one, other in zip(jax.tree.leaves(naive), jax.tree.leaves(fast), strict=True):
        assert np.abs(other).max() > 0
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(other).max())


def test_the_naive_layer_has_groups_too():
    grouped = random_case(GROUPED, 37, FLOAT32, "zipf")
    functions = layer_functions(GROUPED, ("xla",), routed=True)
    naive, fast = (
        jax.jit(functions[name])(grouped.params, grouped.x_TD) for name in ("naive", "xla")
    )
    np.testing.assert_allclose(naive, fast, rtol=1e-4, atol=1e-6)
    # 4 + 4 scores read, 3 groups and 3 scores written: the same as of layers without groups.
    traffic = Traffic(GROUPED.layer, d_model=8, n_tokens=10, itemsize=2)
    assert traffic.product_topk == 20 * (8 + 6) * 4
    assert traffic.rows == 2 * 960  # each neuron of a group is a row


def test_given_indices_are_used_with_the_routers_scores(case):
    own = sgatlin(case.params, case.x_TD, SHAPE.layer).gates
    gates = Gates(case.indices_TCK, own.scores)
    expected = sgatlin(case.params, case.x_TD, SHAPE.layer, gates=gates).y
    given = layer_functions(SHAPE, ("xla",), routed=False)["xla"]
    np.testing.assert_allclose(given(case.params, case.x_TD, case.indices_TCK), expected, rtol=1e-5)
    assert not np.array_equal(own.indices, case.indices_TCK)


def test_bytes_are_those_of_the_rows():
    # 10 tokens with 2 channels of 3 rows of 8 bf16 numbers: 10 * 6 * 16 bytes.
    traffic = Traffic(SHAPE.layer, d_model=8, n_tokens=10, itemsize=2)
    assert traffic.rows == 960
    assert traffic.forward == 2 * 960  # rows of w_in and of w_out
    # 32 rows of a table; its gradient is bf16 as it is, and fp32 where it is summed.
    assert traffic.table == 32 * 16
    assert traffic.scatter_outer == 960 + 32 * 32
    # Again rows of both for dz and dx, x and dy for the tables' gradients, which are written.
    assert traffic.forward_backward == 2 * 960 + 2 * 960 + 2 * 960 + 2 * 512
    # 4 + 4 scores read, 3 indices and 3 scores written, of four bytes, for 20 channels of tokens.
    assert traffic.product_topk == 20 * (8 + 6) * 4
    wide = Traffic(SHAPE.layer, d_model=8, n_tokens=10, itemsize=4)
    assert wide.scatter_outer == 2 * 960 + 32 * 32


def test_a_row_for_each_thing_timed(case):
    rows = list(layer_rows(case, ("xla",), CEILINGS, repeats=1))
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(row["group"], []).append(row["name"])
    assert groups == {
        "layer: forward": ["naive", "xla", "swiglu"],
        "layer: forward and backward": ["naive", "xla", "swiglu"],
        "layer, given indices: forward": ["naive", "xla"],
        "layer, given indices: forward and backward": ["naive", "xla"],
        "gather_dot": ["naive", "xla"],
        "gather_sum": ["naive", "xla"],
        "scatter_outer": ["naive", "xla"],
        "product_topk": ["naive", "xla"],
        "router: forward": ["naive", "xla"],
    }
    assert not any("error" in row for row in rows)
    for row in rows:
        naive = next(r for r in rows if (r["group"], r["name"]) == (row["group"], "naive"))
        assert row["speed_up"] == pytest.approx(naive["ms"] / row["ms"])
        assert row["tokens_per_second"] == pytest.approx(37 / (1e-3 * row["ms"]))
        if row["bytes"] is not None:
            rate = row["bytes"] / (1e-3 * row["ms"])
            assert row["bytes_per_second"] == pytest.approx(rate)
            assert row["of_copy"] == pytest.approx(rate / 1e9)
    xla = rows[1]
    assert xla["bytes"] == 2 * 37 * 6 * 8 * 4
    assert xla["flops"] == 37 * SHAPE.layer.forward_flops(8)
    assert TABLE.line(xla).split()[0] == "xla"


def test_a_routers_own_choice_is_timed_once(case):
    recorded = case._replace(chosen=True)
    groups = {timed.group for timed in bench.layer_timings(recorded, ("xla",))}
    assert groups == {"layer: forward", "layer: forward and backward"}


def test_one_that_fails_says_why_in_its_row(case, monkeypatch):
    def fail(*_, **__):
        raise UserError("out of paper")

    monkeypatch.setattr(bench, "gather_dot", fail)
    rows = list(layer_rows(case, ("xla",), CEILINGS, repeats=1))
    failed = {(row["group"], row["name"]): row["error"] for row in rows if "error" in row}
    assert failed == {
        ("gather_dot", "naive"): "out of paper",
        ("gather_dot", "xla"): "out of paper",
    }
    assert TABLE.line({"name": "xla", "error": "out of paper"}).split(maxsplit=1) == [
        "xla",
        "out of paper",
    ]


def test_what_cannot_be_used_here_is_known_before():
    reasons = usable(SHAPE, FLOAT32)
    assert set(reasons) == set(IMPLEMENTATIONS)
    assert reasons["xla"] is None
    assert "no GPU" in str(reasons["triton"])
    config = dataclasses.replace(SHAPE.layer, implementation="triton")
    x_TD = jnp.ones((2, 8))
    with pytest.raises(UserError, match="no GPU"):
        bench._route("triton", config, {}, x_TD)
