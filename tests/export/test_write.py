# SPDX-License-Identifier: Apache-2.0
"""`sgatlin export`: names, types, files, and that an export is there whole or not at all."""

import errno
import json
import shutil
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from sgatlin.cli import main
from sgatlin.errors import UserError
from sgatlin.export import write
from sgatlin.export.numpy_model import load
from sgatlin.export.write import export_run, plan_shards
from sgatlin.input.tokenizer import Tokenizer
from sgatlin.scaling.flops import n_parameters
from sgatlin.train.load import load_run
from sgatlin.train.run import RunDirectory
from tests.input.preparation.corpus import hashes_of
from tests.told import told

# The toy: 300 tokens, D = 16, heads of 8, 2 channels of 16 neurons (keys of 2 * 4), Q = 8.
BLOCK = {
    "attention_norm.scale": (16,),
    "attention.w_query": (16, 16),
    "attention.w_key": (16, 16),
    "attention.w_value": (16, 16),
    "attention.w_out": (16, 16),
    "attention.query_norm.scale": (8,),
    "attention.key_norm.scale": (8,),
    "feed_forward_norm.scale": (16,),
    "feed_forward.router.query": (16, 8),
    "feed_forward.router.key": (8, 2 * 2 * 4),
    "feed_forward.w_in": (2, 16, 16),
    "feed_forward.w_out": (2, 16, 16),
}
SHAPES = {
    "embedding": (300, 16),
    **{f"blocks.{layer}.{name}": shape for layer in (0, 1) for name, shape in BLOCK.items()},
    "norm.scale": (16,),
}
ONE_FILE = {"model.safetensors", "config.json", "tokenizer.json"}


@pytest.fixture
def run(toy_run, tmp_path) -> Path:
    """A copy of the toy run that may be written to."""
    return Path(shutil.copytree(toy_run, tmp_path / "runs/toy"))


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_names_shapes_and_values(run, capsys):
    main(["export", str(run)])
    out = capsys.readouterr().out
    n_numbers = sum(int(np.prod(shape)) for shape in SHAPES.values())
    what = f"{n_numbers:,} parameters of step 20 as float32"
    assert out == f"{run / 'export'}: {what}, in 1 file\n"
    assert names_in(run / "export") == ONE_FILE
    arrays = load_file(run / "export/model.safetensors")
    assert {name: array.shape for name, array in arrays.items()} == SHAPES
    params = load_run(str(run)).params
    np.testing.assert_array_equal(arrays["embedding"], params["embedding"])
    stacked = params["blocks"]["feed_forward"]["router"]["key"]
    for layer in (0, 1):
        array = arrays[f"blocks.{layer}.feed_forward.router.key"]
        np.testing.assert_array_equal(array, stacked[layer])


def test_what_a_reader_needs_is_beside_them(run):
    export = export_run(f"{run}@10", dtype="float16").folder
    content = json.loads((export / "config.json").read_text())
    config = RunDirectory(run).config()
    tokenizer = Tokenizer.load(export / "tokenizer.json")
    assert content["model"]["feed_forward"]["n_neurons"] == 16
    assert content["parameters"] == n_parameters(config.model)
    assert content["dtype"] == "float16"
    assert content["context"] == {"tokens": 16, "document_boundaries": False}
    assert content["bos_id"] == tokenizer.bos_id
    assert content["source"]["step"] == 10
    assert content["source"]["tokenizer_hash"] == tokenizer.hash
    assert {path.stat().st_mode & 0o777 for path in export.iterdir()} == {0o644}
    assert export.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("dtype", "stored", "rounded_to"),
    [("bfloat16", "BF16", ml_dtypes.bfloat16), ("float16", "F16", np.float16)],
)
def test_narrow_types(dtype, stored, rounded_to, run):
    wide = load(export_run(str(run)).folder).params
    export = export_run(str(run), dtype=dtype).folder
    narrow = load(export).params
    with safe_open(export / "model.safetensors", "np") as file:
        assert {file.get_slice(name).get_dtype() for name in wide} == {stored}
    for name, array in wide.items():
        np.testing.assert_array_equal(narrow[name], array.astype(rounded_to).astype(np.float32))


def test_numbers_that_float16_has_not(run, tmp_path, monkeypatch):
    loaded = load_run(str(run))
    w_out = loaded.params["blocks"]["attention"]["w_out"]
    loaded.params["blocks"]["attention"]["w_out"] = w_out.at[1, 3, 4].set(1e5)
    monkeypatch.setattr(write, "load_run", lambda spec: loaded)
    with pytest.raises(UserError, match=r"blocks\.1\.attention\.w_out .* --dtype bfloat16"):
        export_run(str(run), dtype="float16")
    assert not (run / "export").exists()
    assert export_run(str(run), dtype="bfloat16").folder.exists()


def test_large_models_are_several_files(run):
    limit = 6000
    whole = load(export_run(str(run)).folder).params
    done = export_run(str(run), shard_bytes=limit)
    files = sorted(done.folder.glob("model-*.safetensors"))
    numbers = range(1, done.n_files + 1)
    named = [f"model-{number:05d}-of-{done.n_files:05d}.safetensors" for number in numbers]
    assert [path.name for path in files] == named
    assert not (done.folder / "model.safetensors").exists()
    index = json.loads((done.folder / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 4 * done.n_parameters
    seen = {}
    for path in files:
        arrays = load_file(path)
        assert len(arrays) == 1 or sum(array.nbytes for array in arrays.values()) <= limit
        seen |= dict.fromkeys(arrays, path.name)
    assert index["weight_map"] == seen
    parts = load(done.folder).params
    assert parts.keys() == whole.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(parts[name], array)


def test_shards_hold_what_fits():
    sizes = {"a": 3, "b": 2, "c": 1, "d": 9, "e": 1, "f": 4}
    assert plan_shards(sizes, 5) == [["a", "b"], ["c"], ["d"], ["e", "f"]]
    assert plan_shards(sizes, 20) == [list(sizes)]


def test_an_earlier_export_is_replaced(run):
    export_run(f"{run}@5", shard_bytes=6000)
    export = export_run(f"{run}@best").folder
    content = json.loads((export / "config.json").read_text())
    assert content["source"]["step"] == 20
    assert names_in(export) == ONE_FILE
    assert not any(name.startswith(".export") for name in names_in(run))


def test_what_is_no_export_is_not_touched(run, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    kept = export_run(str(run), tmp_path / "kept").folder
    (kept / "thesis.tex").write_text("x")
    before = hashes_of(tmp_path)
    for out in (tmp_path / "file", tmp_path / "folder", kept, run):
        line = told(["export", str(run), "--out", str(out)], capsys)
        assert line == f"{out} exists and is not an export: remove it or choose another --out\n"
    assert hashes_of(tmp_path) == before


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_an_export_that_fails_leaves_the_earlier_one(error, run, monkeypatch):
    def full(*_):
        raise error

    export_run(f"{run}@5")
    before = hashes_of(run)
    monkeypatch.setattr(write, "_write_json", full)
    is_disk = isinstance(error, OSError)
    with pytest.raises(UserError if is_disk else KeyboardInterrupt) as raised:
        export_run(f"{run}@10")
    line = f"cannot write {run}/export: No space left; choose another --out"
    assert str(raised.value) == (line if is_disk else "")
    assert hashes_of(run) == before
    assert not any(name.startswith(".export") for name in names_in(run))


def test_an_earlier_export_comes_back_if_the_new_one_cannot_be_put_there(run, monkeypatch):
    def rename(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(errno.EIO, "Input/output error")
        return renamed(path, target)

    renamed = Path.rename
    export_run(f"{run}@5")
    before = hashes_of(run)
    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(UserError, match=r"cannot write .*/export: Input/output error; choose"):
        export_run(f"{run}@10")
    assert hashes_of(run) == before


def test_a_folder_that_cannot_be_made(run, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    line = told(["export", str(run), "--out", str(tmp_path / "file/export")], capsys)
    assert line == f"cannot write {tmp_path}/file/export: File exists; choose another --out\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("export nowhere", "nowhere is not a run directory"),
        ("export {run}@7", "no checkpoint '7': there are best and steps 5, 10, 15, 20"),
        ("export {run} --dtype int8", "'float32', 'bfloat16', 'float16'"),
    ],
)
def test_mistakes(toy_run, capsys, arguments, named):
    assert named in told(arguments.format(run=toy_run), capsys)
