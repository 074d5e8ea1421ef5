# SPDX-License-Identifier: Apache-2.0
"""Memory in huge pages for training on a CPU, which has to be asked for before a process starts.

A training step allocates and frees large arrays at each call, and the kernel hands them out page by
page. Huge pages need fewer of these. To compare, start `sgatlin train` with
GLIBC_TUNABLES=glibc.malloc.hugetlb=0 and with 1.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

TUNABLES, HUGE = "GLIBC_TUNABLES", "glibc.malloc.hugetlb"
SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart_with_huge_pages() -> None:
    """Replaces this process by itself with huge pages asked for, once, where that helps.

    The process keeps its id, its files and its arguments. Call it before anything is imported that
    takes time. It does nothing where the C library or the kernel has no such choice.
    """
    env = with_huge_pages(os.environ)
    if env is not None and sys.orig_argv and sys.executable:
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], env)


def with_huge_pages(env: Mapping[str, str], setting: Path = SETTING) -> dict[str, str] | None:
    """`env` that asks for huge pages; None where it already says so, or they cannot be chosen."""
    if sys.platform != "linux" or HUGE in env.get(TUNABLES, ""):
        return None
    try:
        chosen = "[madvise]" in setting.read_text(encoding="ascii")
        is_glibc = bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (OSError, ValueError):  # another kernel or another C library
        return None
    if not (chosen and is_glibc):
        return None
    others = env.get(TUNABLES)
    tunables = f"{others}:{HUGE}=1" if others else f"{HUGE}=1"
    return {**env, TUNABLES: tunables}
