# SPDX-License-Identifier: Apache-2.0
"""One process at a time trains in a run directory: a lock that its end releases, however it ends.

The lock is the operating system's (flock) on RUN/.lock, so that no kill leaves it behind. The file
says who holds it, for the process that is refused; it counts for nothing else.
"""

import contextlib
import fcntl
import json
import os
import socket
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from sgatlin.errors import UserError

FILENAME = ".lock"
# `is_locked` holds a lock for a moment, which must not turn a run away.
_ATTEMPTS, _SECONDS_BETWEEN = 5, 0.05


class RunLock:
    """Context manager: within it no other process trains in the directory.

    The directory is made if need be, with those above it, and then taken away again if nothing else
    came into it.
    Children that the process forks do not keep the lock when it dies.

    Args:
      path: the run directory.
      tell: is told, in one line, if the file system has no locks (some network file systems); the
        run then goes on unlocked, since nothing better can be had there.
      leader: whether this is the process that locks for all processes of one run; the others enter
        without.

    Raises on entry:
      UserError: when another process holds the lock, naming it; when the file cannot be written.
    """

    def __init__(
        self, path: Path, tell: Callable[[str], None] = print, *, leader: bool = True
    ) -> None:
        self._path = path
        self._file = path / FILENAME
        self._tell = tell
        self._leader = leader

    def __enter__(self) -> "RunLock":
        self._release: Callable[[], object] = lambda: None
        if self._leader:
            made = [folder for folder in (self._path, *self._path.parents) if not folder.exists()]
            try:
                self._path.mkdir(parents=True, exist_ok=True)
                handle = self._locked()
            except FileExistsError:
                raise UserError(
                    f"{self._path} exists and is not a run directory: choose another --workdir"
                ) from None
            except OSError as error:
                raise UserError(
                    f"cannot write the run directory {self._path}: {error.strerror}; "
                    "choose another --workdir"
                ) from None
            if handle is not None:
                # Whoever drops a lock without leaving it, as a failed start may, releases it too.
                self._release = weakref.finalize(self, _release, handle, self._file, made)
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._release()

    def _locked(self) -> int | None:
        """An open file that holds the lock; None if the file system has none."""
        for attempt in range(_ATTEMPTS):
            handle = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                if attempt < _ATTEMPTS - 1:
                    time.sleep(_SECONDS_BETWEEN)
            except OSError as error:
                os.close(handle)
                self._tell(
                    f"{self._file} cannot be locked ({error.strerror}): see to it that no other "
                    "process trains in this directory"
                )
                return None
            else:
                if _is_file(handle, self._file):
                    _held.add(handle)
                    _write_holder(handle)
                    return handle
                os.close(handle)  # The one who had it has just removed the file.
        raise UserError(
            f"{self._path} is being trained by {_holder(self._file)}: stop that first, or choose "
            "another --workdir"
        )


def is_locked(path: Path) -> bool:
    """Whether a process trains in a run directory; False where there is no telling."""
    try:
        handle = os.open(path / FILENAME, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


_held: set[int] = set()


def _close_held() -> None:
    # A lock lasts until the last copy of its file is closed, and a child may outlive its parent.
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_close_held)


def _release(handle: int, file: Path, made: list[Path]) -> None:
    if handle in _held:
        # Removed before it is unlocked: whoever opened it meanwhile sees that it is gone.
        with contextlib.suppress(OSError):
            file.unlink()
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()  # fails if anything is in it
        _held.discard(handle)
        os.close(handle)


def _is_file(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


def _write_holder(handle: int) -> None:
    since = time.strftime("%Y-%m-%d %H:%M:%S %z")
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
    # On a full disk the lock holds all the same.
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(holder).encode(), 0)


def _holder(file: Path) -> str:
    try:
        holder = json.loads(file.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
