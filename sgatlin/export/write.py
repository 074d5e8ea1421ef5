# SPDX-License-Identifier: Apache-2.0
"""Writes the parameters of a checkpoint as safetensors, with what a reader needs beside them.

    model.safetensors     parameters; from 5 GB on model-00001-of-0000N.safetensors and an index
    config.json           the model's config, the tokens of its context, and where it came from
    tokenizer.json        for the library `tokenizers`

Layers, which a checkpoint stacks, are written one by one: blocks.0.attention.w_query and so on.
"""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from sgatlin.errors import UserError, require_one_of
from sgatlin.export.numpy_model import FORMAT
from sgatlin.train.load import LoadedRun, find_checkpoint, load_run

Dtype = Literal["float32", "bfloat16", "float16"]

SHARD_BYTES = 5 * 10**9
"""Largest file, but for a single larger array; as Hugging Face's libraries have it."""

_INDEX = "model.safetensors.index.json"
_OURS = ("model.safetensors", "model-*-of-*.safetensors", _INDEX, "config.json", "tokenizer.json")


class Exported(NamedTuple):
    """What `export_run` wrote."""

    folder: Path
    step: int
    n_parameters: int
    n_files: int
    """With parameters; more than one from `shard_bytes` on."""


def export_run(
    spec: str,
    out: Path | None = None,
    dtype: Dtype = "float32",
    *,
    shard_bytes: int = SHARD_BYTES,
) -> Exported:
    """Exports RUN (its latest checkpoint), RUN@STEP or RUN@best, whole or not at all.

    Args:
      out: folder to make, RUN/export by default; an earlier export there is replaced.
      dtype: what parameters, float32 in a checkpoint, are rounded to.
      shard_bytes: largest file of parameters, in bytes, but for a single larger array.

    Raises UserError where there is no such checkpoint or it is damaged, where `out` exists and is
    no export, where it cannot be written, and for a parameter that float16 cannot hold.
    """
    require_one_of(get_args(Dtype), dtype=dtype)
    run, _ = find_checkpoint(spec)
    out = run.path / "export" if out is None else out
    if os.path.lexists(out) and not is_export(out):
        raise UserError(f"{out} exists and is not an export: remove it or choose another --out")
    loaded = load_run(spec)
    try:
        with _made_whole(out.resolve()) as folder:
            n_files = write_export(folder, loaded, dtype, shard_bytes=shard_bytes)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot write {out}: {reason}; choose another --out") from error
    return Exported(out, loaded.step, _n_parameters(loaded), n_files)


def is_export(folder: Path) -> bool:
    """Whether a folder holds an export, and nothing else that would be lost with it."""
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names = list(folder.iterdir())
    except (OSError, ValueError):
        return False
    is_ours = isinstance(content, dict) and str(content.get("format")).startswith("sgatlin-")
    return is_ours and all(any(name.match(pattern) for pattern in _OURS) for name in names)


def named_arrays(params: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    """Every parameter under its name; those of blocks, stacked layer by layer, are taken apart.

    Of a pattern of P layers the stack with number i has layers i, i + P, and so on.
    """
    blocks = params["blocks"]
    by_place = blocks if "0" in blocks else {"0": blocks}
    for name, array in _dotted({**params, "blocks": by_place}):
        group, _, rest = name.partition(".")
        if group != "blocks":
            yield name, array
            continue
        place, _, own = rest.partition(".")
        for turn, of_layer in enumerate(array):
            yield f"blocks.{turn * len(by_place) + int(place)}.{own}", of_layer


def _dotted(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{name}.")
        else:
            yield prefix + name, np.asarray(value)


def plan_shards(sizes: Mapping[str, int], shard_bytes: int) -> list[list[str]]:
    """Names of the arrays in each file: in order, no file above `shard_bytes` if it can be."""
    shards: list[list[str]] = [[]]
    free = shard_bytes
    for name, size in sizes.items():
        if size > free and shards[-1]:
            shards.append([])
            free = shard_bytes
        shards[-1].append(name)
        free -= size
    return shards


def write_export(
    folder: Path, loaded: LoadedRun, dtype: Dtype, *, shard_bytes: int = SHARD_BYTES
) -> int:
    """Writes the files of an export to an empty folder, and returns how many hold parameters.

    Arguments are `export_run`'s. OSError or SafetensorError where a file cannot be written.
    """
    # Views of the stacked arrays: what is copied is one file's arrays at a time.
    arrays, narrow = dict(named_arrays(loaded.params)), jnp.dtype(dtype)
    sizes = {name: array.size * narrow.itemsize for name, array in arrays.items()}
    shards = plan_shards(sizes, shard_bytes)
    weight_map = {}
    for number, names in enumerate(shards, start=1):
        one_of_many = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        file = one_of_many if len(shards) > 1 else "model.safetensors"
        save_file({name: _rounded(name, arrays[name], narrow) for name in names}, folder / file)
        weight_map.update(dict.fromkeys(names, file))
    if len(shards) > 1:
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map}
        _write_json(folder / _INDEX, index)
    _write_json(folder / "config.json", _config(loaded, dtype))
    loaded.tokenizer.save(folder / "tokenizer.json")
    return len(shards)


def _rounded(name: str, array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore"):
        # Of an array that is not contiguous safetensors would write other numbers.
        rounded = np.ascontiguousarray(array, dtype)
    if dtype == np.float16 and not np.isfinite(rounded).all():
        raise UserError(f"{name} has numbers that float16 cannot hold: choose --dtype bfloat16")
    return rounded


def _n_parameters(loaded: LoadedRun) -> int:
    return sum(array.size for _, array in _dotted(loaded.params))


def _config(loaded: LoadedRun, dtype: Dtype) -> dict[str, Any]:
    config = loaded.config
    return {
        "format": FORMAT,
        "model": dataclasses.asdict(config.model),
        "dtype": dtype,
        "parameters": _n_parameters(loaded),
        "bos_id": loaded.tokenizer.bos_id,
        "context": {
            "tokens": config.data.seq_len,
            "document_boundaries": config.data.document_boundaries,
        },
        "source": {
            "run": str(loaded.run.path),
            "name": config.name,
            "step": loaded.step,
            "tokenizer_hash": loaded.tokenizer.hash,
            "sgatlin_version": importlib.metadata.version("sgatlin"),
        },
    }


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _made_whole(out: Path) -> Iterator[Path]:
    """A folder to write to, which takes the place of `out` at the end; nothing stays if it fails.

    An earlier `out` is there until all of the new one is on the disk.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".partial"))
    try:
        new, old = partial / "new", partial / "old"
        new.mkdir()
        yield new
        for file in new.iterdir():
            file.chmod(0o644)  # safetensors keeps others from reading
            _sync(file)
        _sync(new)
        try:
            if out.exists():
                out.rename(old)
            new.rename(out)
        except BaseException:
            if old.exists() and not out.exists():
                old.rename(out)
            raise
        _sync(out.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
