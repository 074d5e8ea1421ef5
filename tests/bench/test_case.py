# SPDX-License-Identifier: Apache-2.0
"""Layers to time: presets, distributions of indices, and what is recorded from a run."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sgatlin.bench.case import (
    PRESETS,
    preset_shape,
    random_indices,
    recorded_case,
)
from sgatlin.errors import UserError
from sgatlin.input.store import TokenStore
from sgatlin.nn.sgatlin import SgatlinConfig, sgatlin
from sgatlin.nn.transformer import bind
from sgatlin.train.load import load_run

FLOAT32 = jnp.dtype("float32")


def validation(toy):
    return TokenStore.open(Path(toy.data.source.path) / "validation")


@pytest.mark.parametrize(
    ("preset", "d_model", "n_neurons", "n_channels"),
    [
        ("default", 128, 256, 4),
        ("tinystories", 256, 1024, 8),
        ("s4", 512, 4096, 16),
        ("s6", 768, 7744, 16),
    ],
)
def test_presets(preset, d_model, n_neurons, n_channels):
    shape = preset_shape(preset)
    layer = SgatlinConfig(n_neurons=n_neurons, n_channels=n_channels, top_k=8)
    assert (shape.d_model, shape.layer) == (d_model, layer)
    assert preset in PRESETS


def test_a_preset_is_changed():
    shape = preset_shape("s4", d_model=64, top_k=None, n_neurons=100)
    assert shape.d_model == 64
    assert (shape.layer.n_neurons, shape.layer.top_k, shape.layer.n_channels) == (100, 8, 16)


def test_uniform_and_zipf_indices():
    layer = SgatlinConfig(n_channels=2, n_neurons=64, top_k=5)
    uniform, zipf = (random_indices(name, 4000, layer) for name in ("uniform", "zipf"))
    for indices_TCK in (uniform, zipf):
        assert indices_TCK.shape == (4000, 2, 5)
        assert indices_TCK.min() == 0
        assert indices_TCK.max() == 63
    even_N = np.full(64, 1 / 64)
    share_N = np.arange(1, 65) ** -0.7 / (np.arange(1, 65) ** -0.7).sum()
    popular = []
    for channel in range(2):
        for indices_TCK, expected_N in ((uniform, even_N), (zipf, share_N)):
            counts_N = np.bincount(indices_TCK[:, channel].ravel(), minlength=64)
            np.testing.assert_allclose(np.sort(counts_N)[::-1] / 20_000, expected_N, rtol=0.2)
        popular.append(np.argmax(np.bincount(zipf[:, channel].ravel())))
    assert popular[0] != popular[1]


@pytest.mark.parametrize("distribution", ["uniform", "zipf"])
def test_indices_of_groups_are_whole_groups(distribution):
    layer = SgatlinConfig(n_channels=2, n_neurons=64, top_k=8, group=4)
    indices_TCK = random_indices(distribution, 500, layer)
    assert indices_TCK.shape == (500, 2, 8)
    groups = indices_TCK.reshape(500, 2, 2, 4)
    np.testing.assert_array_equal(groups, 4 * (groups[..., :1] // 4) + np.arange(4))
    assert set(groups[..., 0].ravel().tolist()) == set(range(0, 64, 4))


def test_a_recorded_case_is_what_the_model_does(toy, toy_run):
    case = recorded_case(str(toy_run), 40, FLOAT32)
    loaded = load_run(str(toy_run))
    store = validation(toy)
    seq_len = toy.data.seq_len
    # 40 tokens are three windows of 16, in the middle of each third of the store.
    n_windows = (store.n_tokens - 1) // seq_len
    starts = [(2 * i + 1) * n_windows // 6 * seq_len for i in range(3)]
    ids_BT = np.stack([store.slice(start, start + seq_len) for start in starts]).astype(np.int32)
    model = bind(loaded.config.model, loaded.params)
    gates = model(jnp.asarray(ids_BT), return_gates=True).gates
    expected_TCK = gates.indices[1].reshape(48, 2, 2)[:40]
    np.testing.assert_array_equal(case.indices_TCK, expected_TCK)
    assert case.chosen
    assert case.shape.layer == loaded.config.model.feed_forward
    # The layer's own inputs: with them its router gives the model's scores.
    own = sgatlin(case.params, case.x_TD, case.shape.layer).gates
    np.testing.assert_allclose(
        own.scores, gates.scores[1].reshape(48, 2, 2)[:40], rtol=1e-4, atol=1e-5
    )


def test_a_recorded_case_has_the_asked_type(toy_run):
    case = recorded_case(f"{toy_run}@5", 17, jnp.dtype("bfloat16"))
    assert {leaf.dtype.name for leaf in jax.tree.leaves((case.params, case.x_TD))} == {"bfloat16"}
    assert case.x_TD.shape == (17, 16)


def test_too_little_text_is_told(toy, toy_run):
    n_tokens = validation(toy).n_tokens
    with pytest.raises(UserError, match=f"has {n_tokens - 1} tokens: give --tokens {n_tokens - 1}"):
        recorded_case(str(toy_run), 10**6, FLOAT32)


@pytest.mark.parametrize("change", [{"router": "dense"}, {"activation": "relu"}, {"d_in": 4}])
def test_another_layer_is_refused(toy_run, monkeypatch, change):
    loaded = load_run(str(toy_run))
    layer = dataclasses.replace(loaded.config.model.feed_forward, **change)
    model = dataclasses.replace(loaded.config.model, feed_forward=layer)
    other = loaded._replace(config=dataclasses.replace(loaded.config, model=model))
    monkeypatch.setattr("sgatlin.bench.case.load_run", lambda spec: other)
    with pytest.raises(UserError, match="runs/other has another layer than the one timed here"):
        recorded_case("runs/other", 16, FLOAT32)
