# SPDX-License-Identifier: Apache-2.0
"""The toy run with a record, opened to be looked at."""

import pytest

from sgatlin.circuits.labels import read_classes
from sgatlin.circuits.notebook import Circuits
from sgatlin.explore.explorer import Explorer


@pytest.fixture(scope="session")
def circuits(toy_run, tmp_path_factory) -> Circuits:
    circuits = Circuits.open(toy_run, tmp_path_factory.mktemp("explore") / "circuits")
    circuits.make_record(tokens=1500)
    return circuits


@pytest.fixture(scope="session")
def explorer(circuits) -> Explorer:
    explorer = Explorer(circuits, read_classes("lexicon"))
    for layer in range(explorer.model.n_layers):
        # Here, and not in a thread when it is asked for: what UMAP warns of is ignored by filters
        # that all threads share, and that tests set anew.
        explorer.maps.wait(layer)
    return explorer
