# SPDX-License-Identifier: Apache-2.0
"""Where the tests' processor time goes: a pytest plugin that measures, and a table.

    uv run pytest -p benchmarks.time_tests --times times.json      # any tier, any number of workers
    uv run python benchmarks/time_tests.py times.json              # the table

Processor time, not wall time: that of the test's own process, and of the processes that it waited
for. JAX says how much of it was tracing, lowering and compiling; what is left is execution (of
programs that are compiled without optimization, and of Triton's interpreter) and Python.
"""

import argparse
import json
import resource
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import pytest

EVENTS = {
    "/jax/core/compile/jaxpr_trace_duration": "tracing",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lowering",
    "/jax/core/compile/backend_compile_duration": "compiling",
}
PARTS = ("tracing", "lowering", "compiling", "processes", "rest")
PROPERTY = "times"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--times", help="JSON file for the processor time of each test.")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Plugin(config.getoption("--times")), "time-tests")


class Plugin:
    """Measures every test in the process that runs it; the first process writes the file."""

    def __init__(self, path: str | None):
        self._path = path
        self._spent = dict.fromkeys(EVENTS.values(), 0.0)
        self._found: dict[str, dict[str, float]] = {}
        jax.monitoring.register_event_duration_secs_listener(self._count)

    def _count(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event in EVENTS:
            self._spent[EVENTS[event]] += duration_secs

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Fixtures count for the first test that needs them."""
        before = self._now()
        item.user_properties.append((PROPERTY, before))
        yield

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: Any) -> Iterator[None]:
        outcome: Any = yield
        if call.when != "teardown":
            return
        before = dict(item.user_properties)[PROPERTY]
        assert isinstance(before, dict)
        spent = {name: now - before[name] for name, now in self._now().items()}
        outcome.get_result().user_properties = [(PROPERTY, spent)]

    def _now(self) -> dict[str, float]:
        own = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "own": own.ru_utime + own.ru_stime,
            "processes": children.ru_utime + children.ru_stime,
            **self._spent,
        }

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown" and self._path is not None:
            spent: Any = dict(report.user_properties)[PROPERTY]
            self._found[report.nodeid] = spent

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._path is not None and not hasattr(session.config, "workerinput"):
            Path(self._path).write_text(json.dumps(self._found, indent=1), encoding="utf-8")


def divide(spent: Mapping[str, float]) -> dict[str, float]:
    """Seconds of one test by PARTS, and `total`."""
    parts = {name: spent[name] for name in ("tracing", "lowering", "compiling", "processes")}
    known = parts["tracing"] + parts["lowering"] + parts["compiling"]
    # Compilation uses several threads and tracing can nest: shares of the process's own time.
    share = min(1.0, spent["own"] / known) if known else 0.0
    for name in ("tracing", "lowering", "compiling"):
        parts[name] *= share
    parts["rest"] = max(0.0, spent["own"] - known * share)
    return {**parts, "total": spent["own"] + spent["processes"]}


def by_file(found: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Sums over the tests of each file, the longest first, with their number as `tests`."""
    sums: dict[str, dict[str, float]] = {}
    for name, spent in found.items():
        file = sums.setdefault(name.partition("::")[0], dict.fromkeys((*PARTS, "total"), 0.0))
        file["tests"] = file.get("tests", 0) + 1
        for part, seconds in divide(spent).items():
            file[part] += seconds
    return dict(sorted(sums.items(), key=lambda item: -item[1]["total"]))


def table(rows: Sequence[tuple[str, Mapping[str, float]]]) -> list[str]:
    """Markdown."""
    heading = ("", "tests", "s", *PARTS)
    lines = [f"| {' | '.join(heading)} |", f"| --- {'| ---: ' * (len(heading) - 1)}|"]
    for name, sums in rows:
        seconds = " | ".join(f"{sums[part]:.1f}" for part in ("total", *PARTS))
        lines.append(f"| {name} | {sums['tests']:.0f} | {seconds} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("times", type=Path, help="what --times wrote")
    parser.add_argument("--files", type=int, default=40, help="how many files to list")
    parser.add_argument("--tests", type=int, default=40, help="how many tests to list")
    options = parser.parse_args()
    found = json.loads(options.times.read_text(encoding="utf-8"))
    files = by_file(found)
    total = {part: sum(file[part] for file in files.values()) for part in (*PARTS, "total")}
    total["tests"] = len(found)
    print("\n".join(table([("all", total), *list(files.items())[: options.files]])))
    tests = [(name, {**divide(spent), "tests": 1}) for name, spent in found.items()]
    tests.sort(key=lambda test: -test[1]["total"])
    print("\n" + "\n".join(table(tests[: options.tests])))


if __name__ == "__main__":
    main()
