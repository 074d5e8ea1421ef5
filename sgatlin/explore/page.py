# SPDX-License-Identifier: Apache-2.0
"""The page's files, which sgatlin/explore/web/build.sh makes of its sources."""

from importlib import resources

from sgatlin.errors import UserError


def static(name: str) -> bytes:
    """A file of the page; UserError where the package was made without it."""
    file = resources.files("sgatlin.explore") / "static" / name
    try:
        return file.read_bytes()
    except OSError:
        raise UserError(
            f"the page's {name} is missing: sgatlin/explore/web/build.sh makes it"
        ) from None
