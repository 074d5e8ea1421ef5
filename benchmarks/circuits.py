# SPDX-License-Identifier: Apache-2.0
"""Writes a page of what a run's circuits show: figures, tables, and the commands that made them.

    sgatlin prepare tinystories --input 'stories/*.jsonl.zst'
    python -m benchmarks.tinystories --epochs 8
    python -m benchmarks.circuits --run runs/tinystories/sgatlin-0 \\
        --dense runs/tinystories/swiglu-0 --notes docs/results/circuits-notes.md
"""

import dataclasses
import shlex
import subprocess
import sys
from pathlib import Path

import tyro

from sgatlin.cli import run_command
from sgatlin.errors import UserError
from sgatlin.files import write_output


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    run: Path
    """A run directory whose layers have circuits."""
    dense: Path | None = None
    """One with dense layers and the same tokenizer, to probe beside it."""
    data: Path = Path("data/prepared/tinystories")
    """The data set that both were trained on."""
    tokens: int = 150_000
    """Positions to record."""
    layer: int = 2
    """Of the figure and the map."""
    sequence: int = 7
    """The held-out story of the figure."""
    title: str = "Circuits of a TinyStories model"
    """Of the page."""
    commands: tuple[str, ...] = (
        "sgatlin prepare tinystories --input 'stories/*.jsonl.zst'",
        "python -m benchmarks.tinystories --epochs 8",
        "python -m benchmarks.circuits --run runs/tinystories/sgatlin-0 "
        "--dense runs/tinystories/swiglu-0 --notes docs/results/circuits-notes.md",
    )
    """That made the runs and the page, to stand below the title."""
    notes: Path | None = None
    """Markdown to put below the title: what the numbers say."""
    out: Path = Path("docs/results/circuits.md")
    """Markdown file; figures go beside it."""


def main(arguments: Arguments) -> None:
    page = _Page(arguments.out)
    run, record = str(arguments.run), str(arguments.run / "circuits")
    figure, chart, curves = (f"{page.stem}-{name}" for name in ("neighbours", "map", "ablation"))
    facts = arguments.run / "facts.jsonl"
    layer = str(arguments.layer)
    title = f"# {arguments.title}"
    notes = "" if arguments.notes is None else arguments.notes.read_text(encoding="utf-8").strip()
    page.add(title, "\n".join(map(_indented, arguments.commands)), notes)

    page.heading("Neighbours")
    page.command("record", run, "--tokens", str(arguments.tokens), "--replace", told=True)
    story = ("--sequence", str(arguments.sequence), "--tokens", "24")
    page.command("neighbours", run, record, "--layer", layer, *story, "--out", figure)
    page.picture("Nearest circuits of a held-out story's tokens", f"{figure}.png")

    page.heading("Map")
    page.command("map", record, "--layer", layer, "--classes", "lexicon", "--out", chart)
    page.picture("Circuits of words by their class", f"{chart}.png")

    page.heading("Probe")
    dense = () if arguments.dense is None else ("--dense", str(arguments.dense))
    page.table("probe", run, record, *dense)

    page.heading("Patching")
    page.command("mine", str(arguments.data), "--out", str(facts), told=True)
    heat = f"{page.stem}-patch"
    page.table("patch", run, "--facts", str(facts), "--pairs", "2000", "--heat-map", heat)
    page.picture("Recovered effect by layer and position", f"{heat}.png")

    page.heading("Ablation")
    page.table("ablate", run, record, "--class", "colour", "--out", curves)
    page.picture("Loss with the strongest neurons left out, and with them alone", f"{curves}.png")

    page.heading("Usage, co-activation, rank, embeddings")
    page.table("usage", record)
    page.table("coactivation", record, "--layer", layer, "--channel", "0", "--top", "10")
    page.table("rank", run, record)
    page.table("cka", run, record)

    page.heading("Attribution")
    prompt = "Once upon a time, there was a little"
    page.command("attribute", run, "--prompt", prompt, "--record", record, "--top", "6", told=True)

    page.heading("Steering")
    other = ("--circuit", "The princess was very sad. She", "--layers", str(arguments.layer + 1))
    begin = ("--prompt", "Tom went to the park. He", "--temperature", "0")
    page.command("steer", run, *begin, *other, "--max-tokens", "40", told=True)
    page.write()


class _Page:
    """The page, as it grows."""

    def __init__(self, out: Path):
        self._out = out
        self._blocks: list[str] = []
        self.stem = str(out.with_suffix(""))

    def add(self, *blocks: str) -> None:
        self._blocks += [block for block in blocks if block]

    def heading(self, text: str) -> None:
        print(text, flush=True)
        self.add(f"## {text}")

    def picture(self, text: str, path: str) -> None:
        self.add(f"![{text}]({Path(path).name})")

    def command(self, name: str, *arguments: str, told: bool = False) -> None:
        """Runs a command of `sgatlin circuits`, and shows it, and if asked what it told."""
        printed = _run(name, *arguments)
        self.add(_indented(shlex.join(["sgatlin", "circuits", name, *arguments])))
        if told:
            self.add(f"```\n{printed.rstrip()}\n```")

    def table(self, name: str, *arguments: str) -> None:
        """Likewise, and shows the table that it writes."""
        table = self._out.with_name(f".{self._out.stem}-{name}.md")
        try:
            _run(name, *arguments, "--markdown", str(table))
            self.add(_indented(shlex.join(["sgatlin", "circuits", name, *arguments])))
            self.add(table.read_text(encoding="utf-8").rstrip())
        finally:
            table.unlink(missing_ok=True)

    def write(self) -> None:
        write_output(self._out, "\n\n".join(self._blocks) + "\n")
        print(self._out)


def _run(name: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "sgatlin", "circuits", name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"circuits {name} failed: {done.stderr.strip()}")
    return done.stdout


def _indented(line: str) -> str:
    return f"    {line}"


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Arguments)))
