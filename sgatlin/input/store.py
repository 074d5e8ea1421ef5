# SPDX-License-Identifier: Apache-2.0
"""The token store: documents as flat, memory-mapped token shards with a manifest.

A store is a folder:

    tokens-NAME.bin      ids, little-endian uint16 or uint32; every document is preceded by bos
    documents-NAME.bin   where in its shard each document (its bos) starts, little-endian int64
    tokenizer.json       what the ids mean
    manifest.json        counts, sizes and hashes; written last, so a folder with it is complete

A document never spans two shards, so shards can be made and moved independently. Where the text
comes in sets (SlimPajama's), all documents of a shard are of one set, so that a set can be read by
itself: `subset`.
"""

import functools
import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from sgatlin.errors import UserError
from sgatlin.input.manifest import (
    MANIFEST,
    OFFSET_DTYPE,
    Manifest,
    Shard,
    count,
    read_manifest,
)
from sgatlin.input.tokenizer import Tokenizer

TOKENIZER = "tokenizer.json"
# Files that are mapped at a time: each holds a file descriptor, and a store may have thousands.
_MAX_MAPS = 256


class TokenStore:
    """A complete store, memory-mapped; reading it from several threads is safe."""

    def __init__(self, path: Path, manifest: Manifest, shards: Sequence[Shard]):
        """Use `open`, and `subset`."""
        self.path = path
        self.manifest = manifest
        self.shards = tuple(shards)
        self.counts = count(shards)
        self.n_tokens, self.n_documents, self.n_bytes = (
            self.counts.n_tokens,
            self.counts.n_documents,
            self.counts.n_bytes,
        )
        self.vocab_size = manifest.vocab_size
        self.tokenizer_hash = manifest.tokenizer_hash
        self.dtype = np.dtype(manifest.dtype).newbyteorder("<")
        # Tokens and documents before each shard.
        self._token_base = [0, *accumulate(shard.n_tokens for shard in shards)]
        self._document_base = [0, *accumulate(shard.n_documents for shard in shards)]

    @classmethod
    def open(cls, path: Path) -> "TokenStore":
        """Opens a store, checking its manifest and the sizes of its files (`verify`: hashes).

        Raises:
          UserError: when there is no complete store, naming the file at fault.
        """
        if not path.is_dir():
            raise UserError(f"no token store at {path}: prepare it with `sgatlin prepare`")
        manifest = read_manifest(path)
        for file in (file for shard in manifest.shards for file in (shard.tokens, shard.documents)):
            size = (path / file.file).stat().st_size if (path / file.file).is_file() else None
            if size != file.size:
                found = "is missing" if size is None else f"has {size} bytes, not {file.size}"
                raise UserError(
                    f"{path / file.file} {found}: prepare or copy it again (`sgatlin data verify "
                    f"{path}` names all that is damaged)"
                )
        return cls(path, manifest, manifest.shards)

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of the sets that the text comes in, sorted; empty if it has none."""
        return tuple(self.manifest.sets)

    @functools.cached_property
    def content_hash(self) -> str:
        """A hash of all tokens in their order, from the manifest's of the shards."""
        hashes = "".join(shard.tokens.sha256 for shard in self.manifest.shards)
        return hashlib.sha256(hashes.encode()).hexdigest()

    def subset(self, name: str) -> "TokenStore":
        """The documents of one set, as a store; UserError if there is no such set."""
        if name not in self.manifest.sets:
            known = ", ".join(self.sets) or "none"
            raise UserError(f"{self.path} has no set {name!r}; its sets: {known}")
        shards = [shard for shard in self.manifest.shards if shard.set == name]
        return TokenStore(self.path, self.manifest, shards)

    def tokenizer(self) -> Tokenizer:
        """The tokenizer that made the ids."""
        tokenizer = Tokenizer.load(self.path / TOKENIZER)
        if tokenizer.hash != self.tokenizer_hash:
            raise UserError(f"{self.path / TOKENIZER} is not the tokenizer that made this store")
        return tokenizer

    def _tokens(self, shard: int) -> np.ndarray:
        file = self.shards[shard].tokens
        return _map(f"{self.path}/{file.file}", self.dtype.str, file.sha256)

    def _documents(self, shard: int) -> np.ndarray:
        file = self.shards[shard].documents
        return _map(f"{self.path}/{file.file}", OFFSET_DTYPE.str, file.sha256)

    def slice(self, start: int, stop: int) -> np.ndarray:
        """Tokens start to stop (exclusive) of the whole store: `dtype`, read-only, (stop - start,).

        A view of the file, or a copy where the range spans shards.
        """
        if not 0 <= start <= stop <= self.n_tokens:
            raise IndexError(f"tokens {start}:{stop} of a store of {self.n_tokens}")
        shard = bisect_right(self._token_base, start, hi=len(self.shards)) - 1
        base = self._token_base[shard]
        if stop <= self._token_base[shard + 1]:
            return self._tokens(shard)[start - base : stop - base]
        parts = []
        while start < stop:
            base, end = self._token_base[shard], min(stop, self._token_base[shard + 1])
            parts.append(self._tokens(shard)[start - base : end - base])
            start, shard = end, shard + 1
        return np.concatenate(parts)

    def document(self, index: int) -> np.ndarray:
        """Tokens of one document, bos first: `dtype`, read-only."""
        if not 0 <= index < self.n_documents:
            raise IndexError(f"document {index} of a store of {self.n_documents}")
        shard = bisect_right(self._document_base, index) - 1
        starts, tokens = self._documents(shard), self._tokens(shard)
        first = index - self._document_base[shard]
        stop = starts[first + 1] if first + 1 < len(starts) else len(tokens)
        return tokens[starts[first] : stop]

    def document_lengths(self, start: int, stop: int) -> np.ndarray:
        """Tokens of documents start to stop (exclusive), each with its bos: int64, (stop - start,).

        Only their starts are read.
        """
        if not 0 <= start <= stop <= self.n_documents:
            raise IndexError(f"documents {start}:{stop} of a store of {self.n_documents}")
        parts = [np.empty(0, np.int64)]
        while start < stop:
            shard = bisect_right(self._document_base, start) - 1
            base, end = self._document_base[shard], min(stop, self._document_base[shard + 1])
            starts = self._documents(shard)[start - base : end - base + 1].astype(np.int64)
            if end == self._document_base[shard + 1]:
                starts = np.append(starts, len(self._tokens(shard)))
            parts.append(np.diff(starts))
            start = end
        return np.concatenate(parts)

    def set_of(self, index: int) -> str | None:
        """Name of the set that a document is of; None where the text has no sets."""
        if not 0 <= index < self.n_documents:
            raise IndexError(f"document {index} of a store of {self.n_documents}")
        return self.shards[bisect_right(self._document_base, index) - 1].set

    def verify(self) -> None:
        """Reads everything: hashes, token range, document starts.

        Raises:
          UserError: naming every file that is not as it was written.
        """
        from sgatlin.input.verify import raise_faults, store_faults  # which reads stores itself

        raise_faults(self.path, store_faults(self.path, self.manifest, self.shards))


def store_folders(path: Path) -> list[Path]:
    """The folder of a store, or the folders of the stores of a prepared data set.

    Whether there is a complete store in each is for others to see. UserError if there is no folder.
    """
    if not path.is_dir():
        raise UserError(f"no token store at {path}: prepare it with `sgatlin prepare`")
    splits = [path / split for split in ("train", "validation", "test")]
    if (path / MANIFEST).exists() or not any(split.is_dir() for split in splits):
        return [path]
    return [split for split in splits if split.is_dir() or split.name != "test"]


def split_stores(path: Path) -> tuple[TokenStore, TokenStore]:
    """The train and validation stores of a prepared data set: a folder that holds both.

    Raises:
      UserError: when they are missing, incomplete, or of two tokenizers.
    """
    if not path.is_dir():
        raise UserError(
            f"no prepared data at {path}: make it with `sgatlin prepare`; a dry run and "
            "`sgatlin cost` need none"
        )
    if (path / MANIFEST).exists():
        raise UserError(f"{path} is one store: give the folder that holds it, {path.parent}")
    train, validation = TokenStore.open(path / "train"), TokenStore.open(path / "validation")
    if train.tokenizer_hash != validation.tokenizer_hash:
        raise UserError(f"{path}: train and validation were made with different tokenizers")
    return train, validation


@functools.lru_cache(maxsize=_MAX_MAPS)
def _map(path: str, dtype: str, sha256: str) -> np.ndarray:
    # The hash tells a file from one that was there before. A plain view: slicing the memmap
    # subclass costs several times more.
    return np.memmap(path, dtype=dtype, mode="r").view(np.ndarray)
