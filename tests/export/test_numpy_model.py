# SPDX-License-Identifier: Apache-2.0
"""The numpy reader says what the JAX model says, of every feed-forward layer with every option."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import jax
import numpy as np
import pytest

from sgatlin.export.numpy_model import FEED_FORWARD, SWIGLU_LIMIT, load, logits
from sgatlin.export.write import export_run, write_export
from sgatlin.nn.feed_forward import LayerConfig
from sgatlin.nn.mlp import MlpConfig, SwigluConfig
from sgatlin.nn.moe import MoeConfig
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.spark import SparkConfig
from sgatlin.nn.topk_mlp import TopkMlpConfig
from sgatlin.nn.transformer import bind
from sgatlin.train.load import LoadedRun, load_run
from tests.export.random_run import with_layer

DOCS = Path(__file__).parents[2] / "docs/runs.md"

POOL = {"n_channels": 3, "n_neurons": 16, "top_k": 3, "d_key": 8}
MOE = {"n_experts": 5, "top_k": 2, "d_hidden": 12}
LAYERS = {
    "sgatlin": SgatlinConfig(**POOL),
    "sgatlin, dense router": SgatlinConfig(
        **POOL, router="dense", gate="softmax", query_norm=True, activation="relu"
    ),
    "sgatlin, key-value router": SgatlinConfig(
        **POOL, router="key_value", activation="gelu", activation_at="before_gate"
    ),
    "sgatlin, product key-value router": SgatlinConfig(
        **POOL,
        router="product_key_value",
        gate="softmax",
        query_norm=True,
        activation="swish",
        shared_pool=True,
    ),
    "sgatlin, groups that read a projection": SgatlinConfig(
        n_channels=3, n_neurons=64, top_k=12, group=4, d_in=5, d_key=8, gate="softmax"
    ),
    "sgatlin, groups, dense router": SgatlinConfig(
        n_channels=3, n_neurons=14, top_k=6, group=2, d_key=8, router="dense", shared_pool=True
    ),
    "peer": PeerConfig(**POOL),
    "peer, pools": PeerConfig(**POOL, shared_pool=False, query_norm=True),
    "moe": MoeConfig(**MOE),
    "moe, sigmoid": MoeConfig(**MOE, routing="sigmoid_bias", n_shared_experts=2),
    "moe, paper": MoeConfig(**MOE, routing="paper", n_shared_experts=1),
    "mlp": MlpConfig(d_hidden=24),
    "swiglu": SwigluConfig(d_hidden=24),
    "topk_mlp": TopkMlpConfig(d_hidden=24, top_k=5),
    "topk_mlp, gelu": TopkMlpConfig(d_hidden=24, top_k=5, activation="gelu"),
    "spark": SparkConfig(d_hidden=24, n_active=6),
}


def test_no_layer_of_the_registry_is_missing():
    union, _ = get_args(LayerConfig)
    kinds = {config().kind for config in get_args(union)}
    assert {layer.kind for layer in LAYERS.values()} == kinds == set(FEED_FORWARD)


@pytest.fixture(scope="module")
def toy_loaded(toy_run) -> LoadedRun:
    return load_run(str(toy_run))


def assert_says_the_same(export: Path, loaded: LoadedRun) -> None:
    """The logits of the numpy model and of JAX's agree, in both of numpy's types."""
    config = loaded.config.model
    tokens_T = np.random.default_rng(1).integers(0, config.vocab_size, 12).astype(np.int32)
    model = jax.jit(lambda params, tokens_BT: bind(config, params)(tokens_BT).logits)
    expected_TV = model(loaded.params, tokens_T[None])[0]
    for dtype in (np.float32, np.float64):
        found_TV = logits(load(export, dtype), tokens_T)
        assert found_TV.dtype == dtype
        assert np.abs(found_TV - expected_TV).max() < 1e-4 * expected_TV.std()


@pytest.mark.parametrize("name", LAYERS)
def test_it_says_what_the_model_says(name, toy_loaded, tmp_path):
    loaded = with_layer(toy_loaded, LAYERS[name])
    write_export(tmp_path, loaded, "float32")
    assert_says_the_same(tmp_path, loaded)


def test_it_says_what_a_trained_model_says(export, toy_loaded):
    assert_says_the_same(export, toy_loaded)


@pytest.mark.parametrize("name", ["swiglu", "moe"])
def test_the_parameters_of_these_tests_reach_the_limits_of_swiglu(name, toy_loaded, monkeypatch):
    """Without this a reader that does not clip would pass."""
    loaded = with_layer(toy_loaded, LAYERS[name])
    stacked, asked = loaded.params["blocks"]["feed_forward"], vars(LAYERS[name])
    of_layer = {key: np.asarray(array[0]) for key, array in stacked.items()}
    x_TD = np.random.default_rng(1).standard_normal((12, loaded.config.model.d_model))
    clipped_TD = FEED_FORWARD[name](x_TD, of_layer, asked)
    monkeypatch.setattr("sgatlin.export.numpy_model.SWIGLU_LIMIT", 2 * SWIGLU_LIMIT)
    unclipped_TD = FEED_FORWARD[name](x_TD, of_layer, asked)
    assert not np.allclose(unclipped_TD, clipped_TD, rtol=0.1)


@pytest.fixture(scope="module")
def export(toy_run, tmp_path_factory) -> Path:
    """An export of the toy run, where the example of the docs looks for one."""
    base = tmp_path_factory.mktemp("example")
    return export_run(str(toy_run), base / "runs/story/export").folder


def test_the_example_of_the_docs_needs_no_jax(export):
    [example] = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    ending = "import sys; print(logits_TV.shape, {'jax', 'flax', 'ml_dtypes'} & sys.modules.keys())"
    command = [sys.executable, "-c", f"{example}\n{ending}"]
    folder = export.parents[2]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "(3, 300) set()"


def test_the_future_changes_nothing(export):
    model = load(export)
    long_TV, short_TV = logits(model, [5, 6, 7, 8]), logits(model, [5, 6])
    np.testing.assert_allclose(long_TV[:2], short_TV, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("tokens", [[-1], [300], np.array([[1, 2]])])
def test_ids_that_are_none(export, tokens):
    with pytest.raises(ValueError, match="tokens must be a sequence of ids from 0 to 299"):
        logits(load(export), tokens)


def test_folders_that_are_no_export(export, toy_run, tmp_path):
    with pytest.raises(ValueError, match=r"config\.json is not of the format sgatlin-2"):
        load(toy_run)
    with pytest.raises(FileNotFoundError):
        load(tmp_path)
    (tmp_path / "config.json").write_bytes((export / "config.json").read_bytes())
    outside = {"weight_map": {"embedding": "../model.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(outside))
    with pytest.raises(ValueError, match=r"'\.\./model\.safetensors', which is outside its folder"):
        load(tmp_path)
