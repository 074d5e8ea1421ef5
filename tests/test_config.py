# SPDX-License-Identifier: Apache-2.0
"""Configs: shipped ones build, names and files are found, JSON comes back, errors name fields."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import sgatlin
from sgatlin.config import (
    Config,
    DataConfig,
    LogConfig,
    Prepared,
    StoryWorld,
    TrainConfig,
    check_types,
    configs_folder,
    differing_fields,
    from_json,
    load_config,
    load_variants,
    shipped_configs,
    to_json,
)
from sgatlin.errors import UserError
from sgatlin.nn.mlp import MlpConfig
from sgatlin.nn.topk_mlp import TopkMlpConfig
from sgatlin.scaling.flops import n_parameters
from sgatlin.train.step import StepInputs, abstract_state, make_train_step

SHIPPED = [
    f"{name}:{variant}"
    for name, path in shipped_configs().items()
    for variant in load_variants(path)
]

CONFIG_FILE = """
from sgatlin.config import Config, DataConfig, TrainConfig
from sgatlin.nn.transformer import TransformerConfig
from sgatlin.train.optimizer import OptimizerConfig
from sgatlin.train.schedules import ConstantSchedule

def make(width):
    return Config(
        name=f"mine{width}",
        model=TransformerConfig(vocab_size=300, d_model=width, n_layers=1),
        data=DataConfig(seq_len=32),
        optimizer=OptimizerConfig(schedule=ConstantSchedule(warmup_steps=2)),
        train=TrainConfig(steps=10),
    )

VARIANTS = {"narrow": lambda: make(64), "wide": lambda: make(128)}
"""


def told(function, *args, **kwargs) -> str:
    """The line of the UserError that a call raises."""
    with pytest.raises(UserError) as caught:
        function(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("spec", SHIPPED)
def test_shipped_configs_come_back_from_json(spec):
    config = load_config(spec)
    assert from_json(to_json(config), origin="config.json") == config


# Every layer once, every config, and of the ladder's scales a half step and the largest.
BUILT = [
    *(spec for spec in SHIPPED if spec.startswith("storyworld:")),
    "tinystories:sgatlin",
    "slimpajama:sgatlin-s1.5",
    "slimpajama:moe-s8",
]


@pytest.mark.parametrize("spec", BUILT)
def test_shipped_configs_build(spec):
    """The whole training step is traced; nothing is computed."""
    config = load_config(spec)
    shape = (config.data.batch_size, config.data.seq_len)
    ids = jax.ShapeDtypeStruct(shape, jnp.int32)
    batch = StepInputs(ids, ids, jax.ShapeDtypeStruct(shape, jnp.float32))
    state = abstract_state(config)
    after, metrics = jax.eval_shape(make_train_step(config), state, batch)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
        lambda x: (x.shape, x.dtype), state
    )
    assert metrics["loss"].shape == ()
    assert n_parameters(config.model) == sum(x.size for x in jax.tree.leaves(state.params))


def test_shipped_configs_have_run_directories_of_their_own():
    configs = [load_config(spec) for spec in SHIPPED]
    by_name = {config.name: config for config in configs}
    # slimpajama:moe and slimpajama:moe-s4 are one config.
    assert [by_name[config.name] for config in configs] == configs
    assert len(by_name) >= 3


def test_first_variant_is_the_default():
    for name, path in shipped_configs().items():
        first = next(iter(load_variants(path)))
        assert load_config(name) == load_config(f"{name}:{first}")


def test_unknown_names_tell_the_nearest():
    assert told(load_config, "storywrld") == (
        "unknown config 'storywrld': did you mean 'storyworld'? there are "
        f"{', '.join(shipped_configs())}; a path must end in .py"
    )
    assert told(load_config, "storyworld:swigl") == (
        "config storyworld has no variant 'swigl': did you mean 'swiglu'? "
        f"there are {', '.join(load_variants(shipped_configs()['storyworld']))}"
    )
    assert "did you mean" not in told(load_config, "zzz")


@pytest.mark.parametrize("path", ["mine.py", "./mine.py", "sub/../mine.py"])
def test_a_config_file_by_its_path(folder, path):
    (folder / "sub").mkdir()
    (folder / "mine.py").write_text(CONFIG_FILE)
    assert load_config(path).name == "mine64"
    assert load_config(f"{path}:wide").name == "mine128"
    assert load_config(str(folder / "mine.py")).model.d_model == 64
    assert "has no variant 'wid': did you mean 'wide'?" in told(load_config, f"{path}:wid")


@pytest.mark.parametrize("path", ["nowhere.py", "no/where", "nowhere.py:wide"])
def test_a_config_file_that_is_not_there(folder, path):
    assert told(load_config, path) == f"config file {path.partition(':')[0]} does not exist"


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("x = 1\nraise ValueError('first\\nsecond')", "bad.py:2: ValueError: first"),
        ("x = 1\nx = (", "bad.py:2: SyntaxError: '(' was never closed (bad.py, line 2)"),
        ("import nothing", "bad.py:1: ModuleNotFoundError: No module named 'nothing'"),
        ("\n\nVARIANTS = {'a': lambda: 1 / 0}", "bad.py:3: ZeroDivisionError: division by zero"),
        ("VARIANTS = {'a': lambda: 3}", "bad.py returns int, not a Config"),
        ("x = 1", "bad.py has no VARIANTS: a dict from name to a function giving a Config"),
        ("VARIANTS = []", "bad.py has no VARIANTS: a dict from name to a function giving a Config"),
        (CONFIG_FILE.replace("seq_len=32", "seq_len=0"), "bad.py:11: seq_len=0 must be at least 1"),
    ],
)
def test_faults_of_a_config_file_are_told_with_their_line(folder, source, line):
    (folder / "bad.py").write_text(source)
    assert told(load_config, "bad.py") == line


def test_wrong_types_in_a_config_file(folder):
    """In a process of its own: in this one every constructor checks types already."""
    faults = {
        "seq_len='32'": "bad.py:11: TypeError: seq_len='32': Input should be a valid integer",
        "seq_len=None": "bad.py: data.seq_len=None: Input should be a valid integer",
        "seq_len=32.5": "bad.py: data.seq_len=32.5: Input should be a valid integer",
        "source=3": "bad.py: data.source=3: Input should be an object",
        "seq_ln=32": "bad.py:11: TypeError: DataConfig.__init__() got an unexpected keyword "
        "argument 'seq_ln'",
    }
    for number, value in enumerate(faults):
        (folder / str(number)).mkdir()
        (folder / str(number) / "bad.py").write_text(CONFIG_FILE.replace("seq_len=32", value))
    code = """
import os
from sgatlin.config import load_config
for folder in sorted(os.listdir()):
    os.chdir(folder)
    try:
        load_config("bad.py")
    except Exception as error:
        print(error)
    os.chdir("..")
"""
    assert run(code, folder).splitlines() == list(faults.values())


def run(code: str, cwd: Path, path: Path | None = None) -> str:
    """What a Python program prints that imports from `path` first."""
    env = os.environ | ({"PYTHONPATH": str(path)} if path else {})
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def test_names_resolve_in_an_installed_package(tmp_path):
    """As in a wheel: configs/ is inside the package, and the working directory is elsewhere."""
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    package = Path(sgatlin.__file__).parent
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, site / "sgatlin", ignore=skip)
    shutil.copytree(configs_folder(), site / "sgatlin" / "configs", ignore=skip)
    code = (
        "from sgatlin.config import *; from sgatlin import config;"
        "print(config.configs_folder(), config.load_config('storyworld:mlp').name)"
    )
    assert run(code, elsewhere, site) == f"{site}/sgatlin/configs story-mlp\n"


def changed(config: Config, name: str, value) -> str:
    """The JSON of a config with the field of this dotted name set to a value, or without it."""
    fields = json.loads(to_json(config))
    *parents, last = name.split(".")
    node = fields
    for parent in parents:
        node = node[parent]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return json.dumps(fields)


@pytest.mark.parametrize(
    ("field", "value", "line"),
    [
        ("model.d_modl", 3, "model.d_modl is not a field of a config"),
        ("model.feed_forward.n_experts", 3, "model.feed_forward.n_experts is not a field of"),
        ("model.vocab_size", ..., "model.vocab_size is missing"),
        ("name", 3, "name=3: Input should be a valid string"),
        ("data.seq_len", "16", "data.seq_len='16': Input should be a valid integer"),
        ("data.source.seed", True, "data.source.seed=True: Input should be a valid integer"),
        ("model.dtype", "float16", "model.dtype='float16': Input should be 'auto', 'float32' or"),
        (
            "model.feed_forward.kind",
            "lstm",
            "model.feed_forward: Input tag 'lstm' found using 'kind'",
        ),
        ("model.feed_forward.n_neurons", 15, "n_neurons=15 is not a perfect square"),
        ("train.accumulate", 3, "data.batch_size=4 is not a multiple of train.accumulate=3"),
    ],
)
def test_faults_in_json_are_named(toy, field, value, line):
    text = changed(toy, field, value)
    assert told(from_json, text, origin="run/config.json").startswith(f"run/config.json: {line}")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "run/config.json is not JSON: Expecting value: line 1 column 1 (char 0)"),
        ('{"name": ', "run/config.json is not JSON: Expecting value: line 1 column 10 (char 9)"),
        ("null", "run/config.json: the config=None: Input should be an object"),
        ("[]", "run/config.json: the config=[]: Input should be an object"),
        ("{}", "run/config.json: name is missing"),
    ],
)
def test_damaged_json(text, line):
    assert told(from_json, text, origin="run/config.json") == line


def test_whole_numbers_are_floats_too(toy):
    config = from_json(changed(toy, "optimizer.learning_rate", 1), origin="config.json")
    assert config.optimizer.learning_rate == 1.0
    assert check_types(config, origin="config.json") == config


def test_differing_fields(toy):
    sparse, dense = TopkMlpConfig(d_hidden=8, top_k=4), MlpConfig(d_hidden=9)
    toy = dataclasses.replace(toy, model=dataclasses.replace(toy.model, feed_forward=sparse))
    other = dataclasses.replace(
        toy,
        model=dataclasses.replace(toy.model, feed_forward=dense),
        data=dataclasses.replace(toy.data, source=Prepared(path=toy.data.source.path)),
        train=dataclasses.replace(toy.train, seed=7),
    )
    assert differing_fields(toy, toy) == []
    assert differing_fields(toy, other) == [
        "data.source.kind: 'storyworld', 'prepared'",
        "data.source.seed: 0, 'absent'",
        "data.source.set_weights: 'absent', ()",
        "data.source.tokenizer_hash: 'absent', None",
        "data.source.train_megabytes: 0.05, 'absent'",
        "data.source.validation_megabytes: 0.005, 'absent'",
        "model.feed_forward.activation: 'relu', 'absent'",
        "model.feed_forward.d_hidden: 8, 9",
        "model.feed_forward.kind: 'topk_mlp', 'mlp'",
        "model.feed_forward.top_k: 4, 'absent'",
        "train.seed: 0, 7",
    ]


@pytest.mark.parametrize(
    ("kind", "fields", "line"),
    [
        (StoryWorld, {"train_megabytes": 0.0}, "train_megabytes=0.0 must be above 0"),
        (StoryWorld, {"validation_megabytes": -1.0}, "validation_megabytes=-1.0 must be above 0"),
        (DataConfig, {"seq_len": 0}, "seq_len=0 must be at least 1"),
        (DataConfig, {"batch_size": 0}, "batch_size=0 must be at least 1"),
        (TrainConfig, {"steps": 0}, "steps=0 must be at least 1"),
        (TrainConfig, {"steps": 1, "accumulate": 0}, "accumulate=0 must be at least 1"),
        (TrainConfig, {"steps": 1, "eval_every": 0}, "eval_every=0 must be at least 1"),
        (TrainConfig, {"steps": 1, "eval_tokens": 0}, "eval_tokens=0 must be at least 1"),
        (TrainConfig, {"steps": 1, "seed": -1}, "seed=-1 must be at least 0 and below 2**32"),
        (TrainConfig, {"steps": 1, "seed": 2**32}, "seed=4294967296 must be at least 0 and below"),
        (LogConfig, {"every": 0}, "every=0 must be at least 1"),
    ],
)
def test_values_that_cannot_be(kind, fields, line):
    assert told(kind, **fields).startswith(line)


def test_fields_that_contradict_each_other(toy):
    accumulating = dataclasses.replace(toy.train, accumulate=3)
    assert told(dataclasses.replace, toy, train=accumulating) == (
        "data.batch_size=4 is not a multiple of train.accumulate=3: change either"
    )
    short = dataclasses.replace(toy.train, steps=3)
    assert told(dataclasses.replace, toy, train=short) == (
        "optimizer.schedule.warmup_steps=4 is more than train.steps=3: train longer or lower it "
        "(--optimizer.schedule.warmup-steps)"
    )
