# SPDX-License-Identifier: Apache-2.0
"""What `train.py` and `sgatlin train` do: a dry run, or a run to its last words."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from sgatlin.config import Config, to_json
from sgatlin.eval.generate import Sampling, stream_text
from sgatlin.scaling.flops import n_parameters, training_flops
from sgatlin.train.interrupt import Interrupt, Interrupted, leave, run_interruptibly
from sgatlin.train.loop import Stopped, Trainer, TrainOptions
from sgatlin.train.step import training_bytes


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
            print(cost_report(self.config))
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


def cost_report(config: Config) -> str:
    """What a run would be and cost, without running it."""
    train, tokens = config.train, config.train.steps * config.tokens_per_step
    per_token = training_flops(config.model, config.data.seq_len)
    sizes = training_bytes(config)
    rows = {
        "steps": f"{train.steps:,}",
        "tokens": f"{tokens:,}",
        "parameters": f"{n_parameters(config.model):,}",
        "training FLOPs, layers only (paper)": f"{per_token.paper * tokens:.3g}",
        "training FLOPs, with unembedding (full)": f"{per_token.full * tokens:.3g}",
        **{f"memory: {name}": _mebibytes(size) for name, size in sizes.items()},
        "memory: about, in all": _mebibytes(sum(sizes.values())),
    }
    table = "\n".join(f"{name:40} {value:>16}" for name, value in rows.items())
    return f"{to_json(config)}\n{table}"


def _number(value: int | float | str) -> str:
    if isinstance(value, float):
        return f"{value:,.4f}"
    return f"{value:,}" if isinstance(value, int) else value


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
