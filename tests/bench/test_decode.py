# SPDX-License-Identifier: Apache-2.0
"""Decoding: bytes of a token counted by hand, and a row for each config and batch size."""

import dataclasses

import jax
import pytest

from sgatlin.bench.decode import bytes_per_token, decode_rows, random_params
from sgatlin.bench.measure import Ceilings
from sgatlin.nn.mlp import MlpConfig
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.transformer import TransformerConfig

D, LAYERS, VOCABULARY = 8, 3, 50
DENSE = TransformerConfig(
    vocab_size=VOCABULARY,
    d_model=D,
    n_layers=LAYERS,
    d_head=4,
    feed_forward=MlpConfig(d_hidden=20),
    dtype="bfloat16",
)
POOL = SgatlinConfig(n_channels=2, n_neurons=16, top_k=3, d_key=4)
SPARSE = dataclasses.replace(DENSE, feed_forward=POOL)

# Of a block: four projections of attention in bf16; four norms' scales in fp32, of widths D, D and,
# for queries and keys, 4. Of the model: the embedding and the last norm in fp32.
ATTENTION = 4 * D * D * 2 + (D + D + 4 + 4) * 4
OUTSIDE = VOCABULARY * D * 4 + D * 4


def test_bytes_of_a_dense_model():
    mlp = 2 * D * 20 * 2
    weights = LAYERS * (ATTENTION + mlp) + OUTSIDE
    for batch_size in (1, 4):
        reads = bytes_per_token(DENSE, batch_size, context=10)
        assert reads.parameters == pytest.approx(weights / batch_size)
        assert reads.cache == 2 * LAYERS * 10 * D * 2


def test_bytes_of_a_sparse_model_grow_with_the_distinct_rows():
    router = (D * 4 + 4 * 2 * 2 * 4) * 4  # query and key, fp32
    row = D * 2
    # Of 16 rows of each of 2 tables of 2 channels a token reads 3. A second reads 3, of which
    # 3 * 3 / 16 are the first's, on average.
    distinct = {1: 3, 2: 6 - 9 / 16}
    for batch_size, rows in distinct.items():
        pool = 2 * 2 * rows * row
        weights = LAYERS * (ATTENTION + router + pool) + OUTSIDE
        reads = bytes_per_token(SPARSE, batch_size, context=10)
        assert reads.parameters == pytest.approx(weights / batch_size)


def test_with_many_tokens_all_of_the_pool_is_read():
    whole = sum(leaf.nbytes for leaf in jax.tree.leaves(random_params(SPARSE)))
    reads = bytes_per_token(SPARSE, 1000, context=10)
    assert 1000 * reads.parameters == pytest.approx(whole)


@pytest.mark.slow
def test_rows(toy):
    model = dataclasses.replace(toy.model, feed_forward=MlpConfig(d_hidden=32))
    configs = {"a": toy, "b": dataclasses.replace(toy, model=model)}
    rows = list(decode_rows(configs, (1, 2), 4, Ceilings(1e9, 1e12), repeats=1))
    assert [(row["batch_size"], row["name"]) for row in rows] == [
        (1, "a"),
        (1, "b"),
        (2, "a"),
        (2, "b"),
    ]
    for row in rows:
        assert "error" not in row
        assert row["tokens_per_second"] == pytest.approx(row["batch_size"] / (1e-3 * row["ms"]))
        bytes_of_token = row["parameter_bytes"] + row["cache_bytes"]
        rate = bytes_of_token * row["tokens_per_second"]
        assert row["bytes_per_second"] == pytest.approx(rate)
        assert row["of_copy"] == pytest.approx(rate / 1e9)
    assert [row["over_first"] == 1 for row in rows] == [True, False, True, False]
