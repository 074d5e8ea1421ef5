# SPDX-License-Identifier: Apache-2.0
"""`sgatlin bench layer`, `bench step` and `bench decode`."""

import dataclasses
from pathlib import Path
from typing import Any, Literal, get_args

import tyro

from sgatlin.errors import UserError, require_at_least, require_one_of

CPU_TOKENS, ACCELERATOR_TOKENS = 2048, 65_536
CPU_DECODED, ACCELERATOR_DECODED = 32, 128
DECODED_CONFIGS = ("tinystories:sgatlin", "tinystories:swiglu")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchLayer:
    """Time one layer and its primitives, each implementation against the naive one."""

    shape: Literal["default", "tinystories", "s4", "s6"] | None = None
    """Whose layer: the default config's, the TinyStories model's, or the ladder's of scale 4, 6."""
    d_model: int | None = None
    """D: another width than the shape's."""
    n_neurons: int | None = None
    """N: another number of neurons of a channel."""
    n_channels: int | None = None
    """C: another number of channels."""
    top_k: int | None = None
    """K: another number of neurons chosen of each channel."""
    group: int | None = None
    """G: neurons side by side that are chosen together and share a score; 1 by default."""
    tokens: int | None = None
    """How many tokens at once; 65,536, and on a CPU 2,048, by default."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of tables and inputs; auto: float32 on a CPU, bfloat16 elsewhere."""
    indices: str = "uniform"
    """Which neurons tokens use: uniform, zipf (exponent 0.7), or RUN, RUN@STEP or RUN@best of a
    trained run, whose middle layer is timed on its validation text."""
    implementations: tuple[str, ...] = ()
    """Which to time besides the naive layer; all but `reference` by default."""
    repeats: int = 10
    """Measurements of each, of which the median is told."""
    json: Path | None = None
    """Also write every number here."""
    plot: Path | None = None
    """Also time the layer at other N, K, C and numbers of tokens, and draw that here."""

    def __call__(self) -> None:
        import jax

        from sgatlin.bench import plot
        from sgatlin.bench.layer import TABLE, layer_rows, usable
        from sgatlin.bench.measure import ceilings
        from sgatlin.bench.rows import heading

        require_at_least(1, tokens=self.tokens, repeats=self.repeats)
        asked = _implementations(self.implementations)
        _check_file(self.json)
        if self.plot is not None:
            plot.check_can_draw(self.plot)
        on_cpu = jax.default_backend() == "cpu"
        n_tokens = self.tokens or (CPU_TOKENS if on_cpu else ACCELERATOR_TOKENS)
        dtype = _compute_dtype(self.dtype)
        case = self._case(n_tokens, dtype)
        limits = ceilings(dtype)
        title = f"{case.shape.describe()}; {n_tokens:,} tokens, {dtype.name}"
        print(heading(limits, dtype.name))
        print(f"{title}, indices {self.indices}")
        implementations = asked
        if not asked:
            reasons = usable(case.shape, dtype)
            implementations = tuple(name for name in reasons if reasons[name] is None)
            print(*(f"left out: {reason}" for reason in reasons.values() if reason), sep="\n")
        print()
        print(TABLE.head())
        rows, group = [], None
        for row in layer_rows(case, implementations, limits, self.repeats):
            if row["group"] != group:
                group = row["group"]
                print(group)
            print(TABLE.line(row | {"name": f"  {row['name']}"}), flush=True)
            rows.append(row)
        points: list[dict[str, Any]] = []
        if self.plot is not None:
            points = plot.sweep(case.shape, n_tokens, dtype, implementations, self.repeats, print)
        used = {"tokens": n_tokens, "dtype": dtype.name, "implementations": list(implementations)}
        layer = {"d_model": case.shape.d_model, **dataclasses.asdict(case.shape.layer)}
        found = {"layer": layer, "ceilings": limits._asdict(), "rows": rows, "sweep": points}
        _write(self.json, self, used, found)
        if self.plot is not None:
            plot.draw(points, f"{heading()}: {title}", self.plot)

    def _case(self, n_tokens: int, dtype: Any) -> Any:
        from sgatlin.bench import case

        changes = {
            "d_model": self.d_model,
            "n_neurons": self.n_neurons,
            "n_channels": self.n_channels,
            "top_k": self.top_k,
            "group": self.group,
        }
        if self.indices in case.DISTRIBUTIONS:
            shape = case.preset_shape(self.shape or "default", **changes)
            return case.random_case(shape, n_tokens, dtype, self.indices)
        if self.shape is not None or any(value is not None for value in changes.values()):
            raise UserError(
                f"--indices {self.indices} times that run's own layer: leave its sizes out"
            )
        if not Path(self.indices.rpartition("@")[0] or self.indices).is_dir():
            known = ", ".join(case.DISTRIBUTIONS)
            raise UserError(f"--indices {self.indices} is not one of {known}, nor a run directory")
        return case.recorded_case(self.indices, n_tokens, dtype)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchStep:
    """Time whole training steps of several configs, in one process and on equal tokens."""

    configs: tyro.conf.Positional[tuple[str, ...]] = ("storyworld:sgatlin", "storyworld:swiglu")
    """NAME or NAME:VARIANT of each config; the others are compared with the first."""
    all_variants: bool = False
    """Time every variant of the configs named."""
    batch_size: int | None = None
    """Windows of a step, in one part; the config's own by default."""
    seq_len: int | None = None
    """Tokens of a window; the config's own by default."""
    remat: Literal["none", "dots", "full"] | None = None
    """What is recomputed in the backward pass; the config's own by default."""
    unroll: int | None = None
    """Layers that the loop over layers takes at a time; the config's own by default."""
    logits_dtype: Literal["float32", "compute"] | None = None
    """What the unembedding multiplies; the config's own by default."""
    implementation: tuple[str, ...] = ()
    """What computes the neurons, one row for each; the config's own by default."""
    meshes: tuple[str, ...] = ()
    """DATAxFSDPxTENSOR of the devices, one row for each, such as 1x1x1 2x1x1; by default one
    device."""
    repeats: int = 10
    """Measurements, of which the median is told; 0 runs nothing and tells of memory only."""
    trace: bool = False
    """Also print the ten operations on which most time is spent."""
    json: Path | None = None
    """Also write every number here."""

    def __call__(self) -> None:
        from sgatlin.bench.rows import heading
        from sgatlin.bench.step import Changes, named_configs, step_rows, table
        from sgatlin.bench.trace import trace_lines

        require_at_least(0, repeats=self.repeats)
        if self.trace and not self.repeats:
            raise UserError("--trace needs steps to run: --repeats 1 or more")
        _check_file(self.json)
        implementations = _implementations(self.implementation)
        changes = Changes(
            batch_size=self.batch_size,
            seq_len=self.seq_len,
            remat=self.remat,
            implementations=implementations,
            unroll=self.unroll,
            logits_dtype=self.logits_dtype,
            meshes=self.meshes,
        )
        configs = named_configs(self.configs, changes, all_variants=self.all_variants)
        lines = table(max(map(len, configs), default=0))
        print(heading())
        print(lines.head())
        rows, traces = [], {}
        for row, found in step_rows(configs, self.repeats, trace=self.trace):
            print(lines.line(row), flush=True)
            rows.append(row)
            if "trace_error" in row:
                print(f"no trace: {row['trace_error']}", flush=True)
            if found:
                traces[row["name"]] = [cost._asdict() for cost in found]
                print("\n".join(trace_lines(found)), flush=True)
        _write(self.json, self, {}, {"rows": rows, "traces": traces})


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchDecode:
    """Time generation, one token after another, at batch sizes from 1 to 64."""

    configs: tyro.conf.Positional[tuple[str, ...]] = DECODED_CONFIGS
    """NAME or NAME:VARIANT of each config; the others are compared with the first."""
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    """Sequences written at once."""
    tokens: int | None = None
    """Tokens of each sequence, and room of the cache; 128, and on a CPU 32, by default."""
    implementation: tuple[str, ...] = ()
    """What computes the neurons, one row for each; the config's own by default."""
    repeats: int = 3
    """Generations, of which the median is told."""
    json: Path | None = None
    """Also write every number here."""

    def __call__(self) -> None:
        import jax

        from sgatlin.bench.decode import decode_rows, table
        from sgatlin.bench.measure import ceilings
        from sgatlin.bench.rows import heading
        from sgatlin.bench.step import Changes, named_configs

        require_at_least(1, repeats=self.repeats)
        require_at_least(2, tokens=self.tokens)
        for batch_size in self.batch_sizes:
            require_at_least(1, batch_sizes=batch_size)
        _check_file(self.json)
        on_cpu = jax.default_backend() == "cpu"
        n_tokens = self.tokens or (CPU_DECODED if on_cpu else ACCELERATOR_DECODED)
        changes = Changes(implementations=_implementations(self.implementation))
        configs = named_configs(self.configs, changes)
        lines = table(max(map(len, configs), default=0))
        limits = ceilings(_compute_dtype("auto"))
        print(heading(limits, _compute_dtype("auto").name))
        print(f"{n_tokens} tokens of each sequence, in a cache of as many")
        print(lines.head())
        rows = []
        for row in decode_rows(configs, self.batch_sizes, n_tokens, limits, self.repeats):
            print(lines.line(row), flush=True)
            rows.append(row)
        _write(self.json, self, {"tokens": n_tokens}, {"ceilings": limits._asdict(), "rows": rows})


def _check_file(path: Path | None) -> None:
    if path is not None and path.is_dir():
        raise UserError(f"--json {path} is a folder: name a file")


def _implementations(names: tuple[str, ...]) -> Any:
    """The same names; UserError for one that there is not."""
    # Not in the fields' types: commands are declared without importing JAX.
    from sgatlin.ops.neurons import Implementation

    for name in names:
        require_one_of(get_args(Implementation), implementation=name)
    return names


def _compute_dtype(name: str) -> Any:
    import jax
    import jax.numpy as jnp

    if name == "auto":
        name = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return jnp.dtype(name)


def _write(path: Path | None, asked: Any, used: dict[str, Any], found: dict[str, Any]) -> None:
    """JSON of what was asked for, with what the defaults became, and what was found."""
    from sgatlin.bench.rows import as_json
    from sgatlin.files import write_output

    if path is None:
        return
    arguments = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(asked).items()
    }
    write_output(path, as_json(arguments | used, **found))
