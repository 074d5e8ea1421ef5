# SPDX-License-Identifier: Apache-2.0
"""Runs of a study in this process: recorded, skipped, stopped, branched off, and failing."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from sgatlin.cli import main
from sgatlin.config import Config
from sgatlin.errors import UserError
from sgatlin.input.store import TokenStore
from sgatlin.isoflop.drive import drive
from sgatlin.isoflop.execute import Ended, run_all
from sgatlin.isoflop.records import Record, Results
from sgatlin.train import checkpoint
from sgatlin.train.loop import Stopped, Trainer
from sgatlin.train.run import RunDirectory
from tests.isoflop.tiny import tiny, write_studies
from tests.told import told

pytestmark = pytest.mark.usefixtures("compiled_once")


@pytest.fixture(scope="module")
def studies(toy: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_studies(tmp_path_factory.mktemp("studies") / "studies.py", toy)


@pytest.fixture(scope="module")
def done(studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results and runs of the study `two`, finished; to be read only."""
    path = tmp_path_factory.mktemp("done")
    assert run(studies, "two", path) == 0
    return path


def run(studies: Path, variant: str, path: Path, **options) -> int:
    return drive(tiny(studies, variant), Results(path / "results"), path / "runs", **options)


def result(path: Path, name: str) -> dict:
    return json.loads((path / "results" / f"{name}.json").read_text())["result"]


def n_checkpoints(path: Path) -> int:
    return len(list((path / "runs").rglob("manifest.json")))


def train_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(trainer: Trainer, batches: object) -> None:
        raise AssertionError(f"{trainer.run.path} trains")

    monkeypatch.setattr(Trainer, "_take_steps", refuse)


def test_a_record_has_what_the_run_came_to(studies, done, toy):
    name = "mlp-s1-1280tok"
    results = Results(done / "results")
    assert results.names() == {name, "swiglu-s1-1280tok"}
    (record,) = (record for record in results.records() if record.run.name == name)
    own = done / "runs" / name
    kept = json.loads((own / "result.json").read_text())
    for field in ("val_loss", "val_bits_per_byte", "steps", "tokens", "parameters", "seconds"):
        assert getattr(record.result, field) == kept[field], field
    for field in ("flops_paper", "flops_full", "device"):
        assert getattr(record.result, field) == kept[field], field
    assert (record.result.steps, record.result.tokens) == (20, 1280)
    attention, layer = 4 * 16 * 16 + 2 * 8, 2 * 16 * 16
    assert record.result.parameters == 300 * 16 + attention + layer + 3 * 16
    assert record.result.active_parameters == record.result.parameters

    stores = {part: TokenStore.open(Path(toy.data.source.path) / part) for part in record.data}
    assert record.data == {part: store.content_hash for part, store in stores.items()}
    windows = (stores["train"].n_tokens - 1) // 16
    assert record.result.epochs == pytest.approx(20 * 4 / windows, abs=1e-4)
    assert json.loads((own / "documents.json").read_text()) == {
        "nats": list(record.documents.nats),
        "tokens": list(record.documents.tokens),
    }
    nats, tokens = sum(record.documents.nats), sum(record.documents.tokens)
    assert tokens == stores["validation"].n_tokens - 1
    assert nats / tokens == pytest.approx(record.loss, rel=1e-5)
    assert record.config == json.loads((own / "config.json").read_text())


def test_a_record_has_what_diagnoses_the_run(done):
    """Of 20 steps every third is validated, and the last."""
    name = "mlp-s1-1280tok"
    (record,) = (r for r in Results(done / "results").records() if r.run.name == name)
    rows = [row for row in RunDirectory(done / "runs" / name).metrics() if "val_loss" in row]
    assert record.curve.steps == (3, 6, 9, 12, 15, 18, 20)
    assert record.curve.losses == tuple(round(row["val_loss"], 4) for row in rows)
    assert record.curve.copy_scores == tuple(round(row["val_copy_score"], 4) for row in rows)
    assert record.curve.losses[-1] == round(record.loss, 4)
    assert record.copying.score == pytest.approx(record.curve.copy_scores[-1], abs=2e-4)

    losses, tokens = record.quarters.losses, record.quarters.tokens
    assert sum(tokens) == sum(record.documents.tokens)
    mean = sum(a * b for a, b in zip(losses, tokens, strict=True)) / sum(tokens)
    assert mean == pytest.approx(record.loss, abs=1e-4)
    assert len(set(losses)) == 4


def test_finished_runs_are_skipped_and_no_model_is_left(studies, done, monkeypatch, capsys):
    assert n_checkpoints(done) == 0
    monkeypatch.setattr(Trainer, "__init__", None)
    assert run(studies, "two", done) == 0
    assert capsys.readouterr().out == f"2 of 2 runs finished: {done / 'results'}\n"


def test_a_lost_record_is_made_again_without_training(studies, done, tmp_path, monkeypatch):
    path = Path(shutil.copytree(done, tmp_path / "copy"))
    file = path / "results" / "mlp-s1-1280tok.json"
    before = file.read_text()
    file.unlink()
    train_no_step(monkeypatch)
    assert run(studies, "two", path) == 0
    assert file.read_text() == before
    assert n_checkpoints(path) == 0


def test_a_stopped_run_goes_on_to_the_same_loss(studies, done, tmp_path, monkeypatch, capfd):
    def signalled(trainer, pending):
        read(trainer, pending)
        if pending.step == 8:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.2)

    read = Trainer._read
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_read", signalled)
        assert run(studies, "two", tmp_path) == 0
    told = capfd.readouterr()
    assert told.out.endswith("stopped; the same command goes on\n")
    assert "SIGTERM: saving, then stopping" in told.err
    assert not list((tmp_path / "results").glob("*"))
    own = tmp_path / "runs" / "mlp-s1-1280tok"
    (step,) = checkpoint.good_steps(own / "checkpoints")
    assert 8 <= step <= 10
    assert [path.name for path in own.parent.iterdir()] == [own.name]

    assert run(studies, "two", tmp_path) == 0
    assert f"goes on from step {step}" in capfd.readouterr().out
    for name in ("mlp-s1-1280tok", "swiglu-s1-1280tok"):
        assert result(tmp_path, name)["val_loss"] == result(done, name)["val_loss"]


def test_no_run_is_begun_after_a_request_to_stop(studies, tmp_path):
    study, results = tiny(studies, "two"), Results(tmp_path / "results")
    requested: list[Ended] = []
    runs = run_all(
        study,
        study.expand(results).runs,
        results,
        tmp_path / "runs",
        stop_requested=lambda: bool(requested),
    )
    requested.append(next(runs))
    assert requested[0].run.layer == "mlp"
    with pytest.raises(Stopped):
        next(runs)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["mlp-s1-1280tok"]


def test_runs_that_fail_are_told_and_stop_no_other(studies, tmp_path, capsys):
    arguments = ["isoflop", "run", f"{studies}:failing"]
    arguments += ["--results", str(tmp_path / "results"), "--runs", str(tmp_path / "runs")]
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    out, err = capsys.readouterr()
    assert stop.value.code == 1
    assert err == "sgatlin: 2 runs failed, as told above; the same command tries again\n"
    lines = out.splitlines()
    (absent,) = (line for line in lines if line.startswith("absent-s1-1280tok: failed: "))
    assert "/absent" in absent
    (diverging,) = (line for line in lines if line.startswith("diverging-s1-1280tok: failed: "))
    assert "stopped at step" in diverging
    assert lines[-1] == f"1 of 3 runs finished, 2 failed: {tmp_path / 'results'}"
    assert Results(tmp_path / "results").names() == {"mlp-s1-1280tok"}
    assert result(tmp_path, "mlp-s1-1280tok")["steps"] == 20


def test_the_trace_of_a_fault_is_kept(studies, tmp_path, monkeypatch, capsys):
    def broken(trainer, stop_requested):
        if trainer.config.name.startswith("mlp"):
            raise ZeroDivisionError("by\nnothing")
        return train(trainer, stop_requested)

    train = Trainer.train
    monkeypatch.setattr(Trainer, "train", broken)
    assert run(studies, "two", tmp_path) == 1
    trace = tmp_path / "runs" / "logs" / "mlp-s1-1280tok-error.txt"
    line = f"mlp-s1-1280tok: failed: ZeroDivisionError: by nothing (more in {trace})  ["
    assert f"\n{line}" in capsys.readouterr().out
    assert "in broken\n" in trace.read_text()
    assert Results(tmp_path / "results").names() == {"swiglu-s1-1280tok"}


def test_a_budget_too_small_for_a_run_is_told_and_the_rest_runs(studies, tmp_path, capsys):
    assert run(studies, "short", tmp_path) == 1
    assert (
        "mlp-s1-256tok: failed: 256 tokens pays for 4 steps, and 4 of them would be warm-up"
        in capsys.readouterr().out
    )
    assert Results(tmp_path / "results").names() == {"mlp-s1-1280tok"}


def test_a_record_of_another_config_is_refused(studies, done, tmp_path):
    path = Path(shutil.copytree(done, tmp_path / "copy"))
    file = path / "results" / "mlp-s1-1280tok.json"
    record = json.loads(file.read_text())
    record["config"]["optimizer"]["weight_decay"] = 0.5
    record["config"]["log"]["every"] = 7  # changes no result
    file.write_text(json.dumps(record))
    with pytest.raises(UserError) as refused:
        run(studies, "two", path)
    message = str(refused.value)
    assert "\n" not in message
    assert message.startswith(
        f"{file} is of a run with another config (field: there, now): "
        "optimizer.weight_decay: 0.5, 0.1. "
    )


def test_a_damaged_record_is_refused(studies, done, tmp_path):
    path = Path(shutil.copytree(done, tmp_path / "copy"))
    file = path / "results" / "mlp-s1-1280tok.json"
    file.write_text(file.read_text()[:100])
    with pytest.raises(UserError, match=r"^cannot read .*mlp-s1-1280tok.json: [^\n]+made again$"):
        run(studies, "two", path)


def test_best_scales_are_run_when_they_are_known(studies, tmp_path, capsys):
    assert run(studies, "best", tmp_path, choose=lambda expansion: list(expansion.runs)[:1]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    waiting = "2 more wait for best scales or the rate rule"
    assert last == f"1 of 1 runs finished; {waiting}: {tmp_path / 'results'}"
    assert run(studies, "best", tmp_path) == 0
    losses = {s: result(tmp_path, f"mlp-s{s}-1280tok")["val_loss"] for s in (1, 2)}
    names = {
        "mlp-s1-1280tok",
        "mlp-s2-1280tok",
        f"mlp-s{min(losses, key=losses.get)}-1280tok-seed1",
    }
    assert Results(tmp_path / "results").names() == names


@pytest.fixture(scope="module")
def whole(studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of 20 and 40 steps, each begun anew."""
    path = tmp_path_factory.mktemp("whole")
    assert run(studies, "whole", path) == 0
    return path


def of_steps(path: Path) -> dict[int, dict]:
    """Results by the number of steps."""
    return {
        record.result.steps: {"name": record.run.name, "loss": record.loss}
        for record in Results(path / "results").records()
    }


def record_of_steps(path: Path, steps: int) -> Record:
    (found,) = (r for r in Results(path / "results").records() if r.result.steps == steps)
    return found


@pytest.mark.parametrize("is_there", [True, False])
def test_a_longer_run_branches_off_the_shorter_if_it_can(
    studies, whole, tmp_path, capsys, is_there
):
    """The stable phase of 20 steps ends at step 16; the same loss bit for bit, either way."""
    names = {steps: kept["name"] for steps, kept in of_steps(whole).items()}
    trunk = tmp_path / "runs" / names[20]
    assert run(studies, "branch", tmp_path, choose=lambda expansion: list(expansion.runs)[:1]) == 0
    assert checkpoint.good_steps(trunk / "checkpoints") == [16]
    if not is_there:
        shutil.rmtree(trunk / "checkpoints")
    capsys.readouterr()
    assert run(studies, "branch", tmp_path) == 0
    begins = f"branches off {trunk} at step 16" if is_there else "starts at step 0"
    assert begins in capsys.readouterr().out
    assert of_steps(tmp_path) == of_steps(whole)
    # A branch's curve begins with the trunk's, up to the step at which it branches off.
    ours, theirs, short = (
        record_of_steps(path, steps).curve
        for path, steps in ((tmp_path, 40), (whole, 40), (whole, 20))
    )
    n_shared = sum(step <= 16 for step in short.steps) if is_there else 0
    assert ours.steps[:n_shared] == short.steps[:n_shared]
    assert ours.losses[:n_shared] == short.losses[:n_shared]
    assert ours.steps[n_shared:] == tuple(
        step for step in theirs.steps if step > 16 or not is_there
    )
    assert ours.losses[-1] == theirs.losses[-1]
    assert ours.copy_scores[-1] == theirs.copy_scores[-1]
    # The longest has none that would branch off it, and saves all the same for a study made longer.
    assert checkpoint.good_steps(tmp_path / "runs" / names[40] / "checkpoints") == [32]


def test_dry_run_lists_the_runs_and_writes_nothing(studies, done, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (done / "results" / "swiglu-s1-1280tok.json").rename(tmp_path / "kept.json")
    try:
        main(["isoflop", "run", f"{studies}:two", "--results", str(done / "results"), "--dry-run"])
    finally:
        (tmp_path / "kept.json").rename(done / "results" / "swiglu-s1-1280tok.json")
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["run", "state", "steps", "tokens"],
        ["mlp-s1-1280tok", "finished", "20", "1,280"],
        ["swiglu-s1-1280tok", "pending", "20", "1,280"],
    ]
    main(["isoflop", "run", f"{studies}:short", "--dry-run"])
    assert "would be warm-up" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("STUDY:two --only moe-*", "--only moe-*: no run of the study has such a name"),
        ("STUDY:two --only moe-* --dry-run", "--only moe-*: no run of the study"),
        ("STUDY:two --workers 2 --slurm", "--workers is of this machine, --slurm of others"),
        ("STUDY:two --workers 0", "workers=0 must be at least 1"),
        ("STUDY:two --job.at-once 0", "at_once=0 must be at least 1"),
        ("STUDY:tow", "no variant 'tow': did you mean 'two'?"),
        ("STUDY:two --workerz 2", "--workerz"),
        ("pile_mx", "unknown study 'pile_mx': did you mean 'pile_mix'?"),
        ("nowhere.py", "study file nowhere.py does not exist"),
    ],
)
def test_bad_input_ends_in_one_line(studies, tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert said in told(f"isoflop run {arguments.replace('STUDY', str(studies))}", capsys)
    assert not list(tmp_path.iterdir())


def test_results_that_cannot_be_written_are_told(studies, tmp_path, capsys):
    (tmp_path / "results").touch()
    line = told(
        f"isoflop run {studies}:two --results {tmp_path}/results --runs {tmp_path}/runs", capsys
    )
    assert line.startswith(f"cannot write to {tmp_path}/results: File exists; choose another")
    assert not (tmp_path / "runs").exists()
