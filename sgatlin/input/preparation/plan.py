# SPDX-License-Identifier: Apache-2.0
"""What is to be done: the request, and its files in groups that are prepared independently.

The plan lies in the work folder, where every process of the preparation, on whichever machine,
finds it:

    plan.json                 this
    tokenizer.json            what all text is encoded with
    groups/00012/00003.json   a finished piece of a group (`group.py`)
    hashes/, train/, ...      what the pieces are made of
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pydantic

from sgatlin.errors import UserError
from sgatlin.files import write_atomically
from sgatlin.input.manifest import Record
from sgatlin.input.preparation.inputs import Input
from sgatlin.input.records import RecordFormat
from sgatlin.input.store import TOKENIZER
from sgatlin.input.tokenizer import Tokenizer

PLAN = "plan.json"
# Of all input: so many groups there are at least, within the limits for one group.
_N_GROUPS = 256
_GROUP_BYTES = 4 << 20, 1 << 30


class Request(Record):
    """What was asked for: all that the result depends on, beside the files and the tokenizer."""

    source: str
    """Where the text comes from, for people."""
    text_field: str = "text"
    set_field: str | None = None
    separator: str | None = None
    tokenizer: str
    """How it was made, or its hash."""
    validation_fraction: float | None = None
    """Share of documents that is held out, chosen by a hash of their text; None if files are."""
    drop_duplicates: bool = False
    shard_tokens: pydantic.PositiveInt = 1 << 28
    """All open shards end with the batch of documents that reaches so many together."""

    @property
    def format(self) -> RecordFormat:
        return RecordFormat(
            text_field=self.text_field, set_field=self.set_field, separator=self.separator
        )


class Group(Record):
    """Files of one split that one process reads one after another."""

    index: int
    inputs: tuple[Input, ...]
    fingerprint: str
    """Of all that its result depends on."""

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self.inputs)


class Plan(Record):
    """A preparation."""

    request: Request
    tokenizer_hash: str
    groups: tuple[Group, ...]


def make_plan(request: Request, inputs: Sequence[Input], tokenizer_hash: str) -> Plan:
    """Groups of consecutive files: how many depends on their sizes alone."""
    least, most = _GROUP_BYTES
    limit = min(max(sum(file.size for file in inputs) // _N_GROUPS, least), most)
    groups = tuple(
        Group(
            index=index,
            inputs=files,
            fingerprint=_fingerprint([request.model_dump(), tokenizer_hash, _dump(files)]),
        )
        for index, files in enumerate(_grouped(inputs, limit))
    )
    return Plan(request=request, tokenizer_hash=tokenizer_hash, groups=groups)


def read_plan(work: Path) -> Plan | None:
    """The plan of a work folder; None if there is none, UserError if it cannot be read."""
    try:
        return Plan.model_validate_json((work / PLAN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # pydantic's are ValueErrors
        reason = str(error).splitlines()[0]
        raise UserError(f"cannot read {work / PLAN} ({reason}): use --restart") from None


def write_plan(work: Path, plan: Plan) -> None:
    """Writes the plan, whole or not at all."""
    write_atomically(work / PLAN, plan.model_dump_json(indent=1) + "\n")


def work_tokenizer(work: Path, tokenizer_hash: str) -> Tokenizer:
    """The tokenizer of a work folder; UserError if it is not the plan's."""
    tokenizer = Tokenizer.load(work / TOKENIZER)
    if tokenizer.hash != tokenizer_hash:
        raise UserError(f"{work / TOKENIZER} is not the plan's tokenizer: use --restart")
    return tokenizer


def _grouped(inputs: Sequence[Input], limit: int) -> Iterable[tuple[Input, ...]]:
    """Cuts files, in order, into groups of one split and at most `limit` bytes or one file."""
    group: list[Input] = []
    size = 0
    for file in inputs:
        if group and (file.split != group[0].split or size + file.size > limit):
            yield tuple(group)
            group, size = [], 0
        group.append(file)
        size += file.size
    if group:
        yield tuple(group)


def _dump(files: Sequence[Input]) -> list[dict[str, object]]:
    # Not the path: what is prepared does not depend on where the files lie.
    return [file.model_dump(exclude={"path"}) for file in files]


def _fingerprint(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
