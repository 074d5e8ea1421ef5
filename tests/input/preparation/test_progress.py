# SPDX-License-Identifier: Apache-2.0
"""How far a preparation is: lines at intervals, or a bar on a terminal."""

import io
import re
import sys
from types import SimpleNamespace

import pytest

from sgatlin.input.preparation import progress as module
from sgatlin.input.preparation.progress import Progress


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """Seconds that a test sets."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def use_terminal(monkeypatch) -> Terminal:
    """Not a fixture: pytest sets stderr anew before a test."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def test_lines_at_intervals_where_there_is_no_terminal(clock, capsys):
    told: list[str] = []
    progress = Progress(4_000_000, 2_000_000, told.append)
    for seconds, n_read in ((1, 2_010_000), (29, 2_400_000), (40, 2_500_000), (50, 2_600_000)):
        clock.now = 100 + seconds
        progress.update(n_read, 3 * (n_read - 2_000_000))
    # Half of a megabyte in 40 seconds, 1.5 MB of text: what is left takes 120 seconds.
    assert told == [" 62%, 0.0 MB/s of text, 02:00 left"]
    clock.now = 180
    progress.update(4_000_000, 800_000_000)
    assert told[1:] == ["100%, 10.0 MB/s of text, 00:00 left"]
    progress.close()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("total", [0, 1_000_000])
def test_before_anything_is_read(clock, total):
    told: list[str] = []
    progress = Progress(total, 0, told.append)
    clock.now = 200
    progress.update(0, 0)
    progress.close()
    (line,) = told
    assert line.startswith("  0%, 0.0 MB/s of text, ")


def test_a_bar_on_a_terminal(clock, monkeypatch):
    terminal = use_terminal(monkeypatch)
    told: list[str] = []
    progress = Progress(4_000_000, 0, told.append)
    clock.now = 300
    progress.update(1_000_000, 500_000_000)
    progress._bar.refresh()
    shown = terminal.getvalue().rpartition("\r")[2]
    assert re.fullmatch(r" 25 % of 4\.00MB \|.*\| [0-9:]+ left, 2\.5 MB/s of text *", shown)
    progress.close()
    # The bar is wiped away.
    assert terminal.getvalue().split("\r")[-2].strip() == ""
    assert told == []


@pytest.mark.parametrize("n_text", [0, 10])
def test_a_bar_of_nothing(clock, monkeypatch, n_text):
    terminal = use_terminal(monkeypatch)
    progress = Progress(0, 0, lambda line: None)
    progress.update(0, n_text)
    progress._bar.refresh()
    progress.close()
    assert "  0 % of " in terminal.getvalue()
