# SPDX-License-Identifier: Apache-2.0
"""How much the quick tests notice: plants small faults, one at a time, and runs each one's tests.

    uv run python -m benchmarks.planted_faults --check                  # can all be planted?
    uv run python -m benchmarks.planted_faults --out faults.json        # all: an hour on two cores
    uv run python -m benchmarks.planted_faults --only 'attention-*'

Faults are planted in copies of the checkout, never in the checkout. See docs/testing.md.
"""

import argparse
import os
import queue
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from benchmarks.planted_faults import report
from benchmarks.planted_faults.copies import Copy, make_copies
from benchmarks.planted_faults.faults import Fault, check_faults, chosen, load_faults
from benchmarks.planted_faults.report import Result
from sgatlin.errors import UserError, require_at_least

BASELINE_TIMEOUT = 3600.0


def run_faults(
    faults: Sequence[Fault], *, workers: int, timeout: float, baseline_run: bool
) -> list[Result]:
    """Plants every fault, one at a time in each of `workers` copies of the checkout.

    A fault is caught by the first of its tests that fails, or by the time limit in seconds.
    `baseline_run` first runs all these tests without a fault, and leaves out those that fail.
    """
    with tempfile.TemporaryDirectory(prefix="planted-faults-") as folder:
        copies = make_copies(Path(folder).resolve(), workers)
        pool = ThreadPoolExecutor(workers)
        try:
            failing = _failing(faults, copies, pool) if baseline_run else frozenset()
            return _results(faults, copies, pool, timeout, failing)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for copy in copies:
                copy.kill()
            pool.shutdown()


def _failing(
    faults: Sequence[Fault], copies: Sequence[Copy], pool: ThreadPoolExecutor
) -> frozenset[str]:
    """Tests, or files that cannot be imported, that fail without a fault."""
    files = list(dict.fromkeys(test for fault in faults for test in fault.tests))
    shares = [files[i :: len(copies)] for i in range(len(copies))]
    runs = [
        pool.submit(copy.run, share, timeout=BASELINE_TIMEOUT)
        for copy, share in zip(copies, shares, strict=True)
        if share
    ]
    outcomes = [run.result() for run in runs]
    failing = frozenset(test for outcome in outcomes for test in outcome.failed)
    if unfinished := sorted(failing & {"(timeout)", "(crash)"}):
        raise UserError(f"the tests do not end well without a fault: {unfinished[0]}")
    seconds = max(outcome.seconds for outcome in outcomes)
    print(f"{len(files)} test files without a fault: {seconds:.0f} s", flush=True)
    for test in sorted(failing):
        print(f"fails without a fault, and does not count: {test}", flush=True)
    return failing


def _results(
    faults: Sequence[Fault],
    copies: Sequence[Copy],
    pool: ThreadPoolExecutor,
    timeout: float,
    failing: frozenset[str],
) -> list[Result]:
    free: queue.SimpleQueue[Copy] = queue.SimpleQueue()
    for copy in copies:
        free.put(copy)

    def run(fault: Fault) -> Result:
        tests = [test for test in fault.tests if test not in failing]
        if not tests:
            raise UserError(f"fault {fault.name}: none of its tests can be imported")
        deselected = [f"--deselect={test}" for test in failing if test.partition("::")[0] in tests]
        copy = free.get()
        try:
            with copy.planted(fault):
                outcome = copy.run(["-x", *deselected, *tests], timeout=timeout)
        finally:
            free.put(copy)
        return Result(
            name=fault.name,
            file=fault.file,
            kind=fault.kind,
            caught_by=next(iter(outcome.failed), None),
            seconds=round(outcome.seconds, 1),
        )

    runs = {pool.submit(run, fault): fault for fault in faults}
    results = {}
    for number, done in enumerate(as_completed(runs), start=1):
        result = results[runs[done].name] = done.result()
        place = f"[{number}/{len(faults)}] {result.name}"
        print(f"{place}: {result.verdict} ({result.seconds:.0f} s)", flush=True)
    return [results[fault.name] for fault in faults]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.planted_faults", description=__doc__.partition("\n")[0]
    )
    add = parser.add_argument
    add("--check", action="store_true", help="only check that every fault can be planted")
    add("--list", action="store_true", help="only list the faults")
    add(
        "--only", metavar="PATTERN", nargs="+", default=["*"], help="names or files, with wildcards"
    )
    add("--workers", type=int, default=min(os.cpu_count() or 1, 8), help="copies to work in")
    add("--timeout", type=float, default=400.0, help="seconds for one fault; more is caught too")
    add("--out", type=Path, help="JSON file for the results")
    add("--baseline", type=Path, help="earlier JSON file: fail if a fault is no longer caught")
    add("--no-baseline-run", action="store_true", help="trust that all tests pass without a fault")
    options = parser.parse_args(arguments)
    require_at_least(1, workers=options.workers, timeout=options.timeout)
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 1 if a fault of the baseline is no longer caught."""
    options = parse(arguments)
    faults = chosen(load_faults(), options.only)
    if options.list:
        print("\n".join(f"{fault.file}: {fault.name} ({fault.kind})" for fault in faults))
        return 0
    check_faults(faults)
    if options.check:
        files = len({fault.file for fault in faults})
        print(f"{len(faults)} faults in {files} files can be planted")
        return 0
    before = None if options.baseline is None else report.read(options.baseline)
    results = run_faults(
        faults,
        workers=min(options.workers, len(faults)),
        timeout=options.timeout,
        baseline_run=not options.no_baseline_run,
    )
    print("\n".join(["", *report.table(results), "", *report.summary(results)]))
    if options.out is not None:
        report.write(options.out, results)
    lost = [] if before is None else report.lost(before, results)
    if lost:
        print(f"Caught in {options.baseline} and no longer: {', '.join(lost)}")
    return 1 if lost else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
