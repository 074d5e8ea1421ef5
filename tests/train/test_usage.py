# SPDX-License-Identifier: Apache-2.0
"""What the watch remembers and reports, and what resampling does to dead keys."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from sgatlin.errors import UserError
from sgatlin.nn.mlp import MlpConfig
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.roles import role_tree
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.transformer import TransformerConfig, abstract_model, init_params
from sgatlin.train.optimizer import MuonConfig, OptimizerConfig, RoleConfig, make_optimizer
from sgatlin.train.resample import (
    Replacement,
    choose_sources,
    resample,
    resampling_router,
    revived,
)
from sgatlin.train.usage import Usage, UsageConfig, add_step, dead, initial_usage, usage_report


def model_with(feed_forward) -> TransformerConfig:
    return TransformerConfig(
        vocab_size=16, d_model=8, n_layers=3, d_head=4, feed_forward=feed_forward
    )


def test_it_begins_with_nothing_used():
    layer = SgatlinConfig(n_channels=2, n_neurons=9, top_k=2, d_key=4)
    usage = initial_usage(model_with(layer))
    assert usage.counts.shape == usage.last_used.shape == (3, 2, 9)
    assert not usage.counts.any()
    shared = PeerConfig(n_channels=2, n_neurons=9, top_k=2, d_key=4)
    assert initial_usage(model_with(shared)).counts.shape == (3, 1, 9)
    assert initial_usage(model_with(MlpConfig(d_hidden=4))) is None


def test_a_neuron_is_dead_when_unused_for_so_many_steps():
    usage = Usage(jnp.zeros((1, 1, 3), int), jnp.zeros((1, 1, 3), int))
    usage = add_step(usage, jnp.array([[[2, 0, 1]]]), jnp.array(1))
    usage = add_step(usage, jnp.array([[[0, 0, 5]]]), jnp.array(2))
    usage = add_step(usage, jnp.array([[[0, 0, 1]]]), jnp.array(3))
    assert usage.counts.tolist() == [[[2, 0, 7]]]
    assert usage.last_used.tolist() == [[[1, 0, 3]]]
    # At step 3 the first has missed steps 2 and 3, the second all three.
    assert dead(usage, jnp.array(3), 2).tolist() == [[[True, True, False]]]
    assert dead(usage, jnp.array(3), 3).tolist() == [[[False, True, False]]]
    assert not dead(usage, jnp.array(3), 4).any()


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (
            [5, 5, 5, 5],
            {"used": 1, "entropy": 1, "gini": 0, "load_cv": 0, "load_max": 1},
        ),
        # One has all: the mean is 1/4 of it.
        (
            [0, 8, 0, 0],
            {"used": 0.25, "entropy": 0, "gini": 0.75, "load_cv": math.sqrt(3), "load_max": 4},
        ),
        # Half of the neurons, equally: log 2 / log 4. Of the 16 ordered pairs 8 differ by 6: 48
        # over 2 * 16 * the mean 3.
        (
            [6, 0, 0, 6],
            {"used": 0.5, "entropy": 0.5, "gini": 48 / 96, "load_cv": 1, "load_max": 2},
        ),
        # Mean 2. Pairs differ by 1, 2, 5, 1, 4, 3, twice each: 32 over 2 * 16 * 2.
        (
            [0, 1, 2, 5],
            {
                "used": 0.75,
                "entropy": (math.log(8) / 8 + math.log(4) / 4 + math.log(1.6) * 5 / 8)
                / math.log(4),
                "gini": 32 / 64,
                "load_cv": math.sqrt((4 + 1 + 0 + 9) / 4) / 2,
                "load_max": 2.5,
            },
        ),
    ],
)
def test_report_of_one_table(counts, expected):
    usage = Usage(jnp.array([[counts, [1, 1, 1, 1]]]), jnp.array([[[7, 3, 9, 2], [9, 9, 9, 9]]]))
    report = usage_report(usage, jnp.array(9), dead_after=5)
    first = {name: float(value[0, 0]) for name, value in report.items()}
    # Last used at steps 7, 3, 9 and 2: two of them at least five steps before step 9.
    assert first == pytest.approx(expected | {"dead": 2}, abs=1e-5)
    # The second channel's neurons are all used alike, whatever the first does.
    assert float(report["gini"][0, 1]) == pytest.approx(0, abs=1e-6)
    assert report["dead"].tolist() == [[2, 0]]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"every": 0}, "every=0 must be at least 1"),
        ({"dead_after": 0}, "dead_after=0 must be at least 1"),
        ({"resample_share": 0.0}, "resample_share=0.0 must be above 0 and at most 1"),
        (
            {"resample_noise": 0.0},
            "resample_noise=0.0 must be above 0 and finite: without noise a copy is never told "
            "from its original",
        ),
    ],
)
def test_what_cannot_be_is_refused(fields, message):
    with pytest.raises(UserError) as error:
        UsageConfig(**fields)
    assert str(error.value) == message


ROUTERS = ("product_dense", "product_key_value", "dense", "key_value")
CONFIG = UsageConfig(dead_after=10, resample_share=0.75)


def layer_of(router: str) -> SgatlinConfig:
    return SgatlinConfig(n_channels=1, n_neurons=16, top_k=2, d_key=3, router=router)


def test_only_layers_with_a_table_for_each_channel_can_be_resampled():
    own = PeerConfig(n_neurons=16, top_k=2, shared_pool=False)
    for layer in (layer_of("dense"), own):
        assert resampling_router(model_with(layer)) is not None
    for layer in (PeerConfig(n_neurons=16, top_k=2), MlpConfig(d_hidden=4)):
        assert resampling_router(model_with(layer)) is None


def test_dead_subkeys_are_told_by_the_share_of_their_dead_neurons():
    # Neuron i * 4 + j. The first half's sub-key 1 has three dead of four, 2 only two; the second
    # half's sub-key 3 has three (with 1, 2 and 0), the others fewer.
    alive = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]])
    counts = np.array([[0, 5, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    usage = Usage(jnp.asarray(counts.reshape(1, 1, 16)), jnp.asarray(20 * alive.reshape(1, 1, 16)))
    found = choose_sources(
        usage, jnp.array(25), jax.random.key(0), router=layer_of("product_dense"), config=CONFIG
    )
    # All recent choices are of neuron (0, 1): the only sources.
    assert found.source.tolist() == [[[[0, 0, 2, 3]], [[0, 1, 2, 1]]]]
    assert found.is_copy.tolist() == [
        [[[False, True, False, False]], [[False, False, False, True]]]
    ]
    after = revived(usage, jnp.array(25), found).last_used.reshape(4, 4)
    # Every neuron of a replaced sub-key has time to live; the rest stays as it was.
    assert after.tolist() == [[20, 20, 20, 25], [25, 25, 25, 25], [20, 20, 0, 25], [20, 20, 20, 25]]


def test_keys_of_groups_are_told_by_all_neurons_that_they_lead_to():
    """Nine groups of two; of the first half's sub-key 2 both neurons of two groups are dead."""
    layer = SgatlinConfig(n_channels=1, n_neurons=18, group=2, top_k=4, d_key=3)
    alive = np.repeat(np.array([[1, 1, 1], [1, 1, 1], [0, 0, 1]]), 2)
    counts = np.repeat(np.array([[4, 4, 4], [0, 0, 0], [0, 0, 0]]), 2)
    usage = Usage(jnp.asarray(counts[None, None]), jnp.asarray(20 * alive[None, None]))
    config = UsageConfig(dead_after=10, resample_share=0.6)
    found = choose_sources(usage, jnp.array(25), jax.random.key(0), router=layer, config=config)
    assert found.source.tolist() == [[[[0, 1, 0]], [[0, 1, 2]]]]
    after = revived(usage, jnp.array(25), found).last_used.reshape(3, 3, 2)
    assert after.tolist() == [[[20, 20]] * 3, [[20, 20]] * 3, [[25, 25]] * 3]


@pytest.mark.parametrize("router", ["product_dense", "dense"])
def test_the_neurons_of_a_copied_group_are_copies_of_the_other_groups(router):
    layer = SgatlinConfig(n_channels=1, n_neurons=18, group=2, top_k=4, d_key=3, router=router)
    halves, side = (2, 3) if router == "product_dense" else (1, 9)
    rng = np.random.default_rng(0)
    tables = {name: rng.normal(size=(1, 1, 18, 4)).astype(np.float32) for name in ("w_in", "w_out")}
    router_params = {"query": jnp.zeros((1, 4, 3)), "key": jnp.ones((1, 3, halves * side))}
    params = {"blocks": {"feed_forward": {"router": router_params, **tables}}}
    source = np.tile(np.arange(side), (1, halves, 1, 1))
    source[0, 0, 0, 1] = 2  # of the first half, or the only one
    optimizer = optax.sgd(0.1)
    new, _ = resample(
        jax.tree.map(jnp.asarray, params),
        optimizer.init(params),
        Replacement(jnp.asarray(source), jnp.asarray(source != np.arange(side))),
        jax.random.key(0),
        router=layer,
        optimizer=optimizer,
        noise=0.1,
    )
    # Sub-key 1 leads to groups 3 to 5, and 2 to groups 6 to 8; key 1 to group 1 alone.
    copied, origin = (range(6, 12), range(12, 18)) if halves == 2 else (range(2, 4), range(4, 6))
    expected = np.arange(18)
    expected[list(copied)] = list(origin)
    shared = np.isin(np.arange(18), [*copied, *origin])
    found = new["blocks"]["feed_forward"]
    np.testing.assert_array_equal(found["w_in"][0, 0], tables["w_in"][0, 0][expected])
    w_out = tables["w_out"][0, 0][expected] / np.where(shared, 2, 1)[:, None]
    np.testing.assert_allclose(found["w_out"][0, 0], w_out, rtol=1e-6)


def test_sources_are_drawn_in_proportion_to_their_choices():
    counts = jnp.array([0, 1, 3, 0] + 12 * [0])
    usage = Usage(counts[None, None], jnp.where(counts > 0, 25, 0)[None, None])

    @jax.vmap
    def sources(key):
        return choose_sources(
            usage, jnp.array(25), key, router=layer_of("dense"), config=CONFIG
        ).source

    drawn = np.asarray(sources(jax.random.split(jax.random.key(0), 400))).reshape(400, 16)
    # 400 draws for neuron 0: 3/4, and a deviation of 0.022.
    assert (drawn[:, 0] == 2).mean() == pytest.approx(0.75, abs=0.09)
    # The next dead neuron has the other source, and for the rest there is none.
    np.testing.assert_array_equal(drawn[:, 3], 3 - drawn[:, 0])
    np.testing.assert_array_equal(drawn[:, 4:], np.tile(np.arange(4, 16), (400, 1)))


def test_a_key_in_use_is_not_dead_however_few_its_neurons():
    # The first half's sub-key 0 has one live neuron of four, with half of all choices.
    counts = np.zeros((4, 4), int)
    counts[0, 0], counts[1, 1] = 8, 8
    last_used = np.full((4, 4), 25)
    last_used[0, 1:] = last_used[2] = 0
    usage = Usage(jnp.asarray(counts.reshape(1, 1, 16)), jnp.asarray(last_used.reshape(1, 1, 16)))
    found = choose_sources(
        usage, jnp.array(25), jax.random.key(0), router=layer_of("product_dense"), config=CONFIG
    )
    assert found.is_copy[0, 0, 0].tolist() == [False, False, True, False]
    assert int(found.source[0, 0, 0, 2]) in (0, 1)


@pytest.mark.parametrize(
    "optimizer",
    [
        OptimizerConfig(),
        OptimizerConfig(pool=RoleConfig(learning_rate_multiplier=2.0)),
        OptimizerConfig(muon=MuonConfig(), router=RoleConfig(weight_decay=0.0)),
    ],
    ids=["adamw", "by role", "muon"],
)
def test_moments_are_copied_whatever_the_optimizer(optimizer):
    layer = layer_of("dense")
    model = model_with(layer)
    shapes = jax.eval_shape(lambda: init_params(model, 0))
    roles = role_tree(nnx.state(abstract_model(model)))
    transform = make_optimizer(optimizer, roles, lambda count: 1e-3)
    # Moments that are told apart: each row of a table has its own number.
    numbers = jax.tree.map(lambda leaf: jnp.arange(float(leaf.size)).reshape(leaf.shape), shapes)
    _, state = transform.update(numbers, transform.init(numbers), numbers)
    source = np.tile(np.arange(16), (3, 1, 1, 1))
    source[:, 0, 0, 5] = 7
    replacement = Replacement(jnp.asarray(source), jnp.asarray(source != np.arange(16)))
    _, new = resample(
        numbers,
        state,
        replacement,
        jax.random.key(0),
        router=layer,
        optimizer=transform,
        noise=0.1,
    )
    assert jax.tree.structure(new) == jax.tree.structure(state)
    tables = [
        (np.asarray(before), np.asarray(after))
        for before, after in zip(jax.tree.leaves(state), jax.tree.leaves(new), strict=True)
        if before.shape == (3, 1, 16, 8)
    ]
    assert len(tables) == 4  # two moments of w_in and of w_out
    for before, after in tables:
        assert not (before[:, :, 5] == before[:, :, 7]).all()
        np.testing.assert_array_equal(after[:, :, 5], before[:, :, 7])
        np.testing.assert_array_equal(np.delete(after, 5, 2), np.delete(before, 5, 2))


@pytest.mark.parametrize("router", ROUTERS)
def test_a_copy_computes_what_its_source_does_and_shares_its_output(router):
    """Two layers: in the first, one key of each half is a copy; in the second, none."""
    layer = layer_of(router)
    config, rng = model_with(layer), np.random.default_rng(0)
    halves = 2 if router.startswith("product") else 1
    side = 4 if halves == 2 else 16
    key_shape = (2, halves, 1, side, 3) if "value" in router else (2, 3, halves * side)
    params = {
        "blocks": {
            "feed_forward": {
                "router": {
                    "query": jnp.zeros((2, 8, 3)),
                    "key": jnp.float32(rng.normal(size=key_shape)),
                },
                "w_in": jnp.float32(rng.normal(size=(2, 1, 16, 8))),
                "w_out": jnp.float32(rng.normal(size=(2, 1, 16, 8))),
            }
        },
        "embedding": jnp.ones((4, 8)),
    }
    # Two keys take the values of key 2 in the first layer, so that it is there three times.
    source = np.tile(np.arange(side), (2, halves, 1, 1))
    source[0, :, 0, [1, 3]] = 2
    replacement = Replacement(jnp.asarray(source), jnp.asarray(source != np.arange(side)))
    optimizer = optax.adam(0.1)
    state = optimizer.init(params)
    state = (state[0]._replace(mu=params, nu=jax.tree.map(jnp.square, params)), *state[1:])
    assert resampling_router(config) is layer

    new, new_state = resample(
        params,
        state,
        replacement,
        jax.random.key(1),
        router=layer,
        optimizer=optimizer,
        noise=1e-3,
    )

    def keys(tree) -> np.ndarray:
        """(L, H, M, Q)"""
        leaf = np.asarray(tree["blocks"]["feed_forward"]["router"]["key"])
        if "value" in router:
            return leaf[:, :, 0]
        return np.moveaxis(leaf.reshape(2, 3, halves, side), 1, -1)

    before, after = keys(params), keys(new)
    moved = np.abs(after[0, :, [1, 3]] - before[0, :, [2, 2]])
    assert 0 < moved.max() < 6e-3  # six times the noise
    untouched = [i for i in range(side) if i not in (1, 3)]
    np.testing.assert_array_equal(after[0][:, untouched], before[0][:, untouched])
    np.testing.assert_array_equal(after[1], before[1])

    def tables(tree, name: str) -> np.ndarray:
        """(L, 4, 4, D): by first and second sub-key; of a plain router the neurons in a square."""
        return np.asarray(tree["blocks"]["feed_forward"][name]).reshape(2, 4, 4, 8)

    names = np.arange(16).reshape(4, 4)
    if halves == 2:
        from_ = np.ix_([0, 2, 2, 2], [0, 2, 2, 2])
        expected = names[from_]
        copies = np.outer([1, 3, 3, 3], [1, 3, 3, 3])
    else:
        expected = np.array([0, 2, 2, 2, *range(4, 16)]).reshape(4, 4)
        copies = np.array([1, 3, 3, 3, *12 * [1]]).reshape(4, 4)
    for name, share in (("w_in", np.ones((4, 4))), ("w_out", copies)):
        rows = tables(params, name)[0].reshape(16, 8)[expected]
        np.testing.assert_allclose(tables(new, name)[0], rows / share[..., None], rtol=1e-6)
        np.testing.assert_array_equal(tables(new, name)[1], tables(params, name)[1])
        # Moments go with their parameters, but are not divided.
        np.testing.assert_array_equal(tables(new_state[0].mu, name)[0], rows)
        np.testing.assert_array_equal(tables(new_state[0].nu, name)[0], rows**2)
    np.testing.assert_array_equal(keys(new_state[0].mu)[0, :, 1], before[0, :, 2])
    np.testing.assert_array_equal(new["embedding"], params["embedding"])
