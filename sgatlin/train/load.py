# SPDX-License-Identifier: Apache-2.0
"""From a run directory to a model, for evaluation, generation, analysis, or another run's start."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
from flax import nnx

from sgatlin.config import Config
from sgatlin.errors import UserError
from sgatlin.input.tokenizer import Tokenizer
from sgatlin.nn.transformer import abstract_model
from sgatlin.train import checkpoint
from sgatlin.train.run import RunDirectory


class LoadedRun(NamedTuple):
    """A checkpoint's parameters, and what is needed to use them."""

    run: RunDirectory
    config: Config
    step: int
    params: Any
    tokenizer: Tokenizer


def load_run(spec: str) -> LoadedRun:
    """Loads RUN (its latest checkpoint), RUN@STEP or RUN@best, verified against its hashes."""
    run, step = find_checkpoint(spec)
    config = run.config()
    params = checkpoint.restore_params(run.checkpoints, step, abstract_params(config))
    return LoadedRun(run, config, step, params, Tokenizer.load(run.tokenizer_file))


def find_checkpoint(spec: str) -> tuple[RunDirectory, int]:
    """The run directory and step that RUN, RUN@STEP or RUN@best names; UserError if absent."""
    name, at, which = spec.rpartition("@")
    path = Path(name if at else spec)
    run = RunDirectory.open(path)
    steps = checkpoint.good_steps(run.checkpoints)
    if not steps:
        raise UserError(f"{path} has no complete checkpoint: train it further first")
    if not at:
        return run, steps[-1]
    if which == "best":
        best = checkpoint.best(run.checkpoints)
        if best is None:
            raise UserError(f"{path} has no checkpoint with a validation loss: name a step")
        return run, best
    if not which.isdecimal() or int(which) not in steps:
        known = ", ".join(map(str, steps))
        raise UserError(f"{path} has no checkpoint {which!r}: there are best and steps {known}")
    return run, int(which)


def abstract_params(config: Config) -> Any:
    """Shapes and types of a config's parameters."""
    pure = nnx.to_pure_dict(nnx.state(abstract_model(config.model)))
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), pure)
