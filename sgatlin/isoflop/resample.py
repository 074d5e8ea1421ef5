# SPDX-License-Identifier: Apache-2.0
"""The losses that a study's runs might have had on other documents and with other seeds.

P passes: first the runs as measured, then each draw; R runs, N documents.
"""

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from sgatlin.errors import UserError, require_at_least
from sgatlin.isoflop.budget import Budget
from sgatlin.isoflop.curves import ONSET_SCORE, is_before_onset
from sgatlin.isoflop.estimates import SeedSpread
from sgatlin.isoflop.records import Record

SizeKey = tuple[str, Budget, float]
"""Layer, budget and scale: its records differ by seed alone."""


NEAR_ONSET = (ONSET_SCORE / 4, ONSET_SCORE * 4)
"""Copy scores of runs that end while they learn to copy: how far they are sets their losses."""
MEDIAN_DIFFERENCE = math.sqrt(2) * statistics.NormalDist().inv_cdf(0.75)
"""The median distance of two normal draws of standard deviation 1: 0.954."""
MEDIAN_EFFICIENCY = 0.37
"""How many degrees of freedom a median is worth for each that a variance has (normal noise): the
asymptotic efficiency of the median absolute deviation (Huber 1981, Robust Statistics, ch. 5)."""


class SeedNoise(NamedTuple):
    """How the loss varies between seeds of one size."""

    deviation: float
    """Robust standard deviation in nats per token; 0 where no size has several seeds."""
    degrees: int
    """Runs minus sizes, of the sizes that the deviation comes from."""
    spreads: tuple[SeedSpread, ...]
    """The sizes that have several seeds, the largest difference first."""
    onset_deviation: float | None = None
    """The same for runs on the onset of copying; None if no size there has several seeds."""


def by_size(records: Sequence[Record]) -> dict[SizeKey, list[int]]:
    """The places in `records` of each size's, in order of the first."""
    sizes: dict[SizeKey, list[int]] = {}
    for place, record in enumerate(records):
        run = record.run
        sizes.setdefault((run.layer, run.budget, run.scale), []).append(place)
    return sizes


def seed_noise(records: Sequence[Record]) -> SeedNoise:
    """The noise of sizes with several seeds, from the median difference of two seeds.

    A few pairs that jump (for example where one run learned to copy from its context and the other
    did not) leave a median as it is, while a single one can set a pooled variance. The deviation is
    therefore that of ordinary runs, and `spreads` shows the jumps. Sizes that copy scores place on
    the onset of copying have a deviation of their own.
    """
    spreads = [
        _spread(size, [records[i] for i in places])
        for size, places in by_size(records).items()
        if len(places) > 1
    ]
    if not spreads:
        return SeedNoise(0.0, 0, ())
    on_onset = [spread for spread in spreads if spread.near_onset]
    others = [spread for spread in spreads if not spread.near_onset] or on_onset
    return SeedNoise(
        deviation=_deviation(others),
        degrees=sum(len(spread.losses) - 1 for spread in others),
        spreads=tuple(sorted(spreads, key=lambda spread: -spread.difference)),
        onset_deviation=_deviation(on_onset) if on_onset else None,
    )


def _spread(size: SizeKey, records: Sequence[Record]) -> SeedSpread:
    sides = {is_before_onset(record) for record in records} - {None}
    near_onset = len(sides) > 1 or any(map(_is_near_onset, records)) if sides else None
    return SeedSpread(*size, losses=tuple(record.loss for record in records), near_onset=near_onset)


def _is_near_onset(record: Record) -> bool:
    """Whether a run ended on the onset of copying, as far as its record says."""
    low, high = NEAR_ONSET
    return record.copying is not None and low < record.copying.score < high


def _deviation(spreads: Sequence[SeedSpread]) -> float:
    differences = [
        abs(one - other)
        for spread in spreads
        for one, other in itertools.combinations(spread.losses, 2)
    ]
    return statistics.median(differences) / MEDIAN_DIFFERENCE


def resample(
    records: Sequence[Record], noise: SeedNoise, *, draws: int, seed: int
) -> Float[np.ndarray, "P R"]:
    """Losses in nats per token: row 0 as measured, then `draws` rows of what might have been.

    A draw takes as many documents as there are, with replacement and the same for all runs:
    texts that are hard are hard for every model, so differences between runs vary much less than
    their losses (paired cluster bootstrap: Efron and Tibshirani 1993, An Introduction to the
    Bootstrap, ch. 8). To each run it adds normal noise of the deviation between seeds, or of the
    deviation among the seeds of its own size if that is larger. The deviation is itself drawn from
    a chi-square distribution of MEDIAN_EFFICIENCY times its degrees of freedom, at least one: with
    few repeated sizes it is badly known, and intervals are as wide as Student's t makes them.

    A run's loss is its `val_loss` plus what the draw of documents changes, so that intervals are
    about the very numbers in the records, free of the rounding of documents' sums.

    Raises:
      UserError: a record that does not fit the others, or draws below 1.
    """
    require_at_least(1, draws=draws)
    _check(records)
    tokens_N = np.array(records[0].documents.tokens, np.float64)
    nats_NR = np.array([record.documents.nats for record in records]).T
    # A document of no counted token says nothing, and draws of nothing but such have no loss.
    nats_NR, tokens_N = nats_NR[tokens_N > 0], tokens_N[tokens_N > 0]
    n_documents, n_runs = nats_NR.shape

    rng = np.random.default_rng(seed)
    even_N = np.full(n_documents, 1 / n_documents)
    times_PN = rng.multinomial(n_documents, even_N, size=draws).astype(np.float64)
    drawn_PR = times_PN @ nats_NR / (times_PN @ tokens_N)[:, None]
    change_PR = drawn_PR - nats_NR.sum(axis=0) / tokens_N.sum()
    if noise.degrees:
        degrees = max(1.0, MEDIAN_EFFICIENCY * noise.degrees)
        spread_P = np.sqrt(degrees / rng.chisquare(degrees, size=draws))
        normal_PR = rng.normal(size=(draws, n_runs))
        change_PR += spread_P[:, None] * normal_PR * _deviations(records, noise)
    loss_R = np.array([record.loss for record in records])
    return np.vstack([loss_R, loss_R + change_PR])


def _deviations(records: Sequence[Record], noise: SeedNoise) -> Float[np.ndarray, " R"]:
    """The deviation between seeds of each run, or that of its own size if it is larger."""
    own = {
        (spread.layer, spread.budget, spread.scale): statistics.stdev(spread.losses)
        for spread in noise.spreads
    }
    deviations = []
    for record in records:
        size = record.run.layer, record.run.budget, record.run.scale
        onset = (noise.onset_deviation or 0.0) if _is_near_onset(record) else 0.0
        deviations.append(max(noise.deviation, own.get(size, 0.0), onset))
    return np.array(deviations)


def _check(records: Sequence[Record]) -> None:
    first, seen = records[0], set()
    if np.count_nonzero(first.documents.tokens) < 2:
        raise UserError(
            f"{first.run.name}: intervals need held-out tokens of at least 2 documents: prepare "
            "a larger validation part"
        )
    parameters: dict[SizeKey, Record] = {}
    for record in records:
        run, documents = record.run, record.documents
        if run.name in seen:
            raise UserError(f"{run.name}: there are two records of this run; leave one")
        seen.add(run.name)
        same = parameters.setdefault((run.layer, run.budget, run.scale), record)
        if record.result.parameters != same.result.parameters:
            raise UserError(
                f"{run.name} has {record.result.parameters:,} parameters and {same.run.name} "
                f"{same.result.parameters:,}: seeds of one size have the same model; rerun one"
            )
        if documents.tokens != first.documents.tokens or len(documents.nats) != len(
            documents.tokens
        ):
            raise UserError(
                f"{run.name} was validated on other documents than {first.run.name}: "
                f"{_told(record)}, not {_told(first)}; rerun it on the same validation data"
            )
        if not np.isfinite((record.loss, *documents.nats)).all():
            raise UserError(f"{run.name}: its loss is not finite: remove the record, and rerun it")


def _told(record: Record) -> str:
    documents = record.documents
    return f"{len(documents.nats):,} with {sum(documents.tokens):,} tokens"
