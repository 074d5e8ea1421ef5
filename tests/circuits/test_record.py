# SPDX-License-Identifier: Apache-2.0
"""A record of two shards, written by hand and read back; and records that are not whole."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from sgatlin.circuits.manifest import MANIFEST, RecordManifest
from sgatlin.circuits.record import Record
from sgatlin.circuits.shards import ShardArrays, gates_schema, write_shard
from sgatlin.errors import UserError

TEXTS = pa.array(["", "a", " b", "\n"])
N_NEURONS, L, C, K = 20, 2, 3, 2


def shard(first: int, n: int, *, activations: bool) -> ShardArrays:
    """n positions from the `first` on, with other numbers everywhere."""
    rng = np.random.default_rng(first)
    firsts = rng.integers(0, N_NEURONS - 1, (L, C, n, 1))
    return ShardArrays(
        sequence=np.full(n, 7 + first, np.int64),
        position=np.arange(1, n + 1, dtype=np.int32),
        token=np.array([1, 2, 3, 1][:n], np.int32),
        next_token=np.array([2, 3, 1, 0][:n], np.int32),
        predictions=rng.integers(0, 4, (n, 2)).astype(np.int32),
        probabilities=rng.random((n, 2), np.float32),
        indices=np.concatenate([firsts, firsts + 1], -1).astype(np.uint16),
        scores=rng.standard_normal((L, C, n, K)).astype(np.float32),
        activations=rng.standard_normal((L, C, n, K)).astype(np.float32) if activations else None,
    )


SHARDS = [shard(0, 4, activations=True), shard(4, 2, activations=True)]


def write(path, shards=SHARDS):
    path.mkdir()
    written = [
        write_shard(path, i, arrays, TEXTS, n_neurons=N_NEURONS) for i, arrays in enumerate(shards)
    ]
    manifest = RecordManifest(
        run="runs/toy",
        step=3,
        tokenizer_hash="0" * 64,
        store="data/toy",
        n_layers=L,
        n_channels=C,
        n_neurons=N_NEURONS,
        top_k=K,
        shared_pool=False,
        has_activations=bool(shards) and shards[0].activations is not None,
        n_predictions=2,
        context=8,
        n_positions=sum(len(arrays.position) for arrays in shards),
        n_sequences=len(shards),
        n_cut=0,
        shards=tuple(written),
    )
    (path / MANIFEST).write_text(manifest.to_json())
    return path


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "record")


def both(name):
    """Of both shards, positions third to last or first."""
    arrays = [getattr(arrays, name) for arrays in SHARDS]
    return np.concatenate(arrays, axis=2 if arrays[0].ndim == 4 else 0)


def test_positions_come_in_order(folder):
    record = Record.open(folder)
    table = record.positions()
    assert len(record) == len(table) == 6
    assert table["sequence"].to_pylist() == [7, 7, 7, 7, 11, 11]
    assert table["position"].to_pylist() == [1, 2, 3, 4, 1, 2]
    assert table["text"].to_pylist() == ["a", " b", "\n", "a", "a", " b"]
    assert table["next_token"].to_pylist() == [2, 3, 1, 0, 2, 3]
    assert table["predictions"].to_pylist() == both("predictions").tolist()
    assert table["probabilities"].to_pylist() == both("probabilities").tolist()


def test_rows_of_channels_are_those_of_the_gates_side_by_side(folder):
    record, indices, scores = Record.open(folder), both("indices"), both("scores")
    rows = record.rows(1)
    assert rows.width == C * N_NEURONS
    for n, c, k in np.ndindex(6, C, K):
        assert rows.indices[n, c * K + k] == c * N_NEURONS + indices[1, c, n, k]
        assert rows.values[n, c * K + k] == scores[1, c, n, k]
    some = record.rows(1, [2, 0])
    np.testing.assert_array_equal(some.indices, rows.indices[:, [4, 5, 0, 1]])
    np.testing.assert_array_equal(some.values, rows.values[:, [4, 5, 0, 1]])
    assert some.width == rows.width


def test_rows_of_one_channel_are_as_wide_as_it(folder):
    rows = Record.open(folder).rows(0, [2])
    assert rows.width == N_NEURONS
    np.testing.assert_array_equal(rows.indices, both("indices")[0, 2])
    np.testing.assert_array_equal(rows.values, both("scores")[0, 2])


def test_activations_lie_as_rows_do(folder):
    found = Record.open(folder).activations(1, [2, 1])
    expected = both("activations")[1, [2, 1]].transpose(1, 0, 2).reshape(6, -1)
    np.testing.assert_array_equal(found, expected)


def test_a_matrix_has_each_score_at_its_neuron(folder):
    indices, scores = both("indices"), both("scores")
    expected = np.zeros((6, N_NEURONS), np.float32)
    for n, k in np.ndindex(6, K):
        expected[n, indices[1, 0, n, k]] = scores[1, 0, n, k]
    record = Record.open(folder)
    np.testing.assert_array_equal(record.matrix(1, 0).toarray(), expected)
    np.testing.assert_array_equal(record.matrix(1).toarray()[:, :N_NEURONS], expected)


def test_arrow_and_polars_see_the_same_gates(folder):
    record = Record.open(folder)
    chosen = (pc.field("layer") == 1) & (pc.field("channel") == 2)
    table = record.arrow().to_table(filter=chosen)
    assert table.schema == gates_schema(N_NEURONS, K, activations=True)
    assert table["scores"].to_pylist() == both("scores")[1, 2].tolist()
    polars = pytest.importorskip("polars")
    frame = record.polars().filter((polars.col("layer") == 1) & (polars.col("channel") == 2))
    found = frame.collect()
    assert found["indices"].to_list() == both("indices")[1, 2].tolist()
    assert found["sequence"].to_list() == [7, 7, 7, 7, 11, 11]


@pytest.mark.parametrize(
    ("layer", "channels", "line"),
    [
        (2, None, "has no layer 2: there are 0 to 1"),
        (0, [3], "has no channel 3: there are 0 to 2"),
        (0, [1, 1], "name at least one, and none twice"),
        (0, [], "name at least one, and none twice"),
    ],
)
def test_a_layer_or_channel_that_is_not_there(folder, layer, channels, line):
    with pytest.raises(UserError, match=line):
        Record.open(folder).rows(layer, channels)


def test_activations_that_were_not_recorded(tmp_path):
    record = Record.open(write(tmp_path / "record", [shard(0, 3, activations=False)]))
    assert "activations" not in record.arrow().schema.names
    with pytest.raises(UserError, match="record has no activations: record it again with --act"):
        record.activations(0)


def test_no_record(tmp_path):
    with pytest.raises(UserError, match=r"^no record at .*none: make one with"):
        Record.open(tmp_path / "none")


def test_an_empty_record(tmp_path):
    with pytest.raises(UserError, match="empty holds no positions: record it again"):
        Record.open(write(tmp_path / "empty", []))


def test_a_truncated_shard_is_named(folder):
    file = folder / "gates-00001.parquet"
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    size = len(content)
    line = rf"gates-00001.parquet has {size - 1} bytes, not {size}: copy it again, or record"
    with pytest.raises(UserError, match=line):
        Record.open(folder)
    file.unlink()
    with pytest.raises(UserError, match=r"gates-00001.parquet is missing: "):
        Record.open(folder)


def test_a_damaged_shard_is_named(folder):
    file = folder / "gates-00000.parquet"
    scores = pq.read_metadata(file).row_group(0).column(5)
    assert scores.path_in_schema.startswith("scores")
    content = bytearray(file.read_bytes())
    content[scores.data_page_offset + scores.total_compressed_size - 1] ^= 255
    file.write_bytes(content)
    record = Record.open(folder)
    with pytest.raises(UserError, match=r"gates-00000.parquet is damaged \(.*record it") as error:
        record.rows(0, [0])
    assert "\n" not in str(error.value)


def test_a_shard_of_another_record_is_damage(folder):
    manifest = json.loads((folder / MANIFEST).read_text())
    first, second = manifest["shards"]
    first["gates"], second["gates"] = second["gates"], first["gates"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"gates-00001.parquet is damaged \(2 rows, not 4\)"):
        Record.open(folder).rows(0)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"version": 2}, "is of version 2, this program reads 1: record it again"),
        ({"schema": "other"}, "is not of a record of circuits: name the folder of one"),
        ({"n_layers": 0}, "is damaged, n_layers: "),
        ({"n_positions": 7}, "n_positions is not the sum over the shards"),
    ],
)
def test_a_manifest_that_does_not_fit(folder, change, line):
    content = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(content | change))
    with pytest.raises(UserError, match=line):
        Record.open(folder)


def test_a_manifest_cannot_lead_out_of_the_record(folder):
    content = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(content.replace("gates-00000", "../gates-00000"))
    with pytest.raises(UserError, match="leads out of the record"):
        Record.open(folder)


def test_fields_of_later_programs_are_ignored(folder):
    content = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(content | {"mood": "calm"}))
    assert len(Record.open(folder)) == 6
