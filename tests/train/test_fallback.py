# SPDX-License-Identifier: Apache-2.0
"""Which checkpoint a run goes on from: damaged ones are named and kept, never taken for good."""

import re
import shutil
from pathlib import Path

import pytest

from sgatlin.errors import UserError
from sgatlin.train import checkpoint, manifest
from sgatlin.train.fallback import last_intact
from sgatlin.train.manifest import Manifest


def make(directory: Path, step: int, *, finished: bool = True) -> Path:
    """A step with two files and, if finished, their manifest."""
    folder = directory / str(step)
    (folder / "state").mkdir(parents=True)
    for name in ("state/a", "state/b"):
        (folder / name).write_bytes(f"{name} of {step}".encode())
    if finished:
        files = manifest.hash_files(folder)
        manifest.write(folder, Manifest(step=step, val_loss=None, trees={}, files=files))
    return folder


def found(directory: Path, *, strict: bool = False) -> tuple[int | None, list[str]]:
    told: list[str] = []
    return last_intact(directory, strict=strict, tell=told.append), told


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[3] ^= 4
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize("name", ["state/a", "state/b", manifest.FILENAME])
@pytest.mark.parametrize("damage", [flip, cut])
def test_damage_is_named_and_the_step_before_is_taken(tmp_path, name, damage):
    make(tmp_path, 5), make(tmp_path, 10)
    file = make(tmp_path, 20) / name
    damage(file)
    before = file.read_bytes()
    with pytest.raises(UserError, match=rf"^--strict: {re.escape(str(file))} .*leave out --strict"):
        found(tmp_path, strict=True)
    assert names(tmp_path) == ["10", "20", "5"]

    step, (line,) = found(tmp_path)
    assert step == 10
    assert line.startswith(f"{file} ")
    assert line.endswith(": the step is skipped, and kept as 20.damaged")
    assert names(tmp_path) == ["10", "20.damaged", "5"]
    assert (tmp_path / "20.damaged" / name).read_bytes() == before
    assert checkpoint.saved_steps(tmp_path) == [5, 10]
    assert found(tmp_path, strict=True) == (10, [])


def test_a_missing_file_and_one_that_cannot_be_read(tmp_path, monkeypatch):
    make(tmp_path, 1), make(tmp_path, 2), make(tmp_path, 3)
    (tmp_path / "3/state/b").unlink()
    original = manifest._record

    def fail(path):
        if path == tmp_path / "2/state/a":
            raise OSError(5, "Input/output error")
        return original(path)

    monkeypatch.setattr(manifest, "_record", fail)
    assert found(tmp_path) == (
        1,
        [
            f"{tmp_path}/3/state/b is missing: the step is skipped, and kept as 3.damaged",
            f"{tmp_path}/2/state/a cannot be read (Input/output error): the step is skipped, and "
            "kept as 2.damaged",
        ],
    )


def test_damage_before_the_last_intact_step_is_not_looked_for(tmp_path):
    flip(make(tmp_path, 1) / "state/a")
    make(tmp_path, 2)
    assert found(tmp_path) == (2, [])


def test_when_all_are_damaged_no_run_begins_anew(tmp_path):
    for step in (1, 2):
        cut(make(tmp_path, step) / "state/a")
    make(tmp_path, 3, finished=False)
    for strict in (False, True, False):
        with pytest.raises(UserError) as caught:
            found(tmp_path, strict=strict)
        told = str(caught.value)
        assert told.startswith(f"no checkpoint in {tmp_path} is intact: ")
        assert all(f"{tmp_path}/{step}/state/a has 11 bytes, not 12" in told for step in (1, 2))
        assert "\n" not in told
    assert names(tmp_path) == ["1", "2", "3"]


def test_an_unfinished_step_is_told_of(tmp_path):
    folder = make(tmp_path, 2, finished=False)
    line = f"{folder} was never finished, its saving broke off: it is dropped"
    assert found(tmp_path) == (None, [line])
    make(tmp_path, 1)
    assert found(tmp_path) == (1, [line])
    with pytest.raises(UserError, match=r"--strict: .*/2 was never finished"):
        found(tmp_path, strict=True)
    assert found(tmp_path / "absent", strict=True) == (None, [])


def test_a_step_that_is_damaged_twice_is_kept_twice(tmp_path):
    make(tmp_path, 1)
    for _ in range(3):
        flip(make(tmp_path, 2) / "state/b")
        assert found(tmp_path)[0] == 1
    assert names(tmp_path) == ["1", "2.damaged", "2.damaged-2", "2.damaged-3"]


def test_a_damaged_step_that_cannot_be_renamed(tmp_path, monkeypatch):
    make(tmp_path, 1)
    flip(make(tmp_path, 2) / "state/b")

    def read_only(path, target):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "rename", read_only)
    with pytest.raises(UserError, match=r"cannot rename the damaged .*/2: Read-only file system: "):
        found(tmp_path)
    shutil.rmtree(tmp_path / "2")
    assert found(tmp_path) == (1, [])
