# SPDX-License-Identifier: Apache-2.0
"""`sgatlin bench` as it is called: tables, JSON, pictures, and bad input told in one line."""

import json

import pytest

from sgatlin.bench import layer, measure, plot
from sgatlin.bench.case import Shape
from sgatlin.cli import main
from sgatlin.nn.sgatlin import SgatlinConfig
from tests.told import told

TINY = "--d-model 8 --n-neurons 16 --n-channels 1 --top-k 2 --tokens 8 --repeats 1"

SMALL = """
import dataclasses
from pathlib import Path

from sgatlin.nn.mlp import MlpConfig
from tests.toy import toy_config

toy = toy_config(Path("nowhere"))
mlp = dataclasses.replace(toy.model, n_layers=1, feed_forward=MlpConfig(d_hidden=8))
VARIANTS = {
    "sgatlin": lambda: toy,
    "mlp": lambda: dataclasses.replace(toy, model=mlp),
}
"""


@pytest.fixture(autouse=True)
def small_ceilings(monkeypatch):
    monkeypatch.setitem(measure.COPY_BYTES, "cpu", 2**16)
    monkeypatch.setitem(measure.MATMUL_SIDE, "cpu", 64)


def test_layer(capsys, tmp_path):
    path = tmp_path / "new" / "layer.json"
    main(f"bench layer {TINY} --implementations xla --indices zipf --json {path}".split())
    first, second, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("cpu, JAX ")
    assert " GB/s and multiplies " in first
    assert second == "D 8, N 16, C 1, K 2, Q 128; 8 tokens, float32, indices zipf"
    content = json.loads(path.read_text())
    assert content["device"] == "cpu"
    assert content["arguments"]["tokens"] == 8
    assert content["arguments"]["implementations"] == ["xla"]
    assert content["layer"]["n_neurons"] == 16
    assert content["ceilings"]["copy"] > 0
    assert content["sweep"] == []
    # Every row of the table, in its order, with the time that it shows.
    told_rows = [line.split()[:2] for line in lines if line.startswith("  ")][1:]
    assert told_rows == [[row["name"], f"{row['ms']:,.3f}"] for row in content["rows"]]
    assert len(told_rows) == 20


def test_layer_of_a_run(capsys, tmp_path, toy_run, monkeypatch):
    monkeypatch.setattr(layer, "layer_rows", lambda *_: iter([]))
    path = tmp_path / "layer.json"
    main(["bench", "layer", "--indices", f"{toy_run}@best", "--tokens", "20", "--json", str(path)])
    _, second, third, *_ = capsys.readouterr().out.splitlines()
    assert second.startswith("D 16, N 16, C 2, K 2, Q 8; 20 tokens, float32, indices ")
    assert third.startswith("left out: implementation='triton' cannot be used")
    assert json.loads(path.read_text())["layer"]["d_model"] == 16


def test_implementations_that_cannot_run_are_left_out_or_fail(capsys):
    main(f"bench layer {TINY} --implementations triton".split())
    lines = [line for line in capsys.readouterr().out.splitlines() if "  triton" in line]
    assert len(lines) == 9
    assert all("implementation='triton' cannot be used: the device is no GPU" in x for x in lines)


def test_plot(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(plot, "FACTORS", dict.fromkeys(plot.AXES, (1,)) | {"tokens": (0.5, 1)})
    monkeypatch.setattr(layer, "layer_rows", lambda *_: iter([]))
    path, numbers = tmp_path / "pictures" / "cost.svg", tmp_path / "cost.json"
    main(f"bench layer {TINY} --implementations xla --plot {path} --json {numbers}".split())
    points = json.loads(numbers.read_text())["sweep"]
    assert [(point["axis"], point["at"]) for point in points] == [
        ("n_neurons", 16),
        ("top_k", 2),
        ("n_channels", 1),
        ("tokens", 4),
        ("tokens", 8),
    ]
    assert all(set(point["ms"]) == {"naive", "xla"} for point in points)
    same = [point["ms"] for point in points if point["at"] != 4]
    assert same == [same[0]] * 4  # the shape itself is measured once
    assert path.read_text().startswith("<?xml")


def test_what_is_drawn_can_be():
    shape = Shape(8, SgatlinConfig(n_channels=2, n_neurons=16, top_k=3))
    assert [(axis, at) for axis, at, *_ in plot.sweep_points(shape, 8)] == [
        # 4 neurons have two keys of each half, too few to choose three of.
        ("n_neurons", 16),
        ("n_neurons", 36),
        ("n_neurons", 64),
        ("top_k", 1),
        ("top_k", 2),
        ("top_k", 3),
        ("n_channels", 1),
        ("n_channels", 2),
        ("n_channels", 4),
        ("tokens", 1),
        ("tokens", 2),
        ("tokens", 4),
        ("tokens", 8),
    ]


@pytest.fixture
def config_file(tmp_path):
    """Two variants of a model that compiles in a moment."""
    path = tmp_path / "small.py"
    path.write_text(SMALL)
    return path


def test_step(capsys, tmp_path, config_file):
    path = tmp_path / "step.json"
    options = f"--batch-size 1 --seq-len 8 --repeats 0 --json {path}"
    main(f"bench step {config_file}:mlp {options}".split())
    *_, line = capsys.readouterr().out.splitlines()
    content = json.loads(path.read_text())
    assert content["arguments"]["seq_len"] == 8
    (row,) = content["rows"]
    assert row["name"] == f"{config_file}:mlp"
    numbers = [f"{row[key] / 2**20:,.0f}" for key in ("temporaries", "estimate")]
    assert line.split()[:3] == [row["name"], *numbers]


def test_decode(capsys, tmp_path, config_file):
    path = tmp_path / "decode.json"
    options = f"--batch-sizes 2 --tokens 3 --repeats 1 --json {path}"
    main(f"bench decode {config_file}:mlp {options}".split())
    *_, line = capsys.readouterr().out.splitlines()
    (row,) = json.loads(path.read_text())["rows"]
    assert line.split()[:3] == [row["name"], "2", f"{row['tokens_per_second']:,.0f}"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("bench layers", "there are bench layer, step, decode"),
        ("bench layer --tokens 0", "tokens=0 must be at least 1"),
        ("bench layer --repeats 0", "repeats=0 must be at least 1"),
        ("bench layer --shape s5", "--shape"),
        ("bench layer --n-neurons 5", "n_neurons=5 is not a perfect square"),
        ("bench layer --d-model 0", "d_model=0 must be at least 1"),
        ("bench layer --implementations cuda", "implementation='cuda' is not one of reference, "),
        ("bench layer --indices zipff", "--indices zipff is not one of uniform, zipf, nor a run"),
        ("bench layer --indices runs/a --top-k 3", "--indices runs/a times that run's own layer"),
        ("bench layer --json .", "--json . is a folder: name a file"),
        ("bench layer --plot cost.nope", "plot='nope' is not one of "),
        ("bench step nope", "unknown config 'nope'"),
        ("bench step storyworld:nope", "config storyworld has no variant 'nope'"),
        ("bench step --seq-len 0", "seq_len=0 must be at least 1"),
        ("bench step --batch-size 0", "batch_size=0 must be at least 1"),
        ("bench step --repeats -1", "repeats=-1 must be at least 0"),
        ("bench step --trace --repeats 0", "--trace needs steps to run: --repeats 1 or more"),
        ("bench decode --tokens 1", "tokens=1 must be at least 2"),
        ("bench decode --batch-sizes 1 0", "batch_sizes=0 must be at least 1"),
    ],
)
def test_bad_input_is_told_in_one_line(arguments, message, capsys):
    assert message in told(arguments, capsys)


def test_without_matplotlib_the_mend_is_told(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "--plot needs matplotlib" in told("bench layer --plot cost.png", capsys)
