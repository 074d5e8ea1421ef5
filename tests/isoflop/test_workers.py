# SPDX-License-Identifier: Apache-2.0
"""`sgatlin isoflop run --workers` as a user starts it: real processes, and a signal to one."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sgatlin.config import Config
from sgatlin.isoflop.records import Results
from sgatlin.train import checkpoint
from tests.isoflop.tiny import write_studies

pytestmark = pytest.mark.slow

# Programs that run for a second need not be fast.
QUICK_TO_COMPILE = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}


@contextlib.contextmanager
def begun(toy: Config, path: Path, variant: str) -> "Iterator[subprocess.Popen[str]]":
    """The command, with two processes; asked to stop if it is not over in the end."""
    studies = write_studies(path / "studies.py", toy)
    command = [sys.executable, "-m", "sgatlin", "isoflop", "run", f"{studies}:{variant}"]
    driver = subprocess.Popen(
        [*command, "--workers", "2"],
        cwd=path,
        env={**os.environ, **QUICK_TO_COMPILE},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with driver:
        try:
            yield driver
        finally:
            if driver.poll() is None:
                driver.terminate()


def wait_for_step(step: int, metrics: list[Path], driver: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 60
    while not all(file.exists() and f'"step": {step}' in file.read_text() for file in metrics):
        assert driver.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_two_processes_are_stopped_with_all_saved_and_the_same_command_goes_on(toy, tmp_path):
    """In one of them a run fails, which ends no other."""
    names = ["mlp-s1-3.2e5tok", "swiglu-s1-3.2e5tok"]
    runs = tmp_path / "runs" / "tiny"
    metrics = [runs / name / "metrics.jsonl" for name in names]
    with begun(toy, tmp_path, "long") as driver:
        wait_for_step(50, metrics, driver)
        driver.send_signal(signal.SIGTERM)
        out, err = driver.communicate(timeout=60)
    assert driver.returncode == 0
    assert "SIGTERM: saving, then stopping" in err
    assert out.splitlines()[-1] == "stopped; the same command goes on"
    saved = [checkpoint.latest(runs / name / "checkpoints") for name in names]
    assert all(step is not None and 50 <= step < 5000 for step in saved)
    # Whoever still trained would write more.
    sizes = [file.stat().st_size for file in metrics]
    time.sleep(0.5)
    assert [file.stat().st_size for file in metrics] == sizes

    with begun(toy, tmp_path, "long") as driver:
        out, err = driver.communicate(timeout=120)
    assert driver.returncode == 1
    assert err == "sgatlin: 1 run failed, as told above; the same command tries again\n"
    lines = out.splitlines()
    assert lines[-1] == "2 of 3 runs finished, 1 failed: results/tiny"
    told = sorted(line.partition(":")[0] for line in lines[:-1])
    assert told == sorted([*names, "mlp-s1-1280tok-lr1e30"])
    (failed,) = (line for line in lines if "-lr1e30: " in line)
    assert failed.startswith("mlp-s1-1280tok-lr1e30: failed: stopped at step ")
    assert Results(tmp_path / "results" / "tiny").names() == {*names}
    for name, step in zip(names, saved, strict=True):
        log = (runs / "logs" / f"{name.rpartition('-')[0]}.log").read_text()
        assert f"goes on from step {step}\n" in log
