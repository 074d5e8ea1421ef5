# SPDX-License-Identifier: Apache-2.0
"""The end of a preparation: finished pieces become token stores, the work folder the result."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pydantic

from sgatlin.errors import UserError
from sgatlin.files import write_atomically
from sgatlin.input.manifest import (
    MANIFEST,
    InputFile,
    Manifest,
    Record,
    Shard,
    read_manifest,
)
from sgatlin.input.preparation.duplicates import Copies, find_copies, without_copies
from sgatlin.input.preparation.group import bad_record_error
from sgatlin.input.preparation.inputs import SPLITS, Input, Split
from sgatlin.input.preparation.pieces import Piece, finished_pieces, hash_file, is_finished
from sgatlin.input.preparation.plan import Plan, Request, work_tokenizer
from sgatlin.input.store import TOKENIZER
from sgatlin.input.tokenizer import Tokenizer
from sgatlin.input.write import complete_store

PREPARATION = "preparation.json"
_FEW_DOCUMENTS = 100


class Preparation(Record):
    """What a prepared data set was made of: `preparation.json`, the last file to be written."""

    request: Request
    tokenizer_hash: str
    inputs: str
    """`inputs_digest` of its files."""


def inputs_digest(inputs: Sequence[Input]) -> str:
    """A hash of names, sizes and splits."""
    listed = sorted((file.file, file.size, file.split) for file in inputs)
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def read_preparation(folder: Path) -> Preparation | None:
    """What a complete folder was made of; None if it is not complete."""
    try:
        text = (folder / PREPARATION).read_text(encoding="utf-8")
        return Preparation.model_validate_json(text)
    except (OSError, pydantic.ValidationError):
        return None


def make_stores(
    work: Path, plan: Plan, *, max_bad_records: int, tell: Callable[[str], None]
) -> None:
    """Makes a store of each split's pieces; interrupted, it can be done again.

    Raises:
      UserError: when pieces are missing, more records were skipped than may be, or no document is
        left to train on or to validate with.
    """
    groups = [finished_pieces(work, group) for group in plan.groups]
    n_finished = sum(map(is_finished, plan.groups, groups))
    if n_finished < len(groups):
        raise UserError(
            f"{len(groups) - n_finished} of {len(groups)} parts are not finished: give the same "
            "command again"
        )
    pieces = [piece for pieces in groups for piece in pieces]
    bad = [record for piece in pieces for record in piece.bad_records]
    if len(bad) > max_bad_records:
        raise bad_record_error(bad[max_bad_records], max_bad_records)
    shards = {split: _shards(pieces, split) for split in SPLITS}
    _check_documents(plan, shards)
    hash_files = {
        split: [hash_file(work, split, shard) for shard in shards[split]] for split in SPLITS
    }
    copies = find_copies(hash_files)
    tokenizer = work_tokenizer(work, plan.tokenizer_hash)
    if plan.request.drop_duplicates:
        for split in SPLITS:
            shards[split] = _distinct(work / split, shards[split], copies[split], tokenizer)
        _check_documents(plan, shards)
    for split in SPLITS:
        if shards[split]:
            manifest = complete_store(
                work / split,
                tokenizer,
                shards[split],
                source=plan.request.source,
                n_duplicates=sum(map(len, copies[split])),
                **_facts(plan, groups, split),
            )
            tell(described(split, manifest, plan.request))
            held_out = split == "validation" and plan.request.validation_fraction
            if held_out and manifest.n_documents < _FEW_DOCUMENTS:
                tell("  that is little to validate with: --validation-fraction holds out more")
    digest = inputs_digest([file for group in plan.groups for file in group.inputs])
    made_of = Preparation(request=plan.request, tokenizer_hash=plan.tokenizer_hash, inputs=digest)
    write_atomically(work / PREPARATION, made_of.model_dump_json(indent=1) + "\n")


def move_into_place(work: Path, out: Path) -> None:
    """Gives a work folder of complete stores the name `out`, and leaves nothing else in it.

    UserError if something else has come to lie there.
    """
    for path in work.iterdir():
        if path.is_dir() and path.name not in SPLITS:
            shutil.rmtree(path)
        elif path.is_file() and path.name != PREPARATION:
            path.unlink()
    for split in SPLITS:
        if (work / split / MANIFEST).exists():
            _remove_unlisted(work / split)
        else:  # it held nothing but copies
            shutil.rmtree(work / split, ignore_errors=True)
    try:
        work.rename(out)  # onto nothing or an empty folder
    except OSError as error:
        raise UserError(f"cannot create {out}: {error.strerror}; the data are in {work}") from None


def described(split: str, manifest: Manifest, request: Request) -> str:
    """One line about a store for people."""
    copies = manifest.n_duplicates or 0
    facts = [
        f"{manifest.n_documents:,} documents",
        f"{manifest.n_bytes / 1e6:,.1f} MB",
        f"{manifest.n_tokens:,} tokens",
    ]
    if copies:
        what = "copies left out" if request.drop_duplicates else "of them copies"
        facts.append(f"{copies:,} {what}")
    if manifest.n_empty:
        facts.append(f"{manifest.n_empty:,} without text left out")
    if manifest.bad_records:
        facts.append(f"{len(manifest.bad_records):,} bad records skipped")
    return f"{split}: {', '.join(facts)}"


def _shards(pieces: Sequence[Piece], split: Split) -> list[Shard]:
    return [shard for piece in pieces for of, shard in piece.shards if of == split]


def _check_documents(plan: Plan, shards: dict[Split, list[Shard]]) -> None:
    if not any(shards.values()):
        raise UserError(f"no document with text in {plan.request.source}")
    n_documents = sum(shard.n_documents for those in shards.values() for shard in those)
    for split in ("train", "validation"):
        if not shards[split]:
            raise UserError(
                f"no document for the split {split}, of {n_documents} in all: cut .txt files up by "
                "--separator, name files to hold out, or give another --validation-fraction"
            )


def _facts(plan: Plan, groups: Sequence[Sequence[Piece]], split: Split) -> dict[str, Any]:
    """What the manifest of a split says of the files it was read from."""
    own: list[Piece] = []
    inputs: list[InputFile] = []
    for group, pieces in zip(plan.groups, groups, strict=True):
        is_own = group.inputs[0].split == split
        own += pieces if is_own else []
        # A share that is held out comes from files to train on.
        if is_own or _shards(pieces, split):
            inputs += [file for piece in pieces for file in piece.inputs]
    return {
        "inputs": inputs,
        "bad_records": [record for piece in own for record in piece.bad_records],
        "n_empty": sum(piece.n_empty for piece in own),
    }


def _distinct(
    folder: Path, shards: Sequence[Shard], copies: Copies, tokenizer: Tokenizer
) -> list[Shard]:
    """Shards without copies; the shards of before stay, for the case of an interruption."""
    distinct = [
        without_copies(folder, shard, found, tokenizer) if len(found) else shard
        for shard, found in zip(shards, copies, strict=True)
    ]
    return [shard for shard in distinct if shard is not None]


def _remove_unlisted(store: Path) -> None:
    manifest = read_manifest(store)
    listed = {
        file.file for shard in manifest.shards for file in (shard.tokens, shard.documents)
    } | {MANIFEST, TOKENIZER}
    for path in store.iterdir():
        if path.name not in listed:
            path.unlink()
