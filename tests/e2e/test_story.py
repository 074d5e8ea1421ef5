# SPDX-License-Identifier: Apache-2.0
"""What a newcomer does: `train.py` in an empty folder, then `sgatlin eval` and `generate`."""

import json
import re
from pathlib import Path

import pytest

from sgatlin.train import checkpoint
from tests.e2e.newcomer import ROOT, run

SGATLIN = ["-c", "from sgatlin.cli import main; main()"]

pytestmark = pytest.mark.slow


def result(folder: Path) -> dict:
    return json.loads((folder / "runs/story/result.json").read_text())


def sentences(text: str) -> list[str]:
    """Capitalised and ended; a quotation mark may come before and after."""
    return re.findall(r'"?[A-Z][^.!?]*[.!?]"?', text)


def test_it_learns_more_than_a_bigram_model(trained):
    folder, printed = trained
    story = result(folder)
    assert story["val_perplexity"] < 0.6 * story["bigram_perplexity"]
    for name in ("val_perplexity", "bigram_perplexity"):
        assert re.search(rf"^  {name} +{story[name]:,.4f}$", printed, re.MULTILINE)


def test_it_ends_with_a_story_in_sentences(trained):
    _, printed = trained
    sample = printed.partition("A sample (more with: sgatlin generate runs/story):\n\n")[2]
    assert len(sentences(sample)) >= 3
    assert sum(map(len, sentences(sample))) > 0.8 * len(sample.strip())


def test_its_checkpoint_is_good(trained):
    folder, _ = trained
    checkpoints = folder / "runs/story/checkpoints"
    steps = result(folder)["steps"]
    assert checkpoint.latest(checkpoints) == steps
    checkpoint.verify(checkpoints, steps)


def test_eval_says_the_same(trained):
    folder, _ = trained
    story = result(folder)
    printed = run([*SGATLIN, "eval", "runs/story"], folder)
    assert f"  {story['val_perplexity']:.3f}  " in printed


def test_generate_goes_on_from_a_prompt(trained):
    folder, _ = trained
    command = ["generate", "runs/story", "--prompt", "The turtle was", "--max-tokens", "60"]
    printed = run([*SGATLIN, *command], folder)
    assert printed.startswith("The turtle was ")
    assert len(sentences(printed)) >= 2


def test_the_same_command_again_tells_the_result_again(trained):
    folder, _ = trained
    before = (folder / "runs/story/result.json").read_bytes()
    printed = run([str(ROOT / "train.py")], folder)
    assert "goes on from step" in printed
    assert f"{result(folder)['val_perplexity']:,.4f}" in printed
    assert (folder / "runs/story/result.json").read_bytes() == before
