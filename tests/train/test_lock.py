# SPDX-License-Identifier: Apache-2.0
"""The lock of a run directory: one process at a time, told who; gone when its process is."""

import contextlib
import errno
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import sgatlin
from sgatlin.errors import UserError
from sgatlin.train import lock
from sgatlin.train.lock import RunLock, is_locked

HOLDS = """
import os, signal, sys, time
from pathlib import Path
from sgatlin.train.lock import RunLock

with RunLock(Path(sys.argv[1])):
    if "fork" in sys.argv:
        child = os.fork()
        if child == 0:
            time.sleep(60)
        print(child, flush=True)
    print("held", flush=True)
    time.sleep(60)
"""


@contextlib.contextmanager
def holder(path: Path, *arguments: str) -> Iterator[subprocess.Popen]:
    """Another process that holds the lock, killed in the end."""
    command = [sys.executable, "-c", HOLDS, str(path), *arguments]
    root = Path(sgatlin.__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught, RunLock(path):
        pass
    return str(caught.value)


def test_a_second_process_is_told_who_is_there_and_a_kill_frees_the_lock(tmp_path):
    path = tmp_path / "run"
    with holder(path) as process:
        assert process.stdout.readline() == "held\n"
        assert is_locked(path)
        told = refusal(path)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert (path / lock.FILENAME).exists()
        assert not is_locked(path)
        with RunLock(path):
            assert is_locked(path)
    who = f"process {process.pid} on {socket.gethostname()} since "
    assert told.startswith(f"{path} is being trained by {who}")
    assert re.search(r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}: stop that first, or", told)


def test_a_child_that_outlives_its_parent_holds_nothing(tmp_path):
    with holder(tmp_path, "fork") as process:
        child = int(process.stdout.readline())
        assert process.stdout.readline() == "held\n"
        try:
            assert is_locked(tmp_path)
            process.kill()
            process.wait()
            os.kill(child, 0)  # it lives
            with RunLock(tmp_path):
                pass
        finally:
            os.kill(child, signal.SIGKILL)


def test_what_was_made_for_the_lock_goes_with_it(tmp_path):
    new = tmp_path / "a" / "new"
    with RunLock(new):
        assert [path.name for path in new.iterdir()] == [lock.FILENAME]
    assert not new.exists()

    with RunLock(new):
        (new / "config.json").touch()
    assert [path.name for path in new.iterdir()] == ["config.json"]

    (empty := tmp_path / "empty").mkdir()
    with RunLock(empty):
        pass
    assert list(empty.iterdir()) == []


def test_the_lock_follows_a_file_that_was_just_removed(tmp_path, monkeypatch):
    """Its holder leaves between another's opening of the file and locking it."""
    first = RunLock(tmp_path)
    first.__enter__()
    original = fcntl.flock

    def leave_first(handle, flags):
        monkeypatch.setattr(fcntl, "flock", original)
        first.__exit__(None, None, None)
        original(handle, flags)

    monkeypatch.setattr(fcntl, "flock", leave_first)
    with RunLock(tmp_path):
        assert is_locked(tmp_path)
        assert "is being trained by" in refusal(tmp_path)


def test_who_asks_turns_nobody_away(tmp_path):
    (tmp_path / lock.FILENAME).touch()
    handle = os.open(tmp_path / lock.FILENAME, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    threading.Timer(0.1, os.close, [handle]).start()
    with RunLock(tmp_path):
        assert is_locked(tmp_path)


def test_other_processes_of_a_run_enter_beside_the_leader(tmp_path):
    with RunLock(tmp_path), RunLock(tmp_path, leader=False):
        assert is_locked(tmp_path)
        with RunLock(tmp_path, leader=False):
            pass
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_without_locks_a_run_goes_on_and_says_so(tmp_path, monkeypatch):
    def no_locks(handle, flags):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    told = []
    with RunLock(tmp_path, told.append):
        assert not is_locked(tmp_path)
    (line,) = told
    assert line.startswith(f"{tmp_path / lock.FILENAME} cannot be locked (No locks available): ")


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "run"
    assert refusal(path).startswith(f"cannot write the run directory {path}: Not a directory")


def test_a_holder_that_could_not_say_who_it_is(tmp_path, monkeypatch):
    def full(handle, data, offset):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with RunLock(tmp_path):
        assert f"{tmp_path} is being trained by another process: " in refusal(tmp_path)


def test_a_lock_that_nobody_left_goes_with_its_owner(tmp_path):
    forgotten = RunLock(tmp_path)
    forgotten.__enter__()
    assert is_locked(tmp_path)
    del forgotten
    assert not is_locked(tmp_path)


def test_nothing_is_locked_where_there_is_nothing(tmp_path):
    assert not is_locked(tmp_path)
    assert not is_locked(tmp_path / "absent")
