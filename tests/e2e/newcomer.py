# SPDX-License-Identifier: Apache-2.0
"""Commands as a newcomer gives them, in a folder of their own."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(arguments: list[str], folder: Path) -> str:
    """What a command prints that says nothing on stderr and ends well."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=900
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
