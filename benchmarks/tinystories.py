# SPDX-License-Identifier: Apache-2.0
"""Trains the TinyStories model with several layers at equal FLOPs; writes losses, time and samples.

    sgatlin prepare tinystories --input 'stories/*.jsonl.zst'
    python -m benchmarks.tinystories --out docs/results/tinystories.md

The first layer sees the data `--epochs` times, the others are given as many FLOPs of their layers.
Runs that are finished are not run again, so that several processes can each train some first:
python -m benchmarks.tinystories --seeds 1 --variants sgatlin swiglu
"""

import dataclasses
import statistics
from pathlib import Path

import tyro

from benchmarks import loss_curves
from benchmarks.equal_flops import result
from sgatlin.cli import run_command
from sgatlin.config import Config, configs_folder, load_config, load_variants
from sgatlin.errors import require_one_of
from sgatlin.eval.command import stream_from_run
from sgatlin.eval.generate import Sampling
from sgatlin.input.sources import Prepared
from sgatlin.input.store import split_stores
from sgatlin.scaling.flops import count_parameters, steps_for, training_flops
from sgatlin.train.command import with_epochs
from sgatlin.train.load import LoadedRun, load_run

VARIANTS = tuple(load_variants(configs_folder() / "tinystories.py"))
PROMPTS = ("Once upon a time", "Tom had a secret.", "The old turtle could not swim, because")
SAMPLING = Sampling(temperature=0.6, top_p=0.95)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    variants: tuple[str, ...] = ("sgatlin", "sgatlin-balanced", "swiglu")
    """Of the config tinystories."""
    first: str = "sgatlin"
    """The variant whose FLOPs all are given."""
    epochs: float = 8.0
    """How often the first sees the data."""
    seeds: tuple[int, ...] = (0, 1)
    """Of initialisation and data order; one run each."""
    batch_size: int = 32
    seq_len: int = 256
    drawn: tuple[str, ...] = ("sgatlin", "swiglu")
    """Variants in the picture, which goes beside the page."""
    runs: Path = Path("runs/tinystories")
    """Folder of the run directories."""
    out: Path | None = None
    """Markdown file to write; printed otherwise."""


def main(arguments: Arguments) -> None:
    for variant in (arguments.first, *arguments.variants):
        require_one_of(VARIANTS, variants=variant)
    text = "\n".join(page(arguments))
    if arguments.out is None:
        print(text)
        return
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(text + "\n", encoding="utf-8")
    seed = arguments.seeds[0]
    runs = tuple(arguments.runs / f"{variant}-{seed}" for variant in arguments.drawn)
    picture = arguments.out.with_suffix(".png")
    loss_curves.main(loss_curves.Arguments(runs=runs, out=picture, title="TinyStories", top=5.0))


def config_of(variant: str, seed: int, arguments: Arguments) -> Config:
    first = with_epochs(_config(arguments.first, seed, arguments), arguments.epochs)
    config = _config(variant, seed, arguments)
    per_token = training_flops(first.model, first.data.seq_len).paper
    flops = per_token * first.train.steps * first.tokens_per_step
    steps = steps_for(
        flops, config.model, seq_len=arguments.seq_len, batch_size=arguments.batch_size
    )
    return dataclasses.replace(config, train=dataclasses.replace(config.train, steps=steps))


def page(arguments: Arguments) -> list[str]:
    """Lines of Markdown: what was run, a table, samples of the first seed's runs."""
    rows, samples, device = [], [], ""
    for variant in arguments.variants:
        results = []
        for seed in arguments.seeds:
            path = arguments.runs / f"{variant}-{seed}"
            results.append(result(config_of(variant, seed, arguments), path))
        device = results[0]["device"]
        config = config_of(variant, arguments.seeds[0], arguments)
        perplexities = [r["val_perplexity"] for r in results]
        bits = statistics.mean(r["val_bits_per_byte"] for r in results)
        parameters = count_parameters(config.model)
        rows.append(
            f"| {variant} | {statistics.mean(perplexities):.2f} | {min(perplexities):.2f} to "
            f"{max(perplexities):.2f} | {bits:.3f} | {config.train.steps:,} "
            f"| {results[0]['tokens']:,} | {parameters.total:,} | {parameters.active:,} "
            f"| {results[0]['flops_paper']:.3g} | {results[0]['flops_full']:.3g} "
            f"| {results[0]['seconds']:.0f} |"
        )
        samples += ["", f"## Written by {variant}"]
        loaded = load_run(f"{arguments.runs / variant}-{arguments.seeds[0]}")
        samples += [line for prompt in PROMPTS for line in ["", quoted(loaded, prompt)]]
    picture = [] if arguments.out is None else ["", f"![Losses]({arguments.out.stem}.png)"]
    return [*head(arguments, device), *rows, *picture, *samples]


def head(arguments: Arguments, device: str) -> list[str]:
    config = config_of(arguments.first, 0, arguments)
    assert isinstance(config.data.source, Prepared)
    train, _ = split_stores(Path(config.data.source.path))
    return [
        "# TinyStories at equal FLOPs of the layers",
        "",
        "    sgatlin prepare tinystories --input 'stories/*.jsonl.zst'",
        f"    python -m benchmarks.tinystories --epochs {arguments.epochs:g}",
        "",
        f"{train.n_documents:,} stories of TinyStories ({train.n_bytes / 1e6:.1f} MB, "
        f"{train.n_tokens:,} tokens of a BPE trained on them), {arguments.epochs:g} epochs for "
        f"{arguments.first}, the other layers for the same FLOPs of their layers: steps of "
        f"{arguments.batch_size} windows of {arguments.seq_len} tokens, all else as in "
        f"`configs/tinystories.py`. {device}, {config.model.compute_dtype}. Perplexities are means "
        f"over {len(arguments.seeds)} seeds; seconds are those of the first, without compiling and "
        "validating. FLOPs are equal without the unembedding (`paper`); with it (`full`), a layer "
        "that takes more steps costs more.",
        "",
        "| layer | validation perplexity | lowest to highest | bits per byte | steps | tokens "
        "| parameters | active per token | training FLOPs, paper | full | seconds |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]


def quoted(loaded: LoadedRun, prompt: str) -> str:
    """A sample as a block quotation, the prompt in bold."""
    text = "".join(stream_from_run(loaded, prompt, sampling=SAMPLING))
    return f"> **{prompt}**{text}".rstrip().replace("\n", "\n>\n> ")


def _config(variant: str, seed: int, arguments: Arguments) -> Config:
    config = load_config(f"tinystories:{variant}")
    data = dataclasses.replace(
        config.data, batch_size=arguments.batch_size, seq_len=arguments.seq_len
    )
    train = dataclasses.replace(config.train, seed=seed, accumulate=1, eval_every=200)
    return dataclasses.replace(
        config,
        data=data,
        train=train,
        checkpoint=dataclasses.replace(config.checkpoint, every_steps=1000),
        log=dataclasses.replace(config.log, tensorboard=False),
    )


if __name__ == "__main__":
    run_command(lambda: main(tyro.cli(Arguments)))
