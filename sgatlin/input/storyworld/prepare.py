# SPDX-License-Identifier: Apache-2.0
"""The story world as a prepared data set: its stores, and what they were made with."""

import contextlib
import dataclasses
import glob
import itertools
import json
import math
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sgatlin.errors import UserError
from sgatlin.files import write_atomically
from sgatlin.input import storyworld
from sgatlin.input.store import split_stores
from sgatlin.input.tokenizer import train_bpe
from sgatlin.input.write import write_store

PREPARATION = "preparation.json"
LEXICON = "lexicon.json"
FACTS = "facts.json"
_MEGABYTE = 1_000_000
_TOKENIZER_MEGABYTES = 4.0
# An unfinished folder of this age was left by a run that was killed.
_STALE_SECONDS = 24 * 3600


def prepare_storyworld(
    out: Path,
    *,
    train_megabytes: float,
    validation_megabytes: float,
    vocab_size: int,
    seed: int,
    report: Callable[[str], None],
) -> None:
    """Writes the story world: both stores, `lexicon.json` (word to class) and `facts.json`.

    `facts.json` lists nouns with the adjective that is theirs alone.

    Everything is made in a folder beside `out` and moved there in one step. So `out` is complete
    or absent, an interrupted preparation is simply started again, and of two at the same time the
    first to end provides the result. If `out` was made with these arguments, nothing is done.

    Args:
      train_megabytes: text of the train split, in 10^6 bytes of UTF-8.
      validation_megabytes: the same for validation.
      vocab_size: of the tokenizer, which is trained on the first 4 MB of the train split; it can
        come out smaller if they do not have enough repeated pairs.
      report: is given one line per phase.

    Raises:
      UserError: when `out` was made with other arguments, is damaged, or holds something else.
    """
    for name, size in (("train", train_megabytes), ("validation", validation_megabytes)):
        if not 0 < size < math.inf:
            raise UserError(f"{name}_megabytes={size} must be above 0 and finite")
    arguments = {
        "data": "storyworld",
        "train_megabytes": train_megabytes,
        "validation_megabytes": validation_megabytes,
        "vocab_size": vocab_size,
        "seed": seed,
    }
    if _is_prepared(out, arguments):
        report(f"{out} is already prepared")
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(out)
    partial = out.with_name(f".{out.name}.{uuid.uuid4().hex}.partial")
    partial.mkdir()
    report(f"making {train_megabytes + validation_megabytes:.1f} MB of stories in {out}")
    try:
        _write_storyworld(partial, arguments, report)
        _move_into_place(partial, out, arguments)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_storyworld(
    folder: Path, arguments: dict[str, Any], report: Callable[[str], None]
) -> None:
    seed, train_megabytes = arguments["seed"], arguments["train_megabytes"]
    start = time.perf_counter()
    stories = storyworld.stories(seed, "train")
    sample = list(_take(stories, min(train_megabytes, _TOKENIZER_MEGABYTES) * _MEGABYTE))
    sample_bytes = sum(len(story.encode()) for story in sample)
    tokenizer = train_bpe(sample, arguments["vocab_size"])
    seconds = time.perf_counter() - start
    report(
        f"tokenizer: {tokenizer.vocab_size:,} entries from {sample_bytes / _MEGABYTE:.1f} MB of "
        f"stories, {seconds:.1f} s"
    )
    rest = _take(stories, train_megabytes * _MEGABYTE - sample_bytes)
    validation = _take(
        storyworld.stories(seed, "validation"), arguments["validation_megabytes"] * _MEGABYTE
    )
    for split, texts in (("train", itertools.chain(sample, rest)), ("validation", validation)):
        start = time.perf_counter()
        source = f"storyworld {split}, seed {seed}"
        store = write_store(folder / split, texts, tokenizer, source=source)
        seconds = time.perf_counter() - start
        report(
            f"{split}: {store.n_bytes / _MEGABYTE:.1f} MB, {store.n_documents:,} stories, "
            f"{store.n_tokens:,} tokens, {seconds:.1f} s"
        )
    for name, content in (
        (LEXICON, storyworld.lexicon()),
        (FACTS, [dataclasses.asdict(fact) for fact in storyworld.facts()]),
        (PREPARATION, arguments),
    ):
        write_atomically(folder / name, json.dumps(content, indent=1) + "\n")


def _take(texts: Iterator[str], n_bytes: float) -> Iterator[str]:
    """Texts until they have n_bytes of UTF-8 together; takes no more than those."""
    while n_bytes > 0:
        text = next(texts)
        n_bytes -= len(text.encode())
        yield text


def _is_prepared(out: Path, arguments: dict[str, Any]) -> bool:
    """Whether `out` is complete and made with these arguments; UserError if it is anything else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    try:
        made_with = json.loads((out / PREPARATION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(
            f"{out} exists and holds no prepared data: remove it or choose another folder"
        ) from None
    if made_with != arguments:
        differing = ", ".join(
            f"{name}={made_with.get(name)}, not {value}"
            for name, value in arguments.items()
            if made_with.get(name) != value
        )
        raise UserError(f"{out} was prepared with {differing}: remove it or choose another folder")
    try:
        split_stores(out)
    except UserError as error:
        raise UserError(f"{error} (remove {out} first)") from error
    return True


def _move_into_place(partial: Path, out: Path, arguments: dict[str, Any]) -> None:
    try:
        partial.rename(out)  # onto nothing or an empty folder
    except OSError as error:
        # Another run may have ended first; its data are the same.
        if not _is_prepared(out, arguments):
            raise UserError(f"cannot create {out}: {error.strerror}") from error


def _remove_stale(out: Path) -> None:
    for folder in out.parent.glob(f".{glob.escape(out.name)}.*.partial"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
