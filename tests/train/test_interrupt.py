# SPDX-License-Identifier: Apache-2.0
"""Real signals sent to real processes: acknowledged within a second, obeyed, final if repeated."""

import contextlib
import contextvars
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import sgatlin
from sgatlin.train.interrupt import Interrupt, Interrupted, leave, run_interruptibly

SIGNALS = [signal.SIGTERM, signal.SIGINT]

# Longer than two copies of one signal can be apart.
LATER = 0.5

IN_PYTHON = """
import time
from sgatlin.train.interrupt import Interrupt
with Interrupt() as interrupt:
    print("ready", flush=True)
    while not interrupt.requested:
        time.sleep(0.01)
print("stopped by", interrupt.signal_name)
"""

IN_A_LOOP = """
import time
from sgatlin.train.interrupt import Interrupt
with Interrupt():
    print("ready", flush=True)
    time.sleep(60)
"""

# XLA takes minutes to compile this.
SLOW_TO_COMPILE = """
import jax, jax.numpy as jnp
from sgatlin.train.interrupt import Interrupt, Interrupted, leave, run_interruptibly

@jax.jit
def slow(x):
    for i in range(300):
        x = jnp.sin(x[::-1]) + i * x.sum()
    return x

lowered = slow.lower(jnp.ones(64))
"""

COMPILING_BESIDE = (
    SLOW_TO_COMPILE
    + """
with Interrupt() as interrupt:
    print("ready", flush=True)
    try:
        run_interruptibly(lowered.compile, interrupt)
    except Interrupted as request:
        print("stopped by", request)
        leave(0)
"""
)

COMPILING_ON_THE_MAIN_THREAD = (
    SLOW_TO_COMPILE
    + """
with Interrupt():
    print("ready", flush=True)
    lowered.compile()
"""
)


@contextlib.contextmanager
def running(script):
    """A Python process that has printed "ready"."""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=Path(sgatlin.__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = threading.Timer(30, process.kill)
    deadline.start()
    with process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            deadline.cancel()
            process.kill()


def acknowledged(process, number):
    """Sends a signal; seconds until a line on stderr names it."""
    start = time.monotonic()
    process.send_signal(number)
    for line in process.stderr:
        if line.startswith(number.name):
            return time.monotonic() - start
    raise AssertionError("the process ended without a word")


@contextlib.contextmanager
def requested_interrupt():
    with Interrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGTERM)
        while not interrupt.requested:
            time.sleep(0.001)
        yield interrupt


@pytest.mark.parametrize("number", SIGNALS)
def test_first_signal_is_a_request(number):
    with running(IN_PYTHON) as process:
        assert acknowledged(process, number) < 1
        assert process.stdout.read() == f"stopped by {number.name}\n"
        assert process.wait() == 0


@pytest.mark.parametrize("number", SIGNALS)
def test_second_signal_exits_at_once(number):
    with running(IN_A_LOOP) as process:
        acknowledged(process, number)
        time.sleep(LATER)
        start = time.monotonic()
        process.send_signal(number)
        assert process.wait() == 128 + number
        assert time.monotonic() - start < 1


def test_copies_of_one_signal_are_one_request():
    with running(IN_A_LOOP) as process:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(LATER)


@pytest.mark.slow
def test_compilation_is_abandoned():
    with running(COMPILING_BESIDE) as process:
        time.sleep(LATER)
        start = time.monotonic()
        assert acknowledged(process, signal.SIGTERM) < 1
        assert process.wait() == 0
        assert time.monotonic() - start < 2
        assert process.stdout.read() == "stopped by SIGTERM\n"


@pytest.mark.slow
def test_second_signal_exits_even_while_xla_holds_the_main_thread():
    with running(COMPILING_ON_THE_MAIN_THREAD) as process:
        time.sleep(LATER)
        assert acknowledged(process, signal.SIGINT) < 1
        time.sleep(LATER)
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM
        assert time.monotonic() - start < 1


def test_former_handlers_come_back():
    seen = []
    former = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    former_int = signal.getsignal(signal.SIGINT)
    threads = set(threading.enumerate())
    try:
        with requested_interrupt():
            assert seen == []
        assert signal.getsignal(signal.SIGINT) is former_int
        assert signal.set_wakeup_fd(-1) == -1
        assert set(threading.enumerate()) <= threads
        os.kill(os.getpid(), signal.SIGTERM)
        assert seen == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, former)


def test_result_and_exception_pass_through():
    with Interrupt() as interrupt:
        assert run_interruptibly(lambda: 3, interrupt) == 3
        with pytest.raises(ZeroDivisionError):
            run_interruptibly(lambda: 1 // 0, interrupt)
        assert not interrupt.requested
        assert interrupt.signal_name is None


def test_context_variables_are_seen():
    variable = contextvars.ContextVar("variable", default="default")
    variable.set("set")
    with Interrupt() as interrupt:
        assert run_interruptibly(variable.get, interrupt) == "set"


def test_nothing_is_begun_after_a_request():
    begun = []
    with requested_interrupt() as interrupt:
        assert interrupt.signal_name == "SIGTERM"
        with pytest.raises(Interrupted, match="SIGTERM"):
            run_interruptibly(lambda: begun.append(True), interrupt)
    assert begun == []


def test_leave_is_an_ordinary_exit_if_nothing_was_abandoned():
    with pytest.raises(SystemExit) as exit_:
        leave(3)
    assert exit_.value.code == 3
