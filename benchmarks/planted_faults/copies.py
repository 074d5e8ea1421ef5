# SPDX-License-Identifier: Apache-2.0
"""Copies of the repository in a temporary folder, in which faults are planted and tests run.

The checkout itself is never changed. Copies share one compilation cache, which starts as the
checkout's: what a fault does not touch is compiled once. That is safe because quick tests have one
device; with several devices of a CPU, JAX 0.10.2 corrupts memory when it reads the cache.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.planted_faults.faults import ROOT, Fault
from sgatlin.errors import UserError

CACHE = ".jax_cache"
PYTEST = "-q -n 0 -p no:cacheprovider -p benchmarks.planted_faults.witness".split()
# What pytest returns: all passed, some failed, stopped (as by a file that cannot be imported).
PASSED, FAILED, STOPPED = 0, 1, 2


class Outcome(NamedTuple):
    """What a run of tests ended with."""

    failed: tuple[str, ...]
    """Tests, or files that cannot be imported; or one of "(timeout)" and "(crash)"."""
    seconds: float


class Copy:
    """One copy of the repository. It runs one pytest at a time."""

    def __init__(self, root: Path):
        self.root = root
        self._process: subprocess.Popen[str] | None = None

    def kill(self) -> None:
        """Ends the tests that run here, and the processes that they started."""
        if (process := self._process) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def run(self, arguments: Sequence[str], *, timeout: float) -> Outcome:
        """Runs pytest on this copy's package.

        Raises:
          UserError: pytest could not run, or it tested the package of another folder.
        """
        seen = self.root / "witness.json"
        seen.unlink(missing_ok=True)
        start = time.monotonic()
        with subprocess.Popen(
            [sys.executable, "-m", "pytest", *PYTEST, "--witness", str(seen), *arguments],
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": str(self.root)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            self._process = process
            try:
                printed, _ = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                return Outcome(("(timeout)",), time.monotonic() - start)
            finally:
                self.kill()
                self._process = None
        seconds = time.monotonic() - start
        if process.returncode < 0:
            return Outcome(("(crash)",), seconds)
        return Outcome(self._failed(seen, process.returncode, printed), seconds)

    def _failed(self, seen: Path, code: int, printed: str) -> tuple[str, ...]:
        if code not in (PASSED, FAILED, STOPPED) or not seen.exists():
            last = next(reversed(printed.strip().splitlines()), "")
            raise UserError(f"pytest ended with {code}: {last}")
        found = json.loads(seen.read_text(encoding="utf-8"))
        package, failed = found["package"], tuple(found["failed"])
        if package is None and failed:
            return failed  # The package itself cannot be imported.
        if package is None or not Path(package).is_relative_to(self.root):
            raise UserError(f"the tests in {self.root} imported {package}: remove it from the path")
        if bool(failed) != (code != PASSED):
            raise UserError(f"pytest ended with {code}, but {len(failed)} tests failed")
        return failed

    @contextlib.contextmanager
    def planted(self, fault: Fault) -> Iterator[None]:
        """The fault is in the copy; afterwards the file is as it was."""
        path = self.root / fault.file
        right = path.read_text(encoding="utf-8")
        try:
            self._write(path, fault.planted(self.root))
            yield
        finally:
            self._write(path, right)

    def _write(self, path: Path, text: str) -> None:
        # Bytecode is known by size and second of its source, and a fault can have both in common.
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            compiled.unlink()
        path.write_text(text, encoding="utf-8")


def make_copies(folder: Path, n: int) -> list[Copy]:
    """`n` copies of the checkout as it is now: what git tracks, or would track.

    UserError if the checkout has no git.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode or not (ROOT / ".git").exists():
        raise UserError(f"{ROOT} is not a git checkout: clone the repository")
    first = folder / "copy0"
    for name in dict.fromkeys(listed.stdout.split("\0")[:-1]):
        if (ROOT / name).is_file():
            (first / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, first / name)
    if (ROOT / CACHE).is_dir():
        shutil.copytree(ROOT / CACHE, folder / CACHE)
    (folder / CACHE).mkdir(exist_ok=True)
    roots = [folder / f"copy{i}" for i in range(n)]
    for root in roots[1:]:
        shutil.copytree(first, root)
    for root in roots:
        (root / CACHE).symlink_to(folder / CACHE)
    return [Copy(root) for root in roots]
