# SPDX-License-Identifier: Apache-2.0
"""Records of runs whose losses lie on known surfaces, with noise of documents and of seeds."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from sgatlin.isoflop.budget import FlopBudget
from sgatlin.isoflop.frontier import Cost
from sgatlin.isoflop.records import Documents, Quarters, Record
from tests.isoflop.made import record

E, ALPHA, BETA = 1.8, 0.35, 0.4
BUDGETS = tuple(FlopBudget(flops=flops) for flops in (1e15, 3e15, 1e16))
SCALES = (2.0, 2.5, 3.0, 4.0)
TOKENS_PER_STEP = 65536


@dataclasses.dataclass(frozen=True, kw_only=True)
class Planted:
    """A layer of known loss and speed."""

    a: float = 458.0
    b: float = 1015.0
    slowness: float = 1.0
    """Of a token, at equal FLOPs."""

    def loss(self, size: float, tokens: float) -> float:
        return E + self.a / size**ALPHA + self.b / tokens**BETA

    def seconds_per_token(self, size: float) -> float:
        """Small models are a little slower for their FLOPs."""
        return self.slowness * 3e-14 * size * (size / 4e7) ** -0.1

    def best(self, amount: float, per_token=lambda size: 3 * size) -> float:
        """The lowest loss for an amount of what a token of each size takes, by brute force."""
        sizes = np.geomspace(size_at(SCALES[0]), size_at(SCALES[-1]), 2001).tolist()
        return min(self.loss(size, amount / per_token(size)) for size in sizes)

    def best_in(self, seconds: float) -> float:
        return self.best(seconds, self.seconds_per_token)


LAYERS = {
    "swiglu": Planted(),
    "moe": Planted(a=432.0, b=995.0, slowness=1.4),
    "sgatlin": Planted(a=402.0, b=965.0, slowness=1.48),
}


def size_at(scale: float) -> float:
    return 1e7 * scale**2


def crossing_seconds(layer: Planted, other: Planted) -> float:
    """From where on `layer` is ahead, by bisection between 1 and 1e5 seconds."""
    low, high = 0.0, math.log(1e5)
    for _ in range(40):
        middle = (low + high) / 2
        ahead = layer.best_in(math.exp(middle)) < other.best_in(math.exp(middle))
        low, high = (low, middle) if ahead else (middle, high)
    return math.exp(high)


def planted(
    rng: np.random.Generator | None = None,
    *,
    layers=LAYERS,
    budgets: Sequence[FlopBudget] = BUDGETS,
    scales: Sequence[float] = SCALES,
    seeds: Sequence[int] = (0,),
    deviation: float = 0.012,
    nested: bool = False,
) -> list[Record]:
    """Runs of every combination, and those of seeds besides 0 at s=3; exact without an `rng`.

    Nested budgets share half of the noise's variance. A quarter of repetition has its number more
    nats than the mean.
    """
    n_documents = 60
    draw = np.random.default_rng(0) if rng is None else rng
    tokens_N = draw.integers(200, 2000, n_documents)
    difficulty_N = 0.5 * draw.normal(size=n_documents)
    difficulty_N -= (difficulty_N * tokens_N).sum() / tokens_N.sum()
    records = []
    for layer, truth in layers.items():
        for scale in scales:
            for seed in seeds if scale == 3.0 else (0,):
                common = draw.normal()
                for budget in budgets:
                    size = size_at(scale)
                    tokens = round(budget.flops / (3 * size))
                    loss_N = truth.loss(size, tokens) + difficulty_N
                    if rng is not None:
                        share = math.sqrt(0.5) if nested else 0.0
                        noise = share * common + math.sqrt(1 - share**2) * rng.normal()
                        loss_N = loss_N + deviation * noise
                        loss_N = loss_N + 0.03 * rng.normal(size=n_documents)
                    loss = float((loss_N * tokens_N).sum() / tokens_N.sum())
                    made = record(
                        layer,
                        scale,
                        budget,
                        loss,
                        parameters=round(size / 2),
                        seed=seed,
                        documents=Documents(
                            nats=tuple((loss_N * tokens_N).tolist()),
                            tokens=tuple(tokens_N.tolist()),
                        ),
                        steps=round(tokens / TOKENS_PER_STEP),
                        tokens=tokens,
                        flops_paper=3 * size * tokens,
                        flops_full=4 * size * tokens,
                    )
                    made = dataclasses.replace(
                        made,
                        run=dataclasses.replace(made.run, nested=tuple(budgets) if nested else ()),
                        quarters=Quarters(
                            losses=(loss, loss + 1, loss + 2, loss + 3), tokens=(1, 1, 1, 1)
                        ),
                    )
                    records.append(made)
    return records


def seconds_cost(layers=LAYERS) -> Cost:
    """Of the planted speeds."""
    return Cost(
        name="seconds on a device",
        unit="s",
        per_token=lambda r: layers[r.run.layer].seconds_per_token(size_at(r.run.scale)),
    )
