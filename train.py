# SPDX-License-Identifier: Apache-2.0
"""Trains a model: `uv run train.py [CONFIG] [--workdir DIR] [--FIELD VALUE ...]`.

CONFIG is a name in configs/, or a path, with `:VARIANT` for another layer; the default is the
built-in story world. The same command in the same directory goes on where a run stopped.
"""

import sys

from sgatlin.cli import run_command, train
from sgatlin.huge_pages import restart_with_huge_pages

if __name__ == "__main__":
    restart_with_huge_pages()
    run_command(lambda: train(sys.argv[1:], prog="train.py"))
