# SPDX-License-Identifier: Apache-2.0
"""The chunked loss equals -log softmax of all logits, in values and gradients.

T tokens, D width, V vocabulary.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr

from sgatlin.ops.cross_entropy import api as cross_entropy
from sgatlin.ops.cross_entropy import token_nats, weighted_nats
from sgatlin.ops.platform import traced_for
from tests.ops.interpreter import interpreted  # noqa: F401 (a fixture)

D = 6
BFLOAT16 = jnp.dtype("bfloat16")


def draw(n_tokens: int, n_ids: int, seed: int = 0) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    return {
        "hidden": jnp.float32(rng.normal(size=(n_tokens, D))),
        "embedding": jnp.float32(rng.normal(size=(n_ids, D))),
        "targets": jnp.asarray(rng.integers(0, n_ids, n_tokens)),
        # Some tokens count for nothing, others more than once.
        "weights": jnp.float32(rng.integers(0, 3, n_tokens) * rng.uniform(0.5, 1, n_tokens)),
    }


def in_float64(drawn) -> dict[str, np.ndarray]:
    """Loss and gradients as the textbook has them: d logits = weight * (p - one-hot)."""
    hidden, embedding, weights = (
        np.float64(drawn[name]) for name in ("hidden", "embedding", "weights")
    )
    here = np.arange(len(hidden)), np.asarray(drawn["targets"])
    logits = hidden @ embedding.T
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    nats = -np.log(p[here])
    p[here] -= 1
    slopes = weights[:, None] * p
    return {
        "nats": nats,
        "loss": weights @ nats,
        "hidden": slopes @ embedding,
        "embedding": slopes.T @ hidden,
        "weights": nats,
    }


def small_chunks(monkeypatch, tokens: int, n_ids: int) -> None:
    monkeypatch.setattr(cross_entropy, "LEAST_TOKENS", 1)
    monkeypatch.setitem(cross_entropy.CHUNK_LOGITS, "cpu", tokens * n_ids)


def loss_of(targets, **options):
    return lambda hidden, embedding, weights: weighted_nats(
        hidden, embedding, targets, weights, **options
    )


@jax.jit
def loss_and_gradients(drawn):
    at = (drawn["hidden"], drawn["embedding"], drawn["weights"])
    loss, gradients = jax.value_and_grad(loss_of(drawn["targets"]), (0, 1, 2))(*at)
    return {"loss": loss} | dict(zip(("hidden", "embedding", "weights"), gradients, strict=True))


@pytest.mark.parametrize(
    ("n_tokens", "n_ids", "chunk_tokens", "n_chunks"),
    [
        (32, 16, 8, 4),
        (37, 13, 16, 3),  # neither tokens nor ids are a multiple of anything
        (1, 8, 8, 1),
        (5, 1, 8, 1),  # of one id the loss is zero
    ],
)
def test_values_and_gradients_equal_float64(monkeypatch, n_tokens, n_ids, chunk_tokens, n_chunks):
    small_chunks(monkeypatch, chunk_tokens, n_ids)
    drawn = draw(n_tokens, n_ids)
    expected = in_float64(drawn)
    assert f"length={n_chunks}" in str(loss_and_gradients.trace(drawn).jaxpr)
    for name, ours in loss_and_gradients(drawn).items():
        np.testing.assert_allclose(ours, expected[name], rtol=1e-5, atol=2e-6, err_msg=name)

    given = (drawn["hidden"], drawn["embedding"], drawn["targets"])
    nats_T = jax.jit(token_nats)(*given)
    np.testing.assert_allclose(nats_T, expected["nats"], rtol=1e-5, atol=1e-6)
    only_loss = jax.jit(weighted_nats)(*given, drawn["weights"])
    np.testing.assert_allclose(only_loss, expected["loss"], rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(("n_tokens", "n_ids"), [(5, 13), (3, 300), (3, 700), (2, 1)])
def test_the_gpus_kernel_does_the_same(monkeypatch, n_tokens, n_ids):
    monkeypatch.setattr(cross_entropy, "LONGEST_HELD_ROW", 512)
    monkeypatch.setattr(cross_entropy, "ROW_BLOCK", 256)
    drawn = draw(n_tokens, n_ids)
    expected = in_float64(drawn)
    for name, ours in jax.jit(loss_and_gradients.__wrapped__)(drawn).items():
        np.testing.assert_allclose(ours, expected[name], rtol=1e-5, atol=2e-6, err_msg=name)


@pytest.mark.usefixtures("interpreted")
def test_the_gpus_kernel_tells_what_is_wrong():
    drawn = draw(4, 13)
    for name, value in (("targets", 13), ("targets", -1), ("hidden", np.nan)):
        wrong = drawn | {name: drawn[name].at[1].set(value)}
        assert np.isnan(jax.jit(loss_and_gradients.__wrapped__)(wrong)["loss"])


def test_token_nats_can_be_differentiated(monkeypatch):
    small_chunks(monkeypatch, 8, 13)
    drawn = draw(37, 13)

    @partial(jax.jit, static_argnums=0)
    def gradients(loss):
        at = (drawn["hidden"], drawn["embedding"])
        return jax.grad(loss, (0, 1))(*at)

    targets, weights = drawn["targets"], drawn["weights"]
    ours = gradients(lambda hidden, embedding: token_nats(hidden, embedding, targets) @ weights)
    for name, gradient in zip(("hidden", "embedding"), ours, strict=True):
        np.testing.assert_allclose(gradient, in_float64(drawn)[name], rtol=1e-5, atol=2e-6)


def equations(jaxpr: Jaxpr):
    """All of a program, with those of what it calls."""
    for equation in jaxpr.eqns:
        yield equation
        for parameter in equation.params.values():
            if isinstance(parameter, ClosedJaxpr | Jaxpr):
                yield from equations(getattr(parameter, "jaxpr", parameter))


def test_three_products_with_a_gradient_one_without_and_never_all_logits(monkeypatch):
    n_tokens, n_ids = 64, 48
    small_chunks(monkeypatch, 16, n_ids)
    drawn = draw(n_tokens, n_ids)
    at = (drawn["hidden"], drawn["embedding"], drawn["weights"])
    loss = loss_of(drawn["targets"])
    for fn, n_products in ((jax.value_and_grad(loss, (0, 1, 2)), 3), (loss, 1)):
        program = list(equations(jax.make_jaxpr(fn)(*at).jaxpr))
        assert sum(eqn.primitive.name == "dot_general" for eqn in program) == n_products
        sizes = {var.aval.size for eqn in program for var in eqn.outvars}
        assert 16 * n_ids in sizes
        assert max(sizes) < n_tokens * n_ids


def test_rounded_operands_are_near_and_sums_are_wide(monkeypatch):
    small_chunks(monkeypatch, 64, 100)
    drawn = draw(256, 100)
    drawn |= {name: drawn[name] / 2 for name in ("hidden", "embedding")}
    expected = in_float64(drawn)
    at = (drawn["hidden"], drawn["embedding"], drawn["weights"])
    loss = jax.value_and_grad(loss_of(drawn["targets"], dtype=BFLOAT16), (0, 1, 2))
    program = list(equations(jax.make_jaxpr(loss)(*at).jaxpr))
    for eqn in program:
        if eqn.primitive.name == "dot_general":
            assert {var.aval.dtype for var in eqn.invars} == {BFLOAT16}
            assert eqn.outvars[0].aval.dtype == jnp.float32

    value, gradients = jax.jit(loss)(*at)
    assert float(value) == pytest.approx(expected["loss"], rel=1e-3)
    for name, ours in zip(("hidden", "embedding", "weights"), gradients, strict=True):
        assert ours.dtype == jnp.float32
        error = np.linalg.norm(ours - expected[name]) / np.linalg.norm(expected[name])
        assert error < 5e-3, name


def test_gradients_have_their_operands_types():
    drawn = draw(9, 8)
    narrow = drawn | {"hidden": drawn["hidden"].astype(BFLOAT16)}
    found = jax.eval_shape(loss_and_gradients, narrow)
    assert found["loss"].dtype == found["embedding"].dtype == jnp.float32
    assert found["hidden"].dtype == BFLOAT16


def test_large_logits_stay_finite():
    hidden_TD, embedding_VD = jnp.float32([[1000], [1000]]), jnp.float32([[1], [0]])
    targets_T = jnp.array([0, 1])
    nats_T = jax.jit(token_nats)(hidden_TD, embedding_VD, targets_T)
    assert nats_T.tolist() == [0, 1000]
    slope = jax.jit(jax.grad(lambda hidden: loss_of(targets_T)(hidden, embedding_VD, jnp.ones(2))))
    # Of the second token: p is (1, 0), its target the other.
    assert slope(hidden_TD).tolist() == [[0], [1]]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_shows_in_the_loss(value):
    drawn = draw(9, 13)
    drawn["hidden"] = drawn["hidden"].at[4, 2].set(value)
    assert not np.isfinite(loss_and_gradients(drawn)["loss"])
    nats_T = np.asarray(jax.jit(token_nats)(*list(drawn.values())[:3]))
    assert np.isfinite(nats_T).tolist() == [t != 4 for t in range(9)]


@pytest.mark.parametrize("target", [-1, 13, 15, 2**31 - 1, -(2**31)])
def test_a_target_that_is_no_id_makes_the_loss_nan(target):
    """13 ids are filled up to 16 rows: 15 is none of them."""
    drawn = draw(9, 13)
    drawn["targets"] = drawn["targets"].at[4].set(target)
    found = loss_and_gradients(drawn)
    assert math.isnan(found["loss"])
    assert np.isnan(found["weights"]).tolist() == [t == 4 for t in range(9)]


def test_a_token_of_no_weight_changes_nothing():
    drawn = draw(9, 13)
    drawn["weights"] = drawn["weights"].at[4].set(0)
    other = drawn | {"hidden": drawn["hidden"].at[4].add(1)}
    found, expected = loss_and_gradients(other), loss_and_gradients(drawn)
    for name in ("loss", "embedding", "hidden"):
        np.testing.assert_array_equal(found[name], expected[name])
    assert not found["hidden"][4].any()


@pytest.mark.parametrize(
    ("name", "n_tokens", "n_ids", "chunks"),
    [
        ("cpu", 1024, 2048, (2, 512)),
        ("cpu", 2048, 50_257, (8, 256)),
        ("gpu", 65_536, 50_257, (32, 2048)),
        ("gpu", 1024, 2048, (1, 1024)),
        ("gpu", 50_000, 8192, (4, 12_512)),  # in equal parts
    ],
)
def test_chunks_of_a_platform(name, n_tokens, n_ids, chunks):
    targets_T = jax.ShapeDtypeStruct((n_tokens,), jnp.int32)
    with traced_for(name):
        (split,) = jax.eval_shape(partial(cross_entropy._chunks, n_ids), targets_T)
    assert split.shape == chunks


def test_the_gradients_operands_may_be_narrower_than_the_logits():
    drawn = draw(64, 40)
    at = (drawn["hidden"], drawn["embedding"], drawn["weights"])
    loss = jax.jit(jax.value_and_grad(loss_of(drawn["targets"], gradient_dtype=BFLOAT16), (0, 1)))
    value, gradients = loss(*at)
    expected = in_float64(drawn)
    np.testing.assert_allclose(value, expected["loss"], rtol=1e-6)
    for name, ours in zip(("hidden", "embedding"), gradients, strict=True):
        error = np.linalg.norm(ours - expected[name]) / np.linalg.norm(expected[name])
        assert 1e-4 < error < 5e-3
