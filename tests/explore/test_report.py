# SPDX-License-Identifier: Apache-2.0
"""A report holds what the explorer answers, in one file that asks for nothing."""

import base64
import gzip
import json
import re

import pytest

from sgatlin.commands.circuits_report import CircuitsReport
from sgatlin.errors import UserError
from sgatlin.explore import report
from sgatlin.explore import requests as ask
from sgatlin.explore.report import ReportOptions, report_page

TOKENS = 6


@pytest.fixture(scope="module")
def page(explorer) -> str:
    options = ReportOptions(sequences=explorer.evenly_spaced(2), tokens=TOKENS)
    return report_page(explorer, options)


@pytest.fixture(scope="module")
def data(page):
    packed = re.search(r'id="explorer-data">([^<]*)<', page)
    assert packed is not None
    return json.loads(gzip.decompress(base64.b64decode(packed[1])))


def test_stories_are_as_the_explorer_tells_them_and_cut(data, explorer):
    for story in data["texts"]:
        of = ask.Recorded(sequence=story["of"]["sequence"])
        whole = explorer.text(ask.TextRequest(of=of))
        assert story["text"]["tokens"] == whole["tokens"][: TOKENS + 1]
        assert story["text"]["text"] == "".join(
            token["text"] for token in whole["tokens"][: TOKENS + 1]
        )
        assert story["text"]["measures"]["nats"][2] == pytest.approx(
            whole["measures"]["nats"][2], rel=1e-3
        )
        assert {len(layer) for layer in story["text"]["measures"]["norm"]} == {TOKENS + 1}


def test_near_circuits_are_those_of_the_explorer(data, explorer):
    story = data["texts"][1]
    of = ask.Recorded(sequence=story["of"]["sequence"])
    for channel in (None, 1):
        request = ask.NearRequest(of=of, position=3, layer=1, channel=channel)
        expected = explorer.near(request)["rows"]
        position = story["near"][1][3]
        near = position["all"] if channel is None else position["channels"][channel]
        assert [d for _, d in near] == pytest.approx(
            [one["distance"] for one in expected], abs=1e-3
        )
        told = data["rows"][str(near[0][0])]
        row = explorer.position(near[0][0])
        assert {key: told[key] for key in ("sequence", "position", "before", "token")} == {
            key: row[key] for key in ("sequence", "position", "before", "token")
        }


def test_every_neuron_that_can_be_chosen_is_there(data, explorer):
    for story in data["texts"]:
        for layer, positions in enumerate(story["gates"]):
            for position in positions[1:]:
                for channel, gates in enumerate(position["channels"]):
                    for gate in gates:
                        assert f"{layer}.{channel}.{gate['neuron']}" in data["neurons"]
    name, neuron = next(iter(data["neurons"].items()))
    layer, channel, number = map(int, name.split("."))
    expected = explorer.neuron(ask.NeuronRequest(layer=layer, channel=channel, neuron=number))
    assert neuron["rank"] == expected["rank"]
    assert neuron["raises"] == expected["raises"]
    assert [row for row, _ in neuron["contexts"]] == [
        row["row"] for row in expected["contexts"][: report.CONTEXTS]
    ]
    assert all(str(row) in data["rows"] for row, _ in neuron["contexts"])


def test_gates_logits_maps_and_places_are_there(data, explorer):
    story = data["texts"][0]
    of = ask.Recorded(sequence=story["of"]["sequence"])
    expected = explorer.logits(ask.PositionRequest(of=of, position=TOKENS))
    told = story["logits"][TOKENS]
    assert [one["text"] for one in told["tokens"]] == [one["text"] for one in expected["tokens"]]
    assert told["tokens"][0]["logit"] == pytest.approx(expected["tokens"][0]["logit"], rel=1e-3)
    assert story["logits"][0] is None
    assert {"x", "y"} == set(story["place"][0][1])
    assert all(one["state"] == "done" for one in data["maps"])
    assert data["model"]["live"] is False


def test_the_page_loads_nothing(page):
    assert not re.search(r'(src|href)="(?!data:)', page.split('id="explorer-data"')[0])
    assert "default-src 'none'" in page


def test_it_does_not_tell_where_the_run_was(page, data, circuits):
    folder = str(circuits.model.loaded.run.path.parent)
    assert folder not in page
    assert folder not in json.dumps(data)


def test_a_story_that_is_not_recorded_is_told(explorer):
    with pytest.raises(UserError, match="no sequence"):
        report_page(explorer, ReportOptions(sequences=(10**8,)))


def test_a_page_that_would_be_too_large_is_not_written(explorer, monkeypatch, tmp_path, circuits):
    monkeypatch.setattr(report, "MOST_BYTES", 10_000)
    command = CircuitsReport(
        run=str(circuits.model.loaded.run.path),
        record=circuits.path,
        out=tmp_path / "page.html",
        stories=1,
        tokens=1,
    )
    with pytest.raises(UserError, match="fewer --stories"):
        command()
    assert not command.out.exists()
