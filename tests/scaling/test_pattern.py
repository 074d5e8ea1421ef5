# SPDX-License-Identifier: Apache-2.0
"""Costs of a model with layers of several kinds are those of its layers, added up."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from sgatlin.bench.decode import bytes_per_token
from sgatlin.bench.step import Changes, named_configs
from sgatlin.config import load_config
from sgatlin.errors import UserError
from sgatlin.mesh import Sizes
from sgatlin.nn.feed_forward import PatternConfig
from sgatlin.nn.mlp import MlpConfig, SwigluConfig
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.transformer import TransformerConfig, abstract_model, bind
from sgatlin.scaling.cost import cost
from sgatlin.scaling.flops import count_parameters, forward_flops, gathered_bytes, n_parameters
from sgatlin.scaling.xla import xla_forward_flops
from sgatlin.train.layout import layout
from tests.scaling.test_flops import D, T, V, product_flops, sgatlin

SWIGLU, SGATLIN = SwigluConfig(d_hidden=33), sgatlin("product_dense")
MODEL = TransformerConfig(
    vocab_size=V,
    d_model=D,
    n_layers=6,
    d_head=4,
    feed_forward=PatternConfig(layers=(SGATLIN, SWIGLU, SGATLIN)),
)


def of_kind(layer) -> TransformerConfig:
    return dataclasses.replace(MODEL, feed_forward=layer)


def mean_of_kinds(number) -> float:
    """Of models of one kind each, as many of each as the pattern has layers of it."""
    return (2 * number(of_kind(SGATLIN)) + number(of_kind(SWIGLU))) / 3


def test_forward_flops_are_those_of_the_program():
    params = nnx.to_pure_dict(nnx.state(abstract_model(MODEL)))
    tokens_BT = jax.ShapeDtypeStruct((1, T), jnp.int32)
    program = jax.make_jaxpr(lambda params, tokens: bind(MODEL, params)(tokens).logits)
    counted = product_flops(program(params, tokens_BT).jaxpr)
    assert forward_flops(MODEL, seq_len=T).full * T == counted


@pytest.mark.parametrize("convention", ["paper", "full", "causal"])
def test_flops_are_the_mean_of_the_kinds(convention):
    def flops(model) -> int:
        return getattr(forward_flops(model, T), convention)

    assert flops(MODEL) == mean_of_kinds(flops)


@pytest.mark.parametrize("number", ["total", "active", "non_embedding"])
def test_parameters_are_the_mean_of_the_kinds(number):
    def parameters(model) -> int:
        return getattr(count_parameters(model), number)

    assert parameters(MODEL) == mean_of_kinds(parameters)
    leaves = jax.tree.leaves(nnx.to_pure_dict(nnx.state(abstract_model(MODEL))))
    assert n_parameters(MODEL) == sum(leaf.size for leaf in leaves)


def test_what_gates_choose_is_of_the_layers_with_gates():
    assert gathered_bytes(MODEL) == gathered_bytes(of_kind(SGATLIN)) > 0
    assert gathered_bytes(of_kind(PatternConfig(layers=(SWIGLU, MlpConfig(d_hidden=9))))) == 0


@pytest.mark.parametrize("batch_size", [1, 3])
def test_bytes_of_a_step_of_generation(batch_size):
    def read(model) -> float:
        return sum(bytes_per_token(model, batch_size, context=10))

    assert read(MODEL) == pytest.approx(mean_of_kinds(read))


def test_xla_counts_the_mean_of_the_kinds():
    expected = mean_of_kinds(lambda model: xla_forward_flops(model, 64))
    assert xla_forward_flops(MODEL, 64) == pytest.approx(expected, abs=1)


def test_the_table_tells_each_layer_of_the_pattern():
    told = cost(load_config("storyworld:sgatlin-alternating"))
    apart = [cost(load_config(f"storyworld:{variant}")) for variant in ("swiglu", "sgatlin")]
    names = ["layer", *(name for name in told if name.startswith("one feed-forward layer"))]
    assert len(names) == 5
    for name in names:
        assert told[name] == " / ".join(one[name] for one in apart)


def test_what_is_split_over_devices_is_told_of_each_layer():
    config = load_config("storyworld")
    layers = (MlpConfig(d_hidden=510), SwigluConfig(d_hidden=512), config.model.feed_forward)

    def with_layers(*layers):
        model = dataclasses.replace(
            config.model, d_head=16, n_layers=6, feed_forward=PatternConfig(layers=layers)
        )
        return dataclasses.replace(config, model=model)

    assert layout(with_layers(*layers), Sizes(1, 1, 4))[1:] == [
        "whole on each device of tensor, which does not divide it: the feed-forward layer (510 "
        "hidden units)"
    ]
    peer = PeerConfig(n_channels=6)
    with pytest.raises(UserError, match=r"n_channels=6 is not a multiple of mesh\.tensor=4"):
        layout(with_layers(*layers[:2], peer), Sizes(1, 1, 4))


def test_steps_are_timed_with_other_implementations_of_the_layers_with_neurons():
    spec = "storyworld:sgatlin-alternating"
    configs = named_configs([spec], Changes(implementations=("xla", "dense")))
    assert list(configs) == [f"{spec}, xla", f"{spec}, dense"]
    before = load_config(spec).model.period
    swiglu, neurons = configs[f"{spec}, dense"].model.period
    assert (swiglu, neurons.implementation) == (before[0], "dense")
    assert dataclasses.replace(neurons, implementation=None) == before[1]
