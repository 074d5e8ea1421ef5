# SPDX-License-Identifier: Apache-2.0
"""The whole training step lowers for a TPU, from a machine without one."""

import dataclasses

import jax
import pytest
from jax import export

from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.transformer import init_params
from sgatlin.ops.platform import traced_for
from sgatlin.train.step import abstract_inputs, abstract_state, make_train_step


@pytest.mark.parametrize("implementation", ["xla", "dense"])
def test_a_step_lowers_for_a_tpu(toy, implementation):
    layer = SgatlinConfig(
        n_channels=2, n_neurons=64, top_k=3, d_key=16, implementation=implementation
    )
    model = dataclasses.replace(toy.model, feed_forward=layer, dtype="bfloat16", remat="dots")
    config = dataclasses.replace(toy, model=model)
    step = jax.jit(make_train_step(config), donate_argnums=0)
    exported = export.export(step, platforms=["tpu"])(
        abstract_state(config), abstract_inputs(config)
    )
    assert exported.platforms == ("tpu",)
    program = exported.mlir_module()
    assert "bf16" in program
    # Matmuls with the whole pool are what tells one from the other.
    pool = f"tensor<{layer.n_channels * layer.n_neurons}x{model.d_model}xbf16>"
    products = [line for line in program.splitlines() if "dot_general" in line and pool in line]
    assert bool(products) == (implementation == "dense")


@pytest.mark.parametrize("router", ["product_dense", "product_key_value", "key_value"])
def test_a_model_of_matched_layers_can_be_made_on_a_gpu(toy, router):
    layer = SgatlinConfig(
        n_channels=2, n_neurons=64, top_k=3, d_key=16, init="matched", router=router
    )
    model = dataclasses.replace(toy.model, feed_forward=layer)
    with traced_for("gpu"):
        params = jax.eval_shape(lambda: init_params(model, 0))
    assert params["blocks"]["feed_forward"]["w_in"].shape == (2, 2, 64, 16)
