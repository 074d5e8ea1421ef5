# SPDX-License-Identifier: Apache-2.0
"""The commands of measures: what they print and write, and what they refuse."""

import dataclasses
import json

import pytest

from sgatlin.circuits.model import CircuitModel
from sgatlin.circuits.record import Record
from sgatlin.circuits.recording import RecordingOptions, record_circuits
from sgatlin.commands.circuits_measures import (
    CircuitsCka,
    CircuitsCoactivation,
    CircuitsProbe,
    CircuitsRank,
    CircuitsUsage,
)
from sgatlin.errors import UserError
from sgatlin.eval.command import store_for


@pytest.fixture(scope="module")
def record(toy_run, tmp_path_factory):
    return recorded(toy_run, tmp_path_factory.mktemp("records") / "toy", tokens=400)


def recorded(run, path, tokens):
    model = CircuitModel.open(str(run))
    return record_circuits(model, store_for(model.loaded), path, RecordingOptions(tokens=tokens))


@pytest.fixture
def told(tmp_path, capsys):
    """The rows and the page that a command writes."""

    def tell(command):
        numbers, page = tmp_path / "table.json", tmp_path / "table.md"
        dataclasses.replace(command, json=numbers, markdown=page)()
        assert capsys.readouterr().err == ""
        return json.loads(numbers.read_text())["rows"], page.read_text()

    return tell


def test_measures_write_their_numbers_and_tables(toy_run, record, told):
    run, path = str(toy_run), record.path
    rows, page = told(CircuitsUsage(record=path))
    assert len(rows) == record.n_layers * record.n_channels
    assert page.count("\n") == 4 + len(rows)
    rows, _ = told(CircuitsCoactivation(record=path, layer=0, channel=0, min_count=1, top=3))
    assert [row["lift"] for row in rows] == sorted((row["lift"] for row in rows), reverse=True)
    assert len(rows) == 3
    alike = CircuitsCka(run=run, record=path, other=path, positions=200, permutations=2)
    assert all(row["cka"] == pytest.approx(1) for row in told(alike)[0])
    embedding = dataclasses.replace(alike, other=None)
    assert all(row["cka"] < 0.999 for row in told(embedding)[0])
    rows, _ = told(CircuitsRank(run=run, record=path, positions=20))
    n_chosen = record.n_channels * record.top_k
    assert all(1 <= row["effective, mean"] <= n_chosen for row in rows)
    assert [row["neurons"] for row in rows[:2]] == ["chosen", "random"]


def test_probes_tell_of_each_layer(toy_run, record, told, tmp_path, capsys):
    classes = tmp_path / "classes.json"
    classes.write_text(json.dumps({"small": ["the", "a", "and"], "other": ["was", "to", "of"]}))
    command = CircuitsProbe(
        run=str(toy_run), record=record.path, positions=150, permutations=2, classes=str(classes)
    )
    rows, page = told(command)
    assert {row["layer"] for row in rows} == set(range(record.n_layers))
    names = {row["representation"] for row in rows}
    assert names >= {"circuit", "embedding", "residual stream", "random circuit"}
    assert {(one["label"], one["neighbours"]) for one in rows[0]["purities"]} == {
        (label, m) for label in ("token", "next", "previous", "class") for m in (10, 20)
    }
    assert page.count("Layer 1: 10 neighbours") == 1
    dataclasses.replace(command, layer=1)()
    printed = capsys.readouterr().out
    assert "Layer 1" in printed
    assert "Layer 0" not in printed
    assert max(map(len, printed.splitlines()[1:])) <= 120  # the first has the run's path


def test_records_of_different_tokens_are_not_compared(toy_run, record, tmp_path):
    other = recorded(toy_run, tmp_path / "other", tokens=100)
    assert len(other) < len(record)
    with pytest.raises(UserError, match="are of different tokens: record both") as caught:
        CircuitsCka(run=str(toy_run), record=record.path, other=other.path)()
    assert "\n" not in str(caught.value)


def test_records_of_other_tokenizers_are_not_compared(toy_run, record, tmp_path, monkeypatch):
    def other_tokenizer(path):
        found = opened(path)
        if path == tmp_path:
            found.manifest = found.manifest.model_copy(update={"tokenizer_hash": "another"})
        return found

    opened = Record.open
    for file in record.path.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(Record, "open", other_tokenizer)
    with pytest.raises(UserError, match="are of different tokens"):
        CircuitsCka(run=str(toy_run), record=record.path, other=tmp_path)()


def test_what_is_not_there_is_told(record, tmp_path):
    with pytest.raises(UserError, match="no layer 99"):
        CircuitsUsage(record=record.path, layer=99)()
    with pytest.raises(UserError, match="cannot read --classes"):
        CircuitsProbe(run="none", record=record.path, classes=str(tmp_path / "none.json"))()
    with pytest.raises(UserError, match="cannot write"):
        CircuitsUsage(record=record.path, markdown=tmp_path)()
