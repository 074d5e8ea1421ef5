# SPDX-License-Identifier: Apache-2.0
"""What a token store holds, for people: its facts, and some of its documents."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from sgatlin.errors import UserError, require_at_least
from sgatlin.input.manifest import Counts, Manifest
from sgatlin.input.records import record_unit
from sgatlin.input.store import TokenStore, store_folders
from sgatlin.input.tokenizer import Tokenizer
from sgatlin.input.windows import evenly_spaced
from sgatlin.tables import aligned

MAX_BAD_RECORDS = 20
"""Of the bad records so many are listed."""
PERCENTILES = (0, 5, 25, 50, 75, 95, 100)
# Of more documents than these, lengths are of so many runs of neighbours, each read at once.
_ALL_LENGTHS = 1 << 20
_RUNS, _RUN = 1 << 8, 1 << 12
_MARGIN = "    "


@dataclasses.dataclass(frozen=True, kw_only=True)
class Excerpts:
    """Which documents of a store are shown, and how much of each."""

    documents: int = 3
    """How many, evenly spread."""
    document: int | None = None
    """The number of the only one, from 0; with `set`, its number in that set."""
    set: str | None = None
    """The set to look at instead of all."""
    characters: int = 600
    """Longest text of a document."""

    def __post_init__(self) -> None:
        require_at_least(0, documents=self.documents, document=self.document)
        require_at_least(1, characters=self.characters)


def show(
    path: Path, excerpts: Excerpts | None = None, *, tell: Callable[[str], None] = print
) -> None:
    """Tells, in blocks of lines, what a store or each store of a prepared data set holds.

    Of a data set with `set` only the stores that have it.

    Raises:
      UserError: when there is no complete store, no such set or no such document.
    """
    excerpts = excerpts or Excerpts()
    folders = store_folders(path)
    if excerpts.document is not None and len(folders) > 1:
        names = ", ".join(str(folder) for folder in folders)
        raise UserError(f"{path} holds several stores, name one to see a document of: {names}")
    stores = [TokenStore.open(folder) for folder in folders]
    if excerpts.set is not None:
        stores = [store for store in stores if excerpts.set in store.sets] or stores
    views = [store if excerpts.set is None else store.subset(excerpts.set) for store in stores]
    for store, view in zip(stores, views, strict=True):
        numbers = document_numbers(view, excerpts)
        tokenizer = store.tokenizer()
        tell("\n".join(facts(store, view, tokenizer)) + "\n")
        for number in numbers:
            tell("\n".join(document(view, number, tokenizer, excerpts.characters)) + "\n")


def facts(store: TokenStore, view: TokenStore, tokenizer: Tokenizer) -> Iterator[str]:
    """Lines about a store; how long documents are is told of `view`, the store or a set of it."""
    manifest = store.manifest
    of_set = "" if view is store else " of the set"
    rows = [
        ("source", printable(manifest.source)),
        ("documents", f"{store.n_documents:,} in {_number(len(store.shards), 'shard')}"),
        ("tokens", f"{store.n_tokens:,} as {manifest.dtype}, {_size(_stored_bytes(manifest))}"),
        (f"length{of_set}", lengths(view)),
        ("text", f"{store.n_bytes:,} bytes, {store.n_bytes / store.n_tokens:.2f} per token"),
        ("tokenizer", f"{tokenizer.vocab_size:,} entries, SHA-256 {tokenizer.hash}"),
        ("inputs", _inputs(manifest)),
        ("empty", f"{manifest.n_empty:,} left out"),
        ("bad", f"{len(manifest.bad_records):,} left out"),
        ("duplicates", _duplicates(manifest)),
    ]
    width = max(len(name) for name, _ in rows)
    yield str(store.path)
    for name, value in rows:
        yield f"  {name:{width}}  {value}"
        if name == "bad":
            yield from bad_records(manifest)
    if manifest.sets:
        yield ""
        yield from set_table(manifest)


def lengths(store: TokenStore) -> str:
    """Percentiles of the documents' lengths in tokens; of very many documents, of a sample."""
    n_documents = store.n_documents
    if n_documents <= _ALL_LENGTHS:
        found, of = store.document_lengths(0, n_documents), ""
    else:
        first = np.linspace(0, n_documents - _RUN, _RUNS).astype(np.int64).tolist()
        found = np.concatenate([store.document_lengths(i, i + _RUN) for i in first])
        of = f" (of a sample of {len(found):,} documents)"
    values = np.percentile(found, PERCENTILES, method="lower").tolist()
    names = {0: "min", 50: "median", 100: "max"}
    told = (
        f"{names.get(percent, f'p{percent}')} {value:,}"
        for percent, value in zip(PERCENTILES, values, strict=True)
    )
    return f"{', '.join(told)} tokens{of}"


def bad_records(manifest: Manifest) -> Iterator[str]:
    """A line for each record that could not be read, and one for those beyond the first."""
    for bad in manifest.bad_records[:MAX_BAD_RECORDS]:
        where = f"{printable(bad.file)}, {record_unit(bad.file)} {bad.record:,}"
        yield f"{_MARGIN}{where}: {printable(bad.reason)}"
    if (more := len(manifest.bad_records) - MAX_BAD_RECORDS) > 0:
        yield f"{_MARGIN}and {more:,} more"


def set_table(manifest: Manifest) -> Iterator[str]:
    """The sets, their counts, and their shares of the tokens."""

    def row(name: str, counts: Counts) -> tuple[str, ...]:
        share = counts.n_tokens / manifest.n_tokens
        per_token = counts.n_bytes / counts.n_tokens
        sizes = (f"{n:,}" for n in (counts.n_documents, counts.n_tokens, counts.n_bytes))
        return (printable(name), *sizes, f"{per_token:.2f}", f"{100 * share:.1f} %")

    heads = ("set", "documents", "tokens", "bytes", "bytes per token", "share of tokens")
    rows = [heads, *(row(name, counts) for name, counts in manifest.sets.items())]
    yield from (f"  {line}" for line in aligned(rows))


def document_numbers(store: TokenStore, excerpts: Excerpts) -> list[int]:
    """The documents to show; UserError if the one that is asked for is not there."""
    n_documents = store.n_documents
    if excerpts.document is None:
        return list(evenly_spaced(excerpts.documents, n_documents))
    if excerpts.document >= n_documents:
        of_set = f" of the set {excerpts.set!r}" if excerpts.set else ""
        raise UserError(
            f"document={excerpts.document}{of_set} is not in {store.path}: "
            f"it has documents 0 to {n_documents - 1}"
        )
    return [excerpts.document]


def document(
    store: TokenStore, number: int, tokenizer: Tokenizer, characters: int
) -> Iterator[str]:
    """A line about a document, then its text, of which only as much is decoded as is shown."""
    ids = store.document(number)
    name = store.set_of(number)
    of_set = "" if name is None else f", set {printable(name)}"
    yield f"document {number:,}{of_set}, {_number(len(ids), 'token')}"
    # A character takes at most four bytes, a token stands for at least one.
    read = ids[1 : 4 * characters + 6]
    if len(read) and int(read.max()) >= tokenizer.vocab_size:
        raise UserError(
            f"document {number} of {store.path} holds ids outside the vocabulary: `sgatlin data "
            "verify` tells which files are damaged"
        )
    text = tokenizer.decode(read.tolist())
    shown = text[:characters] + ("…" if len(text) > characters else "")
    yield from (f"{_MARGIN}{printable(line)}".rstrip() for line in shown.split("\n"))


def printable(text: str) -> str:
    """`text` with what could confuse a terminal written as escapes: controls, direction marks."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _inputs(manifest: Manifest) -> str:
    if not manifest.inputs:
        return "not recorded"
    size = _size(sum(file.size for file in manifest.inputs))
    return f"{_number(len(manifest.inputs), 'file')}, {size}"


def _duplicates(manifest: Manifest) -> str:
    if manifest.n_duplicates is None:
        return "not counted"
    return f"{manifest.n_duplicates:,}, beyond the first of each text"


def _stored_bytes(manifest: Manifest) -> int:
    return sum(shard.tokens.size for shard in manifest.shards)


def _number(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _size(n_bytes: int) -> str:
    """Bytes in the largest decimal unit that leaves at least one."""
    size, units = float(n_bytes), ["B", "kB", "MB", "GB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:,.0f} B" if units[0] == "B" else f"{size:,.1f} {units[0]}"
