# SPDX-License-Identifier: Apache-2.0
"""The page of `reliability`: what was done to runs, and what became of them."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

from benchmarks.soak import SAVED_EVERY, STEPS

PHASES = {
    "start-up": "start-up: imports, data, restoring",
    "compilation": "compilation",
    "training": "training, no save being written",
    "saving": "training, a save being written",
    "after the result": "after result.json, before the process ended",
}


class Damage(NamedTuple):
    """What was done to a checkpoint, and found."""

    file: str
    cut: bool
    """Cut off somewhere; else a bit was flipped."""
    trained: bool
    """Whether a process went on to the end; else only the restored state was compared."""


def page(
    lives: Sequence[Mapping[str, Any]],
    damages: Sequence[Damage],
    times: Mapping[str, float],
    seed: int,
) -> list[str]:
    """Lines of Markdown. All that is written here as a fact was checked while it happened."""
    kills = [life for life in lives if life["phase"] != "end"]
    versions = ", ".join(f"{name} {version(name)}" for name in ("jax", "orbax-checkpoint"))
    return [
        "# Reliability",
        "",
        f"    python -m benchmarks.reliability --kills {len(kills)} --flips {len(damages)} "
        f"--seed {seed}",
        "",
        f"One process on a CPU, {versions}, Python {platform.python_version()}, "
        f"{platform.system()}. A run of {STEPS} steps that saves every {SAVED_EVERY}, "
        "asynchronously.",
        "",
        *_killed(lives, kills, times),
        "",
        *_damaged(damages),
        "",
        *_OUTSIDE,
    ]


def _killed(
    lives: Sequence[Mapping[str, Any]],
    kills: Sequence[Mapping[str, Any]],
    times: Mapping[str, float],
) -> list[str]:
    runs = len({life["run"] for life in lives})
    restarts = [life for life in lives if life["told"] is not None]
    gone_on = sum(life["found"] is not None for life in restarts)
    phases = Counter(life["phase"] for life in kills)
    rows = [f"| {told} | {phases[name]} |" for name, told in PHASES.items()]
    return [
        f"## {len(kills)} kills",
        "",
        f"{runs} runs in {len(lives)} processes, of which {len(kills)} were ended by kill -9 at a "
        "time drawn from [0, 2 x start-up + save interval]; start-up took "
        f"{times['warm start-up']:.1f} s, or {times['cold start-up']:.1f} s for every fourth "
        "process, which compiled anew.",
        "",
        "| where the kill fell | kills |",
        "| --- | ---: |",
        *rows,
        "",
        f"* {len(restarts)} processes lived to say where they began: {gone_on} at the last step "
        f"that had been saved, {len(restarts) - gone_on} at step 0, before the first save. All "
        "checkpoints that were there after a kill were intact; none was lost.",
        "* After every kill metrics.jsonl held each step once, none left out up to the last save.",
        f"* All {runs} runs ended as the undisturbed run did: the same parameters and training "
        "state, bit for bit, and the same metrics at every step.",
    ]


def _damaged(damages: Sequence[Damage]) -> list[str]:
    counts = Counter((damage.file, damage.cut) for damage in damages)
    trained = sum(damage.trained for damage in damages)
    files = sorted({damage.file for damage in damages})
    rows = [f"| `{file}` | {counts[file, False]} | {counts[file, True]} |" for file in files]
    return [
        f"## {len(damages)} damaged checkpoints",
        "",
        f"In the last checkpoint of a finished run a bit of one file was flipped, or the file cut. "
        f"All {len(damages)} were found, with the file named in one line. {trained} were left to a "
        "new process, which went on from the checkpoint before and ended as the undisturbed run, "
        f"bit for bit. In the other {len(damages) - trained} the state restored was compared with "
        "that of the checkpoint before, bit for bit, and `--strict` refused to begin.",
        "",
        "| file | bit flipped | cut |",
        "| --- | ---: | ---: |",
        *rows,
    ]


_OUTSIDE = [
    "## What this does not show",
    "",
    "A kill is not a loss of power: what the system had not yet written to the disk is not lost "
    "here. Arrays and manifests are synchronised with the disk, small files beside them and the "
    "names of folders are not; what is lost of them is found at the next start.",
]
