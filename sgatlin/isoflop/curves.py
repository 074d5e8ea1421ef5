# SPDX-License-Identifier: Apache-2.0
"""When runs begin to copy from their context, and which never do.

The loss of a transformer falls within a few hundred steps when its attention learns to copy, most
of all on repetitive text (Olsson et al. 2022, arXiv 2209.11895). Two runs on different sides of
that onset differ by much more than their layers account for.
"""

from collections.abc import Sequence

from sgatlin.isoflop.records import Record

ONSET_SCORE = 1.0
"""Copy score above which a run copies, in nats per token.

In the first 16 runs of the study `scaling` (dense layers, four deep) scores stay within .1 of 0 for
hundreds of steps, then rise from .1 past 1 within three validations, and end at 2.1 to 5.7 in the
14 runs that copy. Perfect copying would score the loss of the first occurrence, 9.4 to 9.9 nats.
"""
SETTLED = 2.0
"""A run is past the onset if it trained for at least this many times the steps to its onset."""
CROSSING_MARK = "†"
CROSSING_NOTE = (
    f"{CROSSING_MARK} One of the two runs ended before the onset of copying and one after it, "
    "so the gap says little about their layers."
)


def onset_step(record: Record) -> int | None:
    """The first validated step whose copy score exceeds ONSET_SCORE.

    None where there is no such step, or the record has no copy scores.
    """
    if record.curve is None:
        return None
    points = zip(record.curve.steps, record.curve.copy_scores, strict=True)
    copying = (step for step, score in points if score is not None and score > ONSET_SCORE)
    return next(copying, None)


def is_before_onset(record: Record) -> bool | None:
    """Whether a run ended without copying; None where the record has no copy score."""
    return None if record.copying is None else record.copying.score <= ONSET_SCORE


def is_past_onset(record: Record) -> bool | None:
    """Whether a run trained for SETTLED times the steps to its onset; None without copy scores.

    Until then its loss still falls by what it learns to copy.
    """
    if is_before_onset(record):
        return False
    if record.copying is None or record.curve is None:
        return None
    step = onset_step(record)
    return step is not None and record.result.steps >= SETTLED * step


def comparable(records: Sequence[Record]) -> list[Record]:
    """Those that are not known to end before or on the onset; all of them where none copies.

    Runs that all end before the onset can be compared with one another.
    """
    if not any(is_before_onset(record) is False for record in records):
        return list(records)
    return [record for record in records if is_past_onset(record) is not False]


def crosses_onset(one: Record, other: Record) -> bool:
    """Whether one of two runs ended before the onset and the other after it, as far as is known."""
    sides = {is_before_onset(one), is_before_onset(other)}
    return sides == {True, False}
