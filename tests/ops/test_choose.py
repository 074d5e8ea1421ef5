# SPDX-License-Identifier: Apache-2.0
"""Which implementation of the neurons is taken where nobody says, and what is said of it."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import pytest

from sgatlin.errors import UserError
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.ops import gpu, triton_call
from sgatlin.ops.neurons import choose

SHAPE = {"n_rows": 4096, "n_picks": 32, "width": 64, "dtype": jnp.dtype("bfloat16")}


def pick(implementation=None, **changes):
    return choose.pick(implementation, **(SHAPE | changes))


@pytest.fixture
def nvidia(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(triton_call, "why_not", lambda: None)


def test_a_cpu_takes_xla_but_for_small_tables():
    assert pick() == "xla"
    assert pick(n_rows=8 * 32) == "dense"
    assert pick(n_rows=8 * 32 + 1) == "xla"


@pytest.mark.usefixtures("nvidia")
def test_a_gpu_takes_triton_where_it_can_but_for_the_smallest_tables():
    assert pick() == pick(n_rows=5 * 32 + 1) == "triton"
    assert pick(n_rows=5 * 32) == "dense"
    assert pick(width=60) == "xla"
    assert pick(dtype=jnp.dtype("float64")) == "xla"
    with pytest.raises(UserError, match="the width 60 is no multiple of 8; None picks what can"):
        pick("triton", width=60)


def test_a_tpu_takes_dense_for_larger_tables_than_a_cpu(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    monkeypatch.setattr(triton_call, "why_not", lambda: "the device is no GPU but a TPU")
    assert pick() == "dense"
    assert pick(n_rows=2**20) == "xla"


def test_what_is_asked_for_is_taken_or_refused():
    assert [pick(name) for name in ("reference", "xla", "dense")] == ["reference", "xla", "dense"]
    with pytest.raises(UserError, match="'triton' cannot be used: the device is no GPU but a CPU"):
        pick("triton")


def test_a_run_can_say_what_computes_its_neurons():
    layer = SgatlinConfig(n_channels=4, n_neurons=1024, top_k=8)
    assert layer.computed_by(64, jnp.dtype("float32")) == (
        "neurons by xla (the device is no GPU but a CPU): 4,096 rows of 64, 32 of them a token"
    )
    named = dataclasses.replace(layer, implementation="dense")
    assert named.computed_by(64, jnp.dtype("float32")).startswith("neurons by dense (as the config")


@pytest.mark.parametrize(
    ("version", "capability", "told"),
    [
        ("cuda 13000", "9.0", None),
        ("cuda 13000", "10.0", None),
        ("cuda 12000", "7.5", "the GPU (a GPU) is older than Ampere"),
        ("rocm 70000", "gfx942", "the GPU is not NVIDIA's (a GPU)"),
    ],
)
def test_kernels_are_for_nvidia_gpus_since_ampere(monkeypatch, version, capability, told):
    device = types.SimpleNamespace(
        compute_capability=capability,
        device_kind="a GPU",
        client=types.SimpleNamespace(platform_version=version),
    )
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [device])
    gpu._not_this_gpu.cache_clear()
    try:
        assert gpu.no_nvidia_gpu() == told
    finally:
        gpu._not_this_gpu.cache_clear()
