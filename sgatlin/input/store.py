# SPDX-License-Identifier: Apache-2.0
"""The token store: documents as flat, memory-mapped token shards with a manifest.

A store is a folder:

    tokens-00000.bin     ids, little-endian uint16 or uint32; every document is preceded by bos
    documents-00000.bin  where in its shard each document (its bos) starts, little-endian int64
    tokenizer.json       what the ids mean
    manifest.json        counts, sizes and hashes; written last, so a folder with it is complete

A document never spans two shards, so shards can be made and moved independently.
"""

import hashlib
import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from sgatlin.errors import UserError
from sgatlin.files import write_atomically
from sgatlin.input.manifest import (
    MANIFEST,
    OFFSET_DTYPE,
    Manifest,
    Shard,
    ShardFile,
    read_manifest,
)
from sgatlin.input.tokenizer import Tokenizer

TOKENIZER = "tokenizer.json"
# Of a shard that `verify` looks at in one go.
_CHUNK_TOKENS = 1 << 22


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
        self._dtype = np.dtype("<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4")
        self._shards: list[Shard] = []
        self._open: _ShardWriter | None = None

    def add(self, ids: Sequence[int] | np.ndarray, n_bytes: int) -> None:
        """Adds one document: its ids without bos, and the length of its text in UTF-8 bytes."""
        tokens = np.empty(len(ids) + 1, dtype=np.int64)
        tokens[0] = self._tokenizer.bos_id
        tokens[1:] = ids
        if tokens.min() < 0 or tokens.max() >= self._tokenizer.vocab_size:
            raise ValueError(f"a token id is outside 0..{self._tokenizer.vocab_size - 1}")
        if self._open and self._open.n_tokens + len(tokens) > self._max_shard_tokens:
            self._close_shard()
        if self._open is None:
            self._open = _ShardWriter(self._path, len(self._shards))
        self._open.add(tokens.astype(self._dtype), n_bytes)

    def close(self) -> None:
        """Completes the store; the context manager calls it."""
        self._close_shard()
        if not self._shards:
            raise UserError(f"no documents in {self._source}: nothing to write to {self._path}")
        self._tokenizer.save(self._path / TOKENIZER)
        manifest = Manifest(
            source=self._source,
            n_tokens=sum(shard.n_tokens for shard in self._shards),
            n_documents=sum(shard.n_documents for shard in self._shards),
            n_bytes=sum(shard.n_bytes for shard in self._shards),
            dtype="uint16" if self._dtype.itemsize == 2 else "uint32",
            vocab_size=self._tokenizer.vocab_size,
            tokenizer_hash=self._tokenizer.hash,
            shards=tuple(self._shards),
        )
        write_atomically(self._path / MANIFEST, manifest.model_dump_json(indent=2) + "\n")

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


class _HashedFile:
    """A new file, its size and hash counted while it is written."""

    def __init__(self, path: Path):
        self._path = path
        self._file = path.open("wb", buffering=1 << 20)
        self._sha256 = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._sha256.update(data)
        self._size += len(data)

    def close(self) -> ShardFile:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return ShardFile(file=self._path.name, size=self._size, sha256=self._sha256.hexdigest())

    def abandon(self) -> None:
        self._file.close()


class _ShardWriter:
    """One shard that is being written."""

    def __init__(self, path: Path, index: int):
        self._tokens = _HashedFile(path / f"tokens-{index:05d}.bin")
        self._documents = _HashedFile(path / f"documents-{index:05d}.bin")
        self.n_tokens = 0
        self._n_documents = 0
        self._n_bytes = 0

    def add(self, tokens: np.ndarray, n_bytes: int) -> None:
        self._documents.write(np.array(self.n_tokens, dtype=OFFSET_DTYPE).tobytes())
        self._tokens.write(tokens.tobytes())
        self.n_tokens += len(tokens)
        self._n_documents += 1
        self._n_bytes += n_bytes

    def close(self) -> Shard:
        return Shard(
            n_tokens=self.n_tokens,
            n_documents=self._n_documents,
            n_bytes=self._n_bytes,
            tokens=self._tokens.close(),
            documents=self._documents.close(),
        )

    def abandon(self) -> None:
        self._tokens.abandon()
        self._documents.abandon()


class TokenStore:
    """A complete store, memory-mapped; reading it from several threads is safe."""

    def __init__(self, path: Path, manifest: Manifest):
        """Use `open`."""
        self.path = path
        self.manifest = manifest
        self.n_tokens = manifest.n_tokens
        self.n_documents = manifest.n_documents
        self.n_bytes = manifest.n_bytes
        self.vocab_size = manifest.vocab_size
        self.tokenizer_hash = manifest.tokenizer_hash
        self.dtype = np.dtype(manifest.dtype).newbyteorder("<")
        self._tokens = [_map(path / shard.tokens.file, self.dtype) for shard in manifest.shards]
        self._documents = [
            _map(path / shard.documents.file, OFFSET_DTYPE) for shard in manifest.shards
        ]
        # Tokens and documents before each shard.
        self._token_base = [0, *accumulate(shard.n_tokens for shard in manifest.shards)]
        self._document_base = [0, *accumulate(shard.n_documents for shard in manifest.shards)]

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
                raise UserError(f"{path / file.file} {found}: prepare it again")
        return cls(path, manifest)

    def tokenizer(self) -> Tokenizer:
        """The tokenizer that made the ids."""
        tokenizer = Tokenizer.load(self.path / TOKENIZER)
        if tokenizer.hash != self.tokenizer_hash:
            raise UserError(f"{self.path / TOKENIZER} is not the tokenizer that made this store")
        return tokenizer

    def slice(self, start: int, stop: int) -> np.ndarray:
        """Tokens start to stop (exclusive) of the whole store: `dtype`, read-only, (stop - start,).

        A view of the file, or a copy where the range spans shards.
        """
        if not 0 <= start <= stop <= self.n_tokens:
            raise IndexError(f"tokens {start}:{stop} of a store of {self.n_tokens}")
        shard = bisect_right(self._token_base, start, hi=len(self._tokens)) - 1
        base = self._token_base[shard]
        if stop <= self._token_base[shard + 1]:
            return self._tokens[shard][start - base : stop - base]
        parts = []
        while start < stop:
            base, end = self._token_base[shard], min(stop, self._token_base[shard + 1])
            parts.append(self._tokens[shard][start - base : end - base])
            start, shard = end, shard + 1
        return np.concatenate(parts)

    def document(self, index: int) -> np.ndarray:
        """Tokens of one document, bos first: `dtype`, read-only."""
        if not 0 <= index < self.n_documents:
            raise IndexError(f"document {index} of a store of {self.n_documents}")
        shard = bisect_right(self._document_base, index) - 1
        starts, tokens = self._documents[shard], self._tokens[shard]
        first = index - self._document_base[shard]
        stop = starts[first + 1] if first + 1 < len(starts) else len(tokens)
        return tokens[starts[first] : stop]

    def verify(self) -> None:
        """Reads everything: hashes, token range, document starts.

        Raises:
          UserError: naming the first file that is not as it was written.
        """
        bos_id = self.tokenizer().bos_id
        for shard, tokens, starts in zip(
            self.manifest.shards, self._tokens, self._documents, strict=True
        ):
            for file in (shard.tokens, shard.documents):
                with (self.path / file.file).open("rb") as stream:
                    if hashlib.file_digest(stream, "sha256").hexdigest() != file.sha256:
                        raise UserError(f"{self.path / file.file} is damaged: its hash differs")
            for chunk in range(0, len(tokens), _CHUNK_TOKENS):
                highest = int(tokens[chunk : chunk + _CHUNK_TOKENS].max())
                if highest >= self.vocab_size:
                    raise UserError(
                        f"{self.path / shard.tokens.file} holds token {highest}, "
                        f"outside the vocabulary of {self.vocab_size}"
                    )
            ordered = starts[0] == 0 and (np.diff(starts) > 0).all() and starts[-1] < len(tokens)
            if not (ordered and (tokens[starts] == bos_id).all()):
                raise UserError(f"{self.path / shard.documents.file} does not fit its tokens")


def _map(path: Path, dtype: np.dtype) -> np.ndarray:
    # A plain view: slicing the memmap subclass costs several times more.
    return np.memmap(path, dtype=dtype, mode="r").view(np.ndarray)
