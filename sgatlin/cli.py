# SPDX-License-Identifier: Apache-2.0
"""The command line: `sgatlin COMMAND ...`. Bad input ends in one line and exit code 2."""

import io
import signal
import sys
from collections.abc import Callable, Sequence

from sgatlin.arguments import parse
from sgatlin.commands.bench import BenchDecode, BenchLayer, BenchStep
from sgatlin.commands.circuits_attribute import CircuitsAttribute
from sgatlin.commands.circuits_interventions import CircuitsMine, CircuitsPatch
from sgatlin.commands.circuits_measures import (
    CircuitsCka,
    CircuitsCoactivation,
    CircuitsProbe,
    CircuitsRank,
    CircuitsUsage,
)
from sgatlin.commands.circuits_neighbours import CircuitsMap, CircuitsNeighbours
from sgatlin.commands.circuits_record import CircuitsRecord, CircuitsShow
from sgatlin.commands.circuits_report import CircuitsReport
from sgatlin.commands.circuits_steer import CircuitsAblate, CircuitsSteer
from sgatlin.commands.data import ShowData, TrainTokenizer, VerifyData
from sgatlin.commands.explore import Explore
from sgatlin.commands.isoflop import (
    IsoflopFit,
    IsoflopPlot,
    IsoflopRates,
    IsoflopReport,
    IsoflopRun,
    IsoflopTime,
)
from sgatlin.commands.model import Cost, Eval, Generate
from sgatlin.commands.prepare import (
    PrepareSlimPajama,
    PrepareStoryWorld,
    PrepareText,
    PrepareTinyStories,
)
from sgatlin.commands.runs import Export, Runs
from sgatlin.errors import RunStopped, UserError
from sgatlin.huge_pages import restart_with_huge_pages

DEFAULT_CONFIG = "storyworld"


def train(arguments: Sequence[str], *, prog: str = "sgatlin train") -> None:
    """Train a model from a config, or go on with a run."""
    if sys.stderr.isatty():
        print("loading JAX", file=sys.stderr, flush=True)
    from sgatlin.config import load_config
    from sgatlin.train.command import parse_train

    named = bool(arguments) and not arguments[0].startswith("-")
    config = load_config(arguments[0] if named else DEFAULT_CONFIG)
    parse_train(config, arguments[named:], prog=f"{prog} CONFIG")()


COMMANDS: dict[str, type[Callable[[], None]]] = {
    "eval": Eval,
    "generate": Generate,
    "cost": Cost,
    "prepare storyworld": PrepareStoryWorld,
    "prepare tinystories": PrepareTinyStories,
    "prepare slimpajama": PrepareSlimPajama,
    "prepare text": PrepareText,
    "tokenizer train": TrainTokenizer,
    "bench layer": BenchLayer,
    "bench step": BenchStep,
    "bench decode": BenchDecode,
    "isoflop run": IsoflopRun,
    "isoflop time": IsoflopTime,
    "isoflop rates": IsoflopRates,
    "isoflop fit": IsoflopFit,
    "isoflop plot": IsoflopPlot,
    "isoflop report": IsoflopReport,
    "circuits record": CircuitsRecord,
    "circuits show": CircuitsShow,
    "circuits neighbours": CircuitsNeighbours,
    "circuits map": CircuitsMap,
    "circuits usage": CircuitsUsage,
    "circuits coactivation": CircuitsCoactivation,
    "circuits cka": CircuitsCka,
    "circuits rank": CircuitsRank,
    "circuits probe": CircuitsProbe,
    "circuits mine": CircuitsMine,
    "circuits patch": CircuitsPatch,
    "circuits ablate": CircuitsAblate,
    "circuits steer": CircuitsSteer,
    "circuits attribute": CircuitsAttribute,
    "circuits report": CircuitsReport,
    "explore": Explore,
    "data verify": VerifyData,
    "data show": ShowData,
    "runs": Runs,
    "export": Export,
}
"""Of one or two words; `train` is apart, as its first argument decides what the others mean."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `sgatlin`."""
    if arguments is None:
        arguments = sys.argv[1:]
        if arguments[:1] == ["train"] or arguments[:2] == ["isoflop", "run"]:
            restart_with_huge_pages()
    run_command(lambda: _dispatch(arguments))


def run_command(command: Callable[[], None]) -> None:
    """Runs a command and turns what it tells the user into one line and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a sign it cannot show is no reason to fail
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
        return _list_commands("")
    first, *rest = arguments
    if first == "train":
        return train(rest)
    if first in COMMANDS:
        return parse(COMMANDS[first], rest, prog=f"sgatlin {first}")()
    seconds = [name.partition(" ")[2] for name in COMMANDS if name.startswith(f"{first} ")]
    if not seconds:
        known = ", ".join(dict.fromkeys(["train", *(name.partition(" ")[0] for name in COMMANDS)]))
        raise UserError(f"unknown command {first!r}: there are {known}")
    if not rest or rest[0] in ("-h", "--help"):
        return _list_commands(f"{first} ")
    if rest[0] not in seconds:
        raise UserError(f"sgatlin {first} {rest[0]}: there are {first} {', '.join(seconds)}")
    name = f"{first} {rest[0]}"
    return parse(COMMANDS[name], rest[1:], prog=f"sgatlin {name}")()


def _list_commands(prefix: str) -> None:
    print(f"usage: sgatlin {prefix or 'COMMAND '}...; sgatlin COMMAND --help tells more\n")
    for name, command in {"train": train, **COMMANDS}.items():
        if name.startswith(prefix):
            print(f"  {name:22} {command.__doc__}")


def _told(error: Exception, *, code: int) -> int:
    # One line, whatever the names of files in it contain.
    print(f"sgatlin: {' '.join(str(error).splitlines())}", file=sys.stderr)
    return code
