# SPDX-License-Identifier: Apache-2.0
"""Maps are drawn beside everything else, one at a time, and again if that failed."""

import threading

import numpy as np
import pytest

from sgatlin.errors import UserError
from sgatlin.explore.maps import Maps


@pytest.fixture
def maps(explorer) -> Maps:
    return Maps(explorer.index, {}, points=30)


def test_a_map_is_not_there_while_a_thread_draws_it(maps, explorer, monkeypatch):
    may_end, drawn = threading.Event(), explorer.maps.wait(1)

    def draw(layer):
        may_end.wait(30)
        return drawn

    monkeypatch.setattr(maps, "_draw", draw)
    assert maps.get(1) is None
    assert maps.get(1) is None
    may_end.set()
    assert maps.wait(1) is drawn
    assert maps.get(1) is drawn


def test_a_map_that_could_not_be_drawn_is_told_and_tried_again(maps, explorer, monkeypatch):
    def fail(layer):
        raise UserError("maps need umap-learn")

    monkeypatch.setattr(maps, "_draw", fail)
    with pytest.raises(UserError, match="umap-learn"):
        maps.wait(0)
    monkeypatch.setattr(maps, "_draw", lambda layer: explorer.maps.wait(layer))
    assert maps.wait(0) is explorer.maps.wait(0)


def test_all_layers_maps_are_of_the_same_positions(explorer):
    assert np.array_equal(explorer.maps.wait(0).rows, explorer.maps.wait(1).rows)


def test_what_lies_far_is_drawn_at_the_edge(explorer):
    places = explorer.maps.wait(0).places
    low, high = np.quantile(places, [0.05, 0.95], axis=0)
    assert ((places - low) / (high - low)).min() >= -0.5
    assert ((places - low) / (high - low)).max() <= 1.5
