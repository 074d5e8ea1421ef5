# SPDX-License-Identifier: Apache-2.0
"""`sgatlin prepare` as a user gives it: what it makes, and the one line that each mistake gets."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sgatlin.cli import main
from sgatlin.commands.prepare import unescaped
from sgatlin.input.hub import TINYSTORIES
from sgatlin.input.manifest import read_manifest
from sgatlin.input.store import TokenStore, split_stores
from tests.input.fake_hub import FakeHub, Repo, serve, use_hub
from tests.input.preparation.corpus import (
    SETS,
    hashes_of,
    json_line,
    make_texts,
    small_tokenizer,
    texts_of,
    write_jsonl,
)
from tests.told import told

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TRAIN, VALID = make_texts(60, seed=1), make_texts(20, seed=2)
SMALL = "--vocab-size 300 --workers 1".split()


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A working directory with a corpus and a tokenizer."""
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "corpus/a.jsonl", TRAIN)
    write_jsonl(tmp_path / "held/b.jsonl.zst", VALID)
    small_tokenizer().save(tmp_path / "tokenizer.json")
    return tmp_path


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with serve(tmp_path / "cache", monkeypatch) as hub:
        yield hub


def texts(path: str | Path, split: str) -> list[str]:
    return texts_of(TokenStore.open(Path(path) / split))


def parquet(values: list[str]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"text": values}), file)
    return file.getvalue()


def test_text_with_files_held_out(folder, capsys):
    write_jsonl(folder / "t.jsonl", VALID[:3])
    command = ["prepare", "text", "--input", "corpus", "--validation-input", "held/*.zst"]
    command += ["--test-input", "t.jsonl", "--out", "out", *SMALL]
    main(command)
    assert texts("out", "train") == TRAIN
    assert texts("out", "validation") == VALID
    assert texts("out", "test") == VALID[:3]
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "training a BPE of 300 entries from all text"
    assert re.match(r"validation: 20 documents, 0\.0 MB, [\d,]+ tokens", out[1])
    assert "3 of them copies" in out[2]  # the test's, as validation comes first
    assert [line.partition(":")[0] for line in out[1:]] == ["validation", "test", "train"]
    # A trained tokenizer is asked for by what it is trained on: the same command is the same.
    before = hashes_of(folder / "out")
    main([*command[:-1], "2"])
    assert capsys.readouterr().out == "out is already prepared\n"
    line = told([*command, "--vocab-size", "301"], capsys)
    assert "tokenizer 'a BPE of 300 entries" in line
    assert "'a BPE of 301 entries" in line
    line = told([*command, "--tokenizer-megabytes", "2"], capsys)
    assert "from 2 MB of text'" in line
    assert hashes_of(folder / "out") == before


def test_a_share_is_held_out_of_train_alone(folder):
    command = "prepare text --input corpus --test-input held --out out --validation-fraction 0.5"
    main([*command.split(), *SMALL])
    assert sorted(texts("out", "train") + texts("out", "validation")) == sorted(TRAIN)
    assert 10 < len(texts("out", "validation")) < 50
    assert texts("out", "test") == VALID


@pytest.mark.parametrize("spec", ["tokenizer.json", "folder", "gpt2-like"])
def test_a_tokenizer_by_its_path(folder, capsys, spec):
    tokenizer = small_tokenizer()
    model = json.loads(tokenizer.json)["model"]
    for name in ("folder", "gpt2-like"):
        (folder / name).mkdir()
    tokenizer.save(folder / "folder/tokenizer.json")
    (folder / "gpt2-like/vocab.json").write_text(json.dumps(model["vocab"]))
    merges = "".join(f"{' '.join(pair)}\n" for pair in model["merges"])
    (folder / "gpt2-like/merges.txt").write_text(f"#version: 0.2\n{merges}")
    command = f"prepare text --input corpus --validation-input held --out out --tokenizer {spec}"
    main([*command.split(), "--workers", "1"])
    store = TokenStore.open(folder / "out/train")
    assert store.slice(0, store.n_tokens).tolist() == [
        token for text in TRAIN for token in (tokenizer.bos_id, *tokenizer.encode(text))
    ]
    capsys.readouterr()
    main(command.split())
    assert capsys.readouterr().out == "out is already prepared\n"


def test_a_tokenizer_that_was_trained_before_is_the_one_that_would_be_trained(folder):
    main("tokenizer train --input corpus --vocab-size 300 --out mine.json".split())
    common = "prepare text --input corpus --validation-input held --workers 1"
    main(f"{common} --out one --tokenizer mine.json".split())
    main(f"{common} --out two --vocab-size 300".split())
    one, two = hashes_of(folder / "one"), hashes_of(folder / "two")
    # The request is another.
    assert one.pop("preparation.json") != two.pop("preparation.json")
    assert one == two


def test_tinystories_as_text(folder):
    mark = "\n<|endoftext|>\n"
    (folder / "TinyStories-train.txt").write_text(mark.join(TRAIN))
    (folder / "TinyStories-valid.txt").write_text(mark.join(VALID) + mark)
    main(["prepare", "tinystories", "--input", *map(str, folder.glob("*.txt")), *SMALL])
    assert texts("data/prepared/tinystories", "train") == TRAIN
    assert texts("data/prepared/tinystories", "validation") == VALID


def test_tinystories_from_the_hub_and_again_without_it(folder, hub: FakeHub, monkeypatch, capsys):
    files = {
        "data/train-00000-of-00002-aa.parquet": parquet(TRAIN[:30]),
        "data/train-00001-of-00002-bb.parquet": parquet(TRAIN[30:]),
        "data/validation-00000-of-00001-cc.parquet": parquet(VALID),
        "TinyStories-train.txt": b"not asked for",
        "README.md": b"",
    }
    repo = Repo(files, {"main": COMMIT, "pinned": TINYSTORIES.revision})
    hub.repos["datasets/roneneldan/TinyStories"] = repo
    main(["prepare", "tinystories", "--out", "one", *SMALL])
    assert [name for name in hub.downloads() if name.startswith("data/")] == hub.downloads()
    assert texts("one", "train") == TRAIN
    assert texts("one", "validation") == VALID
    source = f"hub:roneneldan/TinyStories@{TINYSTORIES.revision}"
    assert read_manifest(folder / "one/train").source == source

    use_hub("http://127.0.0.1:1", folder / "cache", monkeypatch)
    capsys.readouterr()
    main(["prepare", "tinystories", "--out", "one", *SMALL])
    assert capsys.readouterr().out == "one is already prepared\n"
    main(["prepare", "tinystories", "--out", "two", *SMALL])
    assert hashes_of(folder / "one") == hashes_of(folder / "two")


def test_slimpajama_has_a_set_for_each_source(folder):
    write_jsonl(folder / "in/train/chunk1/example_train_0.jsonl.zst", TRAIN, SETS)
    write_jsonl(folder / "in/validation/chunk1/example_holdout_0.jsonl.zst", VALID, SETS[:2])
    command = "prepare slimpajama --input in --tokenizer tokenizer.json --workers 1"
    main(command.split())
    train, validation = split_stores(folder / "data/prepared/slimpajama")
    assert train.sets == SETS
    assert validation.sets == SETS[:2]
    main("data verify data/prepared/slimpajama".split())


def test_text_of_a_data_set_on_the_hub(folder, hub: FakeHub, capsys):
    files = {
        "sub/train.jsonl": b"".join(map(json_line, TRAIN)),
        "sub/test.jsonl": b"".join(map(json_line, VALID)),
        "dev.jsonl": b"".join(map(json_line, VALID)),
        "info.json": b"{}",
    }
    hub.repos["datasets/o/n"] = Repo(files, {"main": COMMIT, "v2": "f" * 40})
    line = told(["prepare", "text", "--repo", "o/n", "--out", "out", *SMALL], capsys)
    assert line.startswith("whether info.json is to train on or held out cannot be seen")
    command = ["prepare", "text", "--repo", "o/n", "--include", "*.jsonl", "--out", "out", *SMALL]
    main([*command, "--revision", "v2"])
    assert read_manifest(folder / "out/train").source == f"hub:o/n@{'f' * 40}"
    assert texts("out", "train") == TRAIN
    assert texts("out", "validation") == texts("out", "test") == VALID
    line = told(command, capsys)
    assert f"source 'hub:o/n@{'f' * 40}', 'hub:o/n@{COMMIT}'" in line


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (r"\n---\n", "\n---\n"),
        (r"a\tb\rc", "a\tb\rc"),
        (r"\\n", r"\n"),
        (r"\\\n", "\\\n"),
        (r"\d", r"\d"),
        ("", ""),
        (None, None),
        ("<|endoftext|>", "<|endoftext|>"),
    ],
)
def test_separators_as_they_can_be_typed(typed, meant):
    assert unescaped(typed) == meant


def test_a_separator_of_lines(folder):
    (folder / "corpus/a.jsonl").unlink()
    (folder / "corpus/a.txt").write_text("\n---\n".join(TRAIN))
    command = ["prepare", "text", "--input", "corpus", "--validation-input", "held"]
    main([*command, "--separator", r"\n---\n", "--out", "out", *SMALL])
    assert texts("out", "train") == TRAIN


def test_a_link_leads_to_where_the_result_is_to_be(folder):
    (folder / "disk").mkdir()
    (folder / "out").symlink_to("disk/stores")
    command = "prepare text --input corpus --validation-input held --out out"
    main([*command.split(), *SMALL])
    assert (folder / "out").is_symlink()
    assert [path.name for path in (folder / "disk").iterdir()] == ["stores"]
    assert texts("out", "train") == TRAIN


def test_a_finished_work_folder_of_another_request_is_not_taken(folder, capsys, monkeypatch):
    common = ["prepare", "text", "--input", "corpus", "--validation-input", "held", "--out", "out"]
    with monkeypatch.context() as patch:
        patch.setattr("sgatlin.input.preparation.prepare.move_into_place", lambda work, out: None)
        main([*common, *SMALL])
    line = told([*common, *SMALL, "--drop-duplicates"], capsys)
    assert "drop_duplicates False, True; give the same, or --restart" in line
    assert not (folder / "out").exists()
    main([*common, *SMALL, "--drop-duplicates", "--restart"])
    made_of = json.loads((folder / "out/preparation.json").read_text())
    assert made_of["request"]["drop_duplicates"] is True


def test_a_restart_that_is_interrupted_leaves_nothing_that_counts(folder, monkeypatch):
    """Wherever it stops, what is left is gone on with, or made again, to the same result."""
    common = ["prepare", "text", "--input", "corpus", "--validation-input", "held", *SMALL]
    main([*common, "--out", "whole"])
    removed = 0

    def no_more(path, *args, **kwargs):
        nonlocal removed
        removed += 1
        if removed > allowed:
            raise KeyboardInterrupt
        rmtree(path, *args, **kwargs)

    from sgatlin.input.preparation import prepare as module

    rmtree = module.shutil.rmtree
    for allowed in range(4):
        out = f"out{allowed}"
        with monkeypatch.context() as patch:
            patch.setattr(module, "move_into_place", lambda work, out: None)
            main([*common, "--out", out])
        removed = 0
        with monkeypatch.context() as patch:
            patch.setattr(module.shutil, "rmtree", no_more)
            with pytest.raises(SystemExit) as stop:
                main([*common, "--out", out, "--restart"])
        assert stop.value.code == 130
        main([*common, "--out", out])
        assert hashes_of(folder / out) == hashes_of(folder / "whole")


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(
            [sys.executable, "-m", "sgatlin", "prepare"], id="module", marks=pytest.mark.slow
        ),
        pytest.param(
            [str(Path(sys.executable).with_name("sgatlin")), "prepare"],
            id="script",
            marks=pytest.mark.slow,
        ),
        pytest.param([sys.executable, str(ROOT / "data/prepare.py")], id="data/prepare.py"),
    ],
)
def test_workers_start_whatever_has_started_the_command(folder, start):
    if not Path(start[0]).exists():
        pytest.skip("sgatlin is not installed here")
    command = "text --input corpus --validation-input held --out out --tokenizer tokenizer.json"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.run(
        [*start, *command.split(), "--workers", "2"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert texts("out", "train") == TRAIN


def test_the_script_has_the_commands_and_their_help(folder):
    script = [sys.executable, str(ROOT / "data/prepare.py")]
    for arguments, shown in (
        (["--help"], ["tinystories", "slimpajama", "text"]),
        (["tinystories", "--help"], ["--input", "--vocab-size", "--workers"]),
    ):
        process = subprocess.run([*script, *arguments], capture_output=True, text=True, timeout=60)
        assert process.returncode == 0
        assert [word for word in shown if word not in process.stdout] == []
    assert list(folder.glob("data")) == []
