# SPDX-License-Identifier: Apache-2.0
"""What a run is: one frozen dataclass per concept, checked, and written as JSON beside its run.

A config file is a Python file with `VARIANTS`, a dict from a variant's name to a function that
returns a `Config`; the first is the default. `load_config("name:variant")` finds it.
"""

import dataclasses
import difflib
import importlib.util
import json
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Annotated, Any, TypeVar

import pydantic

from sgatlin.errors import UserError, require_at_least
from sgatlin.input.sources import Mixture as Mixture
from sgatlin.input.sources import MixturePart as MixturePart
from sgatlin.input.sources import Prepared as Prepared
from sgatlin.input.sources import Source
from sgatlin.input.sources import StoryWorld as StoryWorld
from sgatlin.mesh import MeshConfig
from sgatlin.nn.transformer import TransformerConfig
from sgatlin.train.checkpoint import CheckpointConfig
from sgatlin.train.guard import GuardConfig
from sgatlin.train.optimizer import OptimizerConfig
from sgatlin.train.resample import resampling_router
from sgatlin.train.schedules import StableDecaySchedule
from sgatlin.train.usage import UsageConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What a step is fed."""

    source: Annotated[Source, pydantic.Discriminator("kind")] = dataclasses.field(
        default_factory=StoryWorld
    )
    """Where the tokens are."""
    seq_len: int = 128
    """T: tokens predicted per window."""
    batch_size: int = 16
    """B: windows per step."""
    document_boundaries: bool = False
    """Tokens of a window attend to those of their own document only."""

    def __post_init__(self) -> None:
        require_at_least(1, seq_len=self.seq_len, batch_size=self.batch_size)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long, and how often to look."""

    steps: int
    """Optimizer steps."""
    seed: int = 0
    """Of the initialisation and of the order of the data."""
    accumulate: int = 1
    """Parts that a batch is split into, one after another, to save memory."""
    eval_every: int = 200
    """Steps between validations; the end is always validated."""
    eval_tokens: int | None = 65_536
    """Tokens of a validation during training; None takes all, as the one at the end does."""

    def __post_init__(self) -> None:
        require_at_least(1, steps=self.steps, accumulate=self.accumulate)
        require_at_least(1, eval_every=self.eval_every, eval_tokens=self.eval_tokens)
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed={self.seed} must be at least 0 and below 2**32")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogConfig:
    """What is told while a run goes on; metrics.jsonl is always written."""

    every: int = 10
    """Steps between lines."""
    tensorboard: bool = True
    """Also write TensorBoard events."""
    wandb_project: str | None = None
    """Also log to this Weights & Biases project (needs the extra `wandb`)."""

    def __post_init__(self) -> None:
        require_at_least(1, every=self.every)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that determines a run."""

    name: str
    """Names the default run directory, runs/NAME."""
    model: TransformerConfig
    data: DataConfig
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    train: TrainConfig
    guard: GuardConfig = dataclasses.field(default_factory=GuardConfig)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    checkpoint: CheckpointConfig = dataclasses.field(default_factory=CheckpointConfig)
    usage: UsageConfig = dataclasses.field(default_factory=UsageConfig)
    log: LogConfig = dataclasses.field(default_factory=LogConfig)

    def __post_init__(self) -> None:
        if self.data.batch_size % self.train.accumulate:
            raise UserError(
                f"data.batch_size={self.data.batch_size} is not a multiple of "
                f"train.accumulate={self.train.accumulate}: change either"
            )
        warmup = self.optimizer.schedule.warmup_steps
        if warmup > self.train.steps:
            raise UserError(
                f"optimizer.schedule.warmup_steps={warmup} is more than "
                f"train.steps={self.train.steps}: train longer or lower it "
                "(--optimizer.schedule.warmup-steps)"
            )
        if self.usage.resample and resampling_router(self.model) is None:
            raise UserError(
                f"usage.resample needs a router and a table for each channel, which the layer "
                f"{self.model.kinds!r} here has not: set it to False"
            )

    @property
    def tokens_per_step(self) -> int:
        return self.data.batch_size * self.data.seq_len

    @property
    def step_before_decay(self) -> int | None:
        """The step that `checkpoint.before_decay` saves; None where it saves none."""
        schedule = self.optimizer.schedule
        if not self.checkpoint.before_decay or not isinstance(schedule, StableDecaySchedule):
            return None
        return schedule.decay_start(self.train.steps)


# Names that an error lists.
MAX_NAMES = 12

T = TypeVar("T")

_ADAPTER = pydantic.TypeAdapter(Config)


def to_json(config: Config) -> str:
    """The config as indented JSON."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_json(text: str, *, origin: str) -> Config:
    """The config that `to_json` wrote; `origin` names the file in errors (UserError)."""
    try:
        json.loads(text)
        return _ADAPTER.validate_json(text, strict=True, extra="forbid")
    except json.JSONDecodeError as error:
        raise UserError(f"{origin} is not JSON: {error}") from None
    except pydantic.ValidationError as error:
        raise UserError(f"{origin}: {_first_problem(error, text)}") from None
    except UserError as error:
        raise UserError(f"{origin}: {error}") from None


def check_types(config: Config, *, origin: str) -> Config:
    """The same config, or a UserError naming a field whose value has the wrong type."""
    return from_json(to_json(config), origin=origin)


def differing_fields(a: Config, b: Config) -> list[str]:
    """A line "field: A's value, B's value" for each field in which two configs differ."""
    flat_a, flat_b = dict(flatten(dataclasses.asdict(a))), dict(flatten(dataclasses.asdict(b)))
    return [
        f"{name}: {flat_a.get(name, 'absent')!r}, {flat_b.get(name, 'absent')!r}"
        for name in sorted(flat_a.keys() | flat_b.keys())
        if flat_a.get(name, "absent") != flat_b.get(name, "absent")
    ]


def flatten(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of a nested dict's leaves; dicts in a sequence have numbers."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple) and value and isinstance(value[0], dict):
            numbered = {str(number): one for number, one in enumerate(value)}
            yield from flatten(numbered, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def configs_folder() -> Path:
    """Where shipped configs are: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def shipped_configs() -> dict[str, Path]:
    """Names of the shipped configs and their files."""
    return {path.stem: path for path in sorted(configs_folder().glob("[!_]*.py"))}


def load_config(spec: str) -> Config:
    """The config that `spec` names: NAME, NAME:VARIANT, PATH.py or PATH.py:VARIANT."""
    return check_types(
        load_from_file(
            spec, known=shipped_configs(), attribute="VARIANTS", kind=Config, noun="config"
        ),
        origin=spec,
    )


def load_variants(path: Path) -> dict[str, Callable[[], Config]]:
    """`VARIANTS` of a config file."""
    return _variants_in(path, "VARIANTS", Config)


def load_from_file(
    spec: str, *, known: Mapping[str, Path], attribute: str, kind: type[T], noun: str
) -> T:
    """What a function in a Python file returns.

    Args:
      spec: NAME or PATH.py of the file, and :VARIANT, the first by default.
      known: files by name.
      attribute: of the file's module: a dict from a variant's name to its function.
      kind: of what the function has to return.
      noun: what that is called in errors, which are UserErrors of one line.
    """
    name, _, variant = spec.partition(":")
    path = _find_file(name, known, noun)
    make = _pick_variant(_variants_in(path, attribute, kind), variant, origin=f"{noun} {name}")
    with _told_in_one_line(path):
        made = make()
    if not isinstance(made, kind):
        raise UserError(f"{spec} returns {type(made).__name__}, not a {kind.__name__}")
    return made


def _variants_in(path: Path, attribute: str, kind: type[T]) -> dict[str, Callable[[], T]]:
    module_spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path.resolve())
    if module_spec is None or module_spec.loader is None:
        raise UserError(f"{path} is not a Python file: its name must end in .py")
    module: ModuleType = importlib.util.module_from_spec(module_spec)
    with _told_in_one_line(path):
        module_spec.loader.exec_module(module)
    variants = getattr(module, attribute, None)
    if not isinstance(variants, dict) or not variants:
        what = f"a dict from name to a function giving a {kind.__name__}"
        raise UserError(f"{path} has no {attribute}: {what}")
    return variants


def _find_file(name: str, known: Mapping[str, Path], noun: str) -> Path:
    if name in known:
        return known[name]
    path = Path(name)
    if path.suffix == ".py" or "/" in name:
        if not path.is_file():
            raise UserError(f"{noun} file {name} does not exist")
        return path
    raise UserError(f"unknown {noun} {name!r}{_nearest(name, known)}; a path must end in .py")


def _pick_variant(
    variants: dict[str, Callable[[], T]], variant: str, *, origin: str
) -> Callable[[], T]:
    if not variant:
        return next(iter(variants.values()))
    if variant not in variants:
        raise UserError(f"{origin} has no variant {variant!r}{_nearest(variant, variants)}")
    return variants[variant]


def _nearest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    meant = f": did you mean {close[0]!r}?" if close else ":"
    names = list(known)
    if len(names) > MAX_NAMES:
        names = [*names[:MAX_NAMES], f"{len(names) - MAX_NAMES} more"]
    return f"{meant} there are {', '.join(names)}"


class _told_in_one_line:
    """Turns whatever a user's config file raises into one line with file and line number."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or not isinstance(error, Exception):
            return
        file = str(self.path.resolve())
        lines = [f.lineno for f in traceback.extract_tb(trace) if f.filename == file]
        if isinstance(error, SyntaxError) and error.filename == file:
            lines = [error.lineno]
        where = f"{self.path}:{lines[-1]}" if lines else str(self.path)
        what = _wrong_type(trace) or str(error).partition("\n")[0]
        if not isinstance(error, UserError):
            what = f"{type(error).__name__}: {what}"
        raise UserError(f"{where}: {what}") from error


def _wrong_type(trace: TracebackType | None) -> str | None:
    """What is wrong with the dataclass whose own check failed, if a field has another type."""
    for frame, _ in traceback.walk_tb(trace):
        if frame.f_code.co_name == "__post_init__":
            checked = frame.f_locals["self"]
            text = json.dumps(dataclasses.asdict(checked), default=str)
            try:
                pydantic.TypeAdapter(type(checked)).validate_json(text, strict=True)
            except pydantic.ValidationError as error:
                if error.errors()[0]["type"] != "callable_type":  # no JSON holds a function
                    return _first_problem(error, text)
            except UserError:
                pass
    return None


def _first_problem(error: pydantic.ValidationError, text: str) -> str:
    problem = error.errors()[0]
    # A location names members of unions too, which are no fields of the JSON.
    node, field = json.loads(text), []
    for part in problem["loc"]:
        if isinstance(node, dict) and (part in node or part == problem["loc"][-1]):
            field.append(str(part))
            node = node.get(part)
        elif isinstance(node, list) and isinstance(part, int):
            field.append(str(part))
            node = node[part]
    name = ".".join(field)
    if problem["type"] == "unexpected_keyword_argument":
        return f"{name} is not a field of a config"
    if problem["type"] == "missing":
        return f"{name} is missing"
    # A dict's fields would fill the line.
    value = "" if isinstance(problem["input"], dict) else f"={problem['input']!r}"
    return f"{name or 'the config'}{value}: {problem['msg']}"
