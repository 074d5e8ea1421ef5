# SPDX-License-Identifier: Apache-2.0
"""What is done with the usage of a layer's neurons every so many steps: a report, a remedy."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from sgatlin.config import Config
from sgatlin.nn.pattern import gated_paths
from sgatlin.train.resample import (
    choose_sources,
    resample,
    resampling_router,
    revived,
)
from sgatlin.train.step import Metrics, TrainState, run_optimizer
from sgatlin.train.usage import usage_report

Watch = Callable[[TrainState], tuple[TrainState, Metrics]]


def make_watch(config: Config) -> Watch:
    """The function that a run with gates calls every `usage.every` steps; jit it.

    It returns the state that training goes on with, and `usage/...` of `usage_report`: one value
    for each layer with gates and table; with resampling also `usage/resampled`, keys replaced.
    """
    router = resampling_router(config.model)
    # Later copies would not have the time to part from their originals.
    last_resampled = config.train.steps - config.usage.dead_after

    def watch(state: TrainState) -> tuple[TrainState, Metrics]:
        assert state.usage is not None
        report = usage_report(state.usage, state.step, config.usage.dead_after)
        if config.usage.resample:
            assert router is not None
            key = jax.random.fold_in(jax.random.key(config.train.seed), state.step)
            draw_key, noise_key = jax.random.split(key)
            replacement = choose_sources(
                state.usage,
                state.step,
                draw_key,
                router=router,
                config=config.usage,
                enabled=state.step <= last_resampled,
            )
            params, optimizer = resample(
                state.params,
                state.optimizer,
                replacement,
                noise_key,
                router=router,
                optimizer=run_optimizer(config),
                noise=config.usage.resample_noise,
                paths=gated_paths(config.model.feed_forward),
            )
            usage = revived(state.usage, state.step, replacement)
            state = state._replace(params=params, optimizer=optimizer, usage=usage)
            report["resampled"] = replacement.is_copy.sum(axis=(1, 3)).astype(jnp.float32)
        assert state.usage is not None
        counts = jnp.zeros_like(state.usage.counts)
        state = state._replace(usage=state.usage._replace(counts=counts))
        return state, {f"usage/{name}": value for name, value in report.items()}

    return watch
