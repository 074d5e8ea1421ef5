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
from sgatlin.isoflop.estimates import SeedSpread
from sgatlin.isoflop.records import Record

SizeKey = tuple[str, Budget, float]
"""Layer, budget and scale: its records differ by seed alone."""


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
    """Runs minus sizes, counting only sizes that have several seeds."""
    spreads: tuple[SeedSpread, ...]
    """The sizes that have several seeds, the largest difference first."""


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
    therefore that of ordinary runs, and `spreads` shows the jumps.
    """
    spreads = [
        SeedSpread(*size, losses=tuple(records[i].loss for i in places))
        for size, places in by_size(records).items()
        if len(places) > 1
    ]
    if not spreads:
        return SeedNoise(0.0, 0, ())
    differences = [
        abs(one - other)
        for spread in spreads
        for one, other in itertools.combinations(spread.losses, 2)
    ]
    return SeedNoise(
        deviation=statistics.median(differences) / MEDIAN_DIFFERENCE,
        degrees=sum(len(spread.losses) - 1 for spread in spreads),
        spreads=tuple(sorted(spreads, key=lambda spread: -spread.difference)),
    )


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
    """The deviation between seeds of each run: that of its own size if seeds jump there."""
    own = {
        (spread.layer, spread.budget, spread.scale): statistics.stdev(spread.losses)
        for spread in noise.spreads
    }
    sizes = [(r.run.layer, r.run.budget, r.run.scale) for r in records]
    return np.array([max(noise.deviation, own.get(size, 0.0)) for size in sizes])


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
