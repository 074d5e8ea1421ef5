# SPDX-License-Identifier: Apache-2.0
"""Write story-world stories as JSON lines, and what is known of them, as JSON.

python data/storyworld.py --out stories.jsonl --n 1000 --seed 0 --split train
python data/storyworld.py --lexicon lexicon.json --facts facts.json
"""

import dataclasses
import itertools
import json
import sys
from pathlib import Path

from sgatlin.arguments import parse
from sgatlin.cli import run_command
from sgatlin.errors import UserError
from sgatlin.files import write_output
from sgatlin.input import storyworld


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Write story-world stories as JSON lines, their lexicon and their facts as JSON."""

    out: Path | None = None
    """Stories go here, one {"text": ...} a line."""
    n: int = 1000
    """How many stories."""
    seed: int = 0
    """Another seed, other stories."""
    split: storyworld.Split = "train"
    lexicon: Path | None = None
    """The lexicon goes here, as {word: class}."""
    facts: Path | None = None
    """The facts go here, as [{"noun", "adjective", "sentence"}]."""


def write(arguments: Arguments) -> None:
    """Writes the files that the arguments name."""
    if arguments.n < 0:
        raise UserError(f"--n {arguments.n}: a number of stories cannot be negative")
    texts: dict[Path, str] = {}
    if arguments.out is not None:
        stories = storyworld.stories(arguments.seed, arguments.split)
        chosen = itertools.islice(stories, arguments.n)
        texts[arguments.out] = "".join(json.dumps({"text": story}) + "\n" for story in chosen)
    if arguments.lexicon is not None:
        texts[arguments.lexicon] = json.dumps(storyworld.lexicon(), indent=1) + "\n"
    if arguments.facts is not None:
        facts = [dataclasses.asdict(fact) for fact in storyworld.facts()]
        texts[arguments.facts] = json.dumps(facts, indent=1) + "\n"
    if not texts:
        raise UserError("nothing to write: name a file with --out, --lexicon or --facts")
    for path, text in texts.items():
        write_output(path, text)
        print(f"wrote {path}")


if __name__ == "__main__":
    run_command(lambda: write(parse(Arguments, sys.argv[1:], prog="storyworld.py")))
