# SPDX-License-Identifier: Apache-2.0
"""Large weights are cast once a step, before the layers, and no copy of them is stored."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.extend.core import ClosedJaxpr, Jaxpr

from sgatlin.nn import transformer
from sgatlin.nn.mlp import MlpConfig
from sgatlin.nn.moe import MoeConfig
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.transformer import abstract_model, bind
from tests.nn.test_transformer import QUICK, draw, equal, with_feed_forward


def gradient_scans(config):
    """Of the loops over layers, forward and backward: the equation and all that is in its body."""
    params, tokens_BT = draw(config)

    def loss(params):
        return bind(config, params)(jnp.asarray(tokens_BT)).logits.sum()

    def within(jaxpr):
        for equation in jaxpr.eqns:
            yield equation
            for parameter in equation.params.values():
                if isinstance(parameter, ClosedJaxpr | Jaxpr):
                    yield from within(getattr(parameter, "jaxpr", parameter))

    program = jax.make_jaxpr(jax.grad(loss))(params).jaxpr
    for equation in program.eqns:
        if equation.primitive.name == "scan" and equation.params["length"] == config.n_layers:
            yield equation, list(within(equation.params["jaxpr"].jaxpr))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize(
    "feed_forward",
    [
        SgatlinConfig(n_channels=2, n_neurons=49, top_k=2, d_key=4, implementation="xla"),
        MoeConfig(n_experts=7, top_k=1, d_hidden=10, implementation="reference"),
        MlpConfig(d_hidden=91),
    ],
    ids=lambda feed_forward: feed_forward.kind,
)
def test_large_weights_are_cast_before_the_layers_and_not_stored_by_them(feed_forward, dtype):
    config = dataclasses.replace(with_feed_forward(feed_forward), n_layers=5, dtype=dtype)
    tables = nnx.to_pure_dict(nnx.state(abstract_model(config)))["blocks"]["feed_forward"]
    sizes = {tables[name].size // 5 for name in ("w_in", "w_out")}  # nothing else is so large
    (onward, body), _ = gradient_scans(config)

    def large(variables) -> list[jnp.dtype]:
        """Types of those that are as large as a table, or as one of each layer."""
        return [var.aval.dtype for var in variables if {var.aval.size, var.aval.size / 5} & sizes]

    # Each layer's slice of what is scanned over.
    read = onward.params["jaxpr"].jaxpr.invars
    assert large(read) == [jnp.dtype(dtype)] * 2
    casts = [eqn for eqn in body if eqn.primitive.name == "convert_element_type"]
    assert not large(var for eqn in casts for var in eqn.invars)
    stacked = onward.outvars[onward.params["num_carry"] :]
    assert stacked
    assert not large(stacked)


@pytest.mark.parametrize(
    "feed_forward",
    [
        SgatlinConfig(n_channels=2, n_neurons=9, top_k=2, d_key=4, query_norm=True),
        MoeConfig(n_experts=4, top_k=2, d_hidden=6, implementation="reference"),
    ],
    ids=lambda feed_forward: feed_forward.kind,
)
def test_to_cast_early_changes_no_number(monkeypatch, feed_forward):
    """As each layer casts what it needs: a mixture's router, for one, is fp32."""
    config = dataclasses.replace(with_feed_forward(feed_forward), dtype="bfloat16")
    params, tokens_BT = draw(config)

    def compiled():
        def loss(params):
            output = bind(config, params)(jnp.asarray(tokens_BT), return_gates=True)
            return jnp.sum(output.logits**2), output

        program = jax.jit(jax.value_and_grad(loss, has_aux=True), compiler_options=QUICK)
        return jax.tree.map(np.asarray, program(params))

    early = compiled()
    monkeypatch.setattr(transformer, "narrowed", lambda state, dtype: state)
    assert equal(early, compiled())
