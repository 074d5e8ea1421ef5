# SPDX-License-Identifier: Apache-2.0
"""Real processes of one run on this machine: they train, are stopped and killed, and go on as more
or fewer."""

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from sgatlin.config import Config
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.train import checkpoint
from sgatlin.train.checkpoint import CheckpointConfig
from sgatlin.train.load import abstract_params
from tests.toy import flags

pytestmark = pytest.mark.multiprocess

ROOT = Path(__file__).resolve().parents[2]
STEPS = 40
# A run that hangs is ended after so many seconds.
LIMIT = 150


@pytest.fixture(scope="module")
def config(toy: Config) -> Config:
    """The toy run with eight windows a step, and saves in its middle."""
    return dataclasses.replace(
        toy,
        model=dataclasses.replace(
            toy.model,
            feed_forward=SgatlinConfig(n_channels=4, n_neurons=64, top_k=2, d_key=8),
        ),
        data=dataclasses.replace(toy.data, batch_size=8),
        train=dataclasses.replace(toy.train, steps=STEPS, eval_every=15),
        checkpoint=CheckpointConfig(every_steps=10, keep_last=10),
    )


@pytest.fixture(scope="module")
def env() -> dict[str, str]:
    return os.environ | {
        "PYTHONUNBUFFERED": "1",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        "JAX_NUM_CPU_DEVICES": "1",
        # Read back, a program for several devices of a CPU corrupts memory (JAX 0.10.2).
        "JAX_ENABLE_COMPILATION_CACHE": "0",
    }


@contextlib.contextmanager
def started(
    config: Config, path: Path, env: dict[str, str], n: int, *options: str
) -> Iterator[list[subprocess.Popen]]:
    """`n` processes of one run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, str(ROOT / "train.py"), *flags(config), "--workdir", str(path)]
    if n > 1:
        command += ["--distributed", "--coordinator", coordinator, "--processes", str(n)]
    processes = []
    try:
        for i in range(n):
            own = [*command, *(["--process", str(i)] if n > 1 else []), *options]
            with (path.parent / f"{path.name}-{n}-{i}.txt").open("w") as log:
                processes.append(subprocess.Popen(own, env=env, stdout=log, stderr=log))
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def ended(processes: list[subprocess.Popen], path: Path) -> None:
    """Waits; every process has to end well."""
    for i, process in enumerate(processes):
        code = process.wait(LIMIT)
        log = path.parent / f"{path.name}-{len(processes)}-{i}.txt"
        assert code == 0, log.read_text()[-3000:]


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def final_params(config: Config, path: Path) -> list[np.ndarray]:
    params = checkpoint.restore_params(path / "checkpoints", STEPS, abstract_params(config))
    return [np.asarray(leaf) for leaf in jax.tree.leaves(params)]


@pytest.fixture(scope="module")
def undisturbed(config, env, tmp_path_factory) -> list[np.ndarray]:
    """The final parameters of two processes."""
    path = tmp_path_factory.mktemp("undisturbed") / "run"
    with started(config, path, env, 2) as processes:
        ended(processes, path)
    assert (path / "result.json").exists()
    told = (path.parent / "run-2-1.txt").read_text().splitlines()
    assert not [line for line in told if not line.startswith("[Gloo]")], "only the first tells"
    return final_params(config, path)


@pytest.mark.parametrize("n", [2, 1])
def test_killed_processes_go_on_as_so_many(config, env, undisturbed, tmp_path, n):
    path = tmp_path / "run"
    with started(config, path, env, 2) as processes:
        wait_until(lambda: (checkpoint.latest(path / "checkpoints") or 0) >= 20)
        for process in processes:
            process.send_signal(signal.SIGKILL)
    kept = checkpoint.latest(path / "checkpoints")
    assert kept is not None
    assert kept < STEPS
    with started(config, path, env, n) as processes:
        ended(processes, path)
    for ours, theirs in zip(final_params(config, path), undisturbed, strict=True):
        if n == 2:
            np.testing.assert_array_equal(ours, theirs)
        else:
            difference = np.linalg.norm(ours - theirs)
            assert difference <= 1e-5 * np.linalg.norm(theirs) + 1e-7


def test_a_signal_to_one_of_them_stops_all_after_the_same_step(config, env, undisturbed, tmp_path):
    path = tmp_path / "run"
    long = dataclasses.replace(
        config,
        train=dataclasses.replace(config.train, steps=STEPS),
        checkpoint=CheckpointConfig(every_steps=STEPS, keep_last=10),
    )
    with started(long, path, env, 2) as processes:
        wait_until(lambda: (path / "metrics.jsonl").exists())
        processes[1].send_signal(signal.SIGTERM)
        ended(processes, path)
    (step,) = checkpoint.good_steps(path / "checkpoints")
    assert 0 < step < STEPS
    assert f"saved step {step}" in (tmp_path / "run-2-0.txt").read_text()
    with started(long, path, env, 2) as processes:
        ended(processes, path)
    for ours, theirs in zip(final_params(config, path), undisturbed, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_parameters_divided_among_processes_are_saved_and_restored(
    config, env, undisturbed, tmp_path
):
    path = tmp_path / "run"
    with started(config, path, env, 2, "--mesh.fsdp", "2") as processes:
        ended(processes, path)
    for ours, theirs in zip(final_params(config, path), undisturbed, strict=True):
        difference = np.linalg.norm(ours - theirs)
        assert difference <= 1e-4 * np.linalg.norm(theirs) + 1e-7


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--coordinator", "localhost:1"], "need --distributed"),
        (["--distributed", "--coordinator", "localhost:1"], "--processes, --process must be given"),
        (
            ["--distributed", "--coordinator", "x:1", "--processes", "2", "--process", "2"],
            "--process 2 must be in 0..1",
        ),
    ],
)
def test_what_is_missing_is_told(config, env, tmp_path, options, told):
    command = [sys.executable, str(ROOT / "train.py"), *flags(config), "--workdir"]
    done = subprocess.run(
        [*command, str(tmp_path / "run"), *options], env=env, capture_output=True, text=True
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert told in line
