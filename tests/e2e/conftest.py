# SPDX-License-Identifier: Apache-2.0
"""The default model, trained as a newcomer trains it, once for all tests of all processes."""

from pathlib import Path

import pytest
from filelock import FileLock

from tests.e2e.newcomer import ROOT, run


@pytest.fixture(scope="session")
def trained(tmp_path_factory, worker_id) -> tuple[Path, str]:
    """The folder, with the run in runs/story, and what `train.py` printed there."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "newcomer"
    printed = folder / "printed.txt"
    with FileLock(f"{folder}.lock"):
        if not printed.exists():
            folder.mkdir()
            printed.write_text(run([str(ROOT / "train.py")], folder), encoding="utf-8")
    return folder, printed.read_text(encoding="utf-8")
