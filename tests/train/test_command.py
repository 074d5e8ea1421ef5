# SPDX-License-Identifier: Apache-2.0
"""The train command: epochs become steps before anything is checked against steps."""

import dataclasses
import json
from pathlib import Path

import pytest

from sgatlin.config import Config, Mixture, MixturePart, Prepared
from sgatlin.errors import UserError
from sgatlin.input.store import TokenStore
from sgatlin.train import command
from sgatlin.train.command import parse_train, with_epochs


def n_windows(config: Config) -> int:
    store = TokenStore.open(Path(config.data.source.path) / "train")
    return (store.n_tokens - 1) // config.data.seq_len


def dry_run(config: Config, arguments: list[str], capsys) -> Config:
    parse_train(config, [*arguments, "--dry-run"], prog="train.py")()
    shown, _ = json.JSONDecoder().raw_decode(capsys.readouterr().out)
    return shown


def test_epochs_set_the_steps(toy, capsys):
    steps = -(-3 * n_windows(toy) // toy.data.batch_size)
    assert dry_run(toy, ["--epochs", "3"], capsys)["train"]["steps"] == steps
    assert dry_run(toy, ["--epochs=3"], capsys)["train"]["steps"] == steps
    assert dry_run(toy, [], capsys)["train"]["steps"] == toy.train.steps
    assert with_epochs(toy, 3).train.steps == steps


def test_epochs_come_before_the_check_of_the_warm_up(toy, capsys):
    warm = ["--optimizer.schedule.warmup-steps", "100"]
    with pytest.raises(UserError, match=r"warmup_steps=100 is more than train.steps=20"):
        parse_train(toy, warm, prog="train.py")
    assert dry_run(toy, [*warm, "--epochs", "1"], capsys)["train"]["steps"] > 100
    short = parse_train(toy, [*warm, "--epochs", "0.1"], prog="train.py")
    with pytest.raises(UserError, match=r"warmup_steps=100 is more than train.steps=\d\d:"):
        short()


def test_strict_reaches_the_trainer(toy, tmp_path, monkeypatch):
    def trainer(config, workdir, options):
        raise UserError(f"strict={options.strict}")

    monkeypatch.setattr(command, "Trainer", trainer)
    for arguments in ([], ["--strict"]):
        with pytest.raises(UserError, match=f"strict={bool(arguments)}"):
            parse_train(toy, [*arguments, "--workdir", str(tmp_path)], prog="train.py")()


def test_epochs_and_steps_exclude_each_other(toy):
    with pytest.raises(UserError, match=r"--epochs and --train.steps exclude each other"):
        parse_train(toy, ["--train.steps", "9", "--epochs", "1"], prog="train.py")


def test_sources_on_the_command_line(toy):
    def parsed(source, *arguments: str):
        config = dataclasses.replace(toy, data=dataclasses.replace(toy.data, source=source))
        return parse_train(config, arguments, prog="train.py").config.data.source

    sets = ("--data.source.set-weights", "RedPajamaBook", "0.5", "RedPajamaGithub", "2")
    weights = (("RedPajamaBook", 0.5), ("RedPajamaGithub", 2.0))
    assert parsed(Prepared(path="a"), *sets) == Prepared(path="a", set_weights=weights)
    parts = (MixturePart(path="a", weight=1.0), MixturePart(path="b", weight=2.0, set="c"))
    changed = (parts[0], MixturePart(path="b", weight=5.0, set="c"))
    mixture = Mixture(parts=parts, validation="a")
    assert parsed(mixture) == mixture
    found = parsed(mixture, "--data.source.parts.1.weight", "5")
    assert found == Mixture(parts=changed, validation="a")


def test_a_dry_run_tells_what_is_split_over_devices_that_need_not_be_there(toy, capsys):
    arguments = ["--mesh.data", "2", "--mesh.tensor", "2", "--dry-run"]
    parse_train(toy, arguments, prog="train.py")()
    told = capsys.readouterr().out
    assert "memory: in all, about, on a cpu, on each of 4 devices" in told
    assert "4 devices: data 2, fsdp 1, tensor 2; 2 windows a step on each" in told
    with pytest.raises(UserError, match=r"n_channels=2 is not a multiple of mesh\.tensor=3"):
        parse_train(toy, ["--mesh.tensor", "3", "--dry-run"], prog="train.py")()
