# SPDX-License-Identifier: Apache-2.0
"""Jobs in other processes: what each is given, how they are followed, and how they are stopped."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sgatlin.errors import UserError
from sgatlin.isoflop import follow as following
from sgatlin.isoflop import pool as pools
from sgatlin.isoflop.budget import TokenBudget
from sgatlin.isoflop.follow import Running, follow, running
from sgatlin.isoflop.pool import LocalPool, device_slots, own_command, visible_gpus
from sgatlin.isoflop.records import Results, Run
from sgatlin.isoflop.slurm import JobConfig, SlurmPool
from tests.isoflop.made import record

SMALL, LARGE = TokenBudget(tokens=1e3), TokenBudget(tokens=2e3)


def run_of(layer: str, budget: TokenBudget = SMALL) -> Run:
    return Run(layer=layer, scale=1.0, budget=budget, learning_rate=1e-3)


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


SHARED = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def gpu(name: str) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": name}


@pytest.mark.parametrize(
    ("env", "n_workers", "slots"),
    [
        (gpu("0,3"), 1, [gpu("0")]),
        (gpu("0,3"), 2, [gpu("0"), gpu("3")]),
        (gpu("0,3"), 3, [gpu("0") | SHARED, gpu("3") | SHARED, gpu("0") | SHARED]),
        (gpu("GPU-4a,MIG-5b"), 2, [gpu("GPU-4a"), gpu("MIG-5b")]),
        (gpu(""), 2, [{}, {}]),
        (gpu("0,3") | {"JAX_PLATFORMS": "cpu"}, 2, [{}, {}]),
        (gpu("0,3") | {"JAX_PLATFORMS": "cuda,cpu"}, 1, [gpu("0")]),
    ],
)
def test_gpus_are_dealt_out(monkeypatch, env, n_workers, slots):
    monkeypatch.setattr(pools, "tpu_chips", lambda: 0)
    assert device_slots(n_workers, env) == slots


def test_gpus_are_those_of_the_driver_unless_some_are_named(tmp_path, monkeypatch):
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'GPU 0: H (UUID: a)'\necho '  MIG 1g'\necho 'GPU 1: H'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus({}) == ["0", "1"]
    assert visible_gpus({"JAX_PLATFORMS": "tpu"}) == []
    smi.unlink()
    assert visible_gpus({}) == []


def test_a_tpu_s_chips_are_never_shared(monkeypatch):
    monkeypatch.setattr(pools, "tpu_chips", lambda: 4)
    here = {"JAX_PLATFORMS": "tpu"}
    slots = device_slots(4, here)
    assert [slot["TPU_VISIBLE_CHIPS"] for slot in slots] == ["0", "1", "2", "3"]
    with pytest.raises(
        UserError, match=r"^--workers 5: there are 4 TPU chips, and none is shared$"
    ):
        device_slots(5, here)
    assert device_slots(5, {"JAX_PLATFORMS": "cpu"}) == [{}] * 5
    assert device_slots(5, gpu("0")) == [gpu("0") | SHARED] * 5


class FakeJob:
    """Ends at the look of that number, having done what it does."""

    def __init__(self, runs: Sequence[Run], log: Path, looks: int, at_end: Callable[[], None]):
        self.runs, self.log = runs, log
        self.stopped = False
        self._looks, self._at_end = looks, at_end

    def ended(self) -> bool:
        self._looks -= 1
        if self._looks == 0:
            self._at_end()
        return self._looks <= 0

    def stop(self) -> None:
        self.stopped = True


class FakePool:
    """Makes jobs of a list, by the layers of their runs; has room for two."""

    def __init__(self, log: Path, ends: dict[str, tuple[int, Callable[[], None]]]):
        self._log, self._ends = log, ends
        self.jobs: list[FakeJob] = []
        self.most = 0

    def running(self) -> list[FakeJob]:
        return [job for job in self.jobs if job._looks > 0]

    def has_room(self) -> bool:
        return len(self.running()) < 2

    def start(self, runs: Sequence[Run]) -> FakeJob:
        layer = runs[0].layer
        self.jobs.append(FakeJob(runs, self._log / f"{layer}.log", *self._ends[layer]))
        self.most = max(self.most, len(self.running()))
        return self.jobs[-1]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.setattr(following, "SECONDS_BETWEEN", 0.0)
    return Results(tmp_path / "results")


def finishes(results: Results, *runs: Run) -> Callable[[], None]:
    def write() -> None:
        for run in runs:
            results.write(record(run.layer, run.scale, run.budget, 3.0, parameters=100))

    return write


def says(log: Path, *lines: str) -> Callable[[], None]:
    def write() -> None:
        log.write_text("".join(f"{line}\n" for line in lines))

    return write


def nothing() -> None:
    """A process that leaves no word."""


def test_jobs_are_started_as_there_is_room_and_their_ends_told(results, tmp_path):
    runs = [run_of("good", LARGE), run_of("good"), *map(run_of, ("bad", "dead", "mute", "last"))]
    own = "bad-s1-1e3tok: failed: the data is gone  [0 of 1 runs finished, 1 failed]"
    pool = FakePool(
        tmp_path,
        {
            "good": (3, finishes(results, runs[0], runs[1])),
            "bad": (2, says(tmp_path / "bad.log", "== bad-s1-1e3tok", own, "0 of 1 finished")),
            "dead": (4, says(tmp_path / "dead.log", "step 1", "Killed: no memory", "")),
            "mute": (1, nothing),
            "last": (2, finishes(results, runs[-1])),
        },
    )
    ended = {
        one.run.name: one for one in follow(runs, pool, results, tmp_path / "runs", lambda: "")
    }
    assert [job.runs[0].layer for job in pool.jobs] == ["good", "bad", "dead", "mute", "last"]
    assert pool.jobs[0].runs == [runs[1], runs[0]]  # the smaller budget first
    assert pool.most == 2
    assert ended.keys() == {run.name for run in runs}
    problems = {one.run.layer: one.problem for one in ended.values() if one.record is None}
    assert problems == {
        "bad": "the data is gone",
        "dead": f"its process ended: Killed: no memory (more in {tmp_path / 'dead.log'})",
        "mute": problems["mute"],
    }
    assert problems["mute"].startswith("its process ended, and its log cannot be read: ")
    assert ended["good-s1-2e3tok"].record.loss == 3.0


def test_a_failure_without_progress_behind_it_is_told_whole(results, tmp_path):
    says(tmp_path / "bad.log", "bad-s1-1e3tok: failed: the budget pays for 3 steps")()
    pool = FakePool(tmp_path, {"bad": (1, nothing)})
    (ended,) = follow([run_of("bad")], pool, results, tmp_path / "runs", lambda: "")
    assert ended.problem == "the budget pays for 3 steps"


def test_a_run_is_told_when_it_ends_and_not_when_its_job_does(results, tmp_path):
    small, large = run_of("good"), run_of("good", LARGE)
    pool = FakePool(tmp_path, {"good": (5, finishes(results, large))})
    told = follow([small, large], pool, results, tmp_path / "runs", lambda: "")
    finishes(results, small)()
    assert next(told).run == small
    assert pool.running()
    assert [one.run for one in told] == [large]


def test_when_asked_to_stop_no_job_is_started_and_all_are_stopped(results, tmp_path):
    runs = [run_of(layer) for layer in ("slow", "quick", "unbegun")]
    pool = FakePool(tmp_path, {"slow": (9, nothing), "quick": (6, finishes(results, runs[1]))})
    looks = iter(range(100))
    told = list(
        follow(runs, pool, results, tmp_path / "runs", lambda: "", lambda: next(looks) >= 2)
    )
    assert [job.runs[0].layer for job in pool.jobs] == ["slow", "quick"]
    assert all(job.stopped for job in pool.jobs)
    assert not pool.running()
    # What it had yet to do when it left is no failure.
    assert [(one.run, one.problem) for one in told] == [(runs[1], None)]


def test_no_job_outlives_who_followed_it(results, tmp_path):
    """An error in the middle, here of whoever is told, leaves no process that trains on."""
    small, large = run_of("good"), run_of("good", LARGE)
    pool = FakePool(tmp_path, {"good": (50, nothing)})
    told = follow([small, large], pool, results, tmp_path / "runs", lambda: "")
    finishes(results, small)()
    assert next(told).run == small
    assert not pool.jobs[0].stopped
    told.close()
    assert pool.jobs[0].stopped


def test_where_a_job_is_is_read_from_its_metrics(results, tmp_path):
    runs = [run_of("good"), run_of("good", LARGE)]
    job = FakeJob(runs, tmp_path / "good.log", 1, nothing)
    assert running(job, results, tmp_path) == Running(runs[0].name, None, None, None, None)
    path = tmp_path / runs[0].name
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"train": {"steps": 30}}))
    lines = [{"step": n, "loss": 6 - 0.1 * n, "tokens_per_second": 50.0} for n in range(1, 11)]
    validated = {"step": 10, "val_loss": 5.2, "time": 3.0}
    text = "".join(f"{json.dumps(line)}\n" for line in (*lines, validated))
    (path / "metrics.jsonl").write_text(f'{text}{{"step": 11, "lo')
    assert running(job, results, tmp_path) == Running(runs[0].name, 10, 30, 5.0, 50.0)
    finishes(results, *runs)()
    assert running(job, results, tmp_path) is None


# Says what it was given, and leaves when asked to.
TELLS = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print("saved"), sys.exit()))
print(os.environ.get("CUDA_VISIBLE_DEVICES"), os.getpgid(0) == os.getpid(), *sys.argv[1:])
if sys.argv[-1].startswith("waits"):
    signal.pause()
"""


def test_processes_have_their_device_their_runs_and_a_log(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    monkeypatch.delenv("JAX_PLATFORMS")
    logs = tmp_path / "logs"
    pool = LocalPool(2, [sys.executable, "-c", TELLS], logs)
    waits, quick = [run_of("waits")], [run_of("quick"), run_of("quick", LARGE)]
    first = pool.start(waits)
    assert pool.has_room()
    second = pool.start(quick)
    wait_until(second.ended)
    assert not first.ended()
    assert pool.has_room()
    assert second.log == logs / "quick-s1.log"
    # A group of its own: a signal to the terminal's does not reach it.
    assert second.log.read_text() == "7 True --only quick-s1-1e3tok quick-s1-2e3tok\n"
    third = pool.start([run_of("waits-too")])
    assert not pool.has_room()
    for job in (first, third):
        wait_until(lambda: "--only" in job.log.read_text())  # noqa: B023
        job.stop()
        wait_until(job.ended)
        job.stop()  # of one that has ended: nothing
        assert job.log.read_text().endswith("saved\n")


def test_a_log_has_the_words_of_its_own_process_alone(tmp_path):
    """What an earlier attempt died of is not why this one did."""
    speaks = "import sys; print(*sys.argv[3:])"
    for words in ("first", "second"):
        pool = LocalPool(1, [sys.executable, "-c", speaks, words], tmp_path)
        job = pool.start([run_of("good")])
        wait_until(job.ended)
    assert "first" not in job.log.read_text()


def test_the_command_of_a_process_is_this_program_s_own():
    command = own_command("studies.py:two", ["--results", "there"])
    assert command[0] == sys.executable
    assert command[1:] == [
        "-m",
        "sgatlin",
        "isoflop",
        "run",
        "studies.py:two",
        "--results",
        "there",
    ]


def test_no_workers(tmp_path):
    with pytest.raises(UserError, match="workers=0 must be at least 1"):
        LocalPool(0, [], tmp_path)


FAILS = """
import sys
print(f"{sys.argv[2]}: failed: the data is gone  [0 of 1 runs finished, 1 failed]")
sys.exit("sgatlin: 1 run failed")
"""


def test_jobs_of_submitit_s(results, tmp_path):
    """Its stand-in for Slurm on this machine: it runs the command, and its log has all words."""
    pytest.importorskip("submitit")
    config = JobConfig(gpus=0, cpus=1, memory_gb=1, minutes=5, at_once=1)
    run = run_of("bad")
    pool = SlurmPool(config, [sys.executable, "-c", FAILS], tmp_path / "logs", cluster="local")
    (ended,) = follow([run], pool, results, tmp_path / "runs", lambda: "")
    assert ended.problem == "the data is gone"
    assert pool.has_room()


def test_without_slurm_one_line_says_so(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"^--slurm: [^\n]+run this where sbatch is, or without it"):
        SlurmPool(JobConfig(), ["true"], tmp_path / "logs")


def test_without_submitit_one_line_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"pip install 'sgatlin\[slurm\]'$"):
        SlurmPool(JobConfig(), ["true"], tmp_path / "logs")
