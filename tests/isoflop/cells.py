# SPDX-License-Identifier: Apache-2.0
"""What tests of tables share: records by perplexity, a study, and a table as lists of cells."""

import math

import pytest

from sgatlin.isoflop.budget import FlopBudget
from sgatlin.isoflop.records import Record
from sgatlin.isoflop.study import Grid, Study
from sgatlin.isoflop.tables import Table
from tests.isoflop.made import record

BUDGET = FlopBudget(flops=1e15)


def run(layer: str, perplexity: float, *, scale=1.0, budget=BUDGET, **fields) -> Record:
    return record(layer, scale, budget, math.log(perplexity), parameters=1000, **fields)


def cells(table: Table | None) -> list[list[str]]:
    """Heading and rows; as many cells in each, in Markdown too."""
    assert table is not None
    lines = [list(table.heading), *(list(row) for row in table.rows)]
    assert {len(line) for line in lines} == {len(table.heading)}
    markdown = table.markdown()
    assert len(markdown) == len(lines) + 1
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown]
    assert split == [lines[0], ["---", *["---:"] * (len(lines[0]) - 1)], *lines[1:]]
    return lines


def study() -> Study:
    layers = ("sgatlin", "peer-matched", "sgatlin-router")
    return Study(
        name="made",
        title="Made",
        config=lambda layer, scale: pytest.fail("no config is needed"),
        grids=(Grid(budgets=(BUDGET,), layers=layers, scales=(1.0,)),),
        compared=("sgatlin", "peer-matched"),
        switched={"sgatlin-router": "sgatlin", "peer-matched": "peer"},
    )
