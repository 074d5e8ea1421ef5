# SPDX-License-Identifier: Apache-2.0
"""Command-line arguments as typed dataclasses, through tyro, with errors of one line."""

import contextlib
import difflib
import io
import re
from collections.abc import Sequence
from typing import TypeVar

import tyro

from sgatlin.errors import UserError

T = TypeVar("T")


def parse(kind: type[T], arguments: Sequence[str], *, prog: str, default: T | None = None) -> T:
    """An instance of `kind` from `arguments` over `default`; UserError if they do not fit.

    `--help` prints help and exits.
    """
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            # A field that may be one of several dataclasses keeps the default's: no subcommands.
            parsed: T = tyro.cli(
                kind,
                args=list(arguments),
                prog=prog,
                default=default if default is not None else tyro.MISSING_NONPROP,
                config=(tyro.conf.AvoidSubcommands,),
            )
            return parsed
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(f"{_one_line(told.getvalue())} ({prog} --help lists all)") from None


def _one_line(boxed: str) -> str:
    """What tyro draws as a box of several lines: the problem, and the option that was meant."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", boxed)  # on a terminal the box has colours
    lines = [line.strip("│| \t") for line in plain.splitlines()]
    lines = [line for line in lines if line.strip("╭╮╰╯─+-")]
    problem: list[str] = []
    for line, following in zip(lines[1:], [*lines[2:], ""], strict=True):
        if line.startswith(("Perhaps you meant:", "Arguments similar to")):
            return f"{' '.join(problem)}; did you mean {_meant(problem, lines) or following}?"
        if line.startswith("Argument helptext:"):
            return f"{' '.join(problem)}; give {following}"
        if line.startswith("For full helptext"):
            break
        problem.append(line)
    return " ".join(problem) or "the arguments do not fit"


def _meant(problem: Sequence[str], lines: Sequence[str]) -> str | None:
    """Of the options that are suggested the one whose last name is most like the unknown's."""
    unknown = re.search(r"--([\w.-]+)", " ".join(problem))
    options = [line for line in lines if line.startswith("--")]
    if unknown is None or not options:
        return None

    def likeness(option: str) -> float:
        name, meant = (text.lstrip("-").rpartition(".")[2] for text in (option, unknown[1]))
        return difflib.SequenceMatcher(None, name.partition(" ")[0], meant).ratio()

    return max(options, key=likeness)
