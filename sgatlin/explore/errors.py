# SPDX-License-Identifier: Apache-2.0
"""What a request can have wrong, in a line for the person at the page."""

from sgatlin.errors import UserError


class BadRequest(UserError):
    """A request that cannot be answered as it is."""


def require_below(n: int, **values: int) -> None:
    """BadRequest for the first of the values, counted from 0, that is not below n."""
    for name, value in values.items():
        if not 0 <= value < n:
            raise BadRequest(f"there is no {name} {value}: there are 0 to {n - 1}")
