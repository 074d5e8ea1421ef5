# SPDX-License-Identifier: Apache-2.0
"""The transformer is causal, the same with and without a cache, and its gates can be edited.

B batch, T time, D model, V vocabulary, L layers, C channels, K chosen.
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
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.routing import router_health
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.spark import SparkConfig
from sgatlin.nn.topk_mlp import TopkMlpConfig
from sgatlin.nn.transformer import (
    GateEdit,
    TransformerConfig,
    abstract_model,
    bind,
    init_params,
)

B, T, V, L = 2, 6, 13, 2
QUICK = {"xla_backend_optimization_level": 0}
SGATLIN = SgatlinConfig(n_channels=2, n_neurons=9, top_k=2, d_key=4)
CONFIG = TransformerConfig(vocab_size=V, d_model=8, n_layers=L, d_head=4, feed_forward=SGATLIN)


def with_feed_forward(feed_forward) -> TransformerConfig:
    return dataclasses.replace(CONFIG, feed_forward=feed_forward)


def draw(config: TransformerConfig, seed: int = 0):
    """Parameters, all of them random, and tokens (B, T), no two of a row alike."""
    rng = np.random.default_rng(seed)
    shapes = nnx.to_pure_dict(nnx.state(abstract_model(config)))
    params = jax.tree.map(lambda leaf: jnp.float32(0.5 * rng.normal(size=leaf.shape)), shapes)
    tokens_BT = np.array([rng.permutation(V)[:T] for _ in range(B)], np.int32)
    return params, tokens_BT


@partial(jax.jit, static_argnums=0)
def forward(config, params, tokens_BT, **given):
    model = bind(config, params)
    return model(tokens_BT, return_gates=True, return_health=True, **given)


def equal(ours, expected) -> bool:
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, ours, expected)))


@pytest.mark.parametrize(
    "feed_forward",
    [
        SGATLIN,
        PeerConfig(n_channels=2, n_neurons=9, top_k=2, d_key=4),
        MoeConfig(n_experts=4, top_k=2, d_hidden=6),
        MlpConfig(d_hidden=6),
        SwigluConfig(d_hidden=6),
        TopkMlpConfig(d_hidden=12, top_k=6, activation="gelu"),
        SparkConfig(d_hidden=12, n_active=6),
        PatternConfig(layers=(SwigluConfig(d_hidden=6), SGATLIN)),
    ],
    ids=lambda feed_forward: feed_forward.kind,
)
def test_no_logit_depends_on_a_later_token(feed_forward):
    config = with_feed_forward(feed_forward)
    params, tokens_BT = draw(config)
    tokens_T = tokens_BT[0]
    # The embedding is also the unembedding: logits of ids that do not occur in the text depend on
    # rows of ids that do only through what was read.
    others = np.setdiff1d(np.arange(V), tokens_T)
    weights = jnp.float32(np.random.default_rng(1).normal(size=len(others)))

    @jax.jit
    @jax.grad
    def gradient(embedding, position):
        model = bind(config, params | {"embedding": embedding})
        return model(jnp.asarray(tokens_T)[None]).logits[0, position, others] @ weights

    influence_TT = np.array(
        [
            np.abs(np.asarray(gradient(params["embedding"], t))[tokens_T]).max(axis=-1)
            for t in range(T)
        ]
    )
    is_later = np.triu(np.ones((T, T), bool), k=1)
    assert (influence_TT[is_later] == 0).all()
    assert (influence_TT[~is_later] > 1e-5).all()


@pytest.mark.parametrize("chunks", [(3, 1, 1, 1), (3, 3)])
def test_cached_logits_equal_those_without(chunks):
    params, tokens_BT = draw(CONFIG)
    expected = jax.tree.map(np.asarray, forward(CONFIG, params, tokens_BT))
    cache = abstract_model(CONFIG).empty_cache(B, T + 2)
    start = 0
    for length in chunks:
        here = slice(start, start + length)
        output = forward(CONFIG, params, tokens_BT[:, here], cache=cache)
        np.testing.assert_allclose(output.logits, expected.logits[:, here], rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(output.gates.indices, expected.gates.indices[:, :, here])
        cache, start = output.cache, start + length
        assert cache.length.tolist() == [start] * L
    assert not np.asarray(cache.keys)[:, :, T:].any()


def test_remat_recomputes_and_changes_nothing():
    small = with_feed_forward(SgatlinConfig(n_channels=1, n_neurons=4, top_k=1, d_key=2))
    params, tokens_BT = draw(small)
    tokens_BT = jnp.asarray(tokens_BT)
    results, products = {}, {}
    for remat in ("none", "dots", "full"):
        config = dataclasses.replace(small, remat=remat)

        def loss(params, config=config):
            log_p_BTV = jax.nn.log_softmax(bind(config, params)(tokens_BT).logits)
            return -jnp.take_along_axis(log_p_BTV, tokens_BT[..., None], axis=-1).mean()

        program = jax.jit(jax.value_and_grad(loss)).trace(params)
        products[remat] = str(program.jaxpr).count("dot_general[")
        # Compiling is what takes time here.
        results[remat] = program.lower().compile(QUICK)(params)
    assert products["none"] < products["dots"] < products["full"]
    for remat in ("dots", "full"):
        jax.tree.map(
            lambda ours, expected: np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6),
            results[remat],
            results["none"],
        )


def test_scanning_equals_one_block_after_another():
    params, tokens_BT = draw(CONFIG)

    @jax.jit
    def one_after_another(params):
        model = bind(CONFIG, params)
        graph, layers = nnx.split(model.blocks)
        x_BTD, indices = model.embedding[...][tokens_BT], []
        for i in range(L):
            block = nnx.merge(graph, jax.tree.map(lambda leaf, i=i: leaf[i], layers))
            (x_BTD, gates, _), _, _ = block(x_BTD, jnp.dtype("float32"), None, None)
            indices.append(gates.indices)
        return model.norm(x_BTD) @ model.embedding[...].T, jnp.stack(indices)

    logits_BTV, indices = one_after_another(params)
    output = forward(CONFIG, params, tokens_BT)
    np.testing.assert_allclose(output.logits, logits_BTV, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(output.gates.indices, indices)


@pytest.mark.parametrize("unroll", [2, 3])
def test_unrolled_layers_are_the_same_layers(unroll):
    def run(unroll):
        layer = dataclasses.replace(SGATLIN, implementation="reference")  # without loops itself
        config = dataclasses.replace(with_feed_forward(layer), n_layers=3, unroll=unroll)
        params, tokens_BT = draw(config)
        program = jax.jit(lambda p, t: bind(config, p)(t, return_gates=True))
        return program.lower(params, tokens_BT).as_text(), program(params, tokens_BT)

    (_, looped), (text, unrolled) = run(1), run(unroll)
    assert ("stablehlo.while" in text) == (unroll < 3)
    np.testing.assert_array_equal(unrolled.gates.indices, looped.gates.indices)
    np.testing.assert_allclose(unrolled.logits, looped.logits, rtol=1e-5, atol=1e-6)


def test_health_is_that_of_each_layers_gates():
    params, tokens_BT = draw(CONFIG)
    output = forward(CONFIG, params, tokens_BT)
    assert set(output.health) == {"score_rms", "largest_score", "choice_entropy"}
    expected = jax.jit(jax.vmap(lambda gates: router_health(gates, choice_counts(gates, (2, 9)))))(
        output.gates
    )
    for name, value in expected.items():
        np.testing.assert_allclose(output.health[name], value, rtol=1e-5)


def test_edited_gates():
    params, tokens_BT = draw(CONFIG)
    own = jax.tree.map(np.asarray, forward(CONFIG, params, tokens_BT))
    others = jax.tree.map(np.asarray, forward(CONFIG, params, tokens_BT[:, ::-1]).gates)
    nowhere, everywhere = (np.full((L, B, T, 2), value) for value in (False, True))

    def edited(gates, replace):
        output = forward(CONFIG, params, tokens_BT, edit=GateEdit(gates, replace))
        return jax.tree.map(np.asarray, output)

    # Nothing replaced, or replaced by the same: nothing changes, to the bit.
    for edit in ((others, nowhere), (own.gates, everywhere)):
        output = edited(*edit)
        assert equal(output.logits, own.logits)
        assert equal(output.gates, own.gates)
    # Another prompt's gates are used, and it shows.
    output = edited(others, everywhere)
    assert equal(output.gates, others)
    assert np.abs(output.logits - own.logits).max() > 0.01


def test_one_edited_channel_of_one_token_leaves_the_rest_alone():
    params, tokens_BT = draw(CONFIG)
    own = jax.tree.map(np.asarray, forward(CONFIG, params, tokens_BT))
    others = jax.tree.map(np.asarray, forward(CONFIG, params, tokens_BT[:, ::-1]).gates)
    replace = np.zeros((L, B, T, 2), bool)
    replace[-1, 0, 3, 1] = True
    output = forward(CONFIG, params, tokens_BT, edit=GateEdit(others, replace))
    for used, given, before in zip(output.gates, others, own.gates, strict=True):
        np.testing.assert_array_equal(used, np.where(replace[..., None], given, before))
    # It is the last layer: no other position reads what that token became.
    changed_BT = np.abs(output.logits - own.logits).max(axis=-1) > 0
    assert np.argwhere(changed_BT).tolist() == [[0, 3]]


def test_a_layer_without_gates_cannot_be_edited():
    config = with_feed_forward(MlpConfig(d_hidden=6))
    params, tokens_BT = draw(config)
    gates = Gates(jnp.zeros((L, B, T, 2, 2), int), jnp.zeros((L, B, T, 2, 2)))
    edit = GateEdit(gates, jnp.ones((L, B, T, 2), bool))
    with pytest.raises(UserError, match=r"^feed_forward is 'mlp', which has no gates to edit$"):
        bind(config, params)(jnp.asarray(tokens_BT), edit=edit)


def test_gates_and_health_come_when_asked_for():
    def shapes(feed_forward, **asked):
        config = with_feed_forward(feed_forward)
        params, tokens_BT = draw(config)
        return jax.eval_shape(lambda p, t: bind(config, p)(t, **asked), params, tokens_BT)

    both = {"return_gates": True, "return_health": True}
    output = shapes(SGATLIN, **both)
    assert output.gates.indices.shape == output.gates.scores.shape == (L, B, T, 2, 2)
    assert {value.shape for value in output.health.values()} == {(L,)}
    assert output.logits.shape == (B, T, V)
    for output in (shapes(SGATLIN), shapes(MlpConfig(d_hidden=6), **both)):
        assert (output.gates, output.health, output.cache) == (None, {}, None)


def test_logits_come_unless_not_asked_for_and_are_products_of_the_hidden_states():
    params, tokens_BT = draw(CONFIG)
    output = forward(CONFIG, params, tokens_BT)
    products = np.float64(output.hidden) @ np.float64(params["embedding"]).T
    np.testing.assert_allclose(output.logits, products, rtol=1e-4, atol=1e-4)
    hidden_only = jax.jit(lambda p, t: bind(CONFIG, p)(t, return_logits=False))
    without = hidden_only(params, tokens_BT)
    assert without.logits is None
    np.testing.assert_allclose(without.hidden, output.hidden, rtol=1e-5, atol=1e-6)


def test_logits_may_be_products_of_narrow_numbers():
    config = dataclasses.replace(CONFIG, dtype="bfloat16")
    params, tokens_BT = draw(config)
    hidden_BTD = np.asarray(forward(config, params, tokens_BT).hidden)

    def error(logits_dtype) -> float:
        changed = dataclasses.replace(config, logits_dtype=logits_dtype)
        output = forward(changed, params, tokens_BT)
        assert output.logits.dtype == output.hidden.dtype == jnp.float32
        products = np.float64(hidden_BTD) @ np.float64(params["embedding"]).T
        return np.linalg.norm(output.logits - products) / np.linalg.norm(products)

    assert error("float32") < 1e-5
    assert 1e-4 < error("compute") < 1e-2


def test_in_bf16_logits_and_scores_are_fp32():
    config = dataclasses.replace(CONFIG, dtype="bfloat16")
    params, tokens_BT = draw(config)
    cache = abstract_model(config).empty_cache(B, T)
    output = jax.eval_shape(partial(forward, config), params, tokens_BT, cache=cache)
    assert output.logits.dtype == output.gates.scores.dtype == jnp.float32
    assert output.cache.keys.dtype == output.cache.values.dtype == jnp.bfloat16
    assert dataclasses.replace(CONFIG, dtype="auto").compute_dtype == jnp.float32  # on a CPU


def test_initial_parameters():
    config = dataclasses.replace(
        CONFIG, vocab_size=500, n_layers=2, feed_forward=MlpConfig(d_hidden=6)
    )
    with jax.default_prng_impl("unsafe_rbg"):  # compiles several times faster than the usual one
        first, second = (init_params(config, seed) for seed in (0, 1))
    assert float(np.std(first["embedding"])) == pytest.approx(1 / np.sqrt(8), rel=0.05)
    weights = np.asarray(first["blocks"]["attention"]["w_query"])
    assert weights.std() == pytest.approx(1 / np.sqrt(8), rel=0.3)
    assert not (weights[0] == weights[1]).any()
    assert (first["norm"]["scale"] == 1).all()
    assert not equal(first, second)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"vocab_size": 0}, "vocab_size=0 must be at least 1"),
        ({"n_layers": -1}, "n_layers=-1 must be at least 1"),
        ({"d_head": 5}, "d_head=5 must be even: rotary positions rotate halves"),
        ({"d_model": 10}, "d_model=10 is not a multiple of d_head=4: change either"),
    ],
)
def test_shapes_that_cannot_be_are_refused(fields, message):
    with pytest.raises(UserError) as error:
        dataclasses.replace(CONFIG, **fields)
    assert str(error.value) == message
