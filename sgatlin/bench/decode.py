# SPDX-License-Identifier: Apache-2.0
"""`sgatlin bench decode`: one token after another, with a cache, at several batch sizes.

B sequences, S positions of the cache, D model, V vocabulary.
"""

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import jax
import numpy as np

from sgatlin.bench.measure import Ceilings, reason
from sgatlin.bench.rows import Column, Table
from sgatlin.config import Config
from sgatlin.eval.generate import Sampling, decoding_params, generate
from sgatlin.nn.gates import GatedConfig
from sgatlin.nn.transformer import TransformerConfig, init_params
from sgatlin.scaling.flops import count_parameters


def table(name_width: int) -> Table:
    columns = (
        Column("batch_size", "batch", ","),
        Column("tokens_per_second", "tokens/s", ",.0f"),
        Column("ms", "ms a token", ",.3f"),
        Column("parameter_bytes", "MB weights", ",.3f", 1e6),
        Column("cache_bytes", "MB cache", ",.3f", 1e6),
        Column("bytes_per_second", "GB/s", ",.1f", 1e9),
        Column("of_copy", "of copy", ".1%"),
        Column("over_first", "of the first", ".2f"),
    )
    return Table(columns, name_width)


class Reads(NamedTuple):
    """Bytes read for each token that is generated, by theory."""

    parameters: float
    """Each weight that a step needs once, over the step's tokens; the embedding, which every
    step multiplies with all of, included."""
    cache: int
    """All positions that the cache has room for: attention reads them whether filled or not."""


def bytes_per_token(config: TransformerConfig, batch_size: int, context: int) -> Reads:
    """What a step reads, over the batch's size.

    Weights that all tokens use are read once a step. Of a pool, where a token uses the share f of
    all rows, B tokens that choose evenly and independently use 1 - (1 - f) ** B of them, on
    average; real routing is uneven, and reads less.
    """
    itemsize, d_model = config.compute_dtype.itemsize, config.d_model
    abstract = jax.eval_shape(lambda: random_params(config))
    weights = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(abstract))
    for layer in config.period:
        if isinstance(layer, GatedConfig):
            alone = dataclasses.replace(config, n_layers=1, feed_forward=layer)
            counted, gathered = count_parameters(alone), layer.gathered_parameters(d_model)
            pool = counted.layer - (counted.active_layer - gathered)
            unused = pool * (1 - gathered / pool) ** batch_size
            weights -= config.n_periods * unused * itemsize
    cache = 2 * config.n_layers * context * d_model * itemsize
    return Reads(weights / batch_size, cache)


def random_params(config: TransformerConfig) -> Any:
    """Random parameters, as generation reads them."""
    return jax.jit(lambda: decoding_params(config, init_params(config, 0)))()


def decode_rows(
    configs: Mapping[str, Config],
    batch_sizes: Sequence[int],
    n_tokens: int,
    ceilings: Ceilings,
    repeats: int,
) -> Iterator[dict[str, Any]]:
    """A row for each batch size and config, as it is measured."""
    params = {name: random_params(config.model) for name, config in configs.items()}
    for batch_size in batch_sizes:
        first_ms: float | None = None
        for name, config in configs.items():
            row: dict[str, Any] = {"name": name, "batch_size": batch_size}
            try:
                ms = decode_ms(config.model, params[name], batch_size, n_tokens, repeats)
            except Exception as error:  # one that fails must not end the table
                yield row | {"error": reason(error)}
                continue
            first_ms = first_ms or ms
            reads = bytes_per_token(config.model, batch_size, n_tokens + 1)
            rate = 1e3 * batch_size * sum(reads) / ms
            yield row | {
                "tokens_per_second": 1e3 * batch_size / ms,
                "ms": ms,
                "parameter_bytes": reads.parameters,
                "cache_bytes": reads.cache,
                "bytes_per_second": rate,
                "of_copy": rate / ceilings.copy,
                "over_first": ms / first_ms,
            }


def decode_ms(
    config: TransformerConfig, params: Any, batch_size: int, n_tokens: int, repeats: int
) -> float:
    """Median milliseconds from one token of every sequence to the next, of whole generations.

    Tokens are drawn at temperature 1: random parameters then give every sequence its own text, and
    sequences choose neurons apart. Prompts have one token, so that one program is compiled.
    """
    prompt_B1 = np.random.default_rng(0).integers(config.vocab_size, size=(batch_size, 1))
    times = []
    for repeat in range(repeats + 1):
        tokens = generate(
            config,
            params,
            prompt_B1.astype(np.int32),
            max_tokens=n_tokens,
            sampling=Sampling(temperature=1.0),
            seed=repeat,
        )
        next(tokens)
        start = time.perf_counter()
        for _ in tokens:
            pass
        times.append(1e3 * (time.perf_counter() - start) / (n_tokens - 1))
    return median(times[1:])
