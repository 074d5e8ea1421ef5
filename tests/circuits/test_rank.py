# SPDX-License-Identifier: Apache-2.0
"""Ranks of a layer's map by its factors equal those of the map written out."""

import dataclasses

import jax
import numpy as np
import pytest

from sgatlin.circuits.rank import coefficients, layer_ranks, random_rows, ranks, singular_values
from sgatlin.circuits.recording import RecordingOptions, record_circuits
from sgatlin.errors import UserError
from sgatlin.eval.command import store_for
from sgatlin.nn.sgatlin import SgatlinConfig
from tests.circuits.variants import variant


def test_singular_values_are_the_maps():
    rng = np.random.default_rng(0)
    for p, d in ((3, 8), (8, 5)):
        w_in, w_out = rng.normal(size=(2, 4, p, d))
        scores = rng.normal(size=(4, p))
        found = singular_values(w_in, scores, w_out)
        for t in range(4):
            whole = w_out[t].T @ np.diag(scores[t]) @ w_in[t]
            np.testing.assert_allclose(
                found[t], np.linalg.svd(whole, compute_uv=False)[: min(p, d)], atol=1e-10
            )


def test_ranks_by_hand():
    """Orthogonal neurons: the singular values are the scores' sizes."""
    table = np.eye(4, dtype=np.float32)
    scores = np.array([[1, -1, 1], [2, 0, 0], [3, 1, 0], [0, 0, 0]], np.float32)
    rows = np.array([[0, 1, 2]] * 4)
    found = ranks(rows, scores, table, table)
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    np.testing.assert_allclose(found.effective, [3, 1, np.exp(entropy), 0])
    np.testing.assert_allclose(found.stable, [3, 1, 10 / 9, 0])


def test_random_neurons_are_of_the_same_tables_and_distinct():
    rows = np.array([[1, 2, 12, 13], [3, 4, 15, 16]]).repeat(50, 0)
    drawn = random_rows(rows, 2, 10, seed=0)
    assert (drawn[:, :2] // 10 == 0).all()
    assert (drawn[:, 2:] // 10 == 1).all()
    assert all(len(set(row)) == 4 for row in drawn.tolist())
    assert set(drawn[:, :2].reshape(-1).tolist()) == set(range(10))
    np.testing.assert_array_equal(drawn, random_rows(rows, 2, 10, seed=0))
    assert (drawn != random_rows(rows, 2, 10, seed=1)).any()


def test_random_neurons_are_whole_groups_where_the_chosen_ones_are():
    rows = np.array([[0, 1, 2, 3, 12, 13, 14, 15]]).repeat(100, 0)
    drawn = random_rows(rows, 2, 12, group=2, seed=0)
    np.testing.assert_array_equal(drawn[:, 1::2], drawn[:, ::2] + 1)
    assert (drawn[:, ::2] % 2 == 0).all()
    assert all(len(set(row)) == 8 for row in drawn.tolist())
    assert set(drawn[:, :4].reshape(-1).tolist()) == set(range(12))
    assert set(drawn[:, 4:].reshape(-1).tolist()) == set(range(12, 24))


def test_ranks_of_neurons_that_read_a_projection_are_those_of_the_layers_map(toy_run, tmp_path):
    model = variant(toy_run, "grouped")
    store = store_for(model.loaded)
    record = record_circuits(model, store, tmp_path / "record", RecordingOptions(tokens=60))
    layer = 2
    own, _ = layer_ranks(model, record, layer, np.arange(4))
    feed_forward = jax.tree.map(
        lambda leaf: np.asarray(leaf[layer], np.float64), model.params["blocks"]["feed_forward"]
    )
    rows, a_nP = record.rows(layer).indices[:4], record.rows(layer).values[:4]
    for at in range(4):
        whole = np.zeros((model.config.d_model, model.config.d_model))
        for row, a in zip(rows[at], a_nP[at], strict=True):
            w_in, w_out = (feed_forward[name].reshape(32, -1)[row] for name in ("w_in", "w_out"))
            whole += a * np.outer(w_out, feed_forward["projection"] @ w_in)
        values = np.linalg.svd(whole, compute_uv=False)
        share = values[values > 1e-6 * values[0]] / values.sum()
        effective = np.exp(-(share * np.log(share)).sum())
        assert own.effective[at] == pytest.approx(effective, rel=1e-3)
        # Of eight neurons, as many as the projection lets through.
        assert len(share) == model.layer.d_in


def test_equal_neurons_make_a_map_of_rank_one():
    table = np.ones((4, 6), np.float32)
    found = ranks(np.array([[0, 1, 3]]), np.array([[1.0, 2.0, 3.0]], np.float32), table, table)
    assert found.effective[0] == pytest.approx(1)
    assert found.stable[0] == pytest.approx(1)


def swish(x):
    return x / (1 + np.exp(-x))


def test_coefficients_are_scores_or_secants():
    scores = np.array([[0.5, -2.0, 3.0]], np.float32)
    z = np.array([[1.5, 0.25, 0.0]], np.float32)
    size = {"n_channels": 1, "n_neurons": 16, "top_k": 3}
    assert coefficients(scores, None, SgatlinConfig(**size)) is scores
    after = coefficients(scores, z, SgatlinConfig(**size, activation="swish"))
    before = coefficients(
        scores, z, SgatlinConfig(**size, activation="swish", activation_at="before_gate")
    )
    expected = [swish(1.5 * 0.5) / 1.5, swish(0.25 * -2) / 0.25, 0]
    np.testing.assert_allclose(after, [expected], rtol=1e-5)
    expected = [swish(1.5) * 0.5 / 1.5, swish(0.25) * -2 / 0.25, 0]
    np.testing.assert_allclose(before, [expected], rtol=1e-5)


def test_a_shared_pools_map_gives_the_layers_output(toy_run, tmp_path):
    """Of a model with one table for all channels and an activation, from its record."""
    model = variant(toy_run, "after")
    assert model.layer.shared_pool
    store = store_for(model.loaded)
    options = RecordingOptions(tokens=60, activations=True)
    record = record_circuits(model, store, tmp_path / "record", options)
    chosen, layer = np.arange(5), 1
    tokens = record.positions()["token"].to_numpy()[:5]
    seen = model.trace(np.array([[model.tokenizer.bos_id, *tokens]], np.int32))
    w_in, w_out = (
        np.asarray(model.params["blocks"]["feed_forward"][name][layer])[0]
        for name in ("w_in", "w_out")
    )
    a_nP = coefficients(record.rows(layer).values[:5], record.activations(layer)[:5], model.layer)
    own, random = layer_ranks(model, record, layer, chosen)
    for at in range(5):
        indices = np.asarray(seen.gates.indices[layer, 0, 1 + at]).reshape(-1)
        z = np.asarray(seen.z[layer, 0, 1 + at]).reshape(-1)
        scores = np.asarray(seen.gates.scores[layer, 0, 1 + at]).reshape(-1)
        acted = np.asarray(jax.nn.swish(z * scores))
        np.testing.assert_allclose(a_nP[at] * z, acted, rtol=1e-3, atol=1e-5)
        whole = w_out[indices].T @ np.diag(acted / z) @ w_in[indices]
        values = np.linalg.svd(whole.astype(np.float64), compute_uv=False)
        share = values[values > 1e-9 * values[0]] / values.sum()
        effective = np.exp(-(share * np.log(share)).sum())
        assert own.effective[at] == pytest.approx(effective, rel=1e-2)
    assert (random.effective != own.effective).any()
    linear = dataclasses.replace(options, activations=False)
    without = record_circuits(model, store, tmp_path / "without", linear)
    with pytest.raises(UserError, match="--activations"):
        layer_ranks(model, without, layer, chosen)
