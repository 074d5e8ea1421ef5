# SPDX-License-Identifier: Apache-2.0
"""Routers choose what brute force over all N neurons chooses, and start as they should.

T tokens, D model, Q router width, C channels, N neurons per channel, M = sqrt(N), K chosen.
"""

import math
from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sgatlin.errors import UserError
from sgatlin.nn import routing
from sgatlin.nn.gates import Gates, choice_counts
from sgatlin.nn.routing import Router, RouterKind
from sgatlin.nn.sgatlin import SgatlinConfig

ROUTERS = get_args(RouterKind)
D, Q, C, M, K = 6, 8, 2, 4, 3
N = M * M
T = 20

route = jax.jit(routing.route, static_argnums=2)


def config_of(router: str, **fields) -> SgatlinConfig:
    sizes = {"n_channels": C, "n_neurons": N, "top_k": K, "d_key": Q}
    return SgatlinConfig(**(sizes | {"router": router} | fields))


def draw(config: SgatlinConfig, *, ties: bool) -> tuple[dict[str, jax.Array], jax.Array]:
    """Router parameters and x (T, D): normal, or small integers, whose scores often tie."""
    rng = np.random.default_rng(0)
    shapes = nnx.to_pure_dict(
        nnx.state(nnx.eval_shape(lambda: Router(D, config, rngs=nnx.Rngs(0))))
    )

    def entries(shape):
        return jnp.float32(rng.integers(-1, 2, shape) if ties else rng.normal(size=shape))

    params = {name: entries(leaf.shape) for name, leaf in sorted(shapes.items())}
    return params, entries((T, D))


@partial(jax.jit, static_argnums=0)
def all_scores(router: str, params, x_TD):
    """The scores of all N neurons, (T, C, N), each with a key of its own: brute force."""
    if router == "product_dense":
        subkey = params["key"].reshape(Q, 2, C, M)
        key = subkey[:, 0, :, :, None] + subkey[:, 1, :, None, :]
        return jnp.einsum("td,dq,qcn->tcn", x_TD, params["query"], key.reshape(Q, C, N))
    if router == "dense":
        return jnp.einsum("td,dq,qcn->tcn", x_TD, params["query"], params["key"].reshape(Q, C, N))
    if router == "key_value":
        scores = jnp.einsum("td,cdq,cnq->tcn", x_TD, params["query"][0], params["key"][0])
        return scores / math.sqrt(Q)
    # Both halves' queries and keys side by side: 2Q wide.
    query = jnp.concatenate(list(params["query"]), axis=-1)
    first, second = params["key"]
    pairs = [jnp.concatenate([first[:, i], second[:, j]], -1) for i in range(M) for j in range(M)]
    scores = jnp.einsum("td,cdq,ncq->tcn", x_TD, query, jnp.stack(pairs))
    return scores / math.sqrt(2 * Q)


@pytest.mark.parametrize("router", ROUTERS)
def test_chooses_the_k_best_of_all_neurons(router):
    config = config_of(router)
    params, x_TD = draw(config, ties=False)
    gates = route(params, x_TD, config)
    scores_TCN = np.asarray(all_scores(router, params, x_TD))
    ranked_TCN = np.argsort(-scores_TCN, axis=-1)
    sorted_TCN = np.take_along_axis(scores_TCN, ranked_TCN, axis=-1)
    # No ties: neighbours are further apart than rounding could bring them.
    assert -np.diff(sorted_TCN[..., : K + 1]).max() > 1e-5
    np.testing.assert_array_equal(gates.indices, ranked_TCN[..., :K])
    np.testing.assert_allclose(gates.scores, sorted_TCN[..., :K], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("router", ROUTERS)
def test_with_ties_the_scores_are_still_the_k_best(router):
    config = config_of(router)
    params, x_TD = draw(config, ties=True)
    gates = route(params, x_TD, config)
    scores_TCN = np.asarray(all_scores(router, params, x_TD))
    sorted_TCN = -np.sort(-scores_TCN, axis=-1)
    assert (sorted_TCN[..., K - 1] == sorted_TCN[..., K]).mean() > 0.2  # ties that matter
    np.testing.assert_allclose(gates.scores, sorted_TCN[..., :K], rtol=1e-6)
    chosen = np.take_along_axis(scores_TCN, np.asarray(gates.indices), axis=-1)
    np.testing.assert_allclose(chosen, gates.scores, rtol=1e-6)
    assert (np.diff(np.sort(gates.indices, axis=-1)) > 0).all()


@pytest.mark.parametrize("router", ROUTERS)
def test_gradients_are_those_of_the_chosen_scores(router):
    config = config_of(router)
    weights_TCK = jnp.float32(np.random.default_rng(2).normal(size=(T, C, K)))

    @jax.jit
    def gradients(params, x_TD):
        indices = routing.route(params, x_TD, config).indices

        def ours(params, x_TD):
            return jnp.sum(weights_TCK * routing.route(params, x_TD, config).scores)

        def brute_force(params, x_TD):
            scores_TCN = all_scores(router, params, x_TD)
            return jnp.sum(weights_TCK * jnp.take_along_axis(scores_TCN, indices, axis=-1))

        return jax.grad(ours, (0, 1))(params, x_TD), jax.grad(brute_force, (0, 1))(params, x_TD)

    # Without ties and with them: a neuron that ties with a chosen one has no gradient.
    for ties in (False, True):
        found, expected = gradients(*draw(config, ties=ties))
        for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("router", ROUTERS)
def test_scores_are_fp32_in_bf16_and_fp64_in_fp64(router):
    config = config_of(router)
    params, x_TD = draw(config, ties=False)

    def cast(dtype):
        return jax.tree.map(lambda leaf: leaf.astype(dtype), (params, x_TD))

    scores = route(*cast(jnp.bfloat16), config).scores
    assert scores.dtype == jnp.float32
    # They were never rounded to bf16.
    assert (np.asarray(scores) != np.asarray(scores.astype(jnp.bfloat16))).mean() > 0.9
    with jax.enable_x64(True):
        gates = jax.eval_shape(partial(routing.route, config=config), *cast(jnp.float64))
        assert gates.scores.dtype == jnp.float64


def test_initial_standard_deviations():
    @jax.jit
    def init(key):
        sizes = {"n_channels": 5, "n_neurons": 400, "d_key": 30}
        routers = {r: Router(100, config_of(r, **sizes), rngs=nnx.Rngs(key)) for r in ROUTERS}
        return {name: nnx.to_pure_dict(nnx.state(router)) for name, router in routers.items()}

    # 1 / sqrt(fan-in) for what is scaled by its fan-in, D or Q; keys of the key-value routers are
    # normal, truncated at 2 deviations and not scaled up again.
    query, from_query, truncated = 1 / math.sqrt(100), 1 / math.sqrt(30), 0.88
    expected = {
        "product_dense": {"query": query, "key": from_query},
        "dense": {"query": query, "key": from_query},
        "key_value": {"query": query, "key": truncated},
        "product_key_value": {"query": query, "key": truncated},
    }
    # This kind of key compiles several times faster than the usual one.
    for router, params in init(jax.random.key(0, impl="unsafe_rbg")).items():
        deviations = {name: float(np.std(weights)) for name, weights in params.items()}
        # Of 3,000 numbers or more, so within 1.3 %.
        assert deviations == pytest.approx(expected[router], rel=0.04), router


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_channels": 0}, "n_channels=0 must be at least 1"),
        ({"top_k": 0}, "top_k=0 must be at least 1"),
        ({"d_key": -1}, "d_key=-1 must be at least 1"),
        ({"n_neurons": 0}, "n_neurons=0 must be at least 1"),
        (
            {"n_neurons": 1000},
            "n_neurons=1000 is not a perfect square, which the router 'product_dense' needs: "
            "try 961 or 1024",
        ),
        (
            {"n_neurons": 64, "top_k": 8},
            "top_k=8 is too large for n_neurons=64: it must be below sqrt(n_neurons), at most 7",
        ),
        (
            {"router": "dense", "n_neurons": 5, "top_k": 6},
            "top_k=6 is too large for n_neurons=5: it must be at most n_neurons, at most 5",
        ),
    ],
)
def test_what_no_router_can_do_is_refused(fields, message):
    with pytest.raises(UserError) as error:
        SgatlinConfig(**fields)
    assert str(error.value) == message


def test_the_largest_choices_are_accepted():
    assert SgatlinConfig(n_neurons=64, top_k=7).top_k == 7
    assert SgatlinConfig(router="product_key_value", n_neurons=64, top_k=7).top_k == 7
    assert SgatlinConfig(router="dense", n_neurons=5, top_k=5).n_neurons == 5


def health(indices_TCK, scores_TCK, n_neurons) -> dict[str, float]:
    gates = Gates(jnp.array(indices_TCK), jnp.float32(scores_TCK))
    counts = choice_counts(gates, (gates.indices.shape[-2], n_neurons))
    return {name: float(value) for name, value in routing.router_health(gates, counts).items()}


@pytest.mark.parametrize(
    ("first_channel", "second_channel", "entropy"),
    [
        ([0, 1, 2, 3], [3, 1, 2, 0], 1),
        # Each channel has a table of its own: one neuron always, though not the same one.
        ([0, 0, 0, 0], [1, 1, 1, 1], 0),
        ([0, 1, 2, 3], [1, 1, 1, 1], 0.5),
        # Two equally often: log 2 / log 4; the mean of that and 1.
        ([3, 0, 0, 3], [0, 1, 2, 3], 0.75),
        # Three to one: (3/4 log 4/3 + 1/4 log 4) / log 4, averaged with 0.
        ([2, 0, 2, 2], [1, 1, 1, 1], (0.75 * math.log2(4 / 3) + 0.25 * 2) / 2 / 2),
    ],
)
def test_choice_entropy(first_channel, second_channel, entropy):
    indices_TCK = np.stack([first_channel, second_channel], axis=-1)[..., None]
    found = health(indices_TCK, np.ones((4, 2, 1)), n_neurons=4)
    assert found["choice_entropy"] == pytest.approx(entropy, abs=1e-6)


def test_choice_entropy_counts_every_choice_of_a_token():
    found = health([[[0, 3]], [[3, 0]]], np.ones((2, 1, 2)), n_neurons=4)
    assert found["choice_entropy"] == pytest.approx(0.5)


def test_choice_entropy_of_a_single_neuron_is_one():
    assert health([[[0]]], [[[1]]], n_neurons=1)["choice_entropy"] == 1


def test_score_scale_and_largest_score():
    # Tokens have leading axes (2, 1) here: sqrt((9 + 1 + 16 + 0) / 4).
    found = health([[[[0, 1]]], [[[1, 0]]]], [[[[3, -1]]], [[[-4, 0]]]], n_neurons=2)
    assert found["score_rms"] == pytest.approx(math.sqrt(6.5))
    assert found["largest_score"] == 3
