# SPDX-License-Identifier: Apache-2.0
"""Trains every layer of the story world for the same FLOPs and writes the table of what came out.

python -m benchmarks.equal_flops --out docs/results/equal-flops.md

Runs that are finished are not run again, so that several processes can each train some first:
python -m benchmarks.equal_flops --seeds 1 --variants sgatlin swiglu
"""

import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any

import tyro

from sgatlin.cli import run_command
from sgatlin.config import Config, configs_folder, load_config, load_variants
from sgatlin.errors import require_one_of
from sgatlin.scaling.flops import count_parameters, steps_for, training_flops
from sgatlin.train.loop import Trainer, TrainOptions
from sgatlin.train.run import RunDirectory

VARIANTS = tuple(load_variants(configs_folder() / "storyworld.py"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    flops: float = 1e13
    """Training FLOPs of each run, of the layers, without the unembedding."""
    variants: tuple[str, ...] = VARIANTS
    """Of the config storyworld."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of initialisation and data order; one run each."""
    runs: Path = Path("runs/equal-flops")
    """Folder of the run directories."""
    out: Path | None = None
    """Markdown file to write the table to; it is printed otherwise."""


def main(arguments: Arguments) -> None:
    for variant in arguments.variants:
        require_one_of(VARIANTS, variants=variant)
    rows = []
    for variant in arguments.variants:
        results = []
        for seed in arguments.seeds:
            config = config_of(variant, arguments.flops, seed)
            results.append(result(config, arguments.runs / f"{variant}-{seed}"))
        rows.append((statistics.mean(r["val_perplexity"] for r in results), variant, results))
    text = table(sorted(rows), arguments)
    if arguments.out is None:
        print(text)
        return
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(text + "\n", encoding="utf-8")


def config_of(variant: str, flops: float, seed: int) -> Config:
    config = load_config(f"storyworld:{variant}")
    data = config.data
    steps = steps_for(flops, config.model, seq_len=data.seq_len, batch_size=data.batch_size)
    return dataclasses.replace(
        config,
        train=dataclasses.replace(config.train, steps=steps, seed=seed, eval_every=steps),
        checkpoint=dataclasses.replace(config.checkpoint, every_steps=steps),
        log=dataclasses.replace(config.log, tensorboard=False),
    )


def result(config: Config, path: Path) -> dict[str, Any]:
    """What a run came to; it is trained if it is not finished."""
    run = RunDirectory.claim(path, config)
    if run.result_file.exists():
        return json.loads(run.result_file.read_text(encoding="utf-8"))
    return Trainer(config, path, TrainOptions()).train()


def table(rows: list[tuple[float, str, list[dict[str, Any]]]], arguments: Arguments) -> str:
    """Markdown, best first; perplexities are means over seeds, with the lowest and highest."""
    lines = [
        "| layer | validation perplexity | lowest to highest | steps | tokens | parameters "
        "| active per token | training FLOPs, paper | full |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for mean, variant, results in rows:
        config = config_of(variant, arguments.flops, arguments.seeds[0])
        parameters = count_parameters(config.model)
        tokens = config.train.steps * config.tokens_per_step
        flops = training_flops(config.model, config.data.seq_len)
        perplexities = [r["val_perplexity"] for r in results]
        lines.append(
            f"| {variant} | {mean:.3f} | {min(perplexities):.3f} to {max(perplexities):.3f} "
            f"| {config.train.steps:,} | {tokens:,} | {parameters.total:,} | {parameters.active:,} "
            f"| {flops.paper * tokens:.3g} | {flops.full * tokens:.3g} |"
        )
    precision = load_config("storyworld").model.compute_dtype
    devices = sorted({r["device"] for _, _, results in rows for r in results})
    bigram = rows[0][2][0]["bigram_perplexity"]
    seeds = ", ".join(map(str, arguments.seeds))
    return "\n".join(
        [
            "# The story world at equal FLOPs",
            "",
            f"    python -m benchmarks.equal_flops --flops {arguments.flops:g}",
            "",
            f"Each layer in the default config, trained for {arguments.flops:g} FLOPs of its "
            "layers (the convention `paper`), best first; all with the config's one learning rate.",
            f"Validation perplexity: the mean over the seeds {seeds}. {' and '.join(devices)}, "
            f"{precision}. A bigram model of the same corpus has {bigram:.2f}.",
            "",
            *lines,
        ]
    )


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Arguments)))
