# SPDX-License-Identifier: Apache-2.0
"""Draws training and validation loss of finished runs against tokens.

python -m benchmarks.loss_curves runs/story runs/story-swiglu runs/story-mlp --out curves.png
"""

import dataclasses
import json
from pathlib import Path

import matplotlib
import tyro

from sgatlin.cli import run_command
from sgatlin.errors import UserError, require_one_of
from sgatlin.train.run import RunDirectory

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# Told apart in black and white too.
LINES = ("-", "--", "-.", ":")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run directories."""
    out: Path
    """Picture to write; its ending chooses the form."""
    title: str = "The story world"
    """What was trained on."""
    top: float = 6.0
    """Highest loss that is drawn."""


def main(arguments: Arguments) -> None:
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    endings = figure.canvas.get_supported_filetypes()
    require_one_of(endings, out=arguments.out.suffix.removeprefix("."))
    for number, path in enumerate(arguments.runs):
        run = RunDirectory.open(path)
        config = run.config()
        if not run.result_file.exists():
            raise UserError(f"{path} has no result yet: train it to its end first")
        rows = [json.loads(line) for line in run.metrics_file.read_text().splitlines()]
        train = [(row["tokens"], row["loss"]) for row in rows if "loss" in row]
        validation = [
            (row["step"] * config.tokens_per_step, row["val_loss"])
            for row in rows
            if "val_loss" in row
        ]
        style, colour = LINES[number % len(LINES)], f"C{number}"
        result = json.loads(run.result_file.read_text())
        label = f"{config.name}: validation perplexity {result['val_perplexity']:.2f}"
        tokens, loss = zip(*train, strict=True)
        axes.plot(tokens, loss, style, color=colour, linewidth=1.2, label=label)
        tokens, loss = zip(*validation, strict=True)
        axes.plot(tokens, loss, "o", color=colour, markersize=4)
    axes.set_xlabel("tokens")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g} M")
    axes.set_ylabel("loss (nats per token)")
    axes.set_ylim(top=arguments.top)
    axes.set_title(
        f"{arguments.title}: training loss (lines) and validation loss (dots)", fontsize=10
    )
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(arguments.out, dpi=160)


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Arguments)))
