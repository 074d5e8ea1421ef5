# SPDX-License-Identifier: Apache-2.0
"""SIGTERM and SIGINT: acknowledged at once in any phase, obeyed at the next safe point.

Python runs a signal handler on the main thread and between two of its own instructions: not while
XLA compiles there, nor while it waits for a long step. The interpreter does write the signal's
number to a pipe at once, though, and here a thread reads it.
"""

import contextlib
import contextvars
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import FrameType
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

# A terminal signals a whole process group, and a parent may pass its own copy on: one request.
_ECHO_SECONDS = 0.2

_POLL_SECONDS = 0.05


class Interrupted(Exception):
    """A signal asked to stop while `run_interruptibly` waited; its argument is the signal's name.

    The abandoned function may still run, so the process has to end by `leave`.
    """


class Interrupt:
    """Context manager, for the main thread: within it, a first signal is a request to stop.

    The request is acknowledged by one line on stderr, and whoever works polls `requested`. A second
    signal ends the process at once with 128 + its number (130 for SIGINT). The former handlers come
    back on exit.
    """

    def __init__(self) -> None:
        self._first: tuple[signal.Signals, float] | None = None

    @property
    def requested(self) -> bool:
        """Whether a signal has arrived."""
        return self._first is not None

    @property
    def signal_name(self) -> str | None:
        """The signal that arrived first, as "SIGTERM"; None if none has."""
        return self._first[0].name if self._first else None

    def __enter__(self) -> "Interrupt":
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        self._watcher = threading.Thread(target=self._watch, name="signals", daemon=True)
        self._watcher.start()
        self._former_fd = signal.set_wakeup_fd(self._write_end)
        self._former = {number: signal.signal(number, _ignore) for number in _SIGNALS}
        for number in _SIGNALS:
            # Reads and writes of native libraries are not broken off.
            signal.siginterrupt(number, False)
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._former_fd)
        os.write(self._write_end, b"\0")
        self._watcher.join()
        os.close(self._write_end)
        os.close(self._read_end)

    def _watch(self) -> None:
        while number := os.read(self._read_end, 1)[0]:
            if number in _SIGNALS:
                self._take(signal.Signals(number))

    def _take(self, number: signal.Signals) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = number, now
            _tell(f"{number.name}: saving, then stopping; once more stops at once without saving")
        elif now - self._first[1] > _ECHO_SECONDS:
            _tell(f"{number.name} again: stopped at once")
            os._exit(128 + number)


def run_interruptibly(fn: Callable[[], T], interrupt: Interrupt) -> T:
    """Returns fn(), or raises `Interrupted` as soon as a signal asks to stop, leaving fn behind.

    For what cannot be polled, such as a compilation. `fn` runs in another thread with a copy of the
    caller's context variables; what JAX keeps per thread (`jax.set_mesh`, config contexts) must be
    entered inside it. Its exceptions are raised here.
    """
    if interrupt.signal_name:
        raise Interrupted(interrupt.signal_name)
    worker = _Worker(fn)
    worker.start()
    while worker.is_alive():
        worker.join(_POLL_SECONDS)
        if interrupt.signal_name and worker.is_alive():
            raise Interrupted(interrupt.signal_name)
    return worker.outcome.result()


class _Worker(threading.Thread):
    """Runs one function; a daemon, so that the process need not wait for it."""

    def __init__(self, fn: Callable[[], Any]):
        super().__init__(name="interruptible", daemon=True)
        self.outcome: Future[Any] = Future()
        self._fn = fn
        self._context = contextvars.copy_context()

    def run(self) -> None:
        try:
            self.outcome.set_result(self._context.run(self._fn))
        except BaseException as error:
            self.outcome.set_exception(error)


def leave(code: int) -> NoReturn:
    """Ends the process: by sys.exit, or past it if an abandoned `run_interruptibly` still runs.

    A thread inside XLA can abort the process when the interpreter shuts down around it. Going past
    the shutdown skips atexit functions and open files: close what matters before.
    """
    if not any(isinstance(thread, _Worker) for thread in threading.enumerate()):
        sys.exit(code)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Python has to handle a signal for its number to reach the pipe."""


def _tell(line: str) -> None:
    # Not print: a thread that holds its lock may be stuck.
    with contextlib.suppress(OSError):
        os.write(2, f"\n{line}\n".encode())
