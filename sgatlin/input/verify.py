# SPDX-License-Identifier: Apache-2.0
"""Whether token stores are still what was written: every byte, and what the bytes must mean."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sgatlin.errors import UserError
from sgatlin.input.manifest import (
    MANIFEST,
    OFFSET_DTYPE,
    Manifest,
    Shard,
    ShardFile,
    read_manifest,
)
from sgatlin.input.store import TOKENIZER, store_folders
from sgatlin.input.tokenizer import Tokenizer

# Read, hashed and looked at together: small enough to stay in a core's cache meanwhile.
_CHUNK_BYTES = 1 << 18

Advance = Callable[[int], object]
"""Is told how many bytes more have been read."""


def verify(path: Path, *, tell: Callable[[str], None] = print) -> None:
    """Reads all of a store, or of a data set's stores, and in the end tells how much it was.

    Meanwhile a bar with bytes per second is drawn on stderr, if that is a terminal.

    Raises:
      UserError: with all faults, each naming its file: one that is missing, or of another size or
        content than the manifest says; ids outside the vocabulary; document starts that are not
        where the documents are; another tokenizer; a manifest that cannot be read.
    """
    manifests: dict[Path, Manifest] = {}
    faults: list[str] = []
    for folder in store_folders(path):
        try:
            manifests[folder] = read_manifest(folder)
        except UserError as error:
            faults.append(str(error))
    shards = [shard for manifest in manifests.values() for shard in manifest.shards]
    n_bytes = sum(shard.tokens.size + shard.documents.size for shard in shards)
    with tqdm(
        total=n_bytes,
        desc="verifying",
        unit="B",
        unit_scale=True,
        leave=False,
        disable=None,  # where there is no terminal
    ) as bar:
        for folder, manifest in manifests.items():
            faults += store_faults(folder, manifest, manifest.shards, bar.update)
    if len({manifest.tokenizer_hash for manifest in manifests.values()}) > 1:
        faults.append(f"the stores of {path} were made with different tokenizers")
    raise_faults(path, faults)
    # Of each shard two, of each store its tokenizer and manifest.
    tell(
        f"ok: {2 * len(shards) + 2 * len(manifests):,} files, "
        f"{sum(shard.n_tokens for shard in shards):,} tokens, "
        f"{sum(shard.n_documents for shard in shards):,} documents, {n_bytes / 1e6:,.1f} MB"
    )


def raise_faults(path: Path, faults: Sequence[str]) -> None:
    """UserError with all of them, if there are any."""
    if faults:
        n_faults = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}"
        raise UserError(f"{n_faults} in {path}, prepare or copy it again: {'; '.join(faults)}")


def store_faults(
    folder: Path,
    manifest: Manifest,
    shards: Sequence[Shard],
    advance: Advance = lambda n_bytes: None,
) -> list[str]:
    """What is wrong with the tokenizer and these shards of a store, a line for each fault."""
    faults = []
    bos_id = None
    try:
        tokenizer = Tokenizer.load(folder / TOKENIZER)
    except UserError as error:
        faults.append(str(error))
    else:
        if tokenizer.hash != manifest.tokenizer_hash:
            faults.append(f"{folder / TOKENIZER} is not the tokenizer that made this store")
        else:
            bos_id = tokenizer.bos_id
            if tokenizer.vocab_size != manifest.vocab_size:
                faults.append(
                    f"{folder / MANIFEST} says that the vocabulary has {manifest.vocab_size} "
                    f"entries, its tokenizer has {tokenizer.vocab_size}"
                )
    names = Counter(file.file for shard in shards for file in (shard.tokens, shard.documents))
    faults += [f"{folder / MANIFEST} lists {name} twice" for name, n in names.items() if n > 1]
    for shard in shards:
        faults += _shard_faults(folder, manifest, shard, bos_id, advance)
    return faults


def _shard_faults(
    folder: Path, manifest: Manifest, shard: Shard, bos_id: int | None, advance: Advance
) -> list[str]:
    """What is wrong with a shard; where documents start is left out if `bos_id` is not known."""
    documents, tokens = folder / shard.documents.file, folder / shard.tokens.file
    documents_fault = _file_fault(documents, shard.documents, advance)
    starts = np.empty(0, OFFSET_DTYPE)
    if documents_fault is None:
        starts = np.memmap(documents, OFFSET_DTYPE, mode="r").view(np.ndarray)
    ids = _Ids(np.dtype(manifest.dtype).newbyteorder("<"), bos_id, starts)
    tokens_fault = _file_fault(tokens, shard.tokens, advance, ids.look)

    faults = [fault for fault in (tokens_fault, documents_fault) if fault is not None]
    if tokens_fault is None and ids.highest >= manifest.vocab_size:
        faults.append(
            f"{tokens} holds token {ids.highest}, outside the vocabulary of {manifest.vocab_size}"
        )
    if not faults and bos_id is not None and not ids.starts_fit():
        faults.append(f"{documents} does not fit its tokens: documents start elsewhere")
    return faults


def _file_fault(
    path: Path,
    expected: ShardFile,
    advance: Advance,
    look: Callable[[memoryview], None] = lambda data: None,
) -> str | None:
    """How a file differs from what was written; `look` sees its bytes, in order, in chunks."""
    digest, chunk = hashlib.sha256(), memoryview(bytearray(_CHUNK_BYTES))
    try:
        size = path.stat().st_size if path.is_file() else None
        if size is None:
            return f"{path} is missing"
        if size != expected.size:
            return f"{path} has {size} bytes, not {expected.size}"
        with path.open("rb") as stream:
            while n_bytes := stream.readinto(chunk):
                digest.update(chunk[:n_bytes])
                look(chunk[:n_bytes])
                advance(n_bytes)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    if digest.hexdigest() != expected.sha256:
        return f"{path} is damaged: its hash differs"
    return None


class _Ids:
    """What is learned from the ids of a shard, seen chunk after chunk."""

    def __init__(self, dtype: np.dtype, bos_id: int | None, starts: np.ndarray):
        """`starts` is where the shard's documents should start, ascending."""
        self.highest = -1
        self._dtype = dtype
        self._bos_id = bos_id
        self._starts = starts
        self._n_read = 0
        self._n_found = 0
        self._differs = False

    def look(self, data: memoryview) -> None:
        ids = np.frombuffer(data, self._dtype)
        self.highest = max(self.highest, int(ids.max()))
        if self._bos_id is not None:
            # No text has a bos inside, so that documents start where there is one, and only there.
            found = np.flatnonzero(ids == self._bos_id) + self._n_read
            expected = self._starts[self._n_found : self._n_found + len(found)]
            self._differs |= not np.array_equal(found, expected)
            self._n_found += len(found)
        self._n_read += len(ids)

    def starts_fit(self) -> bool:
        """Whether documents start where they should, the first at 0, and nowhere else."""
        seen = not self._differs and self._n_found == len(self._starts)
        return seen and int(self._starts[0]) == 0
