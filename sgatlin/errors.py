# SPDX-License-Identifier: Apache-2.0
"""The exceptions for bad input and stopped runs, and the checks that many configs share."""

from collections.abc import Iterable


class UserError(Exception):
    """Bad input, told in one line: what is wrong, where, and how to mend it.

    The command line prints the line and exits with 2; a library user can catch it.
    """


class RunStopped(Exception):
    """A run could not go on, told in one line with the last good checkpoint named.

    The command line prints the line and exits with 1.
    """


def require_at_least(least: int, **values: float | None) -> None:
    """Raises UserError for the first value below `least`, or not a number; None is no value."""
    for name, value in values.items():
        if value is not None and not value >= least:
            raise UserError(f"{name}={value} must be at least {least}")


def require_one_of(choices: Iterable[str], **values: str) -> None:
    """Raises UserError for the first value that is not one of `choices`, listing them."""
    choices = tuple(choices)
    for name, value in values.items():
        if value not in choices:
            raise UserError(f"{name}={value!r} is not one of {', '.join(choices)}")
