# SPDX-License-Identifier: Apache-2.0
"""A trace of some steps of a run, by JAX's profiler."""

from pathlib import Path
from typing import Any

import jax


class Profiler:
    """Traces the given steps, whole and nothing else, into a folder; none if `steps` is empty."""

    def __init__(self, folder: Path, steps: range):
        self.tracing = False
        self._folder = folder
        self._steps = steps

    def before(self, step: int, state: Any) -> None:
        """Just before a step begins that changes `state`."""
        if step in self._steps and not self.tracing:
            jax.block_until_ready(state)
            jax.profiler.start_trace(str(self._folder))
            self.tracing = True

    def after(self, step: int, state: Any) -> None:
        """Just after a step was dispatched that results in `state`."""
        if self._steps and step == self._steps[-1]:
            self.stop(state)

    def stop(self, state: Any) -> None:
        """Writes the trace, if one is being taken."""
        if self.tracing:
            jax.block_until_ready(state)
            jax.profiler.stop_trace()
            self.tracing = False
