# SPDX-License-Identifier: Apache-2.0
"""Which platform a program is traced for: how much work is done at once depends on it."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import jax

_other: ContextVar[str | None] = ContextVar("platform", default=None)


def platform() -> str:
    """JAX's name of the default device's platform, or of the one in `traced_for`."""
    return _other.get() or jax.default_backend()


@contextlib.contextmanager
def traced_for(name: str | None) -> Iterator[None]:
    """Within it programs are traced as on platform `name`, to be looked at and not run."""
    token = _other.set(name)
    try:
        yield
    finally:
        _other.reset(token)


def only_traced() -> bool:
    """Whether programs are traced for another platform than the default: they are never run."""
    return _other.get() not in (None, jax.default_backend())
