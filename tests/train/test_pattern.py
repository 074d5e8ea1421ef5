# SPDX-License-Identifier: Apache-2.0
"""Runs of a model with layers of several kinds: stopped and resumed, loaded, exported, watched."""

import dataclasses
import os
import signal
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from sgatlin.circuits.model import CircuitModel
from sgatlin.config import Config, differing_fields, from_json, load_config, to_json
from sgatlin.errors import UserError
from sgatlin.eval.command import evaluate_run, write_samples
from sgatlin.eval.generate import Sampling
from sgatlin.export.numpy_model import load, logits
from sgatlin.export.write import export_run
from sgatlin.nn.feed_forward import PatternConfig
from sgatlin.nn.mlp import MlpConfig, SwigluConfig
from sgatlin.nn.moe import MoeConfig
from sgatlin.nn.pattern import gated_paths
from sgatlin.nn.transformer import TransformerConfig, abstract_model, bind
from sgatlin.train.command import parse_train
from sgatlin.train.load import load_run
from sgatlin.train.loop import Trainer
from sgatlin.train.memory import training_memory
from sgatlin.train.optimizer import MuonConfig
from sgatlin.train.report import describe
from sgatlin.train.resample import Replacement, resample
from sgatlin.train.run import RunDirectory
from sgatlin.train.step import init_state, make_train_step
from sgatlin.train.usage import UsageConfig
from tests.toy import QUICK_TO_COMPILE, STEPS
from tests.train.runs import assert_same, train
from tests.train.test_loop import KILLED_AFTER_TWELVE, metrics
from tests.train.test_memory import check_against_xla, small
from tests.train.test_watch import batch_of

SWIGLU = SwigluConfig(d_hidden=24)

pytestmark = pytest.mark.usefixtures("compiled_once")


def with_layers(config: Config, *layers, n_layers: int = 4, **changed) -> Config:
    pattern = PatternConfig(layers=layers)
    model = dataclasses.replace(config.model, feed_forward=pattern, n_layers=n_layers)
    return dataclasses.replace(config, model=model, **changed)


@pytest.fixture(scope="module")
def alternating(toy) -> Config:
    """The toy with four layers, the second and fourth sparse, resampled and trained with Muon."""
    sparse = dataclasses.replace(toy.model.feed_forward, balance_weight=0.1)
    watch = UsageConfig(every=4, dead_after=4, resample=True, resample_share=0.2)
    optimizer = dataclasses.replace(toy.optimizer, muon=MuonConfig())
    return with_layers(toy, SWIGLU, sparse, usage=watch, optimizer=optimizer)


@pytest.fixture(scope="module")
def whole(alternating, tmp_path_factory) -> Trainer:
    """A run that nothing interrupted."""
    return train(alternating, tmp_path_factory.mktemp("runs") / "whole")


def test_twenty_steps_equal_ten_stopped_and_ten_more(alternating, whole, tmp_path):
    train(alternating, tmp_path / "run", until=10)
    rest = train(alternating, tmp_path / "run")
    assert_same(rest.state, whole.state)
    assert metrics(tmp_path / "run") == metrics(whole.run.path)


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_checkpoint(alternating, whole, tmp_path):
    command = [sys.executable, "-c", KILLED_AFTER_TWELVE, to_json(alternating), str(tmp_path)]
    cache = {"JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir}
    killed = subprocess.run(command, env=os.environ | cache, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert_same(train(alternating, tmp_path).state, whole.state)
    assert metrics(tmp_path) == metrics(whole.run.path)


def test_what_is_watched_is_of_the_layers_with_gates(alternating, whole):
    assert alternating.model.gated_blocks == (1, 3)
    rows = metrics(whole.run.path)
    steps, reports = ([row for row in rows if name in row] for name in ("loss", "usage/used"))
    assert [row["step"] for row in reports] == list(range(4, STEPS + 1, 4))
    assert all(np.shape(row["usage/used"]) == (2, 2) for row in reports)  # layers, channels
    assert any(np.sum(row["usage/resampled"]) for row in reports)
    names = ("router/score_rms", "aux/balance")
    assert all(np.shape(row[name]) == (2,) for row in steps for name in names)
    assert steps[-1]["loss"] < steps[0]["loss"] - 0.1


def test_a_run_is_evaluated_and_writes_text(whole, capsys):
    evaluated = evaluate_run(str(whole.run.path)).all.loss
    assert evaluated.loss == pytest.approx(whole.run.result()["val_loss"], rel=1e-6)
    write_samples(
        str(whole.run.path), "", n_samples=1, max_tokens=3, sampling=Sampling(top_k=5), seed=0
    )
    assert capsys.readouterr().out.strip()


def test_an_export_says_what_the_model_says(alternating, whole, tmp_path):
    folder = export_run(str(whole.run.path), tmp_path / "export").folder
    model, loaded = load(folder), load_run(str(whole.run.path))
    blocks = loaded.params["blocks"]
    for layer, (place, turn) in enumerate([("0", 0), ("1", 0), ("0", 1), ("1", 1)]):
        ours = model.params[f"blocks.{layer}.attention.w_query"]
        np.testing.assert_array_equal(ours, blocks[place]["attention"]["w_query"][turn])
    tokens_T = np.arange(12, dtype=np.int32)
    expected = bind(alternating.model, loaded.params)(jnp.asarray(tokens_T)[None]).logits[0]
    np.testing.assert_allclose(logits(model, tokens_T), expected, rtol=1e-3, atol=1e-4)


def test_circuits_are_refused_in_one_line(whole):
    told = rf"^{whole.run.path} has a pattern of layers \(swiglu / sgatlin\), and circuits are only"
    with pytest.raises(UserError, match=told):
        CircuitModel.open(str(whole.run.path))


def test_a_run_tells_its_layers(alternating, whole):
    told = describe(alternating, whole.run, "starts at step 0")
    first, neurons = told.splitlines()
    assert first.startswith(f"{whole.run.path}: swiglu / sgatlin, ")
    assert "neurons by " in neurons


def test_parameters_of_another_pattern_are_refused(alternating, whole, tmp_path):
    dense, sparse = alternating.model.period
    config = with_layers(alternating, dense, dataclasses.replace(sparse, n_neurons=25))
    told = (
        r"--init-from .*: the feed-forward layers differ \(field: there, here\): "
        r"model\.feed_forward\.layers\.1\.n_neurons: 16, 25: "
    )
    with pytest.raises(UserError, match=told):
        train(config, tmp_path / "larger", init_from=str(whole.run.path))
    plain = dataclasses.replace(alternating.model, feed_forward=SWIGLU)
    config = dataclasses.replace(alternating, model=plain, usage=UsageConfig())
    with pytest.raises(UserError, match=r"model\.feed_forward\.kind: 'pattern', 'swiglu'"):
        train(config, tmp_path / "plain", init_from=str(whole.run.path))


def test_its_config_is_kept_as_json(alternating, whole):
    assert RunDirectory(whole.run.path).config() == alternating
    text = to_json(alternating)
    assert from_json(text, origin="config.json") == alternating
    for before, after, told in [
        (
            '"d_hidden": 24',
            '"d_hidden": "24"',
            r"layers\.0\.d_hidden='24': Input should be a valid",
        ),
        ('"kind": "swiglu"', '"kind": "lstm"', r"layers\.0: Input tag 'lstm' found using 'kind'"),
        ('"kind": "swiglu"', '"kind": "pattern"', r"layers\.0: Input tag 'pattern' found using"),
        ('"n_neurons": 16', '"n_neurons": 15', "n_neurons=15 is not a perfect square"),
    ]:
        assert text.count(before) == 1
        with pytest.raises(UserError, match=rf"^config\.json: (model\.feed_forward\.)?{told}"):
            from_json(text.replace(before, after), origin="config.json")


def test_differing_fields_are_those_of_a_layer(alternating):
    dense, sparse = alternating.model.period
    other = with_layers(alternating, dense, dataclasses.replace(sparse, top_k=3))
    assert differing_fields(alternating, other) == ["model.feed_forward.layers.1.top_k: 2, 3"]


def test_layers_are_set_on_the_command_line(alternating):
    arguments = ["--model.feed-forward.layers.1.top-k", "3", "--model.n-layers", "6"]
    parsed = parse_train(alternating, arguments, prog="train.py").config.model
    dense, sparse = alternating.model.period
    assert parsed.period == (dense, dataclasses.replace(sparse, top_k=3))
    with pytest.raises(UserError, match="n_layers=5 is not a multiple of 2, the number of layers"):
        parse_train(alternating, ["--model.n-layers", "5"], prog="train.py")


def test_a_fault_in_a_config_file_is_told_with_its_line(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from sgatlin.nn.feed_forward import MoeConfig, PatternConfig, SgatlinConfig\n"
        "def make():\n"
        "    return PatternConfig(layers=(SgatlinConfig(), MoeConfig()))\n"
        "VARIANTS = {'only': make}\n"
    )
    with pytest.raises(UserError, match=rf"^{file}:3: a pattern can have one config with gates"):
        load_config(str(file))


def test_each_mixture_is_balanced_by_its_own_load(toy):
    """Offsets of an expert with less than its layer's mean load go up by the update's speed."""
    moe = MoeConfig(n_experts=4, top_k=2, d_hidden=8, routing="sigmoid_bias")
    config = with_layers(toy, moe, MlpConfig(d_hidden=8), moe, n_layers=6)
    step = jax.jit(make_train_step(config), compiler_options=QUICK_TO_COMPILE)
    after, _ = step(init_state(config), batch_of(config))
    load_GE = np.asarray(after.usage.counts)[:, 0]
    assert config.model.gated_blocks == (0, 2, 3, 5)
    assert load_GE.sum(axis=1).tolist() == [4 * 16 * 2] * 4
    moved_GE = 1e-3 * np.sign(load_GE.mean(axis=1, keepdims=True) - load_GE)
    for number, block in enumerate(config.model.gated_blocks):
        own = after.params["blocks"][str(block % 3)]["feed_forward"]["balance"][block // 3]
        np.testing.assert_allclose(own, moved_GE[number], atol=1e-8)


def test_each_stack_is_resampled_as_if_all_were_one(toy):
    """Layers 0, 2, 3 and 5 of six have gates: a plain model of four has the same numbers."""
    layer = toy.model.feed_forward
    plain = dataclasses.replace(toy.model, n_layers=4)
    mixed = with_layers(toy, layer, MlpConfig(d_hidden=8), layer, n_layers=6).model
    params, rng = random_params(plain), np.random.default_rng(1)
    by_place = random_params(mixed)
    for place, first in (("0", 0), ("2", 1)):
        own = jax.tree.map(lambda leaf, first=first: leaf[first::2], params["blocks"])
        by_place["blocks"][place] = own
    source = jnp.asarray(rng.integers(4, size=(4, 2, 2, 4)))
    replacement = Replacement(source, source != jnp.arange(4))
    optimizer = optax.adam(0.1)

    def resampled(params, **given):
        given |= {"router": layer, "optimizer": optimizer, "noise": 0.0}

        @partial(jax.jit, compiler_options=QUICK_TO_COMPILE)
        def of(params):
            _, state = optimizer.update(params, optimizer.init(params), params)
            return resample(params, state, replacement, jax.random.key(0), **given)

        return of(params)

    expected, state = resampled(params)
    found, found_state = resampled(by_place, paths=gated_paths(mixed.feed_forward))
    pairs = [(found, expected), (found_state[0].mu, state[0].mu), (found_state[0].nu, state[0].nu)]
    for ours, theirs in pairs:
        for place, first in (("0", 0), ("2", 1)):
            own = jax.tree.map(lambda leaf, first=first: leaf[first::2], theirs["blocks"])
            assert_same(ours["blocks"][place], own)
    assert_same(found["blocks"]["1"], by_place["blocks"]["1"])
    w_in, before = (tree["blocks"]["0"]["feed_forward"]["w_in"] for tree in (found, by_place))
    assert not np.array_equal(w_in, before)


def random_params(model: TransformerConfig):
    rng = np.random.default_rng(0)
    shapes = nnx.to_pure_dict(nnx.state(abstract_model(model)))
    return jax.tree.map(lambda leaf: jnp.float32(rng.normal(size=leaf.shape)), shapes)


def test_memory_is_known_before(alternating):
    memory, state = training_memory(alternating), jax.eval_shape(lambda: init_state(alternating))
    sizes = [sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree)) for tree in state[1:3]]
    assert [memory.parameters, memory.optimizer] == sizes


@pytest.mark.slow
@pytest.mark.parametrize("remat", ["none", "full"])
def test_memory_of_a_step_is_near_what_xla_plans(remat):
    model = load_config("storyworld:sgatlin-alternating").model
    check_against_xla(small(feed_forward=model.feed_forward, remat=remat))
