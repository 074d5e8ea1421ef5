# SPDX-License-Identifier: Apache-2.0
"""Run directories: whose they are, and that nothing is written before all is known to be right."""

import dataclasses
import errno
import json
from pathlib import Path

import pytest

from sgatlin.config import Config, from_json
from sgatlin.errors import RunStopped, UserError
from sgatlin.eval.documents import DocumentLosses
from sgatlin.input.store import split_stores
from sgatlin.train.checkpoint import CheckpointConfig
from sgatlin.train.run import RunDirectory


def refusal(path, config: Config) -> str:
    with pytest.raises(UserError) as caught:
        RunDirectory.claim(path, config).create(config)
    return str(caught.value)


def test_a_new_run_writes_its_config(toy, tmp_path):
    path = tmp_path / "deep" / "run"
    run = RunDirectory.claim(path, toy)
    assert not path.parent.exists()
    run.create(toy)
    assert RunDirectory.open(path).config() == toy
    assert from_json((path / "config.json").read_text(), origin="config.json") == toy
    assert [file.name for file in path.iterdir()] == ["config.json"]


def test_the_same_config_may_go_on(toy, tmp_path):
    RunDirectory.claim(tmp_path, toy).create(toy)
    assert RunDirectory.claim(tmp_path, toy).config() == toy


def test_logging_and_saving_may_change(toy, tmp_path):
    RunDirectory.claim(tmp_path, toy).create(toy)
    changed = dataclasses.replace(
        toy,
        log=dataclasses.replace(toy.log, every=3, wandb_project="p"),
        checkpoint=CheckpointConfig(every_steps=7, keep_last=9),
    )
    run = RunDirectory.claim(tmp_path, changed)
    assert run.config() == toy
    run.create(changed)
    assert run.config() == changed


def test_another_config_is_refused_and_every_difference_named(toy, tmp_path):
    RunDirectory.claim(tmp_path, toy).create(toy)
    other = dataclasses.replace(
        toy,
        train=dataclasses.replace(toy.train, seed=7, eval_tokens=None),
        model=dataclasses.replace(toy.model, remat="full"),
        log=dataclasses.replace(toy.log, every=3),
    )
    told = refusal(tmp_path, other)
    differences = "model.remat: 'none', 'full'; train.eval_tokens: 256, None; train.seed: 0, 7."
    assert differences in told
    assert "log" not in told
    assert "--workdir" in told
    assert RunDirectory(tmp_path).config() == toy


def test_a_folder_of_other_things_is_refused_and_left_alone(toy, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    assert f"{tmp_path} exists and is not a run directory" in refusal(tmp_path, toy)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_files_are_no_run_directories(toy, tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    assert f"{file} exists and is not a run directory" in refusal(file, toy)
    inside = file / "run"
    assert f"cannot write the run directory {inside}: Not a directory" in refusal(inside, toy)
    with pytest.raises(UserError, match="is not a run directory: it has no"):
        RunDirectory.open(tmp_path)


def test_what_a_killed_start_leaves_is_no_hindrance(toy, tmp_path):
    for name in (".lock", ".config.json.abc.partial"):
        (tmp_path / name).write_text("{")
    run = RunDirectory.claim(tmp_path, toy)
    run.create(toy)
    assert sorted(file.name for file in tmp_path.iterdir()) == [".lock", "config.json"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "config.json is not JSON"),
        (b"\xff\xfe{}", "cannot read"),
        (b"{}", "config.json: name is missing"),
        (b"[]", "config.json: the config=[]: Input should be an object"),
    ],
)
def test_a_damaged_config_is_named(toy, tmp_path, content, told):
    (tmp_path / "config.json").write_bytes(content)
    assert told in refusal(tmp_path, toy)
    assert (tmp_path / "config.json").read_bytes() == content


def test_result(toy, tmp_path):
    run = RunDirectory(tmp_path)
    _, validation = split_stores(Path(toy.data.source.path))
    run.write_result({"steps": 3, "device": "cpu"}, DocumentLosses(validation, seq_len=16))
    nothing = {"nats": [0.0] * validation.n_documents, "tokens": [0] * validation.n_documents}
    assert json.loads(run.documents_file.read_text()) == nothing
    assert json.loads(run.result_file.read_text()) == {"steps": 3, "device": "cpu"} == run.result()


def test_a_damaged_result_is_named(tmp_path):
    run = RunDirectory(tmp_path)
    run.result_file.write_text("{")
    with pytest.raises(UserError, match=r"cannot read .*result.json: .*: remove it, and the same"):
        run.result()


def test_disk_errors_are_told_and_others_keep_their_trace(tmp_path):
    run = RunDirectory(tmp_path)
    with pytest.raises(RunStopped) as caught, run.disk_errors_told():
        raise OSError(errno.EROFS, "Read-only file system", "data.json")
    assert str(caught.value) == (
        "stopped: [Errno 30] Read-only file system: 'data.json'; there is no checkpoint yet: "
        "mend the disk and start again with the same directory"
    )
    with (
        pytest.raises(RunStopped, match=f"^stopped: .* left on device in {tmp_path}; "),
        run.disk_errors_told(),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(FileNotFoundError), run.disk_errors_told():
        (tmp_path / "absent").read_bytes()
