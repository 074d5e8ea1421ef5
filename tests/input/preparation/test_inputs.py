# SPDX-License-Identifier: Apache-2.0
"""Which files are found, what they are called, and to which split each belongs."""

import os
from pathlib import Path

import pytest

from sgatlin.errors import UserError
from sgatlin.input.preparation.inputs import Found, find_by_name, find_by_split, split_by_name


@pytest.fixture
def corpus(tmp_path, monkeypatch) -> Path:
    """A folder to put files into, below the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").mkdir()
    return tmp_path / "corpus"


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text")


def splits(found: Found) -> dict[str, str]:
    return {file.file: file.split for file in found.inputs}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("TinyStories-train.txt", "train"),
        ("TinyStoriesV2-GPT4-valid.txt", "validation"),
        ("data/train-00000-of-00004-2d5a1467fff1081b.parquet", "train"),
        ("data/validation-00000-of-00001-869c898b519ad725.parquet", "validation"),
        ("train/chunk1/example_train_0.jsonl.zst", "train"),
        ("validation/chunk1/example_holdout_0.jsonl.zst", "validation"),
        ("test/chunk1/example_holdout_0.jsonl.zst", "test"),
        ("training/a.jsonl", "train"),
        ("dev/a.jsonl", "validation"),
        ("Val_2.txt", "validation"),
        ("TEST.txt", "test"),
        ("train/test_scores.jsonl", "train"),
    ],
)
def test_a_path_says_its_split(name, split):
    assert split_by_name([name]) == {name: split}
    # As the file beside it is silent, it must be the path that said so.
    with pytest.raises(UserError, match=r"^whether a\.txt is to train on"):
        split_by_name([name, "a.txt"])


@pytest.mark.parametrize(
    "name",
    ["contest.txt", "latest/a.txt", "trains.txt", "constrain.txt", "devices/a.txt", "value.txt"],
)
def test_a_path_that_only_looks_as_if_it_did(name):
    assert split_by_name([name]) == {name: "train"}
    with pytest.raises(UserError, match=rf"^whether {name} is .*--include"):
        split_by_name([name, "valid.txt"])


def test_held_out_files_come_first_and_others_in_order_of_their_names(corpus):
    put(corpus, "train/b.txt", "train/a.txt", "test/a.txt", "validation/a.txt")
    found = find_by_name(["corpus"], [])
    assert list(splits(found).items()) == [
        ("validation/a.txt", "validation"),
        ("test/a.txt", "test"),
        ("train/a.txt", "train"),
        ("train/b.txt", "train"),
    ]
    for file in found.inputs:
        status = (corpus / file.file).stat()
        assert (file.size, file.modified) == (status.st_size, status.st_mtime_ns)


@pytest.mark.parametrize(
    "patterns",
    [
        ["corpus"],
        ["corpus/"],
        ["./corpus/../corpus"],
        ["corpus/*"],
        ["corpus/**/*.txt"],
        ["corpus/train", "corpus/valid"],
        ["corpus/train/a.txt", "corpus/valid/a.txt"],
        ["corpus/valid/a.txt", "corpus", "corpus/../corpus/train/*"],
    ],
)
def test_however_they_are_named_files_are_the_same(corpus, patterns):
    put(corpus, "train/a.txt", "valid/a.txt")
    expected = {"valid/a.txt": "validation", "train/a.txt": "train"}
    for base in ("", f"{corpus.parent}/"):
        found = find_by_name([base + pattern for pattern in patterns], [])
        assert splits(found) == expected
        assert [Path(file.path) for file in found.inputs] == [corpus / name for name in expected]


def test_hidden_files_and_those_of_other_kinds_are_left_out_of_folders(corpus):
    put(corpus, "a.jsonl", "b.JSONL.GZ", "README.md", ".c.txt", ".cache/d.txt", "e/f.tar.gz")
    os.mkfifo(corpus / "pipe.txt")
    assert list(splits(find_by_name(["corpus"], []))) == ["a.jsonl", "b.JSONL.GZ"]
    assert list(splits(find_by_name(["corpus/.cache"], []))) == ["d.txt"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("corpus/README.md", r"^cannot read corpus/README\.md: its name must end in \.jsonl, "),
        ("corpus/*.md", r"^cannot read corpus/README\.md: its name"),
        ("corpus/empty", r"^no file in corpus/empty has a name that ends in"),
        ("nowhere", r"^no such file or folder: nowhere$"),
        ("corpus/*.parquet", r"^no such file or folder: corpus/\*\.parquet$"),
        ("corpus/gone.txt", r"^cannot read corpus/gone\.txt: No such file"),
        ("", r"^no such file or folder: $"),
        ("a" * 300, r"^no such file or folder: aaa"),
    ],
)
def test_what_cannot_be_found_or_read(corpus, pattern, message):
    put(corpus, "README.md", "a.txt")
    (corpus / "empty").mkdir()
    (corpus / "gone.txt").symlink_to("nowhere")
    with pytest.raises(UserError, match=message):
        find_by_name(["corpus/a.txt", pattern], [])


def test_a_link_to_nothing_in_a_folder_is_told(corpus):
    put(corpus, "a.txt")
    (corpus / "gone.txt").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"^cannot read .*gone\.txt: No such file"):
        find_by_name(["corpus"], [])


def test_links_have_the_names_and_the_contents_of_others(corpus):
    put(corpus.parent, "blobs/1f", "elsewhere/b.txt")
    (corpus / "train").mkdir()
    (corpus / "train/a.txt").symlink_to("../../blobs/1f")
    (corpus / "valid").symlink_to("../elsewhere")
    found = find_by_name(["corpus"], [])
    assert splits(found) == {"valid/b.txt": "validation", "train/a.txt": "train"}
    assert all(Path(file.path).read_text() == "text" for file in found.inputs)


def test_links_that_lead_in_circles_end(corpus):
    put(corpus, "a/one.txt", "b/two.txt")
    (corpus / "a/up").symlink_to(corpus)
    (corpus / "b/self").symlink_to(".")
    names = set(splits(find_by_name(["corpus"], [])))
    assert names >= {"a/one.txt", "b/two.txt"}
    assert len(names) <= 4


def test_two_points_behind_a_link_lead_where_the_system_says(corpus):
    put(corpus.parent, "elsewhere/deep/x.txt", "elsewhere/a.txt")
    (corpus.parent / "elsewhere/a.txt").write_text("the right one")
    put(corpus, "a.txt")
    (corpus / "link").symlink_to("../elsewhere/deep")
    (file,) = find_by_name(["corpus/link/../a.txt"], []).inputs
    assert Path(file.path).read_text() == "the right one"


def test_include_keeps_those_whose_names_match(corpus):
    put(corpus, "train/chunk1/a.txt", "train/chunk2/a.txt", "validation/chunk1/a.txt")
    assert splits(find_by_name(["corpus"], ["*/chunk1/*"])) == {
        "validation/chunk1/a.txt": "validation",
        "train/chunk1/a.txt": "train",
    }
    found = find_by_name(["corpus"], ["train/chunk2/*", "val*"])
    assert list(splits(found)) == ["validation/chunk1/a.txt", "train/chunk2/a.txt"]
    with pytest.raises(
        UserError, match=r"^--include x \*y: none of 3 files matches, such as train/chunk1/a\.txt"
    ):
        find_by_name(["corpus"], ["x", "*y"])


def test_nothing_to_train_on_is_told_at_once(corpus):
    put(corpus, "train/a.txt", "test/a.txt", "test/b.txt")
    message = r"^no file to train on: of 2 all are held out, such as test/a\.txt for test$"
    with pytest.raises(UserError, match=message):
        find_by_name(["corpus"], ["test/*"])


def test_names_with_anything_in_them(corpus):
    names = ["a b.txt", "今日/déjà vu.jsonl", "two\nlines.txt", "[1].txt", "100%.txt", "-x.txt"]
    put(corpus, *names)
    assert set(splits(find_by_name(["corpus"], []))) == set(names)
    for name in names:
        assert [file.path for file in find_by_name([f"corpus/{name}"], []).inputs] == [
            str(corpus / name)
        ]


def test_a_name_that_is_no_text_is_told(corpus):
    put(corpus, "a.txt")
    Path(os.fsdecode(os.fsencode(corpus) + b"/caf\xe9.txt")).write_text("text")
    with pytest.raises(UserError, match=r"^the name of '.*caf\\udce9\.txt' is not UTF-8: rename"):
        find_by_name(["corpus"], [])


def test_splits_that_are_given_do_not_ask_names(corpus):
    put(corpus, "test.txt", "train.txt", "sub/x.txt")
    patterns = {"train": ["corpus/test.txt"], "validation": ["corpus/train.txt"], "test": ["c*/s*"]}
    assert splits(find_by_split(patterns, [])) == {
        "train.txt": "validation",
        "sub/x.txt": "test",
        "test.txt": "train",
    }


def test_one_file_in_two_splits(corpus):
    put(corpus, "a.txt", "b.txt")
    with pytest.raises(UserError, match=r"corpus/b\.txt is given for train and for validation$"):
        find_by_split({"train": ["corpus"], "validation": ["corpus/../corpus/b.txt"]}, [])


def test_the_source_is_short_however_many_files_a_shell_names(corpus):
    put(corpus, *(f"{number}.txt" for number in range(5)))
    two = find_by_name(["corpus/0.txt", "corpus/1.txt"], [])
    assert two.source == "corpus/0.txt corpus/1.txt"
    assert find_by_name(["./corpus/"], []).source == find_by_name(["corpus"], []).source
    five = find_by_name([f"corpus/{number}.txt" for number in range(5)], [])
    assert five.source == "corpus/0.txt corpus/1.txt corpus/2.txt and 2 more"
    assert len(five.inputs) == 5
