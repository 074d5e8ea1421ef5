# SPDX-License-Identifier: Apache-2.0
"""Times what the usage watch adds to a training step: a step that counts nothing, and the counting.

python -m benchmarks.usage [--config tinystories:sgatlin --batch-size 32]
"""

import dataclasses
import unittest.mock
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from jaxtyping import Array

from sgatlin.bench.measure import median_ms
from sgatlin.bench.rows import heading
from sgatlin.bench.step import Changes, Step, changed
from sgatlin.cli import run_command
from sgatlin.config import Config, load_config
from sgatlin.errors import UserError, require_at_least
from sgatlin.nn.gates import GatedConfig, Gates, choice_counts
from sgatlin.train.usage import Usage, add_step


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    config: str = "storyworld:sgatlin"
    """NAME or NAME:VARIANT of a config whose layer has gates."""
    batch_size: int | None = None
    """Windows of a step, in one part; the config's own by default."""
    repeats: int = 20
    """Measurements, of which the median is told."""

    def __post_init__(self) -> None:
        require_at_least(1, batch_size=self.batch_size, repeats=self.repeats)


def main(arguments: Arguments) -> None:
    config = changed(load_config(arguments.config), Changes(batch_size=arguments.batch_size))
    layer = config.model.feed_forward
    if not isinstance(layer, GatedConfig):
        raise UserError(f"config={arguments.config!r} has no gates to count: name another")
    print(heading())
    print(f"a step                        {median_ms(Step(config), arguments.repeats):10.3f} ms")
    with unittest.mock.patch("sgatlin.nn.transformer.choice_counts", _no_counts):
        silent = Step(config)
    print(f"a step that counts nothing    {median_ms(silent, arguments.repeats):10.3f} ms")
    counting = counting_ms(config, layer, arguments.repeats)
    print(f"the counting of usage alone   {counting:10.3f} ms")


def _no_counts(gates: Gates, pool_shape: tuple[int, int]) -> Array:
    return jnp.ones(pool_shape, jnp.int32)


def counting_ms(config: Config, layer: GatedConfig, repeats: int) -> float:
    """Median time of counting the choices of one step in all layers."""
    n_layers, (n_tables, n_neurons) = config.model.n_layers, layer.pool_shape
    shape = (n_layers, config.tokens_per_step, n_tables, layer.top_k)
    indices = jax.random.randint(jax.random.key(0), shape, 0, n_neurons)
    zeros = jnp.zeros((n_layers, n_tables, n_neurons), jnp.int32)

    def count(usage: Usage, indices: Array) -> Usage:
        counts = jax.lax.map(lambda i: choice_counts(Gates(i, i), layer.pool_shape), indices)
        return add_step(usage, counts, jnp.int32(1))

    counting: Callable[..., Any] = jax.jit(count)
    usage = Usage(zeros, zeros)
    return median_ms(lambda: counting(usage, indices), repeats)


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Arguments)))
