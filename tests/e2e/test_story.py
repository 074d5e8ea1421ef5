# SPDX-License-Identifier: Apache-2.0
"""The default run from the command line, as a newcomer types it, in an empty folder."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sgatlin.train import checkpoint

ROOT = Path(__file__).parents[2]


def run(folder: Path, *command: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("newcomer")
    return folder, run(folder, str(ROOT / "train.py"))


@pytest.mark.slow
def test_default_run_beats_the_bigram_model(trained: tuple[Path, str]) -> None:
    folder, told = trained
    result = json.loads((folder / "runs/story/result.json").read_text())
    assert result["val_perplexity"] < 0.6 * result["bigram_perplexity"]
    for name in ("val_perplexity", "bigram_perplexity"):
        assert f"{result[name]:.4f}" in told
    assert checkpoint.latest(folder / "runs/story/checkpoints") == result["steps"]


@pytest.mark.slow
def test_it_ends_with_a_story_in_sentences(trained: tuple[Path, str]) -> None:
    story = trained[1].partition("A sample")[2].partition("\n\n")[2].strip()
    assert len(re.findall(r'[A-Z"][^.!?]+[.!?]', story)) >= 5
    assert story[-1] in '.!?"'


@pytest.mark.slow
def test_the_trained_model_generates_and_is_evaluated(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    # A fact of the story world, which hundreds of its stories state.
    prompt = "Then they met a turtle. The turtle was"
    command = ("-m", "sgatlin", "generate", "runs/story", "--prompt", prompt)
    assert run(folder, *command, "--temperature", "0").startswith(f"{prompt} slow")
    told = run(folder, "-m", "sgatlin", "eval", "runs/story@best")
    result = json.loads((folder / "runs/story/result.json").read_text())
    assert f"perplexity {result['val_perplexity']:.3f}" in told
