# SPDX-License-Identifier: Apache-2.0
"""Whole runs of a toy: stopped and resumed bit for bit, kept checkpoints, ends good and bad."""

import dataclasses
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from sgatlin.config import Config, Prepared, to_json
from sgatlin.errors import RunStopped, UserError
from sgatlin.eval.command import evaluate_run
from sgatlin.eval.loss import EvalResult
from sgatlin.input.store import TokenStore
from sgatlin.input.write import write_store
from sgatlin.train import checkpoint, loop, validation
from sgatlin.train.checkpoint import CheckpointConfig
from sgatlin.train.loop import Stopped, Trainer, TrainOptions
from tests.toy import STEPS
from tests.train.runs import assert_same, poison, record_windows, train

pytestmark = pytest.mark.usefixtures("compiled_once")

KILLED_AFTER_TWELVE = """
import os, signal, sys
from pathlib import Path
from sgatlin.config import from_json
from sgatlin.train.loop import Trainer, TrainOptions

trainer = Trainer(from_json(sys.argv[1], origin="argument"), Path(sys.argv[2]), TrainOptions())
trainer.train(lambda: trainer.step == 12 and os.kill(os.getpid(), signal.SIGKILL))
"""


def metrics(path: Path) -> list[dict]:
    """What metrics.jsonl holds, without what depends on the clock."""
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    clock = ("time", "tokens_per_second")
    return [{k: v for k, v in line.items() if k not in clock} for line in lines]


@pytest.fixture(scope="module")
def whole(toy, tmp_path_factory) -> SimpleNamespace:
    """A run that nothing interrupted, and the windows that it trained on."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        windows = record_windows(monkeypatch)
        path = tmp_path_factory.mktemp("runs") / "whole"
        trainer = train(toy, path)
    return SimpleNamespace(path=path, trainer=trainer, windows=windows)


def test_twenty_steps_equal_ten_stopped_and_ten_more(toy, whole, tmp_path, monkeypatch):
    windows = record_windows(monkeypatch)
    train(toy, tmp_path / "run", until=10)
    assert checkpoint.good_steps(tmp_path / "run" / "checkpoints") == [8, 10]
    rest = train(toy, tmp_path / "run")

    assert_same(rest.state, whole.trainer.state)
    assert windows == whole.windows
    assert len(windows) == STEPS * toy.data.batch_size
    lines = metrics(tmp_path / "run")
    assert lines == metrics(whole.path)
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, STEPS + 1))
    assert [line["step"] for line in lines if "val_loss" in line] == [8, 16, 20]
    assert [line["step"] for line in lines if "val_copy_score" in line] == [8, 16, 20]


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_checkpoint(toy, whole, tmp_path):
    path = tmp_path / "run"
    command = [sys.executable, "-c", KILLED_AFTER_TWELVE, to_json(toy), str(path)]
    # The same programs as this process's: they need not be compiled again.
    cache = {"JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir}
    killed = subprocess.run(command, env=os.environ | cache, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = metrics(path)
    assert before[-1]["step"] in (11, 12)

    rest = train(toy, path)
    assert_same(rest.state, whole.trainer.state)
    assert metrics(path) == metrics(whole.path)


def test_saves_by_time(toy, whole, tmp_path, monkeypatch):
    """A step takes 25 seconds: a minute has passed after every third since the last save."""
    saving = CheckpointConfig(every_steps=10, every_minutes=1.0, keep_last=100, keep_best=0)
    trainer = Trainer(dataclasses.replace(toy, checkpoint=saving), tmp_path, TrainOptions())
    clock = SimpleNamespace(monotonic=lambda: 25.0 * trainer.step)
    monkeypatch.setattr(loop, "time", clock)
    trainer.train()
    steps = [3, 6, 9, 10, 13, 16, 19, 20]
    assert checkpoint.good_steps(tmp_path / "checkpoints") == steps
    assert_same(trainer.state, whole.trainer.state)


def test_stopping_in_a_validation(toy, whole, tmp_path):
    """It ends at the next batch, saves, and the last validation is made up for."""
    path = tmp_path / "run"
    trainer = Trainer(toy, path, TrainOptions())
    calls = []

    def in_the_last_validation() -> bool:
        calls.append(trainer.step)
        return calls.count(STEPS) == 3  # twice after the step, then after the first batch

    with pytest.raises(Stopped, match=r"^saved step 20$"):
        trainer.train(in_the_last_validation)
    assert not (path / "result.json").exists()
    assert metrics(path) == metrics(whole.path)[:-1]
    assert checkpoint.latest(path / "checkpoints") == STEPS
    assert train(toy, path).run.result()["val_loss"] == whole.trainer.run.result()["val_loss"]
    assert metrics(path) == metrics(whole.path)
    assert checkpoint.best(path / "checkpoints") == checkpoint.best(whole.path / "checkpoints")


def test_killed_between_the_last_save_and_the_result(toy, whole, tmp_path):
    shutil.copytree(whole.path, tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    again = train(toy, tmp_path / "run")
    assert metrics(again.run.path) == metrics(whole.path)
    assert again.run.result()["val_loss"] == whole.trainer.run.result()["val_loss"]


def test_result(toy, whole):
    result = whole.trainer.run.result()
    evaluated = evaluate_run(str(whole.path)).all.loss
    tokens = STEPS * 4 * 16
    flops = result["flops_full"] - result["flops_paper"]
    assert result["val_loss"] == pytest.approx(evaluated.loss, rel=1e-6)
    assert result["val_perplexity"] == pytest.approx(math.exp(evaluated.loss), rel=1e-6)
    assert result["val_bits_per_byte"] == pytest.approx(evaluated.bits_per_byte, rel=1e-6)
    assert result["copy_score"] == result["copy_first_loss"] - result["copy_second_loss"]
    assert result["copy_score"] == metrics(whole.path)[-1]["val_copy_score"]
    # A model of 20 steps is near the uniform distribution, and copies nothing.
    assert 4 < result["copy_first_loss"] < math.log(toy.model.vocab_size) + 1
    assert abs(result["copy_score"]) < 0.1
    assert (result["steps"], result["tokens"]) == (STEPS, tokens)
    assert flops == 3 * 2 * toy.model.d_model * toy.model.vocab_size * tokens
    assert result["parameters"] == sum(x.size for x in jax.tree.leaves(whole.trainer.state.params))
    assert 0 < result["seconds"] < 600
    assert result["device"] == jax.devices()[0].device_kind
    assert 1 < result["bigram_perplexity"] < toy.model.vocab_size


def test_prepared_data_trains_alike_and_has_no_baseline(toy, whole, tmp_path):
    source = Prepared(path=toy.data.source.path)
    config = dataclasses.replace(toy, data=dataclasses.replace(toy.data, source=source))
    trainer = train(config, tmp_path)
    assert_same(trainer.state, whole.trainer.state)
    assert set(whole.trainer.run.result()) - set(trainer.run.result()) == {"bigram_perplexity"}


def test_a_finished_run_tells_its_result_again_and_changes_nothing(toy, whole, monkeypatch):
    def files() -> dict[Path, tuple[int, bytes]]:
        found = [path for path in whole.path.rglob("*") if path.is_file()]
        return {path: (path.stat().st_ino, path.read_bytes()) for path in found}

    def refuse(trainer):
        raise AssertionError("nothing needs to be compiled")

    monkeypatch.setattr(Trainer, "_compile", refuse)
    before = files()
    trainer = Trainer(toy, whole.path, TrainOptions())
    assert trainer.train() == json.loads((whole.path / "result.json").read_text())
    after = files()
    before.pop(whole.path / "config.json"), after.pop(whole.path / "config.json")
    assert after == before


def test_which_checkpoints_stay(toy, tmp_path, monkeypatch):
    """The last two, every multiple of six, and the best one: here the validation at step 10."""
    losses = {5: 3.0, 10: 1.0, 15: 2.0, 20: 2.5}
    monkeypatch.setattr(
        validation, "evaluate", lambda *_, **__: EvalResult(losses[trainer.step], 1, 1)
    )
    config = dataclasses.replace(
        toy,
        checkpoint=CheckpointConfig(every_steps=2, keep_last=2, keep_every=6, keep_best=1),
        train=dataclasses.replace(toy.train, eval_every=5),
    )
    trainer = Trainer(config, tmp_path, TrainOptions())
    trainer.train()
    folder = tmp_path / "checkpoints"
    assert checkpoint.good_steps(folder) == [6, 10, 12, 18, 20]
    assert checkpoint.best(folder) == 10


def test_the_state_of_the_step_before_is_given_up(toy, tmp_path):
    """The buffers are donated: no second copy of parameters and optimizer is kept.

    A counter that somebody reads meanwhile may stay.
    """
    trainer = Trainer(toy, tmp_path, TrainOptions())
    before = jax.tree.leaves((trainer.state.params, trainer.state.optimizer))
    with pytest.raises(Stopped):
        trainer.train(lambda: True)
    kept = [leaf.shape for leaf in before if leaf.size > 1 and not leaf.is_deleted()]
    assert kept == []


@pytest.mark.parametrize(
    ("step", "name", "kept"),
    [
        # Steps 5, 10 and so on are saved, and 8, the best so far: never the bad one itself.
        (7, "loss", "the last good checkpoint is step 5 in"),
        (8, "loss", "the last good checkpoint is step 5 in"),
        (10, "grad_norm", "the last good checkpoint is step 8 in"),
        (3, "loss", "there is no checkpoint yet"),
        (20, "loss", "the last good checkpoint is step 16 in"),
    ],
)
def test_a_loss_that_is_not_finite_ends_the_run(toy, whole, tmp_path, step, name, kept):
    trainer = Trainer(toy, tmp_path, TrainOptions())
    poison(trainer, step, name)
    with pytest.raises(RunStopped) as stopped:
        trainer.train()

    told = str(stopped.value)
    size = toy.data.batch_size
    windows = ", ".join(map(str, whole.windows[(step - 1) * size : step * size]))
    assert f"stopped at step {step}: " in told
    assert f"on windows {windows} of {toy.data.source.path}/train; {kept}" in told
    assert "inf" in told
    assert "\n" not in told
    assert all(good < step for good in checkpoint.good_steps(tmp_path / "checkpoints"))
    assert [line["step"] for line in metrics(tmp_path) if "loss" in line] == list(range(1, step))
    assert not (tmp_path / "result.json").exists()


def test_a_validation_loss_that_is_not_finite_ends_the_run(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(validation, "evaluate", lambda *_, **__: EvalResult(math.nan, 1, 1))
    with pytest.raises(
        RunStopped, match=r"at step 8: validation loss nan; the last good .* step 5"
    ):
        Trainer(toy, tmp_path, TrainOptions()).train()
    assert checkpoint.good_steps(tmp_path / "checkpoints") == [5]


def test_logging_and_saving_may_change_when_a_run_goes_on(toy, whole, tmp_path):
    train(toy, tmp_path, until=10)
    changed = dataclasses.replace(
        toy,
        log=dataclasses.replace(toy.log, every=6, tensorboard=True),
        checkpoint=CheckpointConfig(every_steps=3, keep_last=1),
    )
    assert_same(train(changed, tmp_path).state, whole.trainer.state)
    steps = [line["step"] for line in metrics(tmp_path) if "loss" in line]
    assert steps == [*range(1, 11), 12, 18, 20]
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_without_wandb_a_run_that_wants_it_ends_in_one_line(toy, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    config = dataclasses.replace(toy, log=dataclasses.replace(toy.log, wandb_project="stories"))
    trainer = Trainer(config, tmp_path, TrainOptions())
    with pytest.raises(UserError, match=r"^log.wandb_project is set but wandb is not installed: "):
        trainer.train()


@pytest.mark.slow
def test_profile_writes_a_trace_even_if_the_run_ends_first(toy, tmp_path):
    trainer = train(toy, tmp_path, profile="19:30")
    (trace,) = (tmp_path / "profile").rglob("*.xplane.pb")
    assert trace.stat().st_size > 0
    assert not trainer.profiler.tracing


def test_profile_of_a_run_that_goes_on_in_the_middle_of_it(toy, tmp_path):
    train(toy, tmp_path, until=10)
    train(toy, tmp_path, profile="8:12")
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_tokenizer_of_the_data_must_stay(toy, tmp_path):
    train(toy, tmp_path, until=3)
    tokenizer = json.loads((tmp_path / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:-1]
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(UserError, match=r"has another tokenizer than the run .* started with"):
        Trainer(toy, tmp_path, TrainOptions())


def test_data_must_stay(toy, tmp_path):
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(toy.data.source.path, data)
    config = dataclasses.replace(
        toy, data=dataclasses.replace(toy.data, source=Prepared(path=str(data)))
    )
    train(config, run, until=3)
    train(config, run, until=5)
    store = TokenStore.open(data / "train")
    texts = [store.tokenizer().decode(store.document(n)) for n in range(store.n_documents)]
    texts[0], texts[1] = texts[1], texts[0]
    write_store(data / "train", texts, store.tokenizer(), source="another order", overwrite=True)
    with pytest.raises(UserError, match=r"data/train has changed since the run .* began"):
        Trainer(config, run, TrainOptions())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: dataclasses.replace(c.data, seq_len=10**6), "seq_len=1000000 is longer than"),
        (lambda c: dataclasses.replace(c.data, batch_size=10**6), "batch_size=1000000 must be in"),
    ],
)
def test_data_that_does_not_fit_leaves_no_run_behind(
    toy, tmp_path, change: Callable[[Config], object], told
):
    with pytest.raises(UserError, match=told):
        Trainer(dataclasses.replace(toy, data=change(toy)), tmp_path / "run", TrainOptions())
    assert not (tmp_path / "run").exists()
