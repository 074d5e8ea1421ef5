# SPDX-License-Identifier: Apache-2.0
"""The benchmark that kills runs: what it must not let pass, and all of it in little."""

import json
import re

import pytest

from benchmarks import reliability, soak
from sgatlin.errors import RunStopped, UserError
from sgatlin.train.run import RunDirectory


def write_metrics(run: RunDirectory, steps: list[int], *, end: str = "") -> None:
    lines = [json.dumps({"step": step, "loss": 1.0}) + "\n" for step in steps]
    lines.insert(2, json.dumps({"step": 2, "val_loss": 1.0}) + "\n")
    run.metrics_file.write_text("".join(lines) + end)


@pytest.mark.parametrize("steps", [[1, 2, 2, 3], [1, 2, 4], [2, 3], [1, 2, 3, 2, 3]])
def test_a_step_counted_twice_or_left_out_is_found(tmp_path, steps):
    write_metrics(RunDirectory(tmp_path), steps)
    with pytest.raises(RunStopped, match=r"metrics.jsonl has steps \["):
        soak.check_metrics(RunDirectory(tmp_path), least=0)


def test_steps_lost_since_the_last_save_are_found(tmp_path):
    run = RunDirectory(tmp_path)
    soak.check_metrics(run, least=0)
    write_metrics(run, [1, 2, 3], end='{"step": 4, "lo')  # a line cut off by the kill
    soak.check_metrics(run, least=3)
    with pytest.raises(RunStopped, match=r"metrics.jsonl ends at 3, before 4"):
        soak.check_metrics(run, least=4)


def test_bad_input_is_told_in_one_line():
    with pytest.raises(UserError, match="kills=-1 must be at least 0"):
        reliability.Arguments(kills=-1)


@pytest.mark.slow
def test_a_kill_and_a_damaged_checkpoint(tmp_path, capfd):
    arguments = reliability.Arguments(
        kills=1, flips=1, runs=tmp_path / "runs", out=tmp_path / "page.md"
    )
    reliability.main(arguments)
    page = arguments.out.read_text()
    assert "## 1 kill" in page
    assert "## 1 damaged checkpoint" in page
    (rows,) = re.findall(r"\| ---: \|\n((?:\|.*\n)+)\n\* ", page)
    assert sum(int(row.split("|")[2]) for row in rows.splitlines()) == 1

    log = tmp_path / "runs" / "kills.jsonl"
    lives = log.read_text()
    capfd.readouterr()
    reliability.main(arguments)
    assert log.read_text() == lives
    assert arguments.out.read_text() == page
