# SPDX-License-Identifier: Apache-2.0
"""Writes the exact versions of everything the project needs into pyproject.toml (`make pins`).

uv.lock is not committed, as it records where each package was fetched from. These lines do its
work: [tool.uv] constraints hold for whoever types `uv run`, and pip does not read them.
`--check` looks, without a network, for dependencies of the project that have no pin.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
BEGIN = "# Pins, written by `make pins`: do not edit from here\n"
END = "# to here.\n"
# hatchling asks for it only while it builds an editable install.
EDITABLE_BUILD_REQUIRES = ("editables",)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="only check that nothing is unpinned")
    text = PYPROJECT.read_text(encoding="utf-8")
    if parser.parse_args().check:
        if missing := unpinned(text):
            print(f"no pin in pyproject.toml for {', '.join(missing)}: run `make pins`")
        return 1 if missing else 0
    before, after = split_at_pins(text)
    pins = resolve(before + after)
    PYPROJECT.write_text(before + BEGIN + pins + END + after, encoding="utf-8")
    return 0


def split_at_pins(text: str) -> tuple[str, str]:
    """What stands before the pins and what stands after them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.exit(f"pyproject.toml has no lines {BEGIN.strip()!r} and {END.strip()!r} in [tool.uv]")
    return before, after


def resolve(unpinned_text: str) -> str:
    """The newest versions that fit together on every Python, as two TOML arrays."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pyproject.toml").write_text(unpinned_text, encoding="utf-8")
        uv(folder, "lock")
        plain = ("--no-header", "--no-annotate")
        everything = ("--all-extras", "--all-groups", "--no-emit-project", "--no-hashes")
        runtime = uv(folder, "export", "--frozen", *everything, *plain)
        project = tomllib.loads(unpinned_text)
        build_requires = [*project["build-system"]["requires"], *EDITABLE_BUILD_REQUIRES]
        oldest = project["project"]["requires-python"].removeprefix(">=")
        universal = ("--universal", "--python-version", oldest)
        build = uv(
            folder, "pip", "compile", *universal, *plain, "-", stdin="\n".join(build_requires)
        )
    return toml_array("constraint-dependencies", runtime) + toml_array(
        "build-constraint-dependencies", build
    )


def uv(folder: str, *arguments: str, stdin: str = "") -> str:
    command = [os.environ.get("UV", "uv"), "--quiet", *arguments]
    done = subprocess.run(command, cwd=folder, input=stdin, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"uv {arguments[0]} failed: pyproject.toml is as it was")
    return done.stdout


def toml_array(key: str, requirements: str) -> str:
    """One pin a line; the marker is kept only where a package has more than one version."""
    lines = [line for line in requirements.splitlines() if "==" in line]
    versions = Counter(name(line) for line in lines)
    pins = (line if versions[name(line)] > 1 else line.partition(";")[0].strip() for line in lines)
    return f"{key} = [\n" + "".join(f'    "{pin}",\n' for pin in pins) + "]\n"


def unpinned(text: str) -> list[str]:
    """Names of the direct dependencies (build requirements too) that have no exact version."""
    tables = tomllib.loads(text)
    project, uv_table = tables["project"], tables["tool"]["uv"]
    optional = project.get("optional-dependencies", {}).values()
    groups = tables.get("dependency-groups", {}).values()
    needed = [*project["dependencies"], *(line for table in (*optional, *groups) for line in table)]
    build_needed = [*tables["build-system"]["requires"], *EDITABLE_BUILD_REQUIRES]
    return sorted(
        names(needed) - pinned_names(uv_table.get("constraint-dependencies", []))
        | names(build_needed) - pinned_names(uv_table.get("build-constraint-dependencies", []))
    )


def pinned_names(pins: Iterable[str]) -> set[str]:
    return names(pin for pin in pins if "==" in pin.partition(";")[0])


def names(requirements: Iterable[str]) -> set[str]:
    return {name(requirement) for requirement in requirements}


def name(requirement: str) -> str:
    """The normalised package name at the head of a requirement such as `jax[tpu]>=0.10`."""
    head = re.match(r"[A-Za-z0-9._-]+", requirement)
    if head is None:
        sys.exit(f"not a requirement: {requirement!r}")
    return re.sub(r"[-_.]+", "-", head.group()).lower()


if __name__ == "__main__":
    sys.exit(main())
