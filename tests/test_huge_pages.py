# SPDX-License-Identifier: Apache-2.0
"""A training command restarts itself once with huge pages, and changes nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sgatlin.huge_pages import HUGE, TUNABLES, with_huge_pages

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux has the setting")


@pytest.fixture
def madvise(tmp_path) -> Path:
    setting = tmp_path / "enabled"
    setting.write_text("always [madvise] never\n")
    return setting


def test_huge_pages_are_asked_for_beside_other_settings(madvise):
    assert with_huge_pages({"A": "b"}, madvise) == {"A": "b", TUNABLES: f"{HUGE}=1"}
    others = {TUNABLES: "glibc.malloc.check=1"}
    assert with_huge_pages(others, madvise) == {TUNABLES: f"glibc.malloc.check=1:{HUGE}=1"}


def test_a_users_own_choice_stands(madvise):
    assert with_huge_pages({TUNABLES: f"{HUGE}=0"}, madvise) is None


@pytest.mark.parametrize("text", ["[always] madvise never\n", "always madvise [never]\n", None])
def test_nothing_is_done_where_it_makes_no_difference(madvise, text):
    if text is None:
        madvise.unlink()
    else:
        madvise.write_text(text)
    assert with_huge_pages({}, madvise) is None


def test_a_process_restarts_once_with_its_arguments(tmp_path, madvise):
    """The second time the environment says so already, so that it goes on."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys, pathlib\n"
        "from sgatlin import huge_pages\n"
        "huge_pages.with_huge_pages.__defaults__ = (pathlib.Path(sys.argv[1]),)\n"
        "print(os.getpid(), flush=True)\n"
        "huge_pages.restart_with_huge_pages()\n"
        f"print(os.environ[{TUNABLES!r}], sys.argv[2])\n"
    )
    env = {name: value for name, value in os.environ.items() if name != TUNABLES}
    env["PYTHONPATH"] = str(Path(__file__).parent.parent)
    command = [sys.executable, str(script), str(madvise), "two words"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    first, second, last = done.stdout.splitlines()
    assert first == second  # the same process
    assert last == f"{HUGE}=1 two words"
