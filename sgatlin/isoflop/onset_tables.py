# SPDX-License-Identifier: Apache-2.0
"""The onset of copying on a study's page: its definition, when runs reach it, and which do not."""

from collections.abc import Sequence
from pathlib import Path

from sgatlin.isoflop.curves import ONSET_SCORE, is_before_onset, onset_step
from sgatlin.isoflop.records import Record
from sgatlin.isoflop.tables import Table

DEFINITION = (
    "The copy score is the number of nats per token that a model saves on random tokens which",
    "its window has shown it once before. The onset of copying is the first validation at which",
    f"the score exceeds {ONSET_SCORE:g} nat; models that do not copy score near 0. The loss falls",
    "abruptly at the onset, most of all on repetitive text, so a gap between two runs on different",
    "sides of it says little about their layers.",
)
ONSET_STEPS = (
    "The step of the onset, from the longest run of seed 0 at the study's own rate. Where that run",
    "ended before the onset, the cell gives its last step:",
)


def onset_section(records: Sequence[Record], *figures: Path) -> list[str]:
    """Lines of the page from a heading on; none where no record has a copy score.

    `figures` of curves are shown below the definition.
    """
    known = [record for record in records if is_before_onset(record) is not None]
    if not known:
        return []
    before = [record for record in known if is_before_onset(record)]
    unknown = len(records) - len(known)
    without = f"; {unknown} more have no copy score" if unknown else ""
    counts = f"{len(before)} of {len(known)} runs end before it{without}."
    lines = ["## Before the onset of copying", "", *DEFINITION, counts, ""]
    lines += [f"![loss and copy score against steps]({figure.name})\n" for figure in figures]
    if (table := onset_steps(known)) is not None:
        lines += [*ONSET_STEPS, "", *table.markdown(), ""]
    if before:
        lines += ["Runs that end before the onset:", "", *before_onset(before).markdown(), ""]
    return lines


def before_onset(records: Sequence[Record]) -> Table:
    """Each record, by the name of its run, with its steps and where its copy score ended."""
    rows = []
    for record in sorted(records, key=lambda record: record.run.name):
        assert record.copying is not None
        rows.append(
            (
                record.run.name,
                f"{record.result.steps:,}",
                f"{record.copying.score:.2f}",
                f"{record.loss:.3f}",
            )
        )
    return Table(("run", "steps", "copy score, nats", "loss, nats"), rows)


def onset_steps(records: Sequence[Record]) -> Table | None:
    """The onset of each layer at each size, from the longest run; None where none is known.

    "none by 1,200" is of a run of 1,200 steps that ended before it.
    """
    longest: dict[tuple[str, float], Record] = {}
    for record in sorted(records, key=lambda record: record.result.steps):
        if record.run.default_rate and record.run.seed == 0 and record.curve is not None:
            longest[record.run.layer, record.run.scale] = record
    if not longest:
        return None
    scales = sorted({scale for _, scale in longest})
    rows = [
        (
            layer,
            *(_cell(longest[layer, s]) if (layer, s) in longest else "" for s in scales),
        )
        for layer in dict.fromkeys(layer for layer, _ in longest)
    ]
    return Table(("layer", *(f"s={scale:g}" for scale in scales)), sorted(rows))


def _cell(record: Record) -> str:
    step = onset_step(record)
    return f"none by {record.result.steps:,}" if step is None else f"{step:,}"
