# SPDX-License-Identifier: Apache-2.0
"""Neurons that read a projection of the layer's input: `SgatlinConfig.d_in`, alone and in groups.

T tokens, D model, D_IN width of w_in's rows, C channels, N neurons per channel, K chosen, Q router
width.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import PartitionSpec

from sgatlin.errors import UserError
from sgatlin.mesh import Sizes
from sgatlin.nn.roles import role_tree
from sgatlin.nn.routing import route
from sgatlin.nn.sgatlin import GELU_RMS, Sgatlin, SgatlinConfig, sgatlin
from sgatlin.nn.transformer import TransformerConfig, partition_specs
from sgatlin.ops.neurons import choose
from tests.nn.against import assert_same_values_and_gradients

T, D, D_IN, C, Q = 5, 6, 3, 2, 4
NARROW = SgatlinConfig(n_channels=C, n_neurons=9, top_k=2, d_key=Q, d_in=D_IN)
GROUPED = dataclasses.replace(NARROW, n_neurons=18, top_k=4, group=2)
CONFIGS = {
    "alone": NARROW,
    "in groups": GROUPED,
    "shared pool": dataclasses.replace(NARROW, shared_pool=True),
}


def draw(config: SgatlinConfig):
    """Parameters of a layer and x (T, D)."""
    rng = np.random.default_rng(0)
    layer = nnx.eval_shape(lambda: config.build(D, rngs=nnx.Rngs(0)))
    shapes = nnx.to_pure_dict(nnx.state(layer))
    params = jax.tree.map(lambda leaf: jnp.float32(rng.normal(size=leaf.shape)), shapes)
    return params, jnp.float32(rng.normal(size=(T, D)))


def brute_force(params, x_TD, config: SgatlinConfig):
    """The sum over all chosen neurons, one by one, of score * <w_in, x projected> * w_out."""
    gates = route(params["router"], x_TD, config)  # of x itself, not of its projection
    rows = []
    for t, x_D in enumerate(x_TD):
        read_I = sum(x_D[d] * params["projection"][d] for d in range(D))
        y_D = jnp.zeros(D)
        for c in range(C):
            table = 0 if config.shared_pool else c
            for k in range(config.top_k):
                n, s = gates.indices[t, c, k], gates.scores[t, c, k]
                y_D += s * (params["w_in"][table, n] @ read_I) * params["w_out"][table, n]
        rows.append(y_D)
    return jnp.stack(rows)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_equals_brute_force_in_values_and_gradients(config):
    params, x_TD = draw(config)
    assert_same_values_and_gradients(
        lambda params, x_TD: sgatlin(params, x_TD, config).y,
        lambda params, x_TD: brute_force(params, x_TD, config),
        params,
        x_TD,
    )


def test_an_identity_as_projection_is_the_layer_without_one():
    config = dataclasses.replace(GROUPED, d_in=D)
    params, x_TD = draw(config)
    params["projection"] = jnp.eye(D)
    wide = dataclasses.replace(config, d_in=None)
    expected_TD = sgatlin(params, x_TD, wide).y
    np.testing.assert_allclose(sgatlin(params, x_TD, config).y, expected_TD, rtol=1e-5, atol=1e-5)


def test_shapes_and_roles():
    layer = nnx.eval_shape(lambda: GROUPED.build(D, rngs=nnx.Rngs(0)))
    shapes = jax.tree.map(lambda leaf: leaf.shape, nnx.to_pure_dict(nnx.state(layer)))
    assert shapes["w_in"] == (C, 18, D_IN)
    assert shapes["w_out"] == (C, 18, D)
    assert shapes["projection"] == (D, D_IN)
    roles = role_tree(nnx.state(layer))
    assert (roles["projection"], roles["w_in"], roles["w_out"]) == ("Matrix", "Pool", "Pool")


def test_the_projection_is_split_over_fsdp_alone():
    layer = dataclasses.replace(NARROW, d_in=64)
    model = TransformerConfig(vocab_size=8, d_model=128, n_layers=2, feed_forward=layer)
    specs = partition_specs(model, Sizes(2, 2, 2))["blocks"]["feed_forward"]
    assert specs["projection"] == PartitionSpec(None, "fsdp", None)
    assert specs["w_in"][1] == specs["w_out"][1] == "tensor"  # one of the two channels


@pytest.mark.parametrize(
    ("init", "w_in", "w_out"),
    # The neurons are the fan-in in the paper's initialisation, else the row's width.
    [
        ("paper", 1 / math.sqrt(4096), 1 / math.sqrt(4096)),
        ("width", 1 / math.sqrt(16), 1 / math.sqrt(64)),
    ],
)
def test_initial_standard_deviations(init, w_in, w_out):
    config = SgatlinConfig(n_channels=2, n_neurons=4096, top_k=8, d_key=8, d_in=16, init=init)
    made = jax.jit(lambda key: nnx.to_pure_dict(nnx.state(Sgatlin(64, config, rngs=nnx.Rngs(key)))))
    params = made(jax.random.key(0, impl="unsafe_rbg"))
    found = {name: float(np.std(params[name])) for name in ("w_in", "w_out", "projection")}
    expected = {"w_in": w_in, "w_out": w_out, "projection": 1 / math.sqrt(64)}
    assert found == pytest.approx(expected, rel=0.05)


def test_a_matched_layer_begins_as_large_as_a_gelu_mlp():
    config = SgatlinConfig(
        n_channels=4, n_neurons=1024, top_k=8, group=4, d_key=32, d_in=32, init="matched"
    )

    @jax.jit
    def output(key):
        x_TD = jax.random.normal(key, (256, 128))
        return Sgatlin(128, config, rngs=nnx.Rngs(key))(x_TD).y

    y_TD = output(jax.random.key(0, impl="unsafe_rbg"))
    # The projection's own scale varies with its draw: by some percent at these sizes.
    assert float(np.sqrt(np.mean(np.square(y_TD)))) == pytest.approx(GELU_RMS, rel=0.15)


def test_a_width_below_one_is_refused():
    with pytest.raises(UserError, match=r"^d_in=0 must be at least 1$"):
        SgatlinConfig(d_in=0)


def test_what_computes_the_neurons_is_told_for_both_widths(monkeypatch):
    layer = SgatlinConfig(n_channels=4, n_neurons=1024, top_k=8, d_in=16)
    assert layer.computed_by(64, jnp.dtype("float32")) == (
        "neurons by xla (the device is no GPU but a CPU): 4,096 rows of 16 and of 64, 32 of them a "
        "token"
    )
    monkeypatch.setattr(choose.triton_call, "why_not", lambda: None)
    odd = dataclasses.replace(layer, d_in=12)
    assert odd.computed_by(64, jnp.dtype("float32")).startswith(
        "neurons by xla (the width 12 is no multiple of 8) and triton (an NVIDIA GPU): "
    )
