# SPDX-License-Identifier: Apache-2.0
"""Costs by operation: of a real profile on a CPU, and of profiles as a GPU and a TPU write them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest

from sgatlin.bench import trace
from sgatlin.bench.trace import Cost, costs, operations, sources, trace_lines
from sgatlin.errors import UserError


class Named(NamedTuple):
    """A plane or a line."""

    name: str
    inside: list[Any]

    @property
    def lines(self):
        return self.inside

    @property
    def events(self):
        return self.inside


class Event(NamedTuple):
    name: str
    duration_ns: float
    stats: list[tuple[str, Any]]


class Profile(NamedTuple):
    planes: list[Named]


def op(name: str, duration: float, hlo_op: str | None = None) -> Event:
    return Event(name, duration, [("hlo_op", hlo_op or name)])


def test_a_real_profile_names_operations():
    def fn(x, y):
        return jax.lax.fori_loop(0, 3, lambda _, x: jnp.tanh(x @ y), x)

    x = jax.random.normal(jax.random.key(0), (128, 128))
    compiled = jax.jit(fn).lower(x, x).compile()
    found = costs(lambda: compiled(x, x), 2, compiled.as_text())
    assert sum(cost.share for cost in found) == pytest.approx(1)
    assert all(cost.ms > 0 for cost in found)
    assert [cost.ms for cost in found] == sorted((cost.ms for cost in found), reverse=True)
    assert any("dot_general" in cost.source for cost in found)
    assert any("tanh" in cost.source for cost in found)
    assert not any(cost.name.startswith("while") for cost in found)


def test_of_a_gpu_the_streams_are_read():
    gpu = Named(
        "/device:GPU:0",
        [
            Named("Stream #7(Compute)", [op("gemm", 5, "dot.1"), op("gemm", 4, "dot.2")]),
            Named("Stream #8(Memcpy)", [Event("MemcpyD2D", 3, [])]),
            Named("XLA Modules", [op("jit_step", 100)]),
        ],
    )
    host = Named("/host:CPU", [Named("thread", [op("dot.1", 50)])])
    assert list(operations(Profile([host, gpu]))) == [
        ("gemm", "dot.1", 5),
        ("gemm", "dot.2", 4),
        ("MemcpyD2D", "MemcpyD2D", 3),
    ]


def test_of_a_tpu_its_operations_and_no_loops():
    lines = [
        Named("Steps", [op("0", 100)]),
        Named("XLA Ops", [op("while.3", 9), op("fusion.1", 4)]),
    ]
    assert list(operations(Profile([Named("/device:TPU:0", lines)]))) == [("fusion.1",) * 2 + (4,)]


def test_without_device_planes_the_hosts_operations():
    events = [Event("ThunkExecutor", 90, []), op("call.2", 8), op("dot.1", 5)]
    planes = [Named("/host:metadata", []), Named("/host:CPU", [Named("thread", events)])]
    assert list(operations(Profile(planes))) == [("dot.1", "dot.1", 5)]


def test_equal_kernels_are_added_and_named_after_the_largest():
    events = [("gemm", "dot.1", 1e6), ("gemm", "dot.2", 5e6), ("add", "fusion", 2e6)]
    ranked = trace._ranked(iter(events), 2, {"dot.1": "one", "dot.2": "two"})
    assert ranked == [Cost("gemm", 3.0, 0.75, "two"), Cost("add", 1.0, 0.25, "")]


def test_a_profile_without_operations_is_told():
    with pytest.raises(UserError, match="names no operations"):
        trace._ranked(iter([]), 2, {})


def test_sources_are_read_from_the_program():
    text = """
  %dot.1 = f32[4]{0} dot(%a, %b), metadata={op_name="jit(f)/dot_general" stack_frame_id=2}
  ROOT fusion = f32[4]{0} fusion(dot.1), kind=kLoop, metadata={op_name="jit(f)/add"}
  %copy.2 = f32[4]{0} copy(%a)
"""
    dot, add = "jit(f)/dot_general", "jit(f)/add"
    assert sources(text) == {"dot.1": dot, "dot_1": dot, "fusion": add}


def test_the_largest_are_printed_and_the_others_added():
    found = [Cost("gemm", 6.0, 0.6, "a/b/c/d/e"), Cost("x", 3.0, 0.3, ""), Cost("y", 1.0, 0.1, "")]
    _, *lines = trace_lines(found, n_lines=1)
    assert [line.split() for line in lines] == [
        ["6.000", "60.0%", "gemm", "b/c/d/e"],
        ["4.000", "40.0%", "2", "others"],
    ]
