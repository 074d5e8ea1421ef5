# SPDX-License-Identifier: Apache-2.0
"""Strongest positions and excerpts of a record of seven positions, written by hand."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from sgatlin.circuits.contexts import excerpt, strongest
from sgatlin.errors import UserError
from sgatlin.nn.sgatlin import SgatlinConfig

POSITIONS = pa.table(
    {
        "sequence": pa.array([4, 4, 4, 4, 4, 9, 9], pa.int64()),
        "position": pa.array([1, 2, 3, 4, 5, 1, 2], pa.int32()),
        "text": ["The", " old", " turtle", "\n", " was", "Once", " upon"],
    }
)

CONFIG = SgatlinConfig(n_channels=1, n_neurons=9, top_k=2, d_key=4)


# Of channel 1: neuron 3 is chosen at four positions of five. Three of them are in the first shard.
INDICES = [[3, 5], [5, 3], [3, 5], [1, 2], [4, 3]]
SCORES = [[0.5, 9], [9, -2], [1, 9], [9, 9], [9, 2]]
ACTIVATIONS = [[8, 0], [0, 0.5], [-3, 0], [0, 0], [0, 1]]


class HandMade:
    """What `strongest` asks of a record of one layer; channel 0 is channel 1 a hundredfold."""

    n_layers, n_channels, n_neurons, top_k = 1, 2, 9, 2

    def __init__(self, path: Path, *, has_activations: bool = True):
        self.path, self.manifest = path, SimpleNamespace(has_activations=has_activations)
        self.shards = [path / "gates-00000.parquet", path / "gates-00001.parquet"]
        pair = pa.list_(pa.float32(), 2)
        fields = {"layer": pa.int32(), "channel": pa.int32(), "indices": pa.list_(pa.uint16(), 2)}
        fields |= {"scores": pair} | ({"activations": pair} if has_activations else {})
        for shard, rows in zip(self.shards, (slice(0, 3), slice(3, 5)), strict=True):
            with pq.ParquetWriter(shard, pa.schema(fields)) as file:
                for channel in (0, 1):
                    n = len(INDICES[rows])
                    scores = np.float32(SCORES[rows]) * (1 if channel else 100)
                    columns = [[0] * n, [channel] * n, INDICES[rows], scores.tolist()]
                    columns += [ACTIVATIONS[rows]] if has_activations else []
                    file.write_table(pa.table(columns, schema=pa.schema(fields)))

    def arrow(self) -> ds.Dataset:
        return ds.dataset(list(map(str, self.shards)))


def test_the_strongest_positions_of_a_neuron_are_those_of_its_largest_scores(tmp_path):
    record = HandMade(tmp_path, has_activations=False)
    rows, values = strongest(record, 0, 1, 3, n=3, config=CONFIG)
    assert rows.tolist() == [1, 4, 2]  # of -2 and 2 the one that comes first
    assert values.tolist() == [-2, 2, 1]
    assert strongest(record, 0, 0, 3, n=1).values.tolist() == [-200]


def test_with_activations_it_is_the_coefficient_that_counts(tmp_path):
    record = HandMade(tmp_path)
    rows, values = strongest(record, 0, 1, 3, n=10, config=CONFIG)
    assert rows.tolist() == [0, 2, 4, 1]
    assert values.tolist() == [4, -3, 2, -1]
    # Without a config nobody knows how the layer makes it.
    assert strongest(record, 0, 1, 3, n=1).values.tolist() == [-2]


def test_a_neuron_that_was_never_chosen_has_no_positions(tmp_path):
    assert len(strongest(HandMade(tmp_path), 0, 1, 8).rows) == 0


@pytest.mark.parametrize(
    ("which", "error"),
    [
        ((1, 0, 0), "layer 1: there are 0 to 0"),
        ((0, 2, 0), "channel 2: there are 0 to 1"),
        ((0, 0, 9), "neuron 9: there are 0 to 8"),
    ],
)
def test_a_neuron_that_the_record_does_not_have(tmp_path, which, error):
    with pytest.raises(UserError, match=f"has no {error}$"):
        strongest(HandMade(tmp_path), *which)


def test_a_damaged_shard_is_named(tmp_path):
    record = HandMade(tmp_path)
    shard = record.shards[1]
    shard.write_bytes(b"\0" * shard.stat().st_size)
    with pytest.raises(UserError, match=r"^\S*gates-00001.parquet is damaged [^\n]*$"):
        strongest(record, 0, 1, 3)


@pytest.mark.parametrize(
    ("row", "before", "after", "text"),
    [
        (2, 8, 4, "The old [turtle]⏎ was"),
        (2, 1, 1, "…old [turtle]⏎…"),
        (0, 2, 0, "[The]…"),
        (3, 0, 1, "…[⏎] was"),
        (4, 2, 2, "…turtle⏎ [was]"),
        (5, 8, 4, "[Once] upon"),
        (6, 8, 4, "Once [upon]"),
    ],
)
def test_an_excerpt_marks_its_token_and_stays_in_its_sequence(row, before, after, text):
    assert excerpt(POSITIONS, row, before, after) == text


def test_an_excerpt_does_not_join_what_was_apart():
    apart = POSITIONS.take([0, 1, 4])  # two positions of the sequence are not in the table
    assert excerpt(apart, 2) == "[was]"
    assert excerpt(apart, 1) == "The [old]"
