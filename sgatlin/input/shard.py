# SPDX-License-Identifier: Apache-2.0
"""Writing one shard of a token store: two files, hashed as they are written."""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sgatlin.input.manifest import OFFSET_DTYPE, Shard, ShardFile
from sgatlin.input.tokenizer import Tokenizer


class ShardWriter:
    """One shard that is being written: `tokens-NAME.bin` and `documents-NAME.bin` in a folder.

    `close` makes both durable; `abandon` leaves them as they are, for whoever cleans up.
    """

    def __init__(self, folder: Path, name: str, tokenizer: Tokenizer, *, set: str | None = None):
        """`set` names the part of a mixture that all documents of this shard belong to."""
        self.n_tokens = 0
        self._set = set
        self._vocab_size = tokenizer.vocab_size
        self._dtype = token_dtype(tokenizer.vocab_size)
        self._bos = np.array(tokenizer.bos_id, dtype=self._dtype).tobytes()
        self._tokens = _HashedFile(folder / f"tokens-{name}.bin")
        self._documents = _HashedFile(folder / f"documents-{name}.bin")
        self._n_documents = 0
        self._n_bytes = 0

    def add(self, ids: Sequence[int] | np.ndarray, n_bytes: int) -> None:
        """Adds one document: its ids without bos, and the length of its text in UTF-8 bytes.

        ValueError if an id is not of the vocabulary.
        """
        ids = np.asarray(ids)
        if len(ids) and (ids.min() < 0 or ids.max() >= self._vocab_size):
            raise ValueError(f"a token id is outside 0..{self._vocab_size - 1}")
        self._documents.write(np.array(self.n_tokens, dtype=OFFSET_DTYPE).tobytes())
        self._tokens.write(self._bos)
        self._tokens.write(ids.astype(self._dtype).tobytes())
        self.n_tokens += len(ids) + 1
        self._n_documents += 1
        self._n_bytes += n_bytes

    def close(self) -> Shard:
        """Writes out what is buffered and tells what the shard holds."""
        return Shard(
            n_tokens=self.n_tokens,
            n_documents=self._n_documents,
            n_bytes=self._n_bytes,
            set=self._set,
            tokens=self._tokens.close(),
            documents=self._documents.close(),
        )

    def abandon(self) -> None:
        self._tokens.abandon()
        self._documents.abandon()


def token_dtype(vocab_size: int) -> np.dtype:
    """The smallest type that holds every id: little-endian uint16 or uint32."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


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
        # Closing writes out what is buffered, for which there may be no room.
        with contextlib.suppress(OSError):
            self._file.close()
