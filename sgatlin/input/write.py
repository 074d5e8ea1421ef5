# SPDX-License-Identifier: Apache-2.0
"""Writing a token store from documents that come one by one; `store.py` has the layout."""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sgatlin.errors import UserError
from sgatlin.files import write_atomically
from sgatlin.input.manifest import MANIFEST, Manifest, Shard, count, count_sets
from sgatlin.input.shard import ShardWriter, token_dtype
from sgatlin.input.store import TOKENIZER, TokenStore
from sgatlin.input.tokenizer import Tokenizer

_CHUNK_DOCUMENTS = 1024


def write_store(
    path: Path,
    texts: Iterable[str],
    tokenizer: Tokenizer,
    *,
    source: str,
    max_shard_tokens: int = 1 << 28,
    overwrite: bool = False,
) -> TokenStore:
    """Encodes texts, one document each, into a store; arguments and errors as `StoreWriter`'s."""
    texts = iter(texts)
    with StoreWriter(
        path, tokenizer, source=source, max_shard_tokens=max_shard_tokens, overwrite=overwrite
    ) as writer:
        while chunk := list(itertools.islice(texts, _CHUNK_DOCUMENTS)):
            for text, ids in zip(chunk, tokenizer.encode_batch(chunk), strict=True):
                writer.add(ids, len(text.encode()))
    return TokenStore.open(path)


class StoreWriter:
    """Writes a store, one document after another; a context manager.

    Leaving the context normally writes the manifest; leaving it by an exception does not, and what
    lies there is then no store.

    Raises:
      UserError: when the folder holds a complete store and `overwrite` is not set, and at the end
        when there was no document.
    """

    def __init__(
        self,
        path: Path,
        tokenizer: Tokenizer,
        *,
        source: str,
        max_shard_tokens: int = 1 << 28,
        overwrite: bool = False,
    ):
        """`source` says where the text comes from. A document over the limit gets its own shard."""
        if (path / MANIFEST).exists() and not overwrite:
            raise UserError(
                f"{path} already holds a token store: remove it or choose another folder"
            )
        path.mkdir(parents=True, exist_ok=True)
        # The manifest goes first: from here on the folder is not a complete store.
        for pattern in (MANIFEST, "tokens-*.bin", "documents-*.bin"):
            for old in path.glob(pattern):
                old.unlink()
        self._path = path
        self._tokenizer = tokenizer
        self._source = source
        self._max_shard_tokens = max_shard_tokens
        self._shards: list[Shard] = []
        self._open: ShardWriter | None = None

    def add(self, ids: Sequence[int] | np.ndarray, n_bytes: int) -> None:
        """Adds one document: its ids without bos, and the length of its text in UTF-8 bytes."""
        if self._open and self._open.n_tokens + len(ids) + 1 > self._max_shard_tokens:
            self._close_shard()
        if self._open is None:
            self._open = ShardWriter(self._path, f"{len(self._shards):05d}", self._tokenizer)
        self._open.add(ids, n_bytes)

    def close(self) -> None:
        """Completes the store; the context manager calls it."""
        self._close_shard()
        if not self._shards:
            raise UserError(f"no documents in {self._source}: nothing to write to {self._path}")
        complete_store(self._path, self._tokenizer, self._shards, source=self._source)

    def _close_shard(self) -> None:
        if self._open is not None:
            self._shards.append(self._open.close())
            self._open = None

    def __enter__(self) -> "StoreWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            if self._open is not None:
                self._open.abandon()


def complete_store(
    path: Path, tokenizer: Tokenizer, shards: Sequence[Shard], *, source: str, **facts: Any
) -> Manifest:
    """Makes a folder of finished shards a store: its tokenizer, and last its manifest.

    `facts` are the manifest's other fields.
    """
    tokenizer.save(path / TOKENIZER)
    manifest = Manifest(
        source=source,
        **count(shards).model_dump(),
        dtype="uint16" if token_dtype(tokenizer.vocab_size).itemsize == 2 else "uint32",
        vocab_size=tokenizer.vocab_size,
        tokenizer_hash=tokenizer.hash,
        sets=count_sets(shards),
        shards=tuple(shards),
        **facts,
    )
    write_atomically(path / MANIFEST, manifest.model_dump_json(indent=2) + "\n")
    return manifest
