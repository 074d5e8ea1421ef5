# SPDX-License-Identifier: Apache-2.0
"""What probes found, as tables of a layer each and as rows for JSON."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from sgatlin.circuits.measure_table import NOTHING, Table, cell
from sgatlin.circuits.probe import NEIGHBOURS, Probed
from sgatlin.circuits.purity import Purity

LEGEND = (
    "Purity (null) lift: the share of the nearest neighbours of other sequences that have the\n"
    "same label; what it comes to with labels permuted; their ratio. Classes are of neighbours\n"
    "with another token, and are permuted among words; other labels among positions."
)


def tables(found: Sequence[Probed]) -> Iterator[Table]:
    """Of each layer one for each number of neighbours, and one of the classes' other nulls."""
    for layer, group in groupby(found, key=lambda one: one.layer):
        probed = list(group)
        for m in NEIGHBOURS:
            labels = [label for label, of in probed[0].scores.purities if of == m]
            heading = ["representation", *labels]
            rows = [[one.representation, *_purities(one, labels, m)] for one in probed]
            yield Table(f"Layer {layer}: {m} neighbours", heading, rows)
        yield _classes(layer, probed)


def rows(found: Sequence[Probed]) -> list[dict[str, Any]]:
    """One for each layer and representation, with everything that was found."""
    return [
        {
            "layer": layer,
            "representation": name,
            "ami": scores.ami,
            "silhouette": scores.silhouette,
            "purities": [
                {"label": label, "neighbours": m, **_all(one)}
                for (label, m), one in scores.purities.items()
            ],
        }
        for layer, name, scores in found
    ]


def _purities(one: Probed, labels: Sequence[str], m: int) -> list[str]:
    purities = [one.scores.purities[label, m] for label in labels]
    return [f"{cell(p.purity)} ({cell(p.null)}) {_times(p.lift):>5}" for p in purities]


def _classes(layer: int, probed: Sequence[Probed]) -> Table:
    heading = ["representation"]
    for m in NEIGHBOURS:
        heading += [f"95 % @{m}", "positions", "frequency"]
    body = []
    for one in probed:
        cells = [one.representation]
        for m in NEIGHBOURS:
            p = one.scores.purities["class", m]
            cells += [
                cell(p.null_95),
                f"{cell(p.null_positions)} {_times(p.lift_positions):>5}",
                f"{cell(p.frequency)} {_times(p.lift_frequency):>5}",
            ]
        body.append([*cells, cell(one.scores.ami), cell(one.scores.silhouette)])
    title = (
        f"Layer {layer}: classes beside other nulls, with the lift over them (95th percentile of\n"
        "draws among words; permuted among positions; neighbours drawn evenly), and clusters"
    )
    return Table(title, [*heading, "AMI", "silhouette"], body)


def _all(one: Purity) -> dict[str, float]:
    lifts = ("lift", "lift_positions", "lift_frequency")
    return one._asdict() | {name: getattr(one, name) for name in lifts}


def _times(ratio: float) -> str:
    if ratio != ratio:
        return NOTHING
    return f"{ratio:.{1 if ratio < 100 else 0}f}x"
