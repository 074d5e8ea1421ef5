# SPDX-License-Identifier: Apache-2.0
"""What a compiled function spends its time on, by operation, from a profile of some calls."""

import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

from sgatlin.errors import UserError

# They last as long as what they run, which is counted by itself.
CONTAINERS = re.compile(r"(while|call|conditional)(\.|$)")


class Cost(NamedTuple):
    """An operation: on a GPU a kernel, elsewhere an instruction of the compiled program."""

    name: str
    ms: float
    """Milliseconds of a call, summed over all threads or streams."""
    share: float
    """Of the time of all operations."""
    source: str
    """What it was written as, so far as XLA says: a path of functions and primitives."""


def costs(call: Callable[[], Any], n_calls: int, program: str | None = None) -> list[Cost]:
    """The costs of `call()`, the largest first, as a mean over `n_calls`.

    `program` is the text of what was compiled: operations' sources are read from it.

    Raises:
      UserError: where the profile names no operations.
    """
    jax.block_until_ready(call())
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(n_calls - 1):
                call()
            jax.block_until_ready(call())
        files = list(Path(folder).rglob("*.xplane.pb"))
        if not files:
            raise UserError("the profiler wrote nothing: is another one running?")
        profile = jax.profiler.ProfileData.from_file(str(files[0]))
        return _ranked(operations(profile), n_calls, sources(program or ""))


def operations(profile: Any) -> Iterator[tuple[str, str, float]]:
    """(name, HLO operation, nanoseconds) of each event that is an operation's.

    On a device these are the events of one kind of line, whose other lines sum them up: a GPU's
    streams, or a TPU's "XLA Ops". A CPU's are among much else on threads of the host.
    """
    planes = list(profile.planes)
    on_device = [
        line
        for plane in planes
        if plane.name.startswith("/device:")
        for line in plane.lines
        if line.name.startswith("Stream") or line.name == "XLA Ops"
    ]
    for line in on_device or [line for plane in planes for line in plane.lines]:
        for event in line.events:
            operation = str(dict(event.stats).get("hlo_op", ""))
            if not operation and not on_device:
                continue
            operation = operation or event.name
            if not CONTAINERS.match(operation):
                yield event.name, operation, event.duration_ns


def sources(program: str) -> dict[str, str]:
    """Each operation of a compiled program's text that says what it was written as."""
    found = {}
    for line in program.splitlines():
        match = re.match(r'\s*(?:ROOT )?%?([\w.-]+) = .*?\bop_name="([^"]*)"', line)
        if match:
            found[match[1]] = match[2]
            # Kernels are named after instructions, and cannot have dots in their names.
            found.setdefault(match[1].replace(".", "_"), match[2])
    return found


def _ranked(
    events: Iterator[tuple[str, str, float]], n_calls: int, known: dict[str, str]
) -> list[Cost]:
    total: dict[str, float] = defaultdict(float)
    within: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for name, operation, duration in events:
        total[name] += duration
        within[name][operation] += duration
    everything = sum(total.values())
    if not everything:
        raise UserError("the profile names no operations on this device: leave --trace out")
    ranked = sorted(total, key=lambda name: -total[name])
    return [
        Cost(
            name=name,
            ms=total[name] / n_calls / 1e6,
            share=total[name] / everything,
            source=known.get(max(within[name], key=within[name].__getitem__), ""),
        )
        for name in ranked
    ]


def trace_lines(found: list[Cost], n_lines: int = 10) -> list[str]:
    """A table of the largest, and how many others there are."""
    lines = [f"{'ms a call':>10} {'share':>6}  operation"]
    for cost in found[:n_lines]:
        # The end of the path tells the most.
        source = f"  {'/'.join(cost.source.split('/')[-4:])}" if cost.source else ""
        lines.append(f"{cost.ms:10.3f} {cost.share:6.1%}  {cost.name[:60]}{source[:100]}")
    rest = found[n_lines:]
    lines.append(
        f"{sum(cost.ms for cost in rest):10.3f} {sum(cost.share for cost in rest):6.1%}  "
        f"{len(rest):,} others"
    )
    return lines
