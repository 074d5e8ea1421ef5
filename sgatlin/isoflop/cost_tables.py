# SPDX-License-Identifier: Apache-2.0
"""What the layers of a study cost, and what they reach for it, as tables."""

import math
import statistics
from collections.abc import Mapping, Sequence

from sgatlin.isoflop.budget import FlopBudget
from sgatlin.isoflop.figures import Points, frontier
from sgatlin.isoflop.panels import plain
from sgatlin.isoflop.records import Record, StepTimes
from sgatlin.isoflop.study import Study
from sgatlin.isoflop.tables import Table
from sgatlin.scaling.flops import training_flops

NEAR_ENDS = 1.1
"""Lines that end within this factor share a column."""


def reached(
    records: Sequence[Record],
    costs: Mapping[str, Sequence[float]],
    unit: str,
    *,
    more_was_run: bool,
) -> Table:
    """The lowest perplexity of each layer within a limit on the cost, and the cost of that run.

    The columns are where lines end, so that each compares layers that were run that far.

    Args:
      costs: those of each layer's runs, in the order of `records`.
      more_was_run: what a layer's best run says about more of the cost. True if costlier runs are
        alternatives that were tried and are worse, such as larger models at one FLOP budget: the
        best run then stands for them. False if more of the cost is longer training, which would
        lower the loss: the layer's line then ends at its best run, with a dash beyond it.
    """
    lines = {
        layer: frontier(
            (cost, math.exp(record.loss))
            for record, cost in zip(
                [r for r in records if r.run.layer == layer], of_layer, strict=True
            )
        )
        for layer, of_layer in costs.items()
    }
    limits = _limits(list(lines.values()))
    rows = [
        (layer, *(_within(line, limit, unit, more_was_run) for limit in limits))
        for layer, line in lines.items()
    ]
    return Table(("layer", *(f"{plain(limit)} {unit}" for limit in limits)), rows)


def _within(line: Points, limit: float, unit: str, more_was_run: bool) -> str:
    within = [point for point in line if point[0] <= limit]
    if not within:
        return ""
    cost, perplexity = within[-1]
    if not more_was_run and limit > round_up(NEAR_ENDS * line[-1][0]):
        return "-"
    return f"{perplexity:.2f} ({plain(float(f'{cost:.3g}'))} {unit})"


def _limits(lines: Sequence[Points]) -> list[float]:
    """From where half of the lines have begun: one or two limits before the first end, the ends."""
    groups: list[list[float]] = []
    for end in sorted(line[-1][0] for line in lines):
        if groups and end <= NEAR_ENDS * groups[-1][0]:
            groups[-1].append(end)
        else:
            groups.append([end])
    start = statistics.median_high(line[0][0] for line in lines)
    first = groups[0][0]
    before = [start, math.sqrt(start * first)] if first > 2 * start else [start]
    return sorted({round_up(limit) for limit in (*before, *(group[-1] for group in groups))})


def round_up(value: float) -> float:
    """To two digits, upwards: no smaller than the value."""
    digits = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / digits - 1e-9) * digits


def step_costs(study: Study, times: StepTimes) -> Table:
    """Milliseconds and memory of a step, by layer and scale."""
    scales = sorted({row.scale for row in times.rows})
    rows = []
    for layer in [layer for layer in study.layers if any(r.layer == layer for r in times.rows)]:
        cells = []
        for scale in scales:
            row = times.row(layer, scale)
            memory = "" if row is None or row.memory is None else f", {row.memory / 1e9:.2f} GB"
            cells.append("" if row is None else f"{row.ms:.2f} ms{memory}")
        rows.append((layer, *cells))
    return Table(("layer", *(f"s={scale:g}" for scale in scales)), rows)


def conventions(study: Study, records: Sequence[Record]) -> Table | None:
    """Training FLOPs of each size in the other conventions, as multiples of `paper`.

    None without a run at FLOPs of the convention `paper`.
    """
    models = {
        (r.run.layer, r.run.scale)
        for r in records
        if isinstance(r.run.budget, FlopBudget) and r.run.budget.convention == "paper"
    }
    scales = sorted({scale for _, scale in models})
    rows = []
    for layer in (layer for layer in study.layers if any(name == layer for name, _ in models)):
        cells = []
        for scale in scales:
            if (layer, scale) not in models:
                cells.append("")
                continue
            config = study.config(layer, scale)
            flops = training_flops(config.model, config.data.seq_len)
            cells.append(f"{flops.full / flops.paper:.2f}, {flops.causal / flops.paper:.2f}")
        rows.append((layer, *cells))
    return Table(("layer", *(f"s={scale:g}" for scale in scales)), rows) if rows else None
