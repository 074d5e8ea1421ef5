# SPDX-License-Identifier: Apache-2.0
"""A preparation from its request to its result."""

import contextlib
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import filelock

from sgatlin.errors import UserError
from sgatlin.input.manifest import BadRecord
from sgatlin.input.preparation.engines import run_engine
from sgatlin.input.preparation.finish import (
    inputs_digest,
    make_stores,
    move_into_place,
    read_preparation,
)
from sgatlin.input.preparation.group import bad_record_error
from sgatlin.input.preparation.inputs import Input
from sgatlin.input.preparation.local import available_cores
from sgatlin.input.preparation.manner import Manner
from sgatlin.input.preparation.pieces import finished_pieces, is_finished, writing_to
from sgatlin.input.preparation.plan import (
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
        return f"a BPE of {self.vocab_size} entries, trained on {text}"


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
    if _is_prepared(out, request, inputs):
        tell(f"{out} is already prepared")
        return
    work = work_folder(out)
    with _alone(work, restart=manner.restart), writing_to(work):
        if read_preparation(work) is None:
            plan = _plan(work, request, inputs, tokenizer, manner, tell)
            n_workers = manner.n_workers or available_cores()
            finished = run_engine(
                manner.engine,
                work,
                plan,
                n_workers=n_workers,
                max_bad_records=manner.max_bad_records,
                tell=tell,
            )
            if not finished:
                return
            make_stores(work, plan, max_bad_records=manner.max_bad_records, tell=tell)
        move_into_place(work, out)


def work_folder(out: Path) -> Path:
    """Where a preparation lies until it is complete."""
    return out.with_name(f".{out.name}.partial")


def _is_prepared(out: Path, request: Request, inputs: Sequence[Input]) -> bool:
    """Whether `out` is what is asked for; UserError if it is anything else but absent or empty."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    made_of = read_preparation(out)
    mend = "remove it or choose another --out"
    if made_of is None:
        raise UserError(f"{out} exists and is no prepared data set: {mend}")
    if differing := _differing(made_of.request, request):
        raise UserError(f"{out} was prepared otherwise (there, now): {differing}; {mend}")
    if made_of.inputs != inputs_digest(inputs):
        raise UserError(f"{out} was prepared from other files, or they have changed since: {mend}")
    split_stores(out)
    return True


def _differing(before: Request, now: Request) -> str:
    return "; ".join(
        f"{name} {getattr(before, name)!r}, {getattr(now, name)!r}"
        for name in Request.model_fields
        if getattr(before, name) != getattr(now, name)
    )


@contextlib.contextmanager
def _alone(work: Path, *, restart: bool) -> Iterator[None]:
    """Keeps a second process from the same work folder, which is made if need be."""
    try:
        work.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(work / "lock", timeout=0):
            if restart:
                _empty(work)
            yield
    except filelock.Timeout:
        raise UserError(f"another process is preparing {work}: wait for it or stop it") from None
    except OSError as error:
        raise UserError(f"cannot write {work}: {error.strerror}; choose another --out") from None


def _empty(work: Path) -> None:
    for path in work.iterdir():
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
                max_bad_records=manner.max_bad_records,
            )
            tokenizer = train_bpe(texts, tokenizer.vocab_size)
    plan = make_plan(request, inputs, tokenizer.hash)
    if before is not None:
        n_done = sum(is_finished(group, finished_pieces(work, group)) for group in plan.groups)
        tell(f"goes on: {n_done} of {len(plan.groups)} parts are done")
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
    max_bad_records: int = 0,
) -> Iterator[str]:
    """The texts of files; of each the first so many that together they have `megabytes`.

    UserError at the first bad record that may not be skipped.
    """
    size = max(sum(file.size for file in inputs), 1)
    n_bad = 0
    for file in inputs:
        left = math.inf if megabytes is None else megabytes * 1e6 * file.size / size
        for record in RecordReader(Path(file.path), file.file, format):
            if isinstance(record, BadRecord):
                n_bad += 1
                if n_bad > max_bad_records:
                    raise bad_record_error(record, max_bad_records)
                continue
            yield record.text
            left -= len(record.text.encode())
            if left <= 0:
                break
