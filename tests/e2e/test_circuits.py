# SPDX-License-Identifier: Apache-2.0
"""The default model's circuits: the commands, the documentation's notebook, what they must show."""

import json
import re
from pathlib import Path

import pytest

from tests.e2e.newcomer import ROOT, run

SGATLIN = ["-c", "from sgatlin.cli import main; main()", "circuits"]
PAGE = ROOT / "docs/circuits.md"
EXPLORER = ROOT / "docs/explore.md"
RUN, RECORD = "runs/story", "runs/story/circuits"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(trained) -> Path:
    """With the default model and a record of it."""
    folder, _ = trained
    run([*SGATLIN, "record", RUN, "--tokens", "60000", "--replace"], folder)
    return folder


def test_the_pages_notebook_runs(folder, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 5
    monkeypatch.chdir(folder)
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert "[was]" in capsys.readouterr().out
    assert names["effects"]["control: identity"].ratio_of_means == (0, 0, 0)


def test_the_explorers_example_runs(folder, monkeypatch, capsys):
    (block,) = re.findall(r"```python\n(.*?)```", EXPLORER.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(folder)
    exec(compile(block, str(EXPLORER), "exec"), {})
    assert len(re.findall(r"\d\.\d{3}  .*", capsys.readouterr().out)) == 10


def test_patching_the_noun_carries_the_fact_and_controls_do_not(folder):
    out = folder / "patch.json"
    run([*SGATLIN, "patch", RUN, "--json", str(out)], folder)
    effects = {one["name"]: one["ratio_of_means"] for one in json.loads(out.read_text())["effects"]}
    assert effects["all layers, noun"]["low"] > 0
    assert effects["all layers, noun, beyond another noun's"]["low"] > 0
    control = effects["control: another noun's, beyond a third noun's"]
    assert control["low"] < 0 < control["high"]
    assert {*effects["control: identity"].values()} == {0.0}


def test_near_circuits_are_of_words_of_one_class(folder):
    """In the layer before the last, as the page of results tells of a larger model."""
    out = folder / "probe.json"
    run([*SGATLIN, "probe", RUN, RECORD, "--layer", "2", "--json", str(out)], folder)
    rows = {row["representation"]: row for row in json.loads(out.read_text())["rows"]}
    assert {"circuit", "embedding"} <= rows.keys()
    (found,) = (
        one
        for one in rows["circuit"]["purities"]
        if (one["label"], one["neighbours"]) == ("class", 10)
    )
    assert found["purity"] > 2 * found["null_positions"]
    assert found["purity"] > found["null_95"]
