# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin that writes down which tests failed, and which copy of the package they tested.

Imported before the package, and by pytest alone: it imports nothing of the package itself.
"""

import json
import sys
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--witness", help="JSON file for what failed.")


def pytest_configure(config: pytest.Config) -> None:
    if path := config.getoption("--witness"):
        config.pluginmanager.register(Witness(Path(path)), "witness")


class Witness:
    """Writes {"failed": [test, ...], "package": the file of `sgatlin` or null} at the end."""

    def __init__(self, path: Path):
        self._path = path
        self._failed: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """What cannot be imported is a failure of its file."""
        if report.failed:
            self._failed.append(report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed.append(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        package = getattr(sys.modules.get("sgatlin"), "__file__", None)
        seen = {"failed": list(dict.fromkeys(self._failed)), "package": package}
        self._path.write_text(json.dumps(seen), encoding="utf-8")
