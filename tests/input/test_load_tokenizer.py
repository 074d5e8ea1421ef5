# SPDX-License-Identifier: Apache-2.0
"""Tokenizers by name and path: one hash from all sources, and errors that say what to give."""

import hashlib
import json
from pathlib import Path

import pytest

from sgatlin.errors import UserError
from sgatlin.input import load_tokenizer as module
from sgatlin.input.load_tokenizer import GPT2_REPO, GPT2_REVISION, load_tokenizer
from sgatlin.input.tokenizer import END_OF_TEXT, Tokenizer, train_bpe
from tests.input.fake_hub import FakeHub, Repo, serve, use_hub

TEXTS = ["The turtle was slow. The hare was not.", "Once upon a time, the turtle won."] * 3
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe(TEXTS, vocab_size=300)


@pytest.fixture(scope="module")
def model(tokenizer) -> dict:
    return json.loads(tokenizer.json)["model"]


@pytest.fixture(scope="module")
def sources(tokenizer, model) -> dict[str, str]:
    """The tokenizer in the files that it can come in, by their names."""
    merges = "".join(f"{left} {right}\n" for left, right in model["merges"])
    vocab = json.dumps(model["vocab"])
    # As another library, and another version, would write it: the same but for what is not used.
    parts = json.loads(tokenizer.json)
    parts["added_tokens"][0]["normalized"] = True
    parts["post_processor"] = parts["decoder"]
    parts["pre_tokenizer"].pop("use_regex")
    parts["model"]["merges"] = [" ".join(pair) for pair in model["merges"]]
    parts["model"]["continuing_subword_prefix"] = ""
    parts["padding"] = None
    return {
        "tokenizer.json": json.dumps(parts, indent=1),
        "vocab.json": vocab,
        "merges.txt": "#version: 0.2\n" + merges,
        "encoder.json": json.dumps(json.loads(vocab), indent=1),
        "vocab.bpe": merges.replace("\n", "\r\n"),
    }


@pytest.fixture
def gpt2(model, monkeypatch) -> None:
    """Lets the small tokenizer be GPT-2: its digest, as the constant's comment defines it."""
    canonical = json.dumps(
        [model["vocab"], model["merges"]],
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    monkeypatch.setattr(module, "GPT2_DIGEST", digest)


@pytest.fixture
def hub(tmp_path, monkeypatch, sources):
    with serve(tmp_path / "cache", monkeypatch) as server:
        files = {name: sources[name].encode() for name in ("vocab.json", "merges.txt")}
        server.repos[f"models/{GPT2_REPO}"] = Repo(files, {"main": GPT2_REVISION})
        yield server


def write(folder: Path, sources: dict[str, str], *names: str) -> str:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(sources[name], encoding="utf-8", newline="")
    return str(folder)


def fails(spec: str, match: str) -> None:
    with pytest.raises(UserError, match=match) as caught:
        load_tokenizer(spec)
    assert "\n" not in str(caught.value)


def test_gpt2_has_one_hash_from_all_sources(tmp_path, sources, gpt2, hub, tokenizer):
    specs = [
        write(tmp_path / "json", sources, "tokenizer.json"),
        write(tmp_path / "json", sources, "tokenizer.json") + "/tokenizer.json",
        write(tmp_path / "hub", sources, "vocab.json", "merges.txt"),
        write(tmp_path / "openai", sources, "encoder.json", "vocab.bpe"),
        "gpt2",
    ]
    loaded = [load_tokenizer(spec) for spec in specs]
    assert len({one.hash for one in loaded}) == 1
    for one in loaded:
        assert one.encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])
        assert (one.bos_id, one.vocab_size) == (tokenizer.bos_id, tokenizer.vocab_size)


def test_a_saved_tokenizer_keeps_its_hash(tmp_path, tokenizer, sources):
    tokenizer.save(tmp_path / "tokenizer.json")
    assert load_tokenizer(str(tmp_path)).hash == tokenizer.hash
    # It is not GPT-2, so what its file says is its identity.
    other = Tokenizer(sources["tokenizer.json"])
    assert load_tokenizer(write(tmp_path, sources, "tokenizer.json")).hash == other.hash
    assert other.hash != tokenizer.hash


def test_vocabulary_and_merges_are_what_training_would_save(tmp_path, tokenizer, sources):
    # `train_bpe` writes JSON by the library: should a version write it otherwise, this tells.
    folder = write(tmp_path / "a", sources, "vocab.json", "merges.txt")
    assert load_tokenizer(folder).hash == tokenizer.hash


def test_gpt2s_merges_behind_another_pre_tokenizer_are_not_gpt2(tmp_path, sources, gpt2):
    parts = json.loads(sources["tokenizer.json"])
    parts["pre_tokenizer"]["add_prefix_space"] = True
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(parts))
    loaded = load_tokenizer(str(path))
    assert loaded.hash == Tokenizer(json.dumps(parts)).hash
    assert loaded.decode(loaded.encode("a")) == " a"


def test_settings_that_cut_or_pad_documents_are_taken_off(tmp_path, tokenizer):
    parts = json.loads(tokenizer.json)
    cut = {"max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(parts | {"truncation": cut}))
    assert load_tokenizer(str(path)).encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])


def test_gpt2_is_downloaded_once_and_then_needs_no_network(hub: FakeHub, gpt2, monkeypatch):
    first = load_tokenizer("gpt2")
    assert hub.downloads() == ["merges.txt", "vocab.json"]
    cache = Path(module.hub.constants.HF_HUB_CACHE)
    use_hub(NOWHERE, cache, monkeypatch)
    assert load_tokenizer("gpt2").hash == first.hash


def test_gpt2_from_a_cached_tokenizer_json(hub: FakeHub, gpt2, sources, monkeypatch):
    repo = hub.repos[f"models/{GPT2_REPO}"]
    repo.files = {"tokenizer.json": sources["tokenizer.json"].encode()}
    module.hub.download_files(GPT2_REPO, GPT2_REVISION, ["tokenizer.json"], instead="")
    use_hub(NOWHERE, Path(module.hub.constants.HF_HUB_CACHE), monkeypatch)
    assert load_tokenizer("gpt2").encode(TEXTS[0]) == Tokenizer(sources["tokenizer.json"]).encode(
        TEXTS[0]
    )


def test_other_files_under_gpt2s_name_are_refused(hub: FakeHub):
    fails("gpt2", r"vocab\.json and .*merges\.txt are not GPT-2's: .*delete them")


def test_gpt2_without_network_access_or_files(hub: FakeHub, tmp_path, monkeypatch):
    repo = hub.repos.pop(f"models/{GPT2_REPO}")
    fails("gpt2", f"the model {GPT2_REPO} is not on the hub")
    hub.repos[f"models/{GPT2_REPO}"] = Repo(repo.files, {"main": "3" * 40})
    fails("gpt2", f"has no revision '{GPT2_REVISION}'")
    hub.repos[f"models/{GPT2_REPO}"] = Repo({}, repo.branches)
    fails("gpt2", r"lacks a file: .*give GPT-2's files by their path: .*vocab\.json and merges")
    hub.repos[f"models/{GPT2_REPO}"] = Repo(repo.files, repo.branches, gated=True)
    fails("gpt2", "is gated: .*`hf auth login`")
    use_hub(NOWHERE, tmp_path / "cache", monkeypatch)
    fails("gpt2", r"cannot reach the hub.* give GPT-2's files by their path: .*encoder\.json and")


def test_nothing_there_says_what_to_give(tmp_path, sources):
    fails("gtp2", 'no tokenizer at gtp2: give "gpt2", a tokenizer.json, or a folder with')
    fails(write(tmp_path / "empty", sources), r"no tokenizer in the folder .*empty: give")
    fails(
        write(tmp_path / "half", sources, "vocab.json", "vocab.bpe"), "no tokenizer in the folder"
    )


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"model": {"merges": []}}', '{"model": 3}'])
def test_unreadable_files_are_named(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    fails(str(path), r"cannot read the tokenizer .*tokenizer\.json: .")


@pytest.mark.parametrize(
    ("vocab", "merges"), [("[]", ""), ("{", ""), ('{"a": 0}', "a b"), ('{"a": 0}', "a b c")]
)
def test_unreadable_pairs_are_named(tmp_path, vocab, merges):
    (tmp_path / "vocab.json").write_text(vocab)
    (tmp_path / "merges.txt").write_text(merges)
    fails(str(tmp_path), r"cannot read the tokenizer .*vocab\.json and .*merges\.txt: .")


def test_end_of_text_is_asked_for(tmp_path, sources):
    needed = r"it has no <\|endoftext\|> token, which .* add it to its vocabulary"
    for names in (("tokenizer.json",), ("vocab.json", "merges.txt")):
        folder = Path(write(tmp_path / names[0].replace(".", ""), sources, *names))
        file = folder / names[0]
        file.write_text(file.read_text().replace(END_OF_TEXT, "<other>"))
        fails(str(folder), needed)
