# SPDX-License-Identifier: Apache-2.0
"""`sgatlin tokenizer train`, `data verify` and `data show` as a user gives them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sgatlin.cli import main
from sgatlin.input.tokenizer import Tokenizer, train_bpe
from tests.input.preparation.corpus import hashes_of, make_texts, write_jsonl
from tests.told import told

ROOT = Path(__file__).parents[2]
TEXTS = make_texts(80, seed=1)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A working directory with a corpus."""
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "corpus/train/a.jsonl", TEXTS[:40])
    write_jsonl(tmp_path / "corpus/valid/b.jsonl.gz", TEXTS[40:])
    return tmp_path


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A prepared data set, to be read only."""
    base = tmp_path_factory.mktemp("data")
    write_jsonl(base / "in/train/a.jsonl", TEXTS, ["Book", "Wiki"])
    write_jsonl(base / "in/valid/b.jsonl", make_texts(20, seed=2), ["Book"])
    command = "prepare slimpajama --workers 1 --tokenizer None --vocab-size 300"
    main([*command.split(), "--input", str(base / "in"), "--out", str(base / "out")])
    return base / "out"


def test_a_tokenizer_is_trained_on_all_files(folder, capsys):
    main("tokenizer train --input corpus --vocab-size 300 --out new/tokenizer.json".split())
    tokenizer = Tokenizer.load(folder / "new/tokenizer.json")
    assert tokenizer.hash == train_bpe(TEXTS, 300).hash
    line = f"new/tokenizer.json: 300 entries, hash {tokenizer.hash}\n"
    assert capsys.readouterr().out == line


def test_a_tokenizer_is_trained_on_a_part_of_each_file(folder):
    sizes = [sum(len(text.encode()) for text in part) for part in (TEXTS[:40], TEXTS[40:])]
    megabytes = sum(sizes) / 4 / 1e6
    command = "tokenizer train --input corpus --vocab-size 320 --out t.json --megabytes"
    main([*command.split(), str(megabytes)])
    files = [folder / "corpus/train/a.jsonl", folder / "corpus/valid/b.jsonl.gz"]
    on_disk = [file.stat().st_size for file in files]
    read = []
    for size, texts in zip(on_disk, (TEXTS[:40], TEXTS[40:]), strict=True):
        left = megabytes * 1e6 * size / sum(on_disk)
        for text in texts:
            if left > 0:
                read.append(text)
            left -= len(text.encode())
    assert len(read) < 40
    assert Tokenizer.load(folder / "t.json").hash == train_bpe(read, 320).hash


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("", ["--input", "--out"]),
        ("--input corpus --out corpus", ["corpus exists", "another --out"]),
        ("--input nowhere --out t.json", ["no such file or folder: nowhere"]),
        ("--input corpus --out t.json --include *.txt", ["--include *.txt", "none of 2 files"]),
        ("--input corpus --out t.json --vocab-size 256", ["vocab_size=256", "at least 257"]),
        ("--input corpus --out t.json --megabytes 0", ["--megabytes 0.0 must be above 0"]),
        ("--input corpus --out t.json --megabytes nan", ["--megabytes nan must be above 0"]),
        ("--input corpus --out t.json --max-bad-records -1", ["max_bad_records=-1", "at least 0"]),
        (
            "--input corpus --out t.json --text-field body",
            ["line 1: has no field `body`", "records 1"],
        ),
        ("--input empty --out t.json", ["no document with text", "in 1 files"]),
        ("--input corpus --out empty/a.jsonl/t.json", ["cannot write empty/a.jsonl/t.json"]),
        ("--input corpus --out " + 300 * "t", ["File name too long"]),
    ],
)
def test_mistakes_in_training_a_tokenizer(folder, capsys, arguments, named):
    write_jsonl(folder / "empty/a.jsonl", [""])
    before = hashes_of(folder)
    line = told(["tokenizer", "train", *arguments.split()], capsys)
    assert [part for part in named if part not in line] == [], line
    assert hashes_of(folder) == before


def test_bad_records_can_be_skipped_in_training_a_tokenizer(folder):
    with (folder / "corpus/train/a.jsonl").open("ab") as file:
        file.write(b"bad\n")
    command = "tokenizer train --input corpus --vocab-size 320 --out t.json --max-bad-records 1"
    main(command.split())
    assert Tokenizer.load(folder / "t.json").hash == train_bpe(TEXTS, 320).hash


def test_verify_reads_all_and_tells_how_much(prepared, capsys):
    main(["data", "verify", str(prepared)])
    assert re.match(r"ok: \d+ files, [\d,]+ tokens, 100 documents, ", capsys.readouterr().out)
    main(["data", "verify", str(prepared / "train")])
    assert " tokens, 80 documents, " in capsys.readouterr().out


def test_verify_tells_damage(prepared, tmp_path, capsys):
    shutil.copytree(prepared, tmp_path / "copy")
    shard = next((tmp_path / "copy/train").glob("tokens-*.bin"))
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    line = told(["data", "verify", str(tmp_path / "copy")], capsys)
    assert f"{shard} is damaged" in line


def test_show_prints_facts_and_documents(prepared, capsys):
    main(["data", "show", str(prepared), "--documents", "1"])
    out = capsys.readouterr().out
    for part in (str(prepared / "train"), str(prepared / "validation"), "80 in", "20 in", "Wiki"):
        assert part in out
    main(["data", "show", str(prepared / "train"), "--set", "Wiki", "--document", "1"])
    assert f"    {TEXTS[3]}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("verify", ["Missing", "PATH", "data verify --help"]),
        ("verify nowhere", ["nowhere"]),
        ("show nowhere", ["nowhere"]),
        ("show {train} --set Books", ["Books", "Book"]),
        ("show {train} --document 80", ["document=80", "0 to 79"]),
        ("show {train} --document -1", ["document=-1", "at least 0"]),
        ("show {train} --documents -1", ["documents=-1", "at least 0"]),
        ("show {train} --characters 0", ["characters=0", "at least 1"]),
        ("show {out} --document 1", ["several stores"]),
    ],
)
def test_mistakes_about_stores(folder, prepared, capsys, arguments, named):
    places = {"train": prepared / "train", "out": prepared}
    line = told(["data", *arguments.format(**places).split()], capsys)
    assert [part for part in named if part not in line] == [], line


def test_the_script_is_the_command(folder):
    script = [sys.executable, str(ROOT / "data/train_tokenizer.py")]
    process = subprocess.run([*script, "--help"], capture_output=True, text=True, timeout=60)
    assert process.returncode == 0
    for option in ("--input", "--vocab-size", "--out"):
        assert option in process.stdout
    assert not list(folder.glob("*.json"))
