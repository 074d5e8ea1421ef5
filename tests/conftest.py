# SPDX-License-Identifier: Apache-2.0
"""What each test process needs before anything else is imported."""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

# Hermetic: the same numbers with and without an accelerator. GPU tests say JAX_PLATFORMS=cuda.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

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


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> "Config":
    """A config that trains in a second, its data prepared."""
    from sgatlin.input.prepare import prepare_storyworld
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
    """The directory of a finished run of `toy`, to be read only; it kept every checkpoint."""
    from sgatlin.train.loop import Trainer, TrainOptions

    keeping = dataclasses.replace(toy.checkpoint, keep_every=5)
    path = tmp_path_factory.mktemp("runs") / "toy"
    Trainer(dataclasses.replace(toy, checkpoint=keeping), path, TrainOptions()).train()
    return path
