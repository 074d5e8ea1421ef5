# SPDX-License-Identifier: Apache-2.0
"""Exact copies among documents, found by the hashes of their texts in bounded memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from sgatlin.input.manifest import OFFSET_DTYPE, Shard
from sgatlin.input.preparation.inputs import SPLITS, Split
from sgatlin.input.preparation.pieces import HASH_DTYPE
from sgatlin.input.shard import ShardWriter, token_dtype
from sgatlin.input.tokenizer import Tokenizer

# Hashes that are compared at a time: some 1 GB while they are sorted.
_BUCKET_HASHES = 1 << 24

# Of each shard of a split: numbers of the documents whose text came before, ascending.
Copies = list[Int64[np.ndarray, " _"]]


def find_copies(
    hash_files: Mapping[Split, Sequence[Path]], *, bucket_hashes: int = _BUCKET_HASHES
) -> dict[Split, Copies]:
    """Documents that are a copy of one before, held-out splits being before `train`.

    Args:
      hash_files: of each split, one file of `HASH_DTYPE` for each shard.
      bucket_hashes: about so many are held in memory at a time.
    """
    places = [(split, path) for split in SPLITS for path in hash_files[split]]
    n_hashes = sum(path.stat().st_size // HASH_DTYPE.itemsize for _, path in places)
    n_buckets = max(-(-n_hashes // bucket_hashes), 1)
    copies: list[list[np.ndarray]] = [[] for _ in places]
    for bucket in range(n_buckets):
        numbers, values = [], []
        for _, path in places:
            hashes = np.fromfile(path, HASH_DTYPE)
            numbers.append(np.flatnonzero(hashes % n_buckets == bucket))
            values.append(hashes[numbers[-1]])
        is_copy = np.ones(sum(map(len, values)), dtype=bool)
        is_copy[np.unique(np.concatenate(values), return_index=True)[1]] = False
        ends = np.cumsum([len(these) for these in numbers])[:-1]
        for found, these, flags in zip(copies, numbers, np.split(is_copy, ends), strict=True):
            found.append(these[flags])
    sorted_copies = [np.sort(np.concatenate(found)).astype(np.int64) for found in copies]
    return {
        split: [found for (of, _), found in zip(places, sorted_copies, strict=True) if of == split]
        for split in SPLITS
    }


def without_copies(
    folder: Path, shard: Shard, copies: Int64[np.ndarray, " n"], tokenizer: Tokenizer
) -> Shard | None:
    """A new shard in the folder without these documents; None if it would be empty."""
    if len(copies) == shard.n_documents:
        return None
    tokens = np.memmap(folder / shard.tokens.file, token_dtype(tokenizer.vocab_size), mode="r")
    starts = np.fromfile(folder / shard.documents.file, OFFSET_DTYPE)
    ends = np.append(starts[1:], len(tokens))
    token_bytes_V = tokenizer.token_bytes()
    name = shard.documents.file.removeprefix("documents-").removesuffix(".bin")
    writer = ShardWriter(folder, f"{name}-distinct", tokenizer, set=shard.set)
    try:
        for number in np.setdiff1d(np.arange(shard.n_documents), copies, assume_unique=True):
            ids = tokens[starts[number] + 1 : ends[number]]
            writer.add(ids, int(token_bytes_V[ids].sum()))
        return writer.close()
    finally:
        writer.abandon()
