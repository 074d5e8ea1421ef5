# SPDX-License-Identifier: Apache-2.0
"""Times whole training steps of every layer in one process, and the usage watch by itself.

python -m benchmarks.step                            # the default config's size
python -m benchmarks.step --config tinystories --batch-size 32      # the paper's model (a GPU)
"""

import dataclasses
import statistics
import time
import unittest.mock
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from jaxtyping import Array

from sgatlin.config import Config, load_config, load_variants, shipped_configs
from sgatlin.nn.gates import GatedConfig, Gates, choice_counts
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.train.memory import training_memory
from sgatlin.train.step import StepInputs, init_state, make_train_step
from sgatlin.train.usage import Usage, add_step

REFERENCE = "sgatlin, reference primitives"
REMAT_DOTS, REMAT_FULL = "sgatlin, remat dots", "sgatlin, remat full"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    config: str = "storyworld"
    """Whose variants are timed."""
    variants: tuple[str, ...] = ()
    """Which of them; all by default."""
    batch_size: int | None = None
    """Windows of a step, in one part; the config's own by default."""
    repeats: int = 20
    """Steps timed, after two."""


def main(arguments: Arguments) -> None:
    known = load_variants(shipped_configs()[arguments.config])
    configs = {name: load_config(f"{arguments.config}:{name}") for name in known}
    base = configs["sgatlin"]
    assert isinstance(base.model.feed_forward, SgatlinConfig)
    brute = dataclasses.replace(base.model.feed_forward, implementation="reference")
    configs[REFERENCE] = with_model(base, feed_forward=brute)
    configs[REMAT_DOTS] = with_model(base, remat="dots")
    configs[REMAT_FULL] = with_model(base, remat="full")
    print(f"{jax.devices()[0].device_kind}, JAX {jax.__version__}, {arguments}")
    print(f"{'':30} {'ms a step':>10} {'k tokens/s':>11} {'temporaries':>12} {'estimated':>10}")
    for name in arguments.variants or configs:
        config = in_one_part(configs[name], arguments.batch_size)
        print(f"{name:30} {step_line(config, arguments.repeats)}", flush=True)
    base = in_one_part(base, arguments.batch_size)
    with unittest.mock.patch("sgatlin.nn.transformer.choice_counts", no_counts):
        print(f"{'sgatlin, nothing counted':30} {step_line(base, arguments.repeats)}", flush=True)
    counting = usage_milliseconds(base, arguments.repeats)
    print(f"{'the counting of usage alone':30} {counting:10.3f}")


def no_counts(gates: Gates, pool_shape: tuple[int, int]) -> Array:
    return jnp.ones(pool_shape, jnp.int32)


def with_model(config: Config, **changed: Any) -> Config:
    return dataclasses.replace(config, model=dataclasses.replace(config.model, **changed))


def in_one_part(config: Config, batch_size: int | None) -> Config:
    data = dataclasses.replace(config.data, batch_size=batch_size or config.data.batch_size)
    train = dataclasses.replace(config.train, accumulate=1)
    return dataclasses.replace(config, data=data, train=train)


def step_line(config: Config, repeats: int) -> str:
    """Time and speed of a step on random tokens; XLA's temporaries, and our estimate of them."""
    state = init_state(config)
    shape = (config.data.batch_size, config.data.seq_len)
    ids = jax.random.randint(jax.random.key(0), shape, 0, config.model.vocab_size)
    batch = StepInputs(ids, ids, jnp.ones(shape))
    try:
        estimated = training_memory(config).temporaries / 2**20
        step = jax.jit(make_train_step(config), donate_argnums=0).lower(state, batch).compile()
        times = []
        for _ in range(repeats + 2):
            start = time.perf_counter()
            state, metrics = step(state, batch)
            jax.block_until_ready((state, metrics))
            times.append(1e3 * (time.perf_counter() - start))
    except Exception as error:  # one that fails must not end the table
        return f"{type(error).__name__}: {error}".splitlines()[0][:120]
    milliseconds = statistics.median(times[2:])
    memory: Any = step.memory_analysis()
    return (
        f"{milliseconds:10.2f} {config.tokens_per_step / milliseconds:11.1f} "
        f"{memory.temp_size_in_bytes / 2**20:8.0f} MiB {estimated:6.0f} MiB"
    )


def usage_milliseconds(config: Config, repeats: int) -> float:
    """Median time of counting the choices of one step in all layers."""
    layer, n_layers = config.model.feed_forward, config.model.n_layers
    assert isinstance(layer, GatedConfig)
    n_channels, n_neurons = layer.pool_shape
    shape = (n_layers, config.tokens_per_step, n_channels, layer.top_k)
    indices = jax.random.randint(jax.random.key(0), shape, 0, n_neurons)
    zeros = jnp.zeros((n_layers, n_channels, n_neurons), jnp.int32)

    def count(usage: Usage, indices: Array) -> Usage:
        counts = jax.lax.map(lambda i: choice_counts(Gates(i, i), layer.pool_shape), indices)
        return add_step(usage, counts, jnp.int32(1))

    counting: Callable[..., Any] = jax.jit(count)
    usage, times = Usage(zeros, zeros), []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        usage = jax.block_until_ready(counting(usage, indices))
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[2:])


if __name__ == "__main__":
    main(tyro.cli(Arguments))
