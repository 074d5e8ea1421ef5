# SPDX-License-Identifier: Apache-2.0
"""The checkpoint that a run goes on from: the last that is as it was saved.

What is not is found by the hashes before anything is opened. A step that was altered is renamed to
STEP.damaged: it is never taken for good again nor counted, the run can save that step anew, and
nothing is deleted that somebody may want to look at. A step whose saving was broken off holds
nothing of use, and is dropped.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sgatlin.errors import UserError
from sgatlin.train import checkpoint, manifest


def last_intact(directory: Path, *, strict: bool, tell: Callable[[str], None]) -> int | None:
    """The last step of which every file is as it was saved; None if no save was ever finished.

    Later steps are told of, a line each, and damaged ones are renamed. Only the process that trains
    in this run may call it; it reads all of the step that it returns, and of the later ones.

    Raises:
      UserError: when all finished steps are damaged, so that a run would silently begin anew; with
        `strict`, when any step after the last intact one is damaged or was not finished.
    """
    found = _find(directory)
    if found.step is None and found.damaged:
        raise UserError(
            f"no checkpoint in {directory} is intact: {'; '.join(found.faults.values())}: "
            "copy one again, or begin anew in another --workdir"
        )
    if strict and found.faults:
        raise UserError(
            f"--strict: {'; '.join(found.faults.values())}: copy the step again or remove its "
            "folder, or leave out --strict to go on from an earlier one"
        )
    for step, fault in found.faults.items():
        outcome = "it is dropped"
        if step in found.damaged:
            outcome = f"the step is skipped, and kept as {_set_aside(directory, step).name}"
        tell(f"{fault}: {outcome}")
    return found.step


class _Found(NamedTuple):
    step: int | None
    faults: dict[int, str]
    """What is wrong with each later step."""
    damaged: set[int]
    """Those of the later steps that were finished."""


def _find(directory: Path) -> _Found:
    faults, damaged = {}, set()
    for step in reversed(checkpoint.saved_steps(directory)):
        folder = directory / str(step)
        if not (folder / manifest.FILENAME).exists():
            faults[step] = f"{folder} was never finished, its saving broke off"
        elif fault := manifest.fault(folder):
            faults[step] = fault
            damaged.add(step)
        else:
            return _Found(step, faults, damaged)
    return _Found(None, faults, damaged)


def _set_aside(directory: Path, step: int) -> Path:
    aside, number = directory / f"{step}.damaged", 1
    while aside.exists():
        number += 1
        aside = directory / f"{step}.damaged-{number}"
    try:
        return (directory / str(step)).rename(aside)
    except OSError as error:
        raise UserError(
            f"cannot rename the damaged {directory / str(step)}: {error.strerror}: "
            "make it writable, or move it away"
        ) from None
