# SPDX-License-Identifier: Apache-2.0
"""Records come back as they were written; what cannot be read or is another's is told in a line."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from sgatlin.config import Config, DataConfig, Prepared, StoryWorld, TrainConfig, to_json
from sgatlin.errors import UserError
from sgatlin.isoflop.budget import FlopBudget, TimeBudget, TokenBudget
from sgatlin.isoflop.records import (
    Copying,
    Curve,
    Documents,
    Quarters,
    Record,
    Results,
    Run,
    StepRow,
    StepTimes,
)
from sgatlin.nn.mlp import MlpConfig
from sgatlin.nn.transformer import TransformerConfig
from sgatlin.train.optimizer import OptimizerConfig
from tests.isoflop.made import record

BUDGET = FlopBudget(flops=1e15)
CONFIG = Config(
    name="mlp-s1-1e15",
    model=TransformerConfig(
        vocab_size=64, d_model=16, n_layers=1, d_head=8, feed_forward=MlpConfig(d_hidden=64)
    ),
    data=DataConfig(source=StoryWorld(path="here"), seq_len=16, batch_size=4),
    optimizer=OptimizerConfig(learning_rate=1e-3),
    train=TrainConfig(steps=1000),
)
H100 = "NVIDIA H100 80GB HBM3"
VERSIONS = {"jax": "0.11.2"}


@pytest.fixture
def results(tmp_path) -> Results:
    return Results(tmp_path / "results" / "study")


def of_config(config: Config) -> Record:
    made = record("mlp", 1.0, BUDGET, 3.0, parameters=1000)
    return dataclasses.replace(made, config=json.loads(to_json(config)))


def changed(config: Config, group: str, **fields) -> Config:
    return dataclasses.replace(
        config, **{group: dataclasses.replace(getattr(config, group), **fields)}
    )


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "sgatlin-c8-s1.5-1e15"),
        ({"scale": 2.0, "seed": 3}, "sgatlin-c8-s2-1e15-seed3"),
        (
            {"learning_rate": 4e-3, "default_rate": False, "seed": 1},
            "sgatlin-c8-s1.5-1e15-lr4e-3-seed1",
        ),
        ({"budget": FlopBudget(flops=3e14, convention="full")}, "sgatlin-c8-s1.5-3e14full"),
        ({"budget": TimeBudget(seconds=10.0, device="cpu")}, "sgatlin-c8-s1.5-10s"),
        ({"budget": TokenBudget(tokens=2e7)}, "sgatlin-c8-s1.5-2e7tok"),
    ],
)
def test_a_run_is_named_by_what_it_is(fields, name):
    run = Run(layer="sgatlin-c8", scale=1.5, budget=BUDGET, learning_rate=1e-3)
    assert dataclasses.replace(run, **fields).name == name


@pytest.mark.parametrize(
    "budget", [BUDGET, TimeBudget(seconds=0.25, device=H100), TokenBudget(tokens=2e7)]
)
def test_a_record_comes_back(results, budget):
    documents = Documents(nats=(0.1 + 0.2, 1e-9, 12345.67), tokens=(1, 0, 4000))
    written = record(
        "mlp", 1.5, budget, 1 / 3, parameters=1234, seed=2, documents=documents, epochs=0.1
    )
    results.write(written)
    assert results.read(written.run) == written
    assert results.records() == [written]
    assert results.names() == {written.run.name}
    assert results.file(written.run) == results.path / f"{written.run.name}.json"


RESULTS_1 = Path(__file__).parents[2] / "docs" / "results" / "pile_mix"


def diagnosed(made: Record, n_points: int = 20, n_documents: int = 3) -> Record:
    """The record with a curve, a copy score and quarters of such sizes as runs have."""
    points = range(n_points)
    groups = range(n_documents)
    return dataclasses.replace(
        made,
        documents=Documents(
            nats=tuple(15_000.37 + i for i in groups), tokens=tuple(4000 + i for i in groups)
        ),
        curve=Curve(
            steps=tuple(10_000 + i for i in points),
            losses=tuple(4.1234 + i for i in points),
            copy_scores=(None, *(1.4321 + i for i in points[1:])),
        ),
        copying=Copying(first=10.5421, second=2.0420),
        quarters=Quarters(losses=(4.0123, None, 3.9123, 2.9123), tokens=(380_365,) * 4),
    )


def test_what_diagnoses_a_run_comes_back(results):
    written = diagnosed(record("mlp", 1.5, BUDGET, 1 / 3, parameters=1234))
    results.write(written)
    assert results.read(written.run) == written
    assert written.copying.score == pytest.approx(8.5001)


def test_a_file_begins_with_its_format(results):
    made = record("mlp", 1.0, BUDGET, 3.0, parameters=1000)
    results.write(made)
    text = results.file(made.run).read_text()
    assert text.startswith('{"format":{"name":"sgatlin-isoflop-record","version":2},"run":{')


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (
            {"name": "sgatlin-isoflop-record", "version": 3},
            "has version 3 of its format, newer than version 2, which this sgatlin reads: "
            "update sgatlin",
        ),
        (
            {"name": "another", "version": 2},
            'is not the record of a run: its format is {"name": "another", "version": 2}; '
            "move it to another folder",
        ),
        (7, "is not the record of a run: its format is 7; move it to another folder"),
    ],
)
def test_a_newer_or_another_format_is_refused_as_such(results, header, problem):
    """Whatever else is in the file."""
    file = results.path / "mlp-s1-1e15.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"format": header, "runs": []}))
    with pytest.raises(UserError) as told:
        results.records()
    assert str(told.value) == f"{file} {problem}"


def test_records_of_the_first_study_have_no_diagnosis():
    records = Results(RESULTS_1).records()
    assert len(records) == 297
    for old in records:
        assert (old.curve, old.copying, old.quarters) == (None, None, None)


def test_a_record_of_343_documents_is_below_ten_kilobytes(results):
    """The longest of the first study's, with twenty validations."""
    old = max(Results(RESULTS_1).records(), key=lambda old: len(json.dumps(old.config)))
    assert len(old.documents.tokens) == 343
    made = dataclasses.replace(diagnosed(old, n_points=21), documents=old.documents)
    results.write(made)
    assert results.file(made.run).stat().st_size < 10_000


def test_records_are_in_the_order_of_their_names(results):
    for layer in ("swiglu", "mlp", "peer"):
        results.write(record(layer, 1.0, BUDGET, 3.0, parameters=1000))
    assert [r.run.layer for r in results.records()] == ["mlp", "peer", "swiglu"]


def test_a_folder_that_is_not_there_holds_nothing(results):
    assert (results.records(), results.names(), results.step_times()) == ([], set(), [])


def spoil(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("}\n", "", r"cannot read .*mlp-s1-1e15\.json: Expecting"),
        ('"seed":0', '"seed":"0"', r"mlp-s1-1e15\.json: run\.seed: Input should be a valid int"),
        ('"val_loss":3.0,', "", r"mlp-s1-1e15\.json: result\.val_loss: Field required"),
        ('"steps":', '"stepz":1,"steps":', r"mlp-s1-1e15\.json: result\.stepz: Unexpected keyword"),
        ('"kind":"flops"', '"kind":"joules"', r"mlp-s1-1e15\.json: run\.budget: Input tag"),
    ],
)
def test_a_damaged_file_is_told_in_a_line(results, old, new, problem):
    made = record("mlp", 1.0, BUDGET, 3.0, parameters=1000)
    results.write(made)
    spoil(results.file(made.run), old, new)
    for read in (lambda: results.read(made.run), results.records):
        with pytest.raises(UserError, match=problem) as told:
            read()
        assert str(told.value).endswith("; remove it, and it is made again")
        assert "\n" not in str(told.value)


def test_bytes_that_are_no_text_are_told_in_a_line(results):
    made = record("mlp", 1.0, BUDGET, 3.0, parameters=1000)
    results.write(made)
    results.file(made.run).write_bytes(b"\xff\x00")
    with pytest.raises(UserError, match=r"^cannot read .*; remove it, and it is made again$"):
        results.read(made.run)


def test_a_file_under_another_runs_name_is_refused(results):
    made = record("mlp", 1.0, BUDGET, 3.0, parameters=1000)
    results.write(made)
    other = results.path / "mlp-s2-1e15.json"
    results.file(made.run).rename(other)
    line = f"{other} is of the run mlp-s1-1e15: name it mlp-s1-1e15.json"
    with pytest.raises(UserError, match=f"^{re.escape(line)}$"):
        results.records()


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^cannot write .*mlp-s1-1e15\.json: .*another folder$"):
        Results(tmp_path / "file").write(record("mlp", 1.0, BUDGET, 3.0, parameters=1000))


@pytest.mark.parametrize(
    "config",
    [
        dataclasses.replace(CONFIG, name="another"),
        changed(CONFIG, "data", source=StoryWorld(path="there")),
        changed(CONFIG, "train", eval_every=7, eval_tokens=1024),
        changed(CONFIG, "log", every=3, tensorboard=False),
        changed(CONFIG, "checkpoint", every_steps=3),
    ],
)
def test_names_places_and_logs_make_no_difference(config):
    assert config != CONFIG
    assert of_config(CONFIG).differences(config) == []


@pytest.mark.parametrize(
    ("config", "lines"),
    [
        (changed(CONFIG, "train", steps=500), ["train.steps: 1000, 500"]),
        (changed(CONFIG, "train", seed=3), ["train.seed: 0, 3"]),
        (changed(CONFIG, "data", batch_size=8), ["data.batch_size: 4, 8"]),
        (
            changed(changed(CONFIG, "optimizer", learning_rate=2e-3), "model", d_model=32),
            ["model.d_model: 16, 32", "optimizer.learning_rate: 0.001, 0.002"],
        ),
        (
            changed(CONFIG, "model", feed_forward=MlpConfig(d_hidden=128)),
            ["model.feed_forward.d_hidden: 64, 128"],
        ),
        (
            changed(CONFIG, "data", source=Prepared(path="here")),
            ["data.source.kind: 'storyworld', 'prepared'"],
        ),
    ],
)
def test_what_changes_a_result_is_a_difference(config, lines):
    assert of_config(CONFIG).differences(config) == lines


def test_a_field_that_there_was_not_is_no_difference():
    made = of_config(CONFIG)
    del made.config["train"]["steps"]
    assert made.differences(changed(CONFIG, "train", steps=500, seed=1)) == ["train.seed: 0, 1"]


def row(layer: str, scale: float, ms: float, temporary_bytes: int | None = 300) -> StepRow:
    return StepRow(
        layer=layer, scale=scale, ms=ms, state_bytes=200, temporary_bytes=temporary_bytes
    )


def times(device: str, *rows: StepRow) -> StepTimes:
    return StepTimes(device=device, versions=VERSIONS, rows=rows)


def test_memory_is_state_and_temporaries_or_unknown():
    assert row("mlp", 1.0, 5.0).memory == 500
    assert row("mlp", 1.0, 5.0, temporary_bytes=None).memory is None


def test_a_row_is_found_added_and_replaced():
    mlp, peer = row("mlp", 2.0, 5.0), row("peer", 1.0, 9.0)
    one = times(H100, mlp)
    assert one.row("mlp", 2.0) == mlp
    assert one.row("mlp", 1.0) is None
    assert one.row("peer", 2.0) is None
    small, faster = row("mlp", 1.0, 2.0), row("mlp", 2.0, 4.0)
    more = one.with_row(peer).with_row(small).with_row(faster)
    assert more == times(H100, small, faster, peer)
    assert more.row("mlp", 2.0) == faster
    assert one == times(H100, mlp)


def test_step_times_come_back_for_each_device(results):
    cpu = times("cpu", row("mlp", 1.0, 50.0, temporary_bytes=None))
    h100 = times(H100, row("mlp", 1.0, 5.0), row("peer", 1.5, 1 / 3))
    results.write_step_times(h100)
    results.write_step_times(cpu)
    assert results.step_times() == [cpu, h100]
    assert results.step_seconds("mlp", 1.0, "cpu") == pytest.approx(0.05)
    assert results.step_seconds("mlp", 1.0, H100) == pytest.approx(0.005)
    # They are no runs.
    assert (results.names(), results.records()) == (set(), [])
    assert (results.path / "steps-nvidia-h100-80gb-hbm3.json").is_file()


@pytest.mark.parametrize(
    ("layer", "scale", "device"), [("peer", 1.0, "cpu"), ("mlp", 2.0, "cpu"), ("mlp", 1.0, H100)]
)
def test_a_step_that_was_not_measured_is_told(results, layer, scale, device):
    results.write_step_times(times("cpu", row("mlp", 1.0, 50.0)))
    line = f"no step time of {layer} at s={scale:g} on {device}: measure it there with"
    with pytest.raises(UserError, match=re.escape(line)):
        results.step_seconds(layer, scale, device)


def test_damaged_step_times_are_told_in_a_line(results):
    results.write_step_times(times("cpu", row("mlp", 1.0, 50.0)))
    spoil(results.path / "steps-cpu.json", '"ms": 50.0', '"ms": "fast"')
    with pytest.raises(UserError, match=r"^.*steps-cpu\.json: rows\.0\.ms: [^\n]*$"):
        results.step_times()
