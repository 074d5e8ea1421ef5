# SPDX-License-Identifier: Apache-2.0
"""Each mistake in `sgatlin prepare` gets one line that says what, where and how to mend it."""

import sys
from pathlib import Path

import pytest

from tests.input.fake_hub import Repo, serve
from tests.input.preparation.corpus import hashes_of, make_texts, small_tokenizer, write_jsonl
from tests.told import told

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A working directory with a corpus and a tokenizer."""
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "corpus/a.jsonl", make_texts(60, seed=1))
    write_jsonl(tmp_path / "held/b.jsonl.zst", make_texts(20, seed=2))
    small_tokenizer().save(tmp_path / "tokenizer.json")
    return tmp_path


MISTAKES = [
    ("--out o", ["either --input", "or --repo"]),
    ("--input corpus --repo a/b --out o", ["either --input", "or --repo"]),
    ("--repo a/b --validation-input held --out o", ["--validation-input", "so must --input be"]),
    ("--input corpus --revision main --out o", ["--revision", "--input"]),
    ("--input nowhere --out o", ["no such file or folder: nowhere"]),
    ("--input corpus --validation-input corpus/a.jsonl --out o", ["for train and for validation"]),
    ("--input tokenizer.json --out o", ["tokenizer.json, line 1", "no field `text`"]),
    ("--input corpus --include *.txt --out o", ["--include *.txt", "such as a.jsonl"]),
    ("--input corpus --out o --workers 0", ["--workers 0 must be at least 1"]),
    ("--input corpus --out o --max-bad-records -1", ["--max-bad-records -1", "at least 0"]),
    ("--input corpus --out o --vocab-size 256", ["vocab_size=256", "at least 257"]),
    ("--input corpus --out o --tokenizer-megabytes 0", ["--tokenizer-megabytes 0.0", "above 0"]),
    ("--input corpus --out o --tokenizer-megabytes nan", ["--tokenizer-megabytes nan"]),
    (
        "--input corpus --out o --tokenizer tokenizer.json --tokenizer-megabytes 1",
        ["--tokenizer-megabytes", "--tokenizer"],
    ),
    ("--input corpus --out o --tokenizer nowhere.json", ["no tokenizer at nowhere.json"]),
    ("--input corpus --out o --tokenizer held", ["no tokenizer in the folder held"]),
    ("--input corpus --out o --tokenizer corpus/a.jsonl", ["cannot read the tokenizer corpus/a"]),
    ("--input corpus --out o --validation-fraction 0", ["--validation-fraction 0.0", "above 0"]),
    ("--input corpus --out o --validation-fraction 1", ["--validation-fraction 1.0", "below 1"]),
    ("--input corpus --out o --validation-fraction nan", ["--validation-fraction nan"]),
    ("--input corpus --out o --validation-fraction half", ["--validation-fraction", "'half'"]),
    (
        "--input corpus --validation-input held --out o --validation-fraction 0.1",
        ["--validation-fraction: there are files for validation already"],
    ),
    ("--input corpus --out o --text-field body", ["a.jsonl, line 1: has no field `body`", "text"]),
    ("--input corpus --out o --text-field a..b", ["text_field 'a..b' has an empty part"]),
    ("--input corpus --out o --set-field meta.set", ["a.jsonl, line 1", "`meta"]),
    ("--input corpus --out corpus", ["corpus exists and is no prepared data set", "another --out"]),
    ("--input corpus --out tokenizer.json", ["tokenizer.json exists and is no prepared"]),
    ("--input corpus --out .", [". exists and is no prepared data set"]),
    ("--input corpus --out tokenizer.json/o", ["cannot write", "Not a directory", "another --out"]),
    ("--input corpus --out " + 300 * "o", ["File name too long", "another --out"]),
    ("--input corpus --out " + 250 * "o", ["File name too long", "another --out"]),
    ("--input corpus --out /proc/o", ["cannot write /proc", "another --out"]),
    ("--input corpus --out o --engine.name spark", ["--engine.name", "'spark'", "'slurm'"]),
    ("--input corpus --out o --engine.name slurm", ["needs --engine.partition"]),
    ("--input corpus --out o --engine.name ray", ["--engine.name ray needs"]),
    ("--input corpus --out o --sepparator x", ["--sepparator", "did you mean --separator"]),
]


@pytest.mark.parametrize(("arguments", "named"), MISTAKES)
def test_mistakes_get_one_line_and_leave_nothing(folder, capsys, monkeypatch, arguments, named):
    monkeypatch.setitem(sys.modules, "ray", None)
    before = hashes_of(folder)
    line = told(["prepare", "text", "--workers", "1", *arguments.split()], capsys)
    assert [part for part in named if part not in line] == [], line
    after = hashes_of(folder)
    # What was begun with good arguments is kept to go on with, out of sight.
    assert {name: after[name] for name in after if not name.startswith(".o.partial/")} == before
    assert not (folder / "o").exists()


def test_an_empty_separator(folder, capsys):
    line = told(["prepare", "text", "--input", "corpus", "--out", "o", "--separator", ""], capsys)
    assert line.startswith("separator is empty")


def test_tinystories_without_a_file_to_train_on(folder, capsys):
    (folder / "TinyStoriesV2-GPT4-valid.txt").write_text("text")
    line = told("prepare tinystories --out o --input TinyStoriesV2-GPT4-valid.txt", capsys)
    assert line.startswith("no file to train on: of 1 all are held out, such as TinyStoriesV2")


def test_without_text_there_is_no_tokenizer(folder, capsys):
    (folder / "empty.txt").write_text("")
    line = told(["prepare", "text", "--input", "empty.txt", "--out", "o", "--workers", "1"], capsys)
    assert line == "no document with text to train a tokenizer on in 1 files\n"
    assert not list(folder.glob(".o*"))


def test_what_can_be_wrong_is_told_before_anything_is_downloaded(folder, capsys, monkeypatch):
    with serve(folder / "cache", monkeypatch) as hub:
        hub.repos["datasets/o/n"] = Repo({"train.txt": b"a", "dev.txt": b"a"}, {"main": COMMIT})
        for wrong in (
            ["--workers", "0"],
            ["--max-bad-records", "-1"],
            ["--validation-fraction", "1"],
            ["--tokenizer", "nowhere.json"],
            ["--text-field", ""],
            ["--tokenizer-megabytes", "0"],
        ):
            told(["prepare", "text", "--repo", "o/n", "--out", "out", *wrong], capsys)
        assert hub.log == []
