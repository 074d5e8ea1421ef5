# SPDX-License-Identifier: Apache-2.0
"""`sgatlin eval`, `generate` and `cost`."""

import dataclasses
from pathlib import Path
from typing import Literal

import tyro

from sgatlin.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Eval:
    """Evaluate a checkpoint on held-out text, set by set: loss, perplexity and bits per byte."""

    run: tyro.conf.Positional[str]
    """RUN, RUN@STEP or RUN@best."""
    data: Path | None = None
    """Token store, or a prepared data set (its `validation`); the run's own by default."""
    form: Literal["windows", "documents"] = "windows"
    """The text cut into windows, or each document by itself, from its beginning."""
    batch_size: int = 16
    """Windows or documents at a time."""
    max_tokens: int | None = None
    """Of windows: at most so many tokens of each set, in windows evenly spaced over it."""
    max_documents: int | None = None
    """Of documents: at most so many of each set, evenly spaced over it."""
    json: Path | None = None
    """Also write the result here."""

    def __call__(self) -> None:
        from sgatlin.eval.command import evaluate_run
        from sgatlin.eval.report import evaluation_json, evaluation_table
        from sgatlin.files import write_output

        if self.json is not None and self.json.is_dir():
            raise UserError(f"--json {self.json} is a folder: name a file")
        evaluation = evaluate_run(
            self.run,
            self.data,
            form=self.form,
            batch_size=self.batch_size,
            max_tokens=self.max_tokens,
            max_documents=self.max_documents,
        )
        print(evaluation_table(evaluation))
        if self.json is not None:
            asked = dataclasses.asdict(self) | {"data": self.data and str(self.data)}
            del asked["json"]
            write_output(self.json, evaluation_json(evaluation, asked))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generate:
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
class Cost:
    """Compare what runs cost: parameters, FLOPs, bytes, memory. Needs no data."""

    configs: tyro.conf.Positional[tuple[str, ...]] = ()
    """NAME or NAME:VARIANT of each config; tinystories:sgatlin, say."""
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    """What to estimate the memory for, and the type that `auto` computes in; this machine's."""
    mesh: tuple[int, int, int] | None = None
    """Memory on each device of a mesh of DATA FSDP TENSOR; the configs' own by default."""
    layers: bool = False
    """Print instead the table of all layers in docs/layers.md."""

    def __call__(self) -> None:
        from sgatlin.config import load_config
        from sgatlin.mesh import AXES, MeshConfig
        from sgatlin.scaling.cost import cost_table
        from sgatlin.scaling.layers import layer_table

        if self.layers:
            print(layer_table())
            return
        if not self.configs:
            raise UserError("sgatlin cost needs configs, such as tinystories slimpajama:moe-s4")
        configs = {spec: load_config(spec) for spec in self.configs}
        if self.mesh is not None:
            mesh = MeshConfig(**dict(zip(AXES, self.mesh, strict=True)))
            configs = {
                spec: dataclasses.replace(config, mesh=mesh) for spec, config in configs.items()
            }
        print(cost_table(configs, self.platform))
