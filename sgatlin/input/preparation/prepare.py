# SPDX-License-Identifier: Apache-2.0
"""A preparation from its request to its result."""

import contextlib
import math
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import filelock

from sgatlin.errors import UserError
from sgatlin.input.manifest import BadRecord
from sgatlin.input.preparation.engines import run_engine
from sgatlin.input.preparation.finish import (
    PREPARATION,
    Preparation,
    inputs_digest,
    make_stores,
    move_into_place,
    read_preparation,
)
from sgatlin.input.preparation.group import bad_record_error
from sgatlin.input.preparation.inputs import Input
from sgatlin.input.preparation.manner import Manner
from sgatlin.input.preparation.pieces import (
    is_held_out,
    unfinished,
    writing_to,
)
from sgatlin.input.preparation.plan import (
    PLAN,
    Plan,
    Request,
    make_plan,
    read_plan,
    work_tokenizer,
    write_plan,
)
from sgatlin.input.records import RecordFormat, RecordReader
from sgatlin.input.store import TOKENIZER, split_stores
from sgatlin.input.tokenizer import Tokenizer, train_bpe

_RESTART = "give the same, or --restart to throw away what is done"


class Trained(NamedTuple):
    """A byte-level BPE to be trained on the split `train`."""

    vocab_size: int
    megabytes: float | None = None
    """Text to train on, in 10^6 bytes, from all files in proportion; None for all of it."""

    def __str__(self) -> str:
        text = "all text" if self.megabytes is None else f"{self.megabytes:g} MB of text"
        return f"a BPE of {self.vocab_size} entries from {text}"


def prepare(
    out: Path,
    request: Request,
    inputs: Sequence[Input],
    tokenizer: Tokenizer | Trained,
    manner: Manner,
    *,
    tell: Callable[[str], None],
) -> None:
    """Makes the token stores that are asked for in `out`, or goes on with making them.

    `out` is complete or absent. Until then all is in the hidden folder `work_folder(out)`; started
    again, with any number of workers, a preparation goes on from there to the same result.

    Raises:
      UserError: at bad input, and where another preparation is in the way.
      RunStopped: when the disk is full or a worker is killed.
    """
    _check_main()
    if _is_prepared(out, request, inputs):
        tell(f"{out} is already prepared")
        return
    work = work_folder(out)
    with _told_when_interrupted(tell), _alone(work, restart=manner.restart), writing_to(work):
        if made_of := read_preparation(work):
            _check_same(work, made_of, request, inputs, _RESTART)
        else:
            plan = _plan(work, request, inputs, tokenizer, manner, tell)
            finished = run_engine(
                manner.engine,
                work,
                plan,
                n_workers=manner.n_workers,
                max_bad_records=manner.max_bad_records,
                tell=tell,
            )
            if not finished:
                return
            make_stores(work, plan, max_bad_records=manner.max_bad_records, tell=tell)
        move_into_place(work, Path(os.path.realpath(out)))


def work_folder(out: Path) -> Path:
    """Where a preparation lies until it is complete: on the disk that `out` will be on."""
    out = Path(os.path.realpath(out))
    return out.with_name(f".{out.name}.partial")


@contextlib.contextmanager
def _told_when_interrupted(tell: Callable[[str], None]) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        tell("stopped: the same command goes on with what is finished")
        raise


def _check_main() -> None:
    """UserError in a worker that, as every one does, imports the script that has started it."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UserError(
            "the script prepares data when it is imported, as it is by each worker: put that below "
            'if __name__ == "__main__":'
        )


def _is_prepared(out: Path, request: Request, inputs: Sequence[Input]) -> bool:
    """Whether `out` is what is asked for; UserError if it is anything else but absent or empty."""
    try:
        if not out.exists() or (out.is_dir() and not any(out.iterdir())):
            return False
    except OSError as error:
        raise UserError(f"cannot read {out}: {error.strerror}; choose another --out") from None
    made_of = read_preparation(out)
    mend = "remove it or choose another --out"
    if made_of is None:
        raise UserError(f"{out} exists and is no prepared data set: {mend}")
    _check_same(out, made_of, request, inputs, mend)
    split_stores(out)
    return True


def _check_same(
    folder: Path, made_of: Preparation, request: Request, inputs: Sequence[Input], mend: str
) -> None:
    """UserError if a complete folder is not what is asked for."""
    if differing := _differing(made_of.request, request):
        raise UserError(f"{folder} was prepared otherwise (there, now): {differing}; {mend}")
    if made_of.inputs != inputs_digest(inputs):
        raise UserError(
            f"{folder} was prepared from other files, or they have changed since: {mend}"
        )


def _differing(before: Request, now: Request) -> str:
    return "; ".join(
        f"{name} {getattr(before, name)!r}, {getattr(now, name)!r}"
        for name in Request.model_fields
        if getattr(before, name) != getattr(now, name)
    )


@contextlib.contextmanager
def _alone(work: Path, *, restart: bool) -> Iterator[None]:
    """Keeps a second process from the same work folder, which is made if need be.

    What ended before there was a plan leaves no folder.
    """
    try:
        work.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(work / "lock", timeout=0):
            if restart:
                _empty(work)
            try:
                yield
            finally:
                if not any((work / name).exists() for name in (PLAN, PREPARATION)):
                    shutil.rmtree(work, ignore_errors=True)
    except filelock.Timeout:
        raise UserError(f"another process is preparing {work}: wait for it or stop it") from None
    except OSError as error:
        raise UserError(f"cannot write {work}: {error.strerror}; choose another --out") from None


def _empty(work: Path) -> None:
    # Interrupted, it must leave no piece whose shards are gone.
    first = ("groups", PREPARATION)
    for path in sorted(work.iterdir(), key=lambda path: path.name not in first):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()


def _plan(
    work: Path,
    request: Request,
    inputs: Sequence[Input],
    tokenizer: Tokenizer | Trained,
    manner: Manner,
    tell: Callable[[str], None],
) -> Plan:
    """The plan, written to the work folder with its tokenizer; that of before where it fits."""
    before = read_plan(work)
    if before is not None and (differing := _differing(before.request, request)):
        raise UserError(
            f"{work} holds an unfinished preparation with other settings (there, now): "
            f"{differing}; {_RESTART}"
        )
    if isinstance(tokenizer, Trained):
        if before is not None and _train_files(_inputs(before)) == _train_files(inputs):
            tokenizer = work_tokenizer(work, before.tokenizer_hash)
        else:
            tell(f"training {tokenizer}")
            texts = sample_texts(
                _train_files(inputs),
                request.format,
                tokenizer.megabytes,
                held_out=request.validation_fraction,
                max_bad_records=manner.max_bad_records,
            )
            tokenizer = train_bpe(texts, tokenizer.vocab_size)
    plan = make_plan(request, inputs, tokenizer.hash)
    if before is not None:
        n_done = len(plan.groups) - len(unfinished(work, plan.groups))
        tell(f"goes on: {n_done} of {len(plan.groups)} parts are done")
    if plan != before:  # tasks on other machines may be reading what is there
        tokenizer.save(work / TOKENIZER)
        write_plan(work, plan)
    return plan


def _inputs(plan: Plan) -> list[Input]:
    return [file for group in plan.groups for file in group.inputs]


def _train_files(inputs: Sequence[Input]) -> list[Input]:
    return [file for file in inputs if file.split == "train"]


def sample_texts(
    inputs: Sequence[Input],
    format: RecordFormat,
    megabytes: float | None,
    *,
    held_out: float | None = None,
    max_bad_records: int = 0,
) -> Iterator[str]:
    """The texts of files; of each the first so many that together they have `megabytes`.

    Those of the share that is `held_out` are passed over. UserError at the first bad record that
    may not be skipped, and if there is no text.
    """
    size = max(sum(file.size for file in inputs), 1)
    n_bad = n_bytes = 0
    for file in inputs:
        left = math.inf if megabytes is None else megabytes * 1e6 * file.size / size
        for record in RecordReader(Path(file.path), file.file, format):
            if isinstance(record, BadRecord):
                n_bad += 1
                if n_bad > max_bad_records:
                    raise bad_record_error(record, max_bad_records)
                continue
            text = record.text.encode()
            if held_out is not None and is_held_out(text, held_out):
                continue
            yield record.text
            n_bytes, left = n_bytes + len(text), left - len(text)
            if left <= 0:
                break
    if n_bytes == 0:
        raise UserError(f"no document with text to train a tokenizer on in {len(inputs)} files")
