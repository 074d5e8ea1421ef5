# SPDX-License-Identifier: Apache-2.0
"""Processes of this machine: they share the work, end when asked to, and leave nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sgatlin.input.preparation import local, prepare
from sgatlin.input.preparation.finish import move_into_place
from sgatlin.input.preparation.inputs import find_by_name
from sgatlin.input.preparation.pieces import finished_pieces, is_finished
from sgatlin.input.preparation.plan import Request, make_plan, write_plan
from sgatlin.input.preparation.prepare import work_folder
from sgatlin.input.store import TOKENIZER
from tests.input.preparation.corpus import (
    hashes_of,
    make_texts,
    prepare_folder,
    small_tokenizer,
    write_jsonl,
)

ROOT = Path(__file__).parents[3]
SHARD_TOKENS = 10_000
BATCH_CHARACTERS = 10_000

# A user's script. Its workers wait a little after each batch, so that there is a middle to stop in.
PROGRAM = f"""
import sys
import time
from pathlib import Path
from sgatlin.cli import run_command
from sgatlin.input.preparation import group, plan
from sgatlin.input.preparation.manner import Manner
from sgatlin.input.tokenizer import Tokenizer
from tests.input.preparation.corpus import prepare_folder

plan._GROUP_BYTES = (1, 1)
group._BATCH_CHARACTERS = {BATCH_CHARACTERS}
add = group._GroupWork._add

def slowly(self, *args):
    add(self, *args)
    time.sleep(0.1)

group._GroupWork._add = slowly

def main():
    corpus, out, tokenizer = map(Path, sys.argv[1:4])
    manner = Manner(n_workers=int(sys.argv[4]))
    tokenizer = Tokenizer.load(tokenizer)
    prepare_folder(corpus, out, tokenizer, manner, shard_tokens={SHARD_TOKENS})

if __name__ == "__main__":
    run_command(main)
"""


@pytest.fixture(scope="module")
def tokenizer():
    return small_tokenizer()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Three files of some 12 batches each, and as many pieces."""
    folder = tmp_path_factory.mktemp("corpus")
    for number, split in enumerate(("train", "train", "validation")):
        write_jsonl(folder / split / f"{number}.jsonl", make_texts(1200, seed=number))
    return folder


@pytest.fixture
def start(corpus, tokenizer, tmp_path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts the program in a session of its own, with so many workers."""
    tokenizer.save(tmp_path / "tokenizer.json")
    started: list[subprocess.Popen] = []

    def start(n_workers: int, *, program: str = PROGRAM) -> subprocess.Popen:
        (tmp_path / "program.py").write_text(program)
        command = [sys.executable, tmp_path / "program.py", corpus, tmp_path / "out"]
        started.append(
            subprocess.Popen(
                [*command, tmp_path / "tokenizer.json", str(n_workers)],
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        for pid in alive(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.communicate()


def alive(session: int) -> list[int]:
    """Processes of a session that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of_session = stat.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(of_session) == session and state != "Z":
            found.append(int(stat.parent.name))
    return found


def pieces(out: Path) -> dict[str, int]:
    """The finished pieces, and when each was written."""
    paths = work_folder(out).glob("groups/*/*.json")
    return {f"{path.parent.name}/{path.name}": path.stat().st_mtime_ns for path in paths}


def wait_until(condition: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@pytest.fixture
def as_in_the_program(monkeypatch) -> None:
    """Groups and pieces in this process as there: else what is done would not be gone on with."""
    monkeypatch.setattr("sgatlin.input.preparation.plan._GROUP_BYTES", (1, 1))
    monkeypatch.setattr("sgatlin.input.preparation.group._BATCH_CHARACTERS", BATCH_CHARACTERS)


@needs_proc
@pytest.mark.usefixtures("as_in_the_program")
@pytest.mark.parametrize(
    ("signum", "to_all", "n_workers", "code"),
    [
        pytest.param(signal.SIGINT, True, 2, 130, id="Ctrl-C"),
        pytest.param(
            signal.SIGINT, True, 1, 130, id="Ctrl-C of one process", marks=pytest.mark.slow
        ),
        pytest.param(
            signal.SIGINT, False, 2, 130, id="SIGINT to the parent", marks=pytest.mark.slow
        ),
        pytest.param(
            signal.SIGTERM, False, 2, -signal.SIGTERM, id="SIGTERM", marks=pytest.mark.slow
        ),
        pytest.param(
            signal.SIGKILL, False, 2, -signal.SIGKILL, id="SIGKILL", marks=pytest.mark.slow
        ),
    ],
)
def test_stopped_in_the_middle(
    start, corpus, tokenizer, tmp_path, monkeypatch, signum, to_all, n_workers, code
):
    out = tmp_path / "out"
    process = start(n_workers)
    wait_until(lambda: len(pieces(out)) >= 2, 30)
    assert len(alive(process.pid)) >= n_workers
    (os.killpg if to_all else os.kill)(process.pid, signum)
    begin = time.monotonic()
    assert process.wait(timeout=10) == code
    wait_until(lambda: not alive(process.pid), 2 - (time.monotonic() - begin))
    if signum == signal.SIGINT:
        assert process.stderr.read() == ""
    kept = pieces(out)
    assert len(kept) >= 2
    assert not out.exists()

    def note(work: Path, out: Path) -> None:
        assert kept.items() < pieces(out).items()
        move_into_place(work, out)

    monkeypatch.setattr(prepare, "move_into_place", note)
    prepare_folder(corpus, out, tokenizer, shard_tokens=SHARD_TOKENS)
    monkeypatch.setattr(prepare, "move_into_place", move_into_place)
    prepare_folder(corpus, tmp_path / "whole", tokenizer, shard_tokens=SHARD_TOKENS)
    assert hashes_of(out) == hashes_of(tmp_path / "whole")


@needs_proc
@pytest.mark.slow
def test_ctrl_c_while_workers_start(start, tmp_path):
    """They have told nobody yet what to do with it."""
    process = start(2)
    # The parent, the tracker of its semaphores, and a worker that has hardly begun.
    wait_until(lambda: len(alive(process.pid)) >= 3, 30)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=10) == 130
    assert process.stderr.read() == ""
    wait_until(lambda: not alive(process.pid), 2)


@needs_proc
@pytest.mark.slow
def test_a_long_document_is_not_waited_for(start, tmp_path):
    slow = PROGRAM.replace("time.sleep(0.1)", "time.sleep(60)")
    assert slow != PROGRAM
    process = start(2, program=slow)
    # Both workers are in the middle of a batch.
    wait_until(lambda: len([*tmp_path.rglob("tokens-*.bin")]) >= 2, 30)
    os.killpg(process.pid, signal.SIGINT)
    begin = time.monotonic()
    assert process.wait(timeout=10) == 130
    wait_until(lambda: not alive(process.pid), 2 - (time.monotonic() - begin))


@pytest.mark.slow
def test_a_script_that_prepares_when_it_is_imported_is_told_so(start, tmp_path):
    process = start(2, program=PROGRAM.replace('if __name__ == "__main__":', "if True:"))
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "sgatlin: the script prepares data when it is imported" in err
    assert 'put that below if __name__ == "__main__":' in err
    last = err.splitlines()[-1]
    assert last.startswith(
        "sgatlin: a worker process was killed, perhaps for want of memory, if no"
    )
    wait_until(lambda: not alive(process.pid), 2)


@pytest.fixture
def shared(corpus, tokenizer, tmp_path, monkeypatch):
    """A work folder and a plan of three groups."""
    monkeypatch.setattr("sgatlin.input.preparation.plan._GROUP_BYTES", (1, 1))
    request = Request(source="test", tokenizer=tokenizer.hash)
    plan = make_plan(request, find_by_name([str(corpus)], []).inputs, tokenizer.hash)
    tokenizer.save(tmp_path / TOKENIZER)
    write_plan(tmp_path, plan)
    return tmp_path, plan


@pytest.mark.parametrize(
    ("n_workers", "n_threads"), [(1, 1), (2, 1), (3, 1), (5, 1), (6, 2), (8, 2), (9, 3)]
)
def test_where_there_are_few_groups_each_has_several_threads(
    shared, monkeypatch, n_workers, n_threads
):
    tasks: list[tuple[int, int]] = []

    class Pool:
        def __init__(self, n_processes, context, initializer, arguments):
            (task,) = arguments
            tasks.append((n_processes, task.n_threads))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def shutdown(self, **_):
            pass

    monkeypatch.setattr(local, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(local, "_follow", lambda *_: None)
    monkeypatch.setattr(
        local, "_prepare", lambda task, group, told: tasks.append((1, task.n_threads))
    )
    local.run_groups(*shared, n_workers=n_workers, tell=print)
    assert set(tasks) == {(min(n_workers, 3), n_threads)}


@pytest.mark.slow
def test_threads_do_not_change_the_result(shared, tmp_path):
    work, plan = shared
    local.run_groups(work, plan, n_workers=9, tell=print)
    assert all(is_finished(group, finished_pieces(work, group)) for group in plan.groups)
    several = {name: digest for name, digest in hashes_of(work).items() if name.endswith(".bin")}
    for path in work.glob("groups/*/*.json"):
        path.unlink()
    local.run_groups(work, plan, n_workers=1, tell=print)
    one = {name: digest for name, digest in hashes_of(work).items() if name.endswith(".bin")}
    assert one == several
    assert len(one) == 9
    # What is finished is not done again: a change of the tokenizer's file would be seen.
    (work / TOKENIZER).write_text(json.dumps({}))
    local.run_groups(work, plan, n_workers=1, tell=print)
