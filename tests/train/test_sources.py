# SPDX-License-Identifier: Apache-2.0
"""Whole runs over mixtures, and over windows whose documents do not see each other."""

import dataclasses
import re
from pathlib import Path

import jax
import pytest

from sgatlin.config import Config, Mixture, MixturePart
from sgatlin.errors import RunStopped
from sgatlin.eval.command import evaluate_run
from sgatlin.eval.loss import evaluate, make_eval_step
from sgatlin.input.evaluation import eval_batches
from sgatlin.input.store import TokenStore
from sgatlin.train.loop import Trainer, TrainOptions
from tests.train.runs import assert_same, poison, record_windows, train

pytestmark = pytest.mark.usefixtures("compiled_once")


def with_source(config: Config, source, **changed) -> Config:
    return dataclasses.replace(
        config, data=dataclasses.replace(config.data, source=source, **changed)
    )


@pytest.fixture(scope="module")
def mixture(toy) -> Config:
    """The toy's training and validation text, three to one, as a mixture of two parts."""
    path = Path(toy.data.source.path)
    (path.parent / "held-out").mkdir(exist_ok=True)
    for split in ("train", "validation"):
        link = path.parent / "held-out" / split
        if not link.exists():
            link.symlink_to(path / "validation")
    parts = (
        MixturePart(path=str(path), weight=3.0),
        MixturePart(path=str(path.parent / "held-out"), weight=1.0),
    )
    return with_source(toy, Mixture(parts=parts, validation=str(path)))


@pytest.mark.slow
def test_a_mixture_trains_and_goes_on_where_it_stopped(mixture, toy, tmp_path, monkeypatch):
    windows = record_windows(monkeypatch)
    whole = train(mixture, tmp_path / "whole")
    seen = list(windows)
    windows.clear()
    train(mixture, tmp_path / "run", until=7)
    rest = train(mixture, tmp_path / "run")
    assert windows == seen
    assert_same(rest.state, whole.state)

    stores = [TokenStore.open(Path(toy.data.source.path) / s) for s in ("train", "validation")]
    n_windows = [(store.n_tokens - 1) // toy.data.seq_len for store in stores]
    assert max(seen) < sum(n_windows)
    # 80 windows, of which a fourth is expected; 3 standard deviations are 12.
    assert 8 <= sum(window >= n_windows[0] for window in seen) <= 32
    result = whole.run.result()
    assert "bigram_perplexity" not in result
    evaluated = evaluate_run(str(tmp_path / "whole")).all.loss
    assert evaluated.loss == pytest.approx(result["val_loss"], rel=1e-6)
    assert evaluated.n_tokens == stores[1].n_tokens - 1


def test_a_mixture_is_told_part_by_part(mixture, tmp_path):
    lines: list[str] = []
    trainer = Trainer(mixture, tmp_path, TrainOptions(), tell=lines.append)
    _, *told = lines
    shares = (("train", "75.00", 60), ("train", "25.00", 20))
    for line, part, (name, share, n_examples) in zip(
        told, mixture.data.source.parts, shares, strict=True
    ):
        tokens = TokenStore.open(Path(part.path) / name).n_tokens
        n_windows = (tokens - 1) // mixture.data.seq_len
        assert line == (
            f"  {part.path}/{name}: {share} %, {n_windows:,} windows, "
            f"{n_examples / n_windows:.2f} epochs"
        )
    trainer.checkpointer.close()


def test_a_loss_that_is_not_finite_names_the_windows_of_each_part(mixture, tmp_path):
    seeded = dataclasses.replace(mixture, train=dataclasses.replace(mixture.train, seed=1))
    trainer = Trainer(seeded, tmp_path, TrainOptions())
    poison(trainer, 2, "loss")
    first, second = (part.path for part in mixture.data.source.parts)
    with pytest.raises(RunStopped) as stopped:
        trainer.train()
    named = str(stopped.value).partition(", on ")[2].partition("; there is no checkpoint")[0]
    size = mixture.data.batch_size
    ids = trainer.stream.windows_at(range(size, 2 * size))
    assert named == trainer.stream.named(ids)
    assert re.fullmatch(
        rf"(windows [\d, ]+ of {first}/train)?(; )?(windows [\d, ]+ of {second}/train)?", named
    )
    assert len(re.findall(r"\d+(?=,| of)", named)) == size


@pytest.mark.slow
def test_document_boundaries_train_validate_and_evaluate_alike(toy, tmp_path):
    """One more document in a window is another program: 24 tokens, so that none is shared."""
    config = with_source(toy, toy.data.source, document_boundaries=True, seq_len=24)
    trainer = train(config, tmp_path / "bounded")
    evaluated = evaluate_run(str(tmp_path / "bounded"), batch_size=3).all.loss
    assert trainer.run.result()["val_loss"] == pytest.approx(evaluated.loss, rel=1e-5)
    other = evaluate(
        jax.jit(make_eval_step(config.model)),
        trainer.state.params,
        eval_batches(trainer.data.validation, batch_size=4, seq_len=24),
        trainer.tokenizer.token_bytes(),
    )
    assert abs(other.loss - evaluated.loss) > 1e-5
