# SPDX-License-Identifier: Apache-2.0
"""SIGTERM and SIGINT to a real `train.py`, in every phase: acknowledged, obeyed, gone on from."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sgatlin.config import Config
from sgatlin.train import checkpoint
from sgatlin.train.checkpoint import CheckpointConfig
from tests.toy import flags

ROOT = Path(__file__).resolve().parents[2]

# A run that hangs is ended after so many seconds.
LIMIT = 120


@pytest.fixture(scope="module")
def env(tmp_path_factory) -> dict[str, str]:
    """Compiles little, once, and shows every line at once; in no language, and only in ASCII."""
    return os.environ | {
        "PYTHONUNBUFFERED": "1",
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


@pytest.fixture
def long(toy: Config) -> Config:
    """A second or more of steps, and no save that is not asked for."""
    return dataclasses.replace(
        toy,
        train=dataclasses.replace(toy.train, steps=800, eval_every=800),
        checkpoint=CheckpointConfig(every_steps=800),
        log=dataclasses.replace(toy.log, every=100),
    )


@contextlib.contextmanager
def training(config: Config, path: Path, env: dict[str, str]) -> Iterator[subprocess.Popen]:
    command = [sys.executable, str(ROOT / "train.py"), *flags(config), "--workdir", str(path)]
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = threading.Timer(LIMIT, process.kill)
    deadline.start()
    with process:
        try:
            yield process
        finally:
            deadline.cancel()
            process.kill()


def wait_for(process: subprocess.Popen, text: str) -> None:
    """Reads stdout up to a line with this text."""
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"{text!r} was not printed: {process.stderr.read()}")


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def acknowledge(process: subprocess.Popen, number: signal.Signals) -> None:
    """Sends a signal, which a line on stderr has to acknowledge within a second."""
    start = time.monotonic()
    process.send_signal(number)
    for line in process.stderr:
        if line.startswith(number.name):
            assert time.monotonic() - start < 1
            return
    raise AssertionError("the process ended without a word")


def last_line(process: subprocess.Popen) -> str:
    """What a process that ends well, and without complaint, says last."""
    lines = process.stdout.read().splitlines()
    assert (process.wait(), process.stderr.read()) == (0, "")
    return lines[-1]


@pytest.mark.slow
def test_while_preparing_data(long, tmp_path, env):
    source = dataclasses.replace(
        long.data.source, path=str(tmp_path / "data"), train_megabytes=1000.0
    )
    config = dataclasses.replace(long, data=dataclasses.replace(long.data, source=source))
    with training(config, tmp_path / "run", env) as process:
        wait_until(lambda: list(tmp_path.glob(".data.*.partial")))
        acknowledge(process, signal.SIGTERM)
        expected = f"nothing new to save; the same command goes on with {tmp_path / 'run'}"
        assert last_line(process) == expected
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_while_compiling(long, tmp_path, env):
    with training(long, tmp_path / "run", env | {"JAX_ENABLE_COMPILATION_CACHE": "0"}) as process:
        wait_for(process, "is already prepared")
        time.sleep(1)  # the initialisation is being compiled
        acknowledge(process, signal.SIGINT)
        expected = f"nothing new to save; the same command goes on with {tmp_path / 'run'}"
        assert last_line(process) == expected


@pytest.mark.slow
def test_while_training_then_going_on_then_twice(long, tmp_path, env):
    path = tmp_path / "run"
    with training(long, path, env) as process:
        wait_for(process, "step   1/800")
        acknowledge(process, signal.SIGTERM)
        (saved,) = [last_line(process)]
    (step,) = checkpoint.good_steps(path / "checkpoints")
    assert saved == f"saved step {step}; the same command goes on with {path}"
    assert 1 <= step < 800

    with training(long, path, env) as process:
        wait_for(process, f"goes on from step {step}")
        wait_for(process, "A sample")
        assert json.loads((path / "result.json").read_text())["steps"] == 800
        acknowledge(process, signal.SIGINT)  # while the generation of the sample is compiled
        time.sleep(0.5)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 128 + signal.SIGINT
        assert time.monotonic() - start < 1


@pytest.mark.slow
def test_while_evaluating(long, tmp_path, env):
    path = tmp_path / "run"
    source = dataclasses.replace(
        long.data.source, path=str(tmp_path / "data"), validation_megabytes=2.0
    )
    config = dataclasses.replace(
        long,
        data=dataclasses.replace(long.data, source=source),
        train=dataclasses.replace(long.train, steps=2, eval_every=1, eval_tokens=10**9),
        optimizer=dataclasses.replace(
            long.optimizer, schedule=dataclasses.replace(long.optimizer.schedule, warmup_steps=1)
        ),
    )
    with training(config, path, env) as process:
        wait_for(process, "step 1/2")
        time.sleep(0.5)  # it validates on a million tokens after its first step
        acknowledge(process, signal.SIGTERM)
        assert last_line(process) == f"saved step 1; the same command goes on with {path}"
    lines = (path / "metrics.jsonl").read_text().splitlines()
    assert ["val_loss" in json.loads(line) for line in lines] == [False]
    with training(config, path, env) as process:
        wait_for(process, "goes on from step 1")
        process.stdout.read()
        assert (process.wait(), process.stderr.read()) == (0, "")
    assert json.loads((path / "result.json").read_text())["steps"] == 2
