# SPDX-License-Identifier: Apache-2.0
"""Times whole training steps of several layers in one process.

python -m benchmarks.step                            # the default config's size
python -m benchmarks.step --size tinystories         # the paper's TinyStories model (a GPU)
"""

import dataclasses
import statistics
import time
from typing import Literal

import jax
import jax.numpy as jnp
import tyro

from sgatlin.config import Config, DataConfig, load_config
from sgatlin.nn.feed_forward import FeedForwardConfig
from sgatlin.nn.mlp import SwigluConfig, matching_d_hidden
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.transformer import Remat, TransformerConfig
from sgatlin.train.step import StepInputs, init_state, make_train_step


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    size: Literal["storyworld", "tinystories"] = "storyworld"
    """Model and batch."""
    repeats: int = 20
    """Steps timed, after two."""


def main(arguments: Arguments) -> None:
    base = load_config("storyworld")
    sparse = base.model.feed_forward
    if arguments.size == "tinystories":
        sparse = SgatlinConfig(n_channels=8, n_neurons=1024, top_k=8, d_key=128)
        model = TransformerConfig(vocab_size=8192, d_model=256, n_layers=4, feed_forward=sparse)
        data = DataConfig(source=base.data.source, seq_len=1024, batch_size=32)
        base = dataclasses.replace(base, model=model, data=data)
    assert isinstance(sparse, SgatlinConfig)
    brute = dataclasses.replace(sparse, implementation="reference")
    dense = SwigluConfig(d_hidden=matching_d_hidden(base.model.d_model))
    rows: list[tuple[str, FeedForwardConfig, Remat]] = [
        ("swiglu", dense, "none"),
        ("sgatlin, xla", sparse, "none"),
        ("sgatlin, xla, remat dots", sparse, "dots"),
        ("sgatlin, xla, remat full", sparse, "full"),
        ("sgatlin, reference primitives", brute, "none"),
    ]
    device = jax.devices()[0].device_kind
    print(f"{device}, JAX {jax.__version__}, {base.model.compute_dtype}, {arguments}")
    for name, feed_forward, remat in rows:
        model = dataclasses.replace(base.model, feed_forward=feed_forward, remat=remat)
        milliseconds, temporaries = time_step(
            dataclasses.replace(base, model=model), arguments.repeats
        )
        print(
            f"{name:30} {milliseconds:8.1f} ms  {base.tokens_per_step / milliseconds:8.1f} k "
            f"tokens/s  {temporaries / 2**30:6.2f} GiB of temporaries",
            flush=True,
        )


def time_step(config: Config, repeats: int) -> tuple[float, int]:
    """Median milliseconds of a step on random tokens, and bytes of XLA's temporaries."""
    state = init_state(config)
    shape = (config.data.batch_size, config.data.seq_len)
    ids = jax.random.randint(jax.random.key(0), shape, 0, config.model.vocab_size)
    batch = StepInputs(ids, ids, jnp.ones(shape))
    step = jax.jit(make_train_step(config), donate_argnums=0).lower(state, batch).compile()
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        state, metrics = step(state, batch)
        jax.block_until_ready((state, metrics))
        times.append(1e3 * (time.perf_counter() - start))
    memory = step.memory_analysis()
    return statistics.median(times[2:]), 0 if memory is None else memory.temp_size_in_bytes


if __name__ == "__main__":
    main(tyro.cli(Arguments))
