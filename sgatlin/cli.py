# SPDX-License-Identifier: Apache-2.0
"""The command line: `sgatlin COMMAND ...`. Bad input ends in one line and exit code 2."""

import dataclasses
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import tyro

from sgatlin.arguments import parse
from sgatlin.errors import RunStopped, UserError

DEFAULT_CONFIG = "storyworld"


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalCommand:
    """Evaluate a checkpoint on a token store: loss, perplexity and bits per byte."""

    run: tyro.conf.Positional[str]
    """RUN, RUN@STEP or RUN@best."""
    data: Path | None = None
    """Token store; the run's own validation store by default."""
    batch_size: int = 16
    """Windows at a time."""
    max_tokens: int | None = None
    """Stop after so many tokens."""

    def __call__(self) -> None:
        from sgatlin.eval.command import evaluate_run

        result = evaluate_run(
            self.run, self.data, batch_size=self.batch_size, max_tokens=self.max_tokens
        )
        print(
            f"{result.n_tokens:,} tokens: loss {result.loss:.4f} nats, perplexity "
            f"{result.perplexity:.3f}, {result.bits_per_byte:.4f} bits per byte"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenerateCommand:
    """Write text with a trained model."""

    run: tyro.conf.Positional[str]
    """RUN, RUN@STEP or RUN@best."""
    prompt: str = ""
    """What the text begins with."""
    samples: int = 1
    """How many texts."""
    max_tokens: int | None = None
    """Longest text after the prompt; the model's context is filled by default."""
    temperature: float = 0.8
    """Logits are divided by this; 0 always takes the likeliest token."""
    top_k: int | None = None
    """Draw from this many likeliest tokens only."""
    top_p: float | None = None
    """Draw from the fewest likeliest tokens whose probabilities add up to this."""
    seed: int = 0
    """Another seed, another text."""

    def __call__(self) -> None:
        from sgatlin.eval.command import write_samples
        from sgatlin.eval.generate import Sampling

        sampling = Sampling(temperature=self.temperature, top_k=self.top_k, top_p=self.top_p)
        write_samples(
            self.run,
            self.prompt,
            n_samples=self.samples,
            max_tokens=self.max_tokens,
            sampling=sampling,
            seed=self.seed,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CostCommand:
    """Compare what runs cost: parameters, FLOPs, bytes, memory. Needs no data."""

    configs: tyro.conf.Positional[tuple[str, ...]] = ()
    """NAME or NAME:VARIANT of each config; tinystories:sgatlin, say."""
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    """What to estimate the memory for, and the type that `auto` computes in; this machine's."""
    layers: bool = False
    """Print instead the table of all layers in docs/layers.md."""

    def __call__(self) -> None:
        from sgatlin.config import load_config
        from sgatlin.scaling.cost import cost_table
        from sgatlin.scaling.layers import layer_table

        if self.layers:
            print(layer_table())
            return
        if not self.configs:
            raise UserError("sgatlin cost needs configs, such as tinystories slimpajama:moe-s4")
        print(cost_table({spec: load_config(spec) for spec in self.configs}, self.platform))


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareCommand:
    """Write a data set as token stores: so far the built-in story world."""

    data: tyro.conf.Positional[Literal["storyworld"]]
    """Which data set."""
    out: Path = Path("data/prepared/storyworld")
    """Folder to make."""
    train_megabytes: float = 8.0
    """Text to train on, in 10^6 bytes."""
    validation_megabytes: float = 0.4
    """Text held out, in 10^6 bytes."""
    vocab_size: int = 2048
    """Entries of the byte-level BPE."""
    seed: int = 0
    """Which stories."""

    def __call__(self) -> None:
        from sgatlin.input.storyworld.prepare import prepare_storyworld

        prepare_storyworld(
            self.out,
            train_megabytes=self.train_megabytes,
            validation_megabytes=self.validation_megabytes,
            vocab_size=self.vocab_size,
            seed=self.seed,
            report=print,
        )


def train(arguments: Sequence[str], *, prog: str = "sgatlin train") -> None:
    """Train a model from a config, or go on with a run."""
    from sgatlin.config import load_config
    from sgatlin.train.command import TrainCommand

    named = bool(arguments) and not arguments[0].startswith("-")
    config = load_config(arguments[0] if named else DEFAULT_CONFIG)
    default = TrainCommand(config=config)
    parse(TrainCommand, arguments[named:], prog=f"{prog} CONFIG", default=default)()


def _command(
    kind: type[EvalCommand | GenerateCommand | CostCommand | PrepareCommand], name: str
) -> Callable[[Sequence[str]], None]:
    def run(arguments: Sequence[str]) -> None:
        parse(kind, arguments, prog=f"sgatlin {name}")()

    run.__doc__ = kind.__doc__
    return run


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "train": train,
    "eval": _command(EvalCommand, "eval"),
    "generate": _command(GenerateCommand, "generate"),
    "cost": _command(CostCommand, "cost"),
    "prepare": _command(PrepareCommand, "prepare"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `sgatlin`."""
    arguments = sys.argv[1:] if arguments is None else arguments
    run_command(lambda: _dispatch(arguments))


def run_command(command: Callable[[], None]) -> None:
    """Runs a command and turns what it tells the user into one line and an exit code."""
    try:
        command()
    except UserError as error:
        sys.exit(_told(error, code=2))
    except RunStopped as error:
        sys.exit(_told(error, code=1))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:
        # The reader of our output, such as `head`, has gone.
        sys.stderr.close()
        sys.exit(1)


def _dispatch(arguments: Sequence[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: sgatlin COMMAND ...; sgatlin COMMAND --help tells more\n")
        for name, run in COMMANDS.items():
            print(f"  {name:10} {run.__doc__}")
        return
    if arguments[0] not in COMMANDS:
        raise UserError(f"unknown command {arguments[0]!r}: there are {', '.join(COMMANDS)}")
    COMMANDS[arguments[0]](arguments[1:])


def _told(error: Exception, *, code: int) -> int:
    print(f"sgatlin: {error}", file=sys.stderr)
    return code
