# SPDX-License-Identifier: Apache-2.0
"""Where a run begins: at its own latest checkpoint, at another run's, or at step 0."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jax.sharding import Mesh

from sgatlin.config import Config, differing_fields
from sgatlin.distributed import firsts, is_first
from sgatlin.errors import UserError
from sgatlin.input.tokenizer import Tokenizer
from sgatlin.train import checkpoint, fallback
from sgatlin.train.load import find_checkpoint
from sgatlin.train.run import RunDirectory
from sgatlin.train.schedules import StableDecaySchedule
from sgatlin.train.step import TrainState, abstract_state, init_state


class Position(NamedTuple):
    """Where a run is, beside its arrays. With the config's seed it fixes all that is random."""

    examples: int = 0
    """Windows consumed since the first step: the one position in the data."""
    seconds: float = 0.0
    """Time trained so far."""


class Start(NamedTuple):
    state: TrainState
    position: Position
    told: str
    """One line about where the run begins."""
    trunk: RunDirectory | None = None
    """The run that it branches off here; None if it does not."""


def start_run(
    config: Config,
    run: RunDirectory,
    *,
    init_from: str | None,
    branch_from: str | None,
    tokenizer_hash: str,
    strict: bool = False,
    tell: Callable[[str], None] = print,
    mesh: Mesh | None = None,
) -> Start:
    """The state that a run begins with.

    A run with a checkpoint of its own goes on from the last that is intact, as `last_intact` tells
    of `strict` and `tell`. Else `init_from` (RUN, RUN@STEP or RUN@best) gives the parameters alone,
    and `branch_from` (RUN or RUN@STEP) the whole state of a checkpoint of another run's stable
    phase, so that this run adds its own decay.

    `tokenizer_hash` is that of this run's data: UserError if the other run had another. On a mesh
    every device reads and makes its own part of the state, whatever mesh saved it.
    """
    found: int | None = None
    if is_first():
        found = fallback.last_intact(run.checkpoints, strict=strict, tell=tell)
    latest = firsts(-1 if found is None else found)
    if latest >= 0:
        state, position = _restore(config, run.checkpoints, latest, mesh, verified=True)
        return Start(state, position, f"goes on from step {latest}")
    if branch_from is not None:
        return _branch(config, branch_from, tokenizer_hash, mesh)
    if init_from is not None:
        return _init(config, init_from, tokenizer_hash, mesh)
    return Start(init_state(config, mesh=mesh), Position(), "starts at step 0")


def _restore(
    config: Config, folder: Path, step: int, mesh: Mesh | None, *, verified: bool = False
) -> tuple[TrainState, Position]:
    like = abstract_state(config, mesh)
    params, train, data = checkpoint.restore(
        folder,
        step,
        params_like=like.params,
        train_like=like.all_but_params(),
        verified=verified,
    )
    return TrainState(params=params, **train), Position(**data)


def _init(config: Config, init_from: str, tokenizer_hash: str, mesh: Mesh | None) -> Start:
    source, step = find_checkpoint(init_from)
    _check_tokenizer(f"--init-from {init_from}", source, tokenizer_hash)
    theirs = dataclasses.replace(config, model=source.config().model)
    differing = differing_fields(theirs, config)
    differing = [field for field in differing if field.startswith("model.feed_forward.")]
    try:
        like = abstract_state(config, mesh).params
        params = checkpoint.restore_params(source.checkpoints, step, like)
    except UserError as error:
        if not differing:
            raise
        raise UserError(
            f"--init-from {init_from}: the feed-forward layers differ (field: there, here): "
            f"{'; '.join(differing)}: {error}"
        ) from None
    told = f"starts from the parameters of {source.path}, step {step}"
    return Start(init_state(config, params, mesh), Position(), told)


def _check_tokenizer(option: str, source: RunDirectory, tokenizer_hash: str) -> None:
    if Tokenizer.load(source.tokenizer_file).hash != tokenizer_hash:
        raise UserError(
            f"{option}: its tokenizer is not that of this run's data: prepare the data with "
            f"{source.tokenizer_file}"
        )


def _branch(config: Config, branch_from: str, tokenizer_hash: str, mesh: Mesh | None) -> Start:
    source = RunDirectory.open(Path(branch_from.rpartition("@")[0] or branch_from))
    theirs = source.config()
    _check_tokenizer(f"--branch-from {branch_from}", source, tokenizer_hash)
    same = dataclasses.replace(
        theirs,
        name=config.name,
        train=dataclasses.replace(
            theirs.train,
            steps=config.train.steps,
            eval_every=config.train.eval_every,
            eval_tokens=config.train.eval_tokens,
        ),
        guard=config.guard,
        mesh=config.mesh,
        log=config.log,
        checkpoint=config.checkpoint,
    )
    ours, before = config.optimizer.schedule, theirs.optimizer.schedule
    if not isinstance(ours, StableDecaySchedule) or not isinstance(before, StableDecaySchedule):
        raise UserError("--branch-from needs the schedule stable_decay, in both runs")
    same = dataclasses.replace(
        same, optimizer=dataclasses.replace(same.optimizer, schedule=_with_decay_of(before, ours))
    )
    if differing := differing_fields(same, config):
        raise UserError(
            f"--branch-from {branch_from}: only the steps and the decay may differ, but there "
            f"is also (field: there, here): {'; '.join(differing)}"
        )
    last = min(ours.decay_start(config.train.steps), before.decay_start(theirs.train.steps))
    stable = [step for step in checkpoint.good_steps(source.checkpoints) if step <= last]
    if "@" in branch_from:
        source, step = find_checkpoint(branch_from)
        stable = [step] if step in stable else []
    if not stable:
        raise UserError(
            f"--branch-from {branch_from}: no such checkpoint at or before step {last}, where the "
            "stable phase of both runs ends; checkpoint.keep-every keeps some for good"
        )
    state, position = _restore(config, source.checkpoints, stable[-1], mesh)
    line = f"branches off {source.path} at step {stable[-1]}"
    return Start(state, position, line, trunk=source)


def _with_decay_of(
    schedule: StableDecaySchedule, other: StableDecaySchedule
) -> StableDecaySchedule:
    return dataclasses.replace(schedule, decay=other.decay, decay_fraction=other.decay_fraction)
