# SPDX-License-Identifier: Apache-2.0
"""Times whole training steps of every layer in one process, and the usage watch by itself.

python -m benchmarks.step                            # the default config's size
python -m benchmarks.step --config tinystories --batch-size 32      # the paper's model (a GPU)
python -m benchmarks.step --remat full --repeats 0   # memory only: nothing is run
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

from sgatlin.cli import run_command
from sgatlin.config import Config, load_config, load_variants, shipped_configs
from sgatlin.errors import require_at_least, require_one_of
from sgatlin.nn.gates import GatedConfig, Gates, choice_counts
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.transformer import Remat
from sgatlin.train.memory import training_memory
from sgatlin.train.step import StepInputs, abstract_state, init_state, make_train_step
from sgatlin.train.usage import Usage, add_step

REFERENCE = "sgatlin-reference"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    config: str = "storyworld"
    """Whose variants are timed."""
    variants: tuple[str, ...] = ()
    """Which of them; all by default."""
    batch_size: int | None = None
    """Windows of a step, in one part; the config's own by default."""
    seq_len: int | None = None
    """Tokens of a window; the config's own by default."""
    remat: Remat | None = None
    """What is recomputed in the backward pass; the config's own by default."""
    repeats: int = 20
    """Steps timed, after two; 0 times none and compares memory only."""

    def __post_init__(self) -> None:
        require_one_of(shipped_configs(), config=self.config)
        require_at_least(1, batch_size=self.batch_size, seq_len=self.seq_len)
        require_at_least(0, repeats=self.repeats)


def main(arguments: Arguments) -> None:
    known = load_variants(shipped_configs()[arguments.config])
    configs = {
        name: changed(load_config(f"{arguments.config}:{name}"), arguments) for name in known
    }
    base = configs.get("sgatlin")
    if base is not None:
        assert isinstance(base.model.feed_forward, SgatlinConfig)
        brute = dataclasses.replace(base.model.feed_forward, implementation="reference")
        model = dataclasses.replace(base.model, feed_forward=brute)
        configs[REFERENCE] = dataclasses.replace(base, model=model)
    for name in arguments.variants:
        require_one_of(configs, variants=name)
    print(f"{jax.devices()[0].device_kind}, JAX {jax.__version__}, {arguments}")
    print(
        f"{'':30} {'ms a step':>10} {'k tokens/s':>11} {'temporaries':>12} {'estimated':>10} "
        f"{'ratio':>6}"
    )
    for name in arguments.variants or configs:
        print(f"{name:30} {step_line(configs[name], arguments.repeats)}", flush=True)
    if base is None or arguments.repeats == 0:
        return
    with unittest.mock.patch("sgatlin.nn.transformer.choice_counts", no_counts):
        print(f"{'sgatlin, nothing counted':30} {step_line(base, arguments.repeats)}", flush=True)
    counting = usage_milliseconds(base, arguments.repeats)
    print(f"{'the counting of usage alone':30} {counting:10.3f}")


def no_counts(gates: Gates, pool_shape: tuple[int, int]) -> Array:
    return jnp.ones(pool_shape, jnp.int32)


def changed(config: Config, arguments: Arguments) -> Config:
    """The config with what the arguments say, and its batch in one part."""
    data, model = config.data, config.model
    return dataclasses.replace(
        config,
        model=dataclasses.replace(model, remat=arguments.remat or model.remat),
        data=dataclasses.replace(
            data,
            batch_size=arguments.batch_size or data.batch_size,
            seq_len=arguments.seq_len or data.seq_len,
        ),
        train=dataclasses.replace(config.train, accumulate=1),
    )


def step_line(config: Config, repeats: int) -> str:
    """Time and speed of a step on random tokens; XLA's temporaries, our estimate, and its ratio."""
    shape = (config.data.batch_size, config.data.seq_len)
    try:
        estimated = training_memory(config).temporaries
        ids = jax.random.randint(jax.random.key(0), shape, 0, config.model.vocab_size)
        batch = StepInputs(ids, ids, jnp.ones(shape))
        train_step = jax.jit(make_train_step(config), donate_argnums=0)
        step = train_step.lower(abstract_state(config), batch).compile()
        speed = f"{'':22}"
        if repeats:
            milliseconds = step_milliseconds(step, config, batch, repeats)
            speed = f"{milliseconds:10.2f} {config.tokens_per_step / milliseconds:11.1f}"
    except Exception as error:  # one that fails must not end the table
        return f"{type(error).__name__}: {error}".splitlines()[0][:120]
    memory: Any = step.memory_analysis()
    planned = memory.temp_size_in_bytes
    return (
        f"{speed} {planned / 2**20:8.0f} MiB {estimated / 2**20:6.0f} MiB "
        f"{estimated / planned:6.2f}"
    )


def step_milliseconds(
    step: Callable[..., Any], config: Config, batch: StepInputs, repeats: int
) -> float:
    """Median time of a step, after two."""
    state, times = init_state(config), []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        state, metrics = step(state, batch)
        jax.block_until_ready((state, metrics))
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[2:])


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
    run_command(lambda: main(tyro.cli(Arguments)))
