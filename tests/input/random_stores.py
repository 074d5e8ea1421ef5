# SPDX-License-Identifier: Apache-2.0
"""Token stores of random tokens, with sets and without."""

from pathlib import Path

import numpy as np

from sgatlin.input.shard import ShardWriter
from sgatlin.input.store import TokenStore
from sgatlin.input.tokenizer import train_bpe
from sgatlin.input.write import StoreWriter, complete_store

VOCAB_SIZE = 257
BOS = 0


def write_store(path: Path, n_tokens: int) -> TokenStore:
    """Documents of 50 tokens, several shards, so that windows span shards."""
    tokens = np.random.default_rng(0).integers(1, VOCAB_SIZE, n_tokens).tolist()
    tokenizer = train_bpe([], vocab_size=VOCAB_SIZE)
    with StoreWriter(path, tokenizer, source="random", max_shard_tokens=220) as writer:
        for start in range(0, n_tokens, 50):
            writer.add(tokens[start + 1 : min(start + 50, n_tokens)], n_bytes=49)
    store = TokenStore.open(path)
    assert store.n_tokens == n_tokens
    return store


def write_sets(path: Path, lengths: dict[str, list[int]], *, vocab_size=VOCAB_SIZE) -> TokenStore:
    """A shard for each set, with documents of these numbers of tokens, their bos included."""
    tokenizer = train_bpe([], vocab_size=VOCAB_SIZE)
    rng, shards = np.random.default_rng(1), []
    path.mkdir(parents=True)
    for number, (name, documents) in enumerate(lengths.items()):
        writer = ShardWriter(path, f"{number:05d}", tokenizer, set=name)
        for length in documents:
            writer.add(rng.integers(1, vocab_size, length - 1), n_bytes=length - 1)
        shards.append(writer.close())
    complete_store(path, tokenizer, shards, source="random sets")
    return TokenStore.open(path)


def damage(path: Path, position: int, token: int) -> None:
    """Overwrites one token of a shard's file of uint16."""
    tokens = np.memmap(path, dtype="<u2", mode="r+")
    tokens[position] = token
    tokens.flush()
