# SPDX-License-Identifier: Apache-2.0
"""`sgatlin runs`: what it says of runs in every state, and of damaged ones."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sgatlin.cli import main
from sgatlin.commands.runs import RunRow, list_runs, run_table
from sgatlin.export.write import export_run
from sgatlin.scaling.flops import n_parameters
from sgatlin.train.checkpoint import good_steps
from sgatlin.train.lock import RunLock
from sgatlin.train.run import RunDirectory
from tests.told import told


@pytest.fixture
def run(toy_run, tmp_path) -> Path:
    """A copy of the finished toy run, which validated at steps 5, 10, 15 and 20."""
    return Path(shutil.copytree(toy_run, tmp_path / "runs/toy"))


def row_of(folder: Path) -> RunRow:
    [row] = list_runs(folder)
    return row


def metrics_of(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def make_stopped(run: Path, *, after: int) -> None:
    """Leaves what a kill at this step would have left."""
    (run / "result.json").unlink()
    for step in good_steps(run / "checkpoints"):
        if step > after:
            shutil.rmtree(run / "checkpoints" / str(step))
    lines = [json.dumps(entry) for entry in metrics_of(run) if entry["step"] <= after]
    (run / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 9')


def test_a_finished_run(run):
    row, result = row_of(run), RunDirectory(run).result()
    assert (row.path, row.state, row.step, row.steps) == (run, "finished", 20, 20)
    assert (row.val_loss, row.parameters) == (result["val_loss"], result["parameters"])
    losses = [entry["loss"] for entry in metrics_of(run) if entry["step"] == 20 if "loss" in entry]
    assert [row.loss] == losses
    files = [path for path in run.rglob("*") if path.is_file()]
    assert row.bytes == sum(path.stat().st_size for path in files)
    assert row.last_write == max(path.stat().st_mtime for path in files)
    assert row.problem is None


def test_a_stopped_run_is_known_from_its_metrics_and_checkpoints(run):
    make_stopped(run, after=12)
    row = row_of(run)
    assert (row.state, row.step, row.steps) == ("stopped", 12, 20)
    logged = {entry["step"]: entry for entry in metrics_of_whole_lines(run) if "val_loss" in entry}
    assert row.val_loss == logged[10]["val_loss"]
    assert row.parameters == n_parameters(RunDirectory(run).config().model)
    assert row.problem is None


def metrics_of_whole_lines(run: Path) -> list[dict]:
    lines = (run / "metrics.jsonl").read_text().splitlines()[:-1]
    return [json.loads(line) for line in lines]


def test_a_run_that_a_process_trains(run):
    before = row_of(run).last_write
    with RunLock(run):
        assert row_of(run).state == "running"
    assert row_of(run).state == "finished"
    assert row_of(run).last_write == before


def test_a_run_that_prepares_its_data(tmp_path):
    with RunLock(tmp_path / "new"):
        row = row_of(tmp_path)
        assert (row.path, row.state, row.step) == (tmp_path / "new", "running", None)
        assert row.problem is None


def test_a_run_that_did_nothing(toy, tmp_path):
    RunDirectory(tmp_path / "new").create(toy)
    row = row_of(tmp_path)
    assert (row.state, row.step, row.steps) == ("empty", None, 20)
    assert (row.loss, row.val_loss, row.parameters, row.problem) == (None, None, None, None)


def test_only_the_end_of_the_metrics_is_read(run):
    make_stopped(run, after=20)
    metrics = run / "metrics.jsonl"
    no_text = b"\xff" * 2**20 + b'\n{"step": 19, "val_loss": 77.0}\n' + b" " * 2**20 + b"\n"
    metrics.write_bytes(no_text + b'{"step": 20, "loss": 1.25}\n')
    row = row_of(run)
    assert (row.step, row.loss, row.problem) == (20, 1.25, None)
    # The last validation is then known from the last checkpoint.
    saved = json.loads((run / "checkpoints/20/manifest.json").read_text())
    assert row.val_loss == saved["val_loss"]


def test_where_it_looks(run, toy, tmp_path):
    below = tmp_path / "runs"
    RunDirectory(below / "a/deep/er").create(toy)
    RunDirectory(below / ".hidden/run").create(toy)
    RunDirectory(run / "within").create(toy)
    RunDirectory(tmp_path / "elsewhere").create(toy)
    (below / "link").symlink_to(tmp_path / "elsewhere")
    (below / "loop").symlink_to(below)
    (below / "notes").mkdir()
    (below / "notes/readme.txt").write_text("x")
    export_run(str(run), below / "exported")
    assert [row.path.relative_to(below).as_posix() for row in list_runs(below)] == [
        "a/deep/er",
        "link",
        "toy",
    ]
    assert row_of(run).path == run


# What becomes of a file of a run, and what is said of it.
DAMAGE = [
    ("config.json", b"{", "config.json cannot be read"),
    ("config.json", b"\xff\xfe", "config.json cannot be read"),
    ("config.json", b"[" * 10**6, "config.json cannot be read"),
    ("config.json", b"3", "config.json cannot be read"),
    ("config.json", b'{"train": 7}', "config.json is no run's"),
    ("config.json", b'{"train": {"steps": "many"}}', "config.json is no run's"),
    ("config.json", None, "config.json is missing"),
    ("result.json", b"", "result.json cannot be read"),
    ("metrics.jsonl", b"\x00" * 999 + b"\n", "the end of metrics.jsonl cannot be read"),
    ("checkpoints/20/manifest.json", b"{}", "checkpoints/20/manifest.json is damaged"),
]


@pytest.mark.parametrize(("name", "content", "said"), DAMAGE)
def test_damaged_runs_are_listed(run, name, content, said, capsys):
    if content is None:
        (run / name).unlink()
    else:
        (run / name).write_bytes(content)
    row = row_of(run)
    assert row.problem == said
    assert row.step == 20
    assert row.state == ("stopped" if name == "result.json" else "finished")
    main(["runs", str(run.parent)])
    assert capsys.readouterr().out.splitlines()[1].endswith(f"  damaged: {said}")


def test_a_checkpoint_cut_short_is_named_and_the_one_before_it_told(run):
    make_stopped(run, after=20)
    whole = row_of(run)
    metadata = run / "checkpoints/20/state/params/_METADATA"
    length = metadata.stat().st_size
    metadata.write_bytes(b"x")
    row = row_of(run)
    assert row.problem == f"{metadata.relative_to(run)} has 1 bytes, not {length}"
    (run / "metrics.jsonl").unlink()
    assert (row_of(run).step, row_of(run).parameters) == (15, whole.parameters)


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "result.json", "checkpoints"])
def test_files_that_are_folders_and_the_reverse(run, name):
    if (run / name).is_dir():
        shutil.rmtree(run / name)
        (run / name).write_text("x")
    else:
        (run / name).unlink()
        (run / name).mkdir()
    assert row_of(run).problem == f"{name} cannot be read"


def test_numbers_that_are_none_are_not_told(run):
    odd = {"step": True, "loss": "low", "val_loss": [1.0]}
    (run / "metrics.jsonl").write_text(json.dumps(odd))
    (run / "result.json").write_text('{"steps": 1e999, "parameters": null, "val_loss": NaN}')
    row = row_of(run)
    assert (row.step, row.loss) == (20, None)
    assert row.parameters == n_parameters(RunDirectory(run).config().model)
    assert "  nan  " in run_table([row])


def test_folders_that_cannot_be_read(run, monkeypatch):
    def scandir(path):
        if Path(path).name == "toy":
            raise PermissionError(13, "Permission denied")
        return scanned(path)

    scanned = os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
    row = row_of(run.parent)
    assert (row.path, row.state, row.problem) == (run, "unreadable", "Permission denied")


def test_the_table():
    stopped = {"step": 980, "steps": 1200, "loss": 1.25, "parameters": 1705600}
    finished = {"step": 7, "steps": 7, "loss": 0.5, "val_loss": 0.75, "parameters": 9}
    rows = [
        RunRow(
            path=Path("runs/a"), state="stopped", **stopped, bytes=3 * 2**30, last_write=1e9 - 90
        ),
        RunRow(path=Path("runs/b\n"), state="empty", bytes=2**19, last_write=1e9 + 5),
        RunRow(path=Path("runs/c"), state="finished", **finished, problem="no config.json"),
    ]
    assert run_table(rows, now=1e9).splitlines() == [
        "run         state       step    loss  val loss  parameters     size  last write",
        "runs/a    stopped  980/1,200  1.2500         -   1,705,600  3.0 GiB   1 min ago",
        "runs/b?     empty          -       -         -           -  0.5 MiB     0 s ago",
        "runs/c   finished        7/7  0.5000    0.7500           9  0.0 MiB           -"
        "  damaged: no config.json",
    ]


def test_the_command_writes_json_too(run, toy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    RunDirectory(Path("runs/new")).create(toy)
    main(["runs", "--json", "lists/runs.json"])
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["run", "state"],
        ["runs/new", "empty"],
        ["runs/toy", "finished"],
    ]
    new, finished = json.loads(Path("lists/runs.json").read_text())
    assert new["path"] == "runs/new"
    assert new["loss"] is None
    assert finished["val_loss"] == RunDirectory(run).result()["val_loss"]


def test_a_loss_that_is_no_number_is_null_in_json(run, tmp_path):
    (run / "result.json").write_text('{"val_loss": NaN}')
    main(["runs", str(run), "--json", str(tmp_path / "runs.json")])
    [row] = json.loads((tmp_path / "runs.json").read_text(), parse_constant=pytest.fail)
    assert row["val_loss"] is None


def test_folders_without_runs(tmp_path, capsys):
    main(["runs", str(tmp_path)])
    assert capsys.readouterr().out == f"no run directories in {tmp_path}\n"
    line = told(["runs", str(tmp_path / "nowhere")], capsys)
    assert line == f"{tmp_path}/nowhere is no folder: name one that has run directories in it\n"
    line = told(["runs", str(tmp_path), "--json", str(tmp_path)], capsys)
    assert line == f"--json {tmp_path} is a folder: name a file\n"


def test_nothing_slow_is_imported(run):
    program = "import sys; from sgatlin.cli import main; main(['runs', 'runs']); "
    slow = "{'jax', 'flax', 'orbax', 'numpy', 'pydantic'}"
    command = [sys.executable, "-c", f"{program}print({slow} & sys.modules.keys())"]
    folder = run.parents[1]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    _, row, imported = done.stdout.splitlines()
    assert row.split()[:2] == ["runs/toy", "finished"]
    assert imported == "set()"
