# SPDX-License-Identifier: Apache-2.0
"""What `train.py` and `sgatlin train` do: a dry run, or a run to its last words."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from sgatlin.config import Config, to_json
from sgatlin.eval.generate import Sampling, stream_text
from sgatlin.scaling.cost import cost_table
from sgatlin.train.interrupt import Interrupt, Interrupted, leave, run_interruptibly
from sgatlin.train.loop import Stopped, Trainer, TrainOptions


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

    def __call__(self) -> None:
        if self.dry_run:
            print(f"{to_json(self.config)}\n{cost_table({self.config.name: self.config})}")
            return
        options = TrainOptions(
            init_from=self.init_from, branch_from=self.branch_from, profile=self.profile
        )
        train_and_tell(self.config, self.workdir or Path("runs") / self.config.name, options)


def train_and_tell(config: Config, workdir: Path, options: TrainOptions) -> None:
    """Trains, saves and leaves when a signal asks for it, and ends with the result and a sample."""
    with Interrupt() as interrupt:
        try:
            trainer = run_interruptibly(lambda: Trainer(config, workdir, options), interrupt)
            result = trainer.train(lambda: interrupt.requested)
        except Interrupted:
            print(f"nothing new to save; the same command goes on with {workdir}", flush=True)
            leave(0)
        except Stopped as stopped:
            print(f"{stopped}; the same command goes on with {workdir}")
            return
        print(f"\nResult, in {trainer.run.result_file}:")
        for name, value in result.items():
            print(f"  {name:18} {_number(value)}")
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
