# SPDX-License-Identifier: Apache-2.0
"""What each test process needs before anything else is imported."""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

# Hermetic: the same numbers with and without an accelerator. GPU tests say JAX_PLATFORMS=cuda.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
if os.environ["JAX_PLATFORMS"] == "cpu":
    # Read where a kernel is declared: without a GPU they are tested by Triton's interpreter.
    os.environ["TRITON_INTERPRET"] = "1"

import jax
import pytest

# The package is imported by nobody here: pytest first installs the hook that checks shapes.
if TYPE_CHECKING:
    from sgatlin.config import Config

# Grain reads its settings from absl flags, which nobody parses here.
flags.FLAGS.mark_as_parsed()

# What was compiled before is read back, the same program; programs that tests start do not share
# it, as some of them are killed while they write. `make clean` empties it.
jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parent.parent / ".jax_cache"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def pytest_configure(config: pytest.Config) -> None:
    """The quick tests compute little and compile much: code for them need not be fast."""
    expression = config.option.markexpr
    multidevice = "multidevice" in expression and "not multidevice" not in expression
    if multidevice and os.environ["JAX_PLATFORMS"] == "cpu":
        jax.config.update("jax_num_cpu_devices", 8)
        # Read back, a program for several devices of a CPU corrupts memory (JAX 0.10.2).
        jax.config.update("jax_enable_compilation_cache", False)
        # Eight devices that wait for one another on few cores: slow is no deadlock.
        patience = " --xla_cpu_collective_call_terminate_timeout_seconds=600"
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + patience
    if "not slow" in expression or multidevice:
        level = " --xla_backend_optimization_level=0"
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + level


_COMPILED: dict[Any, Any] = {}


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> "Config":
    """A config that trains in a second, its data prepared."""
    from sgatlin.input.storyworld.prepare import prepare_storyworld
    from tests.toy import toy_config

    config = toy_config(tmp_path_factory.mktemp("toy") / "storyworld")
    source = config.data.source
    prepare_storyworld(
        Path(source.path),
        train_megabytes=source.train_megabytes,
        validation_megabytes=source.validation_megabytes,
        vocab_size=config.model.vocab_size,
        seed=source.seed,
        report=lambda line: None,
    )
    return config


@pytest.fixture(scope="session")
def toy_run(toy: "Config", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run of `toy`, to be read only: checkpoints 5, 10, 15 and 20."""
    from sgatlin.train.loop import Trainer, TrainOptions

    keeping = dataclasses.replace(toy.checkpoint, keep_every=5)
    validating = dataclasses.replace(toy.train, eval_every=5)
    config = dataclasses.replace(toy, checkpoint=keeping, train=validating)
    path = tmp_path_factory.mktemp("runs") / "toy"
    Trainer(config, path, TrainOptions()).train()
    return path


@pytest.fixture
def compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainers whose steps are the same programs share them: most tests are of other things."""
    from sgatlin.train.loop import Trainer
    from sgatlin.train.programs import what_is_compiled

    def compile_or_share(trainer: Trainer, programs: Any) -> None:
        def shared(config: Any, mesh: Any) -> Any:
            key = what_is_compiled(config), mesh
            if key not in _COMPILED:
                _COMPILED[key] = programs(config, mesh)
            return _COMPILED[key]

        original(trainer, shared)

    original = Trainer._compile
    monkeypatch.setattr(Trainer, "_compile", compile_or_share)
