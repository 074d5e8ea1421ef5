# SPDX-License-Identifier: Apache-2.0
"""Data sets from the hub, by its real client against a small server on this machine."""

import shutil
import socket
from pathlib import Path

import pytest

from sgatlin.errors import UserError
from sgatlin.input import hub as hub_module
from sgatlin.input.hub import (
    SLIMPAJAMA,
    TINYSTORIES,
    RemoteFile,
    RemoteFiles,
    download_dataset,
    list_dataset_files,
)
from tests.input.fake_hub import FakeHub, Repo, serve, use_hub

OLD, NEW = "1" * 40, "2" * 40
FILES = {
    "README.md": b"# Stories",
    "data/train-0.parquet": b"once upon",
    "data/train-1.parquet": b"a time",
    "data/validation-0.parquet": b"the end",
    "other/train-0.parquet": b"not this",
}
TRAIN = ("data/train-*.parquet",)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with serve(tmp_path / "cache", monkeypatch) as server:
        server.repos["datasets/me/tales"] = Repo(dict(FILES), {"main": NEW, "v1": OLD})
        yield server


def read(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def untold(line: str) -> None:
    raise AssertionError(f"there was nothing to tell, but: {line}")


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def fails(match: str, repo: str = "me/tales", revision: str | None = None) -> str:
    with pytest.raises(UserError, match=match) as caught:
        download_dataset(repo, revision, TRAIN, lambda line: None)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_only_matching_files_are_downloaded_and_a_branch_becomes_its_commit(hub: FakeHub):
    lines: list[str] = []
    folder, commit = download_dataset("me/tales", None, TRAIN, lines.append)
    assert commit == NEW
    assert read(folder) == {name: FILES[name] for name in FILES if name.startswith("data/train")}
    assert lines == ["downloading 2 of 2 files of me/tales, 0.00 GB"]
    assert download_dataset("me/tales", "v1", TRAIN, lines.append)[1] == OLD


def test_listing_has_all_pages_and_downloads_nothing(hub: FakeHub):
    listing = list_dataset_files("me/tales", "main")
    assert listing.commit == NEW
    assert {file.path: file.size for file in listing.files} == {
        name: len(content) for name, content in FILES.items()
    }
    assert hub.downloads() == []
    assert listing.matching(TRAIN) == (
        RemoteFile("data/train-0.parquet", 9),
        RemoteFile("data/train-1.parquet", 6),
    )


def test_a_commit_that_is_there_needs_no_network_and_no_download(
    hub: FakeHub, tmp_path, monkeypatch
):
    folder, _ = download_dataset("me/tales", OLD, TRAIN, lambda line: None)
    hub.log.clear()
    assert download_dataset("me/tales", OLD, TRAIN, untold) == (folder, OLD)
    assert hub.log == []
    use_hub(closed_port(), tmp_path / "cache", monkeypatch)
    assert download_dataset("me/tales", OLD, TRAIN, untold) == (folder, OLD)


def test_a_branch_that_is_there_is_used_when_the_network_is_gone(
    hub: FakeHub, tmp_path, monkeypatch
):
    folder, _ = download_dataset("me/tales", "main", TRAIN, lambda line: None)
    use_hub(closed_port(), tmp_path / "cache", monkeypatch)
    assert download_dataset("me/tales", "main", TRAIN, untold) == (folder, NEW)


def test_a_download_that_failed_goes_on_with_the_missing_files(hub: FakeHub):
    repo = hub.repos["datasets/me/tales"]
    repo.broken.add("data/train-1.parquet")
    fails("cannot reach the hub|the hub answered 500", revision=OLD)
    repo.broken.clear()
    hub.log.clear()
    lines: list[str] = []
    folder, _ = download_dataset("me/tales", OLD, TRAIN, lines.append)
    assert hub.downloads() == ["data/train-1.parquet"]
    assert lines == ["downloading 1 of 2 files of me/tales, 0.00 GB"]
    assert read(folder).keys() == {"data/train-0.parquet", "data/train-1.parquet"}


def test_half_a_copy_is_no_copy_without_a_network(hub: FakeHub, tmp_path, monkeypatch):
    download_dataset("me/tales", OLD, TRAIN, lambda line: None)
    use_hub(closed_port(), tmp_path / "cache", monkeypatch)
    with pytest.raises(UserError, match="cannot reach the hub"):
        download_dataset("me/tales", OLD, ("data/*",), lambda line: None)


def test_no_network(hub: FakeHub, tmp_path, monkeypatch):
    use_hub(closed_port(), tmp_path / "cache", monkeypatch)
    for revision in (None, OLD):
        message = fails(r"cannot reach the hub \(.*[Cc]onne.*\).* me/tales", revision=revision)
        assert str(tmp_path / "cache") in message
        assert "give the files by their path" in message
        with pytest.raises(UserError, match="cannot reach the hub"):
            list_dataset_files("me/tales", revision)


def test_offline_by_its_variable(hub: FakeHub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    fails(r"cannot reach the hub \(.*HF_HUB_OFFLINE")
    fails(r"cannot reach the hub \(.*HF_HUB_OFFLINE", revision=OLD)
    assert hub.log == []


def test_missing_repository_revision_and_files(hub: FakeHub):
    fails("the data set me/tails is not on the hub, or is private.*hf auth login", "me/tails")
    fails("the data set me/tales has no revision 'v9'", revision="v9")
    fails("the data set me/tales has no revision '3333", revision="3" * 40)
    fails("'a b' is no name of a hub repository", "a b")
    with pytest.raises(
        UserError, match=r"no file .* matches test-\*: it has 5 files, such as READ"
    ):
        download_dataset("me/tales", None, ("test-*",), untold)


def test_gated_says_how_to_log_in(hub: FakeHub):
    hub.repos["datasets/me/tales"].gated = True
    fails("the data set me/tales is gated: accept its terms .* `hf auth login` or set HF_TOKEN")


def test_disk_without_room_is_found_out_before_the_download(hub: FakeHub, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=14)
    monkeypatch.setattr(hub_module.shutil, "disk_usage", lambda path: usage)
    fails(r"me/tales needs 0.00 GB more in .*, which has 0.00 GB free: make room, or set HF_HOME")
    assert hub.downloads() == []


def test_disk_that_fills_up_says_so(hub: FakeHub, monkeypatch):
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    fails("cannot save the data set me/tales .*No space left on device: make room")


def test_pins_match_the_files_they_are_for():
    def listing(*paths: str) -> RemoteFiles:
        return RemoteFiles("c", tuple(RemoteFile(path, 1) for path in paths))

    tiny = listing("data/train-00000-of-00004-a.parquet", "data/validation-00000.parquet", "x.txt")
    slim = listing("train/chunk1/a_0.jsonl.zst", "validation/chunk1/a.jsonl.zst", "test/chunk5/b")
    for pin, files in ((TINYSTORIES, tiny), (SLIMPAJAMA, slim)):
        assert len(pin.revision) == 40
        assert files.matching(pin.train) == files.files[:1]
        assert files.matching(pin.validation) == files.files[1:2]
