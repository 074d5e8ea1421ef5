# SPDX-License-Identifier: Apache-2.0
"""What `train.py` and `sgatlin train` do: a dry run, or a run to its last words."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import jax
import tyro

from sgatlin.arguments import parse
from sgatlin.config import Config, to_json
from sgatlin.distributed import is_first, join
from sgatlin.errors import UserError
from sgatlin.eval.generate import Sampling, stream_text
from sgatlin.scaling.cost import cost_table
from sgatlin.train.data import steps_of_epochs
from sgatlin.train.interrupt import Interrupt, Interrupted, leave, run_interruptibly
from sgatlin.train.layout import layout
from sgatlin.train.loop import Stopped, Trainer, TrainOptions

_UNKNOWN_STEPS = 2**62


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainCommand:
    """Train a model from a config, or go on with a run."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    workdir: Path | None = None
    """Run directory; runs/NAME by default. If it holds this run already, it goes on."""
    dry_run: bool = False
    """Print config, size, cost and memory, and exit."""
    init_from: str | None = None
    """Start from the parameters of RUN, RUN@STEP or RUN@best."""
    branch_from: str | None = None
    """Start from the whole state of RUN or RUN@STEP in its stable phase, to add another decay."""
    profile: str | None = None
    """Trace steps FIRST:LAST into the run's folder profile."""
    strict: bool = False
    """Refuse to go on if the last checkpoint is damaged or unfinished, instead of skipping it."""
    distributed: bool = False
    """This is one of several processes of the run, on machines that share its directory: Slurm, a
    TPU pod and others say which; or the next three do."""
    coordinator: str | None = None
    """HOST:PORT at which the first process is to be found."""
    processes: int | None = None
    """How many there are."""
    process: int | None = None
    """Which this is, from 0."""
    epochs: float | None = None
    """Instead of train.steps: see the training windows so many times. Needs the data."""

    def __call__(self) -> None:
        config = self.config
        if self.distributed:
            join(self.coordinator, self.processes, self.process)
        elif (self.coordinator, self.processes, self.process) != (None, None, None):
            raise UserError("--coordinator, --processes and --process need --distributed")
        if self.epochs is not None:
            config = with_epochs(config, self.epochs)
        if self.dry_run:
            print(f"{to_json(config)}\n{cost_table({config.name: config})}")
            for line in layout(config, config.mesh.planned(jax.device_count())):
                print(line)
            return
        options = TrainOptions(
            init_from=self.init_from,
            branch_from=self.branch_from,
            strict=self.strict,
            profile=self.profile,
        )
        train_and_tell(config, self.workdir or Path("runs") / config.name, options)


def parse_train(config: Config, arguments: Sequence[str], *, prog: str) -> TrainCommand:
    """The command that `arguments` make of a config; UserError if they do not fit.

    With --epochs the steps are known only when the data is. Until then they are more than any
    other field is compared with.
    """
    if any(argument.partition("=")[0] == "--epochs" for argument in arguments):
        config = _with_steps(config, _UNKNOWN_STEPS)
    command = parse(TrainCommand, arguments, prog=prog, default=TrainCommand(config=config))
    if command.epochs is not None and command.config.train.steps != _UNKNOWN_STEPS:
        raise UserError("--epochs and --train.steps exclude each other: choose one")
    return command


def with_epochs(config: Config, epochs: float) -> Config:
    """The config with the steps in which a run sees its training windows `epochs` times."""
    return _with_steps(config, steps_of_epochs(config, epochs))


def _with_steps(config: Config, steps: int) -> Config:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, steps=steps))


def train_and_tell(config: Config, workdir: Path, options: TrainOptions) -> None:
    """Trains, saves and leaves when a signal asks for it, and ends with the result and a sample."""
    with Interrupt() as interrupt:
        try:
            if jax.process_count() == 1:
                trainer = run_interruptibly(lambda: Trainer(config, workdir, options), interrupt)
            else:
                # The others could not go on without this one: it stops with them, after a step.
                trainer = Trainer(config, workdir, options)
            result = trainer.train(lambda: interrupt.requested)
        except Interrupted:
            print(f"nothing new to save; the same command goes on with {workdir}", flush=True)
            leave(0)
        except Stopped as stopped:
            if is_first():
                print(f"{stopped}; the same command goes on with {workdir}")
            return
        if not is_first():
            return
        print(f"\nResult, in {trainer.run.result_file}:")
        for name, value in result.items():
            print(f"  {name:18} {_number(value)}")
        params = jax.tree.leaves(trainer.state.params)
        if jax.process_count() > 1 or not all(leaf.is_fully_replicated for leaf in params):
            # One device may not have the room for all of the model.
            print(f"\nFor a sample: sgatlin generate {workdir}")
            return
        print(f"\nA sample (more with: sgatlin generate {workdir}):\n")
        tell_sample(trainer, interrupt)


def tell_sample(trainer: Trainer, interrupt: Interrupt) -> None:
    """Prints a text by the trained model, as it is written."""
    pieces = stream_text(
        trainer.config.model,
        trainer.state.params,
        trainer.tokenizer,
        prompt="",
        context=trainer.config.data.seq_len,
        sampling=Sampling(temperature=0.4, top_p=0.9),
    )
    for piece in pieces:
        if interrupt.requested:
            break
        print(piece, end="", flush=True)
    print()


def _number(value: int | float | str) -> str:
    if isinstance(value, float):
        return f"{value:,.4f}"
    return f"{value:,}" if isinstance(value, int) else value
