# SPDX-License-Identifier: Apache-2.0
"""The shipped studies at the budgets of their variants `toy`: from their runs to their pages."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# Programs that run for a second need not be fast.
QUICK_TO_COMPILE = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}


def sgatlin(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "sgatlin", "isoflop", *arguments],
        cwd=folder,
        env={**os.environ, **QUICK_TO_COMPILE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_the_whole_study(tmp_path):
    sgatlin(tmp_path, "run", "pile_mix:toy", "--only", "*e9*")
    times = sgatlin(tmp_path, "time", "pile_mix:toy")
    assert "cpu: 0 of 10 models are measured" in times
    last = sgatlin(tmp_path, "run", "pile_mix:toy").splitlines()[-1]
    # 3 layers at 3 sizes and 2 budgets, a second seed of the best size, a switch, a second rate,
    # and 2 sizes for as long as each other.
    assert last == "31 of 31 runs finished: results/toy"
    assert sgatlin(tmp_path, "run", "pile_mix:toy").splitlines() == [last]
    assert not list((tmp_path / "runs").rglob("manifest.json"))

    records = {
        file.stem: json.loads(file.read_text())
        for file in (tmp_path / "results" / "toy").glob("*.json")
        if not file.name.startswith("steps-")
    }
    assert len(records) == 31
    for name, record in records.items():
        nats, tokens = (sum(record["documents"][key]) for key in ("nats", "tokens"))
        assert nats / tokens == pytest.approx(record["result"]["val_loss"], abs=1e-4), name
    timed = [name for name in records if name.endswith("0.2s")]
    assert len(timed) == 6

    fitted = sgatlin(tmp_path, "fit", "pile_mix:toy")
    assert "Noise between seeds: a standard deviation of" in fitted
    (tmp_path / "notes.md").write_text("Nothing follows from so little.\n")
    written = sgatlin(tmp_path, "report", "pile_mix:toy", "--notes", "notes.md")
    page = (tmp_path / "toy.md").read_text()
    assert all((tmp_path / path).stat().st_size for path in written.split())
    assert "Nothing follows from so little." in page
    for heading in ("Equal FLOPs (paper)", "Equal seconds on cpu", "Learning rates"):
        assert f"\n## {heading}\n" in page
    perplexity = math.exp(records["swiglu-s3-3e9"]["result"]["val_loss"])
    (row,) = (
        line
        for line in page.partition("All runs at 3e9 FLOPs")[2].splitlines()[:12]
        if line.startswith("| swiglu ")
    )
    assert row.split("|")[4].strip() == f"{perplexity:.2f}"


def test_the_second_study(tmp_path):
    sgatlin(tmp_path, "run", "scaling:toy", "--only", "A")
    assert "rule-rates.json" in sgatlin(tmp_path, "rates", "scaling:toy")
    sgatlin(tmp_path, "time", "scaling:toy")
    last = sgatlin(tmp_path, "run", "scaling:toy").splitlines()[-1]
    # 2 layers: 4 rates; 3 sizes at 2 budgets; a second seed of the best size.
    assert last == "22 of 22 runs finished: results/toy"
    results = tmp_path / "results" / "toy"
    rule = json.loads((results / "rule-rates.json").read_text())
    record = json.loads((results / "sgatlin-s2-3e9.json").read_text())
    steps, rate = record["result"]["steps"], record["run"]["learning_rate"]
    log_rate = rule["intercepts"]["sgatlin"] + rule["width_exponent"] * math.log(32)
    log_rate += rule["steps_exponent"] * math.log(steps)
    assert rate == pytest.approx(math.exp(log_rate), rel=0.05)

    (tmp_path / "forecast.md").write_text("## Forecast\n\nNobody wins.\n")
    written = sgatlin(tmp_path, "report", "scaling:toy", "--forecast", "forecast.md")
    assert all((tmp_path / path).stat().st_size for path in written.split())
    page = (tmp_path / "toy.md").read_text()
    for heading in ("Stages", "Loss surfaces", "Learning rates", "Forecast"):
        assert f"\n## {heading}\n" in page
    assert "Nobody wins." in page
