# SPDX-License-Identifier: Apache-2.0
"""Trains a pool so large that neurons die, with each remedy, and writes what is left alive.

python -m benchmarks.dead_neurons --out docs/results/dead-neurons.md
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
import tyro

from benchmarks.equal_flops import result
from sgatlin.cli import run_command
from sgatlin.config import Config, load_config
from sgatlin.errors import require_one_of
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.train.run import RunDirectory
from sgatlin.train.usage import UsageConfig

LAYER = SgatlinConfig(n_channels=4, n_neurons=1024, top_k=2, d_key=128)
REMEDIES: Mapping[str, tuple[SgatlinConfig, UsageConfig]] = {
    "none": (LAYER, UsageConfig()),
    "resample at 75 %": (LAYER, UsageConfig(resample=True)),
    "resample at 50 %": (LAYER, UsageConfig(resample=True, resample_share=0.5)),
    **{
        f"balance loss, weight {weight:g}": (
            dataclasses.replace(LAYER, balance_weight=weight),
            UsageConfig(),
        )
        for weight in (0.001, 0.01, 0.1, 1.0)
    },
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    steps: int = 1200
    """Of each run."""
    seeds: tuple[int, ...] = (0, 1)
    """Of initialisation and data order; one run each."""
    remedies: tuple[str, ...] = tuple(REMEDIES)
    """Which to try."""
    runs: Path = Path("runs/dead-neurons")
    """Folder of the run directories; finished runs are not run again."""
    out: Path | None = None
    """Markdown file to write the table to; it is printed otherwise."""


def main(arguments: Arguments) -> None:
    for name in arguments.remedies:
        require_one_of(REMEDIES, remedies=name)
    seeds = " / ".join(map(str, arguments.seeds))
    lines = [
        "# Neurons that die, and what keeps them alive",
        "",
        "    python -m benchmarks.dead_neurons",
        "",
        f"sgatlin in the default config with {LAYER.n_neurons:,} neurons in each of "
        f"{LAYER.n_channels} channels, of which a token uses {LAYER.top_k}: "
        f"{arguments.steps:,} steps, seeds {seeds}, {jax.devices()[0].device_kind}. "
        "Dead: not chosen in the last "
        f"{UsageConfig().dead_after} steps; used: chosen in the last {UsageConfig().every}.",
        "",
        "| remedy | dead at the end | used in the last report | entropy | validation perplexity |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name in arguments.remedies:
        rows = [outcome(name, seed, arguments) for seed in arguments.seeds]
        cells = (" / ".join(values) for values in zip(*rows, strict=True))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    text = "\n".join(lines)
    if arguments.out is None:
        print(text)
    else:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text + "\n", encoding="utf-8")


def outcome(name: str, seed: int, arguments: Arguments) -> tuple[str, ...]:
    """What the row of a remedy says of one seed."""
    path = arguments.runs / f"{name.replace(' ', '-').replace(',', '')}-{seed}"
    perplexity = result(config_of(name, arguments.steps, seed), path)["val_perplexity"]
    report = last_report(RunDirectory.open(path))
    n_neurons = report["dead"].size * LAYER.n_neurons
    return (
        f"{report['dead'].sum() / n_neurons:.1%}",
        f"{report['used'].mean():.1%}",
        f"{report['entropy'].mean():.3f}",
        f"{perplexity:.3f}",
    )


def config_of(name: str, steps: int, seed: int) -> Config:
    layer, usage = REMEDIES[name]
    config = load_config("storyworld")
    train = dataclasses.replace(config.train, steps=steps, seed=seed)
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, feed_forward=layer),
        train=train,
        usage=usage,
        log=dataclasses.replace(config.log, tensorboard=False),
    )


def last_report(run: RunDirectory) -> dict[str, np.ndarray]:
    """Of each metric of the last usage report the values of layers and channels."""
    rows = [json.loads(line) for line in run.metrics_file.read_text("utf-8").splitlines()]
    last = [row for row in rows if "usage/dead" in row][-1]
    prefix = "usage/"
    return {k.removeprefix(prefix): np.array(v) for k, v in last.items() if k.startswith(prefix)}


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Arguments)))
