# SPDX-License-Identifier: Apache-2.0
"""The manifest: every flipped, cut or missing byte of a checkpoint is found and its file named."""

import dataclasses
import re

import pytest

from sgatlin.errors import UserError
from sgatlin.train import manifest
from sgatlin.train.manifest import FILENAME, Manifest

CONTENTS = {"state/a": b"some bytes", "state/b/c": bytes(range(256)), "state/empty": b""}


@pytest.fixture
def folder(tmp_path):
    for name, content in CONTENTS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    files = manifest.hash_files(tmp_path)
    trees = {"params": {"w": "float32[2,3]"}}
    manifest.write(tmp_path, Manifest(step=5, val_loss=0.1, trees=trees, files=files))
    return tmp_path


def refused(path):
    return pytest.raises(UserError, match=re.escape(str(path)))


def test_written_is_read(folder):
    known = manifest.read(folder)
    manifest.verify(folder, known)
    assert (known.step, known.val_loss) == (5, 0.1)
    assert {name: record.size for name, record in known.files.items()} == {
        "state/a": 10,
        "state/b/c": 256,
        "state/empty": 0,
    }
    assert sorted(path.name for path in folder.iterdir()) == [FILENAME, "state"]


@pytest.mark.parametrize("name", ["state/a", "state/b/c"])
def test_flipped_bit_is_found_at_every_byte(folder, name):
    known = manifest.read(folder)
    for i in range(len(CONTENTS[name])):
        content = bytearray(CONTENTS[name])
        content[i] ^= 1 << i % 8
        (folder / name).write_bytes(content)
        with refused(folder / name):
            manifest.verify(folder, known)


@pytest.mark.parametrize("name", CONTENTS)
def test_other_length_or_missing_file_is_found(folder, name):
    known = manifest.read(folder)
    (folder / name).write_bytes(CONTENTS[name] + b"x")
    size = len(CONTENTS[name])
    lengths = f"{folder / name} has {size + 1} bytes, not {size}"
    with pytest.raises(UserError, match=re.escape(lengths)):
        manifest.verify(folder, known)
    assert manifest.fault(folder, sizes_only=True) == lengths
    (folder / name).write_bytes(CONTENTS[name][:-1])
    if CONTENTS[name]:
        with refused(folder / name):
            manifest.verify(folder, known)
    (folder / name).unlink()
    with refused(folder / name):
        manifest.verify(folder, known)


def test_files_that_will_not_be_opened_can_be_left_out(folder):
    known = manifest.read(folder)
    (folder / "state/b/c").unlink()
    manifest.verify(folder, known, leaving_out=("state/b/",))
    with refused(folder / "state/b/c"):
        manifest.verify(folder, known, leaving_out=("state/a",))


def test_manifest_proves_itself(folder):
    path = folder / FILENAME
    content = path.read_bytes()
    for i in range(len(content)):
        flipped = bytearray(content)
        flipped[i] ^= 1 << i % 8
        for damaged in (bytes(flipped), content[:i]):
            path.write_bytes(damaged)
            with refused(path):
                manifest.read(folder)


@pytest.mark.parametrize("text", ["[]", "{}", '{"sha256": "", "files": 3}', "null"])
def test_manifest_of_another_form_is_refused(folder, text):
    (folder / FILENAME).write_text(text)
    with refused(folder / FILENAME):
        manifest.read(folder)


def test_path_cannot_leave_the_folder(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "file"
    outside.write_bytes(b"some bytes")
    (folder / "state/link").symlink_to(outside)
    known = manifest.read(folder)
    for name in (str(outside), f"../{outside.parent.name}/file", "state/link"):
        escaping = dataclasses.replace(known, files={name: known.files["state/a"]})
        with pytest.raises(UserError, match="is outside the checkpoint"):
            manifest.verify(folder, escaping)
