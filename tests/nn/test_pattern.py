# SPDX-License-Identifier: Apache-2.0
"""A model with layers of several kinds is its blocks one after another, each of the right kind.

B batch, T time, D model, V vocabulary, L blocks, G layers with gates, C channels, K chosen.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sgatlin.errors import UserError
from sgatlin.nn.feed_forward import PatternConfig
from sgatlin.nn.gates import Gates, choice_counts
from sgatlin.nn.mlp import MlpConfig, SwigluConfig
from sgatlin.nn.moe import MoeConfig
from sgatlin.nn.norm import rms_normalised
from sgatlin.nn.routing import router_health
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.transformer import (
    Block,
    GateEdit,
    TransformerConfig,
    abstract_model,
    bind,
    init_params,
)
from tests.nn.test_transformer import CONFIG, QUICK, B, T, equal
from tests.nn.test_transformer import draw as draw_arrays

SGATLIN = SgatlinConfig(
    n_channels=2, n_neurons=9, top_k=2, d_key=4, balance_weight=0.1, implementation="reference"
)
SWIGLU, MLP = SwigluConfig(d_hidden=6), MlpConfig(d_hidden=4)
EVERY_SECOND = PatternConfig(layers=(SWIGLU, SGATLIN))
TWO_OF_THREE = PatternConfig(layers=(SGATLIN, MLP, SGATLIN))


def pattern_model(layers: PatternConfig, n_layers: int, **changed) -> TransformerConfig:
    return dataclasses.replace(CONFIG, feed_forward=layers, n_layers=n_layers, **changed)


FOUR, SIX = pattern_model(EVERY_SECOND, 4), pattern_model(TWO_OF_THREE, 6)
EVERYTHING = {"return_gates": True, "return_health": True, "return_streams": True}


def draw(config: TransformerConfig):
    params, tokens_BT = draw_arrays(config)
    return params, jnp.asarray(tokens_BT)


@partial(jax.jit, static_argnums=0)
def forward(config, params, tokens_BT, **given):
    return bind(config, params)(tokens_BT, **EVERYTHING, **given)


def block_of(config: TransformerConfig, params, number: int) -> Block:
    """Block `number` of a model, with its own parameters."""
    layers = config.feed_forward.layers
    turn, place = divmod(number, len(layers))
    own = jax.tree.map(lambda leaf: leaf[turn], params["blocks"][str(place)])
    shapes = nnx.eval_shape(lambda: Block(config, layers[place], rngs=nnx.Rngs(0)))
    return nnx.merge(nnx.graphdef(shapes), nnx.State(own))


def by_hand(config: TransformerConfig, params, tokens_BT):
    """Logits, the gates and losses of each block, and the streams of `Output`."""
    x_BTD, gates, losses, streams = params["embedding"][tokens_BT], [], [], []
    for number in range(config.n_layers):
        block = block_of(config, params, number)
        output, stream_BTD, _ = block(x_BTD, jnp.dtype("float32"), None, None)
        x_BTD = output.y
        gates.append(output.gates)
        losses.append(output.losses)
        streams.append(stream_BTD)
    hidden_BTD = rms_normalised(x_BTD, params["norm"]["scale"])
    return hidden_BTD @ params["embedding"].T, gates, losses, jnp.stack([*streams, x_BTD])


def scalar(logits, losses, weights):
    """Something that depends on all logits and on the layers' own losses."""
    return (logits * weights).sum() + sum(loss.sum() for loss in losses)


def close(ours, expected, *, atol=1e-5) -> None:
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=atol), ours, expected)


@pytest.mark.parametrize(("config", "gated"), [(FOUR, (1, 3)), (SIX, (0, 2, 3, 5))])
def test_it_is_its_blocks_one_after_another(config, gated):
    params, tokens_BT = draw(config)
    weights = np.random.default_rng(1).normal(size=(B, T, config.vocab_size))

    def ours(params):
        output = bind(config, params)(tokens_BT, **EVERYTHING)
        return scalar(output.logits, output.losses.values(), weights), output

    def expected(params):
        logits, gates, losses, streams = by_hand(config, params, tokens_BT)
        own = [loss for of_block in losses for loss in of_block.values()]
        return scalar(logits, own, weights), (logits, gates, losses, streams)

    def values_and_gradient(function):
        program = jax.jit(jax.value_and_grad(function, has_aux=True), compiler_options=QUICK)
        (_, values), gradient = program(params)
        return values, gradient

    output, ours_gradient = values_and_gradient(ours)
    by_block, gradient = values_and_gradient(expected)
    logits_BTV, gates, losses, streams = by_block
    assert config.gated_blocks == tuple(i for i, one in enumerate(gates) if one) == gated
    close(output.logits, logits_BTV)
    close(output.streams, streams)
    close(ours_gradient, gradient, atol=1e-4)

    gates = [gates[number] for number in gated]
    np.testing.assert_array_equal(output.gates.indices, [one.indices for one in gates])
    close(output.gates.scores, jnp.stack([one.scores for one in gates]))
    counts = [choice_counts(one, SGATLIN.pool_shape) for one in gates]
    np.testing.assert_array_equal(output.counts, counts)
    health = [router_health(one, count) for one, count in zip(gates, counts, strict=True)]
    close(output.health, {name: jnp.stack([one[name] for one in health]) for name in health[0]})
    assert set(output.losses) == {"balance"}
    close(output.losses["balance"], jnp.stack([losses[number]["balance"] for number in gated]))


def test_a_pattern_of_one_kind_is_the_plain_model():
    plain = pattern_model(SGATLIN, 3)
    config = pattern_model(PatternConfig(layers=(SGATLIN,)), 3)
    params, tokens_BT = draw(plain)
    copied = params | {"blocks": {"0": params["blocks"]}}
    assert equal(forward(config, copied, tokens_BT), forward(plain, params, tokens_BT))
    with jax.default_prng_impl("unsafe_rbg"):  # compiles several times faster than the usual one
        ours, theirs = init_params(config, 0), init_params(plain, 0)
    assert equal(ours, theirs | {"blocks": {"0": theirs["blocks"]}})


def test_blocks_are_of_their_kinds_at_their_depths():
    """A change of one block's layer shows in the streams after it and in none before."""
    params, tokens_BT = draw(FOUR)
    before = np.asarray(forward(FOUR, params, tokens_BT).streams)
    names = {"swiglu": "w_up", "sgatlin": "w_out"}
    for number in range(4):
        place, turn = number % 2, number // 2
        name = names[EVERY_SECOND.layers[place].kind]
        assert name in params["blocks"][str(place)]["feed_forward"]
        changed = jax.tree.map(lambda leaf: leaf, params)
        layer = changed["blocks"][str(place)]["feed_forward"]
        layer[name] = layer[name].at[turn].multiply(1.5)
        moved = np.abs(forward(FOUR, changed, tokens_BT).streams - before).max((1, 2, 3))
        # Stream i is what the layer of block i reads; the last is after the last block.
        assert not moved[: number + 1].any()
        assert (moved[number + 1 :] > 1e-4).all()


def test_initial_blocks_are_independent_draws():
    with jax.default_prng_impl("unsafe_rbg"):
        blocks = init_params(FOUR, 0)["blocks"]
    weights = np.concatenate([blocks[place]["attention"]["w_query"] for place in "01"])
    assert len(weights) == len(np.unique(weights[:, 0, 0])) == 4


def test_cached_logits_equal_those_without():
    params, tokens_BT = draw(SIX)
    expected = jax.tree.map(np.asarray, forward(SIX, params, tokens_BT))
    cache = abstract_model(SIX).empty_cache(B, T + 2)
    start = 0
    for length in (3, 1, 1, 1):
        here = slice(start, start + length)
        output = forward(SIX, params, tokens_BT[:, here], cache=cache)
        close(output.logits, expected.logits[:, here], atol=1e-4)
        np.testing.assert_array_equal(output.gates.indices, expected.gates.indices[:, :, here])
        cache, start = output.cache, start + length
        assert cache.length.tolist() == [start] * 6


def test_edits_are_of_the_layers_with_gates():
    params, tokens_BT = draw(SIX)
    own = jax.tree.map(np.asarray, forward(SIX, params, tokens_BT))
    others = jax.tree.map(np.asarray, forward(SIX, params, tokens_BT[:, ::-1]).gates)
    for number, block in enumerate(SIX.gated_blocks):
        replace = np.zeros((4, B, T, 2), bool)
        replace[number, 0, 3, 1] = True
        edit = GateEdit(others, replace)
        output = forward(SIX, params, tokens_BT, edit=edit)
        # Before that layer, and in it but for that channel of that token, all is as it was.
        for used, given, before in zip(output.gates, others, own.gates, strict=True):
            expected = np.where(replace[..., None], given, before)
            np.testing.assert_array_equal(used[: number + 1], expected[: number + 1])
        moved = np.abs(output.streams - own.streams).max((1, 2, 3)) > 0
        assert moved.tolist() == [False] * (block + 1) + [True] * (6 - block)


def test_without_gates_there_is_nothing_to_edit():
    config = pattern_model(PatternConfig(layers=(SWIGLU, MLP)), 2)
    params, tokens_BT = draw(config)
    assert (config.gated_layer, config.gated_blocks) == (None, ())
    output = jax.eval_shape(partial(forward, config), params, tokens_BT)
    assert (output.gates, output.health, output.counts) == (None, {}, None)
    edit = GateEdit(Gates(jnp.zeros((0, B, T, 2, 2), int), jnp.zeros((0, B, T, 2, 2))))
    with pytest.raises(UserError, match=r"^feed_forward is 'swiglu / mlp', which has no gates"):
        bind(config, params)(tokens_BT, edit=edit)


def test_remat_recomputes_and_changes_nothing():
    small = SgatlinConfig(n_channels=1, n_neurons=4, top_k=1, d_key=2)
    config = pattern_model(PatternConfig(layers=(SWIGLU, small)), 4)
    params, tokens_BT = draw(config)
    results, products = {}, {}
    for remat in ("none", "dots", "full"):
        config = dataclasses.replace(config, remat=remat)

        def loss(params, config=config):
            return jnp.square(bind(config, params)(tokens_BT).logits).mean()

        program = jax.jit(jax.value_and_grad(loss)).trace(params)
        products[remat] = str(program.jaxpr).count("dot_general[")
        results[remat] = program.lower().compile(QUICK)(params)
    assert products["none"] < products["dots"] < products["full"]
    for remat in ("dots", "full"):
        close(results[remat], results["none"])


@pytest.mark.parametrize(("unroll", "at_once"), [(None, 2), (1, 2), (2, 2), (3, 4), (4, 4), (9, 6)])
def test_whole_periods_are_unrolled(unroll, at_once):
    config = pattern_model(EVERY_SECOND, 6, unroll=unroll)
    assert config.layers_at_once == at_once


def test_unrolled_layers_are_the_same_layers():
    def run(unroll):
        config = pattern_model(EVERY_SECOND, 6, unroll=unroll)
        params, tokens_BT = draw(config)
        program = jax.jit(lambda p, t: bind(config, p)(t, return_gates=True))
        return program.lower(params, tokens_BT).as_text(), program(params, tokens_BT)

    (_, looped), (some_text, some), (all_text, together) = run(1), run(4), run(6)
    assert "stablehlo.while" in some_text
    assert "stablehlo.while" not in all_text
    for unrolled in (some, together):
        np.testing.assert_array_equal(unrolled.gates.indices, looped.gates.indices)
        close(unrolled.logits, looped.logits)


def test_documents_of_a_window_are_apart():
    params, _ = draw(FOUR)
    window_T, segments_T = np.array([5, 6, 7, 0, 1, 2, 3]), np.array([0, 0, 0, 1, 1, 1, 1])

    @jax.jit
    def logits(tokens_T, segments_T):
        return bind(FOUR, params)(tokens_T[None], segments_BT=segments_T[None]).logits[0]

    together = np.asarray(logits(window_T, segments_T))
    for segment in range(2):
        here = segments_T == segment
        close(together[here], logits(window_T[here], segments_T[here]), atol=1e-4)


def nested() -> None:
    """As outside of tests, where a layer's type is not checked before."""
    pattern = object.__new__(PatternConfig)
    object.__setattr__(pattern, "layers", (MLP, EVERY_SECOND))
    pattern.__post_init__()


OTHER = dataclasses.replace(SGATLIN, top_k=1, d_key=8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PatternConfig(layers=()), "layers=() of a pattern: give at least one layer"),
        (
            nested,
            "a pattern cannot contain a pattern: write the inner pattern's layers out in the outer "
            "one",
        ),
        (
            lambda: PatternConfig(layers=(SGATLIN, MLP, MoeConfig())),
            "a pattern can have one config with gates, but this one has both sgatlin and moe "
            "layers: make them the same, or replace one with a dense layer",
        ),
        (
            lambda: PatternConfig(layers=(SGATLIN, OTHER)),
            "a pattern can have one config with gates, but two of its sgatlin layers differ in "
            "top_k, d_key: make them the same, or replace one with a dense layer",
        ),
        (
            lambda: pattern_model(TWO_OF_THREE, 4),
            "n_layers=4 is not a multiple of 3, the number of layers in the pattern "
            "feed_forward.layers: change either",
        ),
    ],
)
def test_patterns_that_cannot_be_are_refused(make, message):
    with pytest.raises(UserError) as error:
        make()
    assert str(error.value) == message
