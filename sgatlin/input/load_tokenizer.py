# SPDX-License-Identifier: Apache-2.0
"""Tokenizers from files and by name, GPT-2's the same from wherever it comes."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sgatlin.errors import UserError
from sgatlin.input import hub
from sgatlin.input.encoder_plan import GPT2_PATTERN, Unfit, list_merges, plan_tiktoken
from sgatlin.input.tokenizer import END_OF_TEXT, Tokenizer

GPT2_REPO = "openai-community/gpt2"
GPT2_REVISION = "607a30d783dfa663caf39e06633721c8d4cfcd7e"
# `_digest` of GPT-2's published vocabulary and merges (encoder.json and vocab.bpe): a fact about
# those two files, by which GPT-2 is known whatever file it was read from.
GPT2_DIGEST = "3331a1256437515552ac6066b075da53498a9d4839ced2c3c5acf73a3c9932fb"

_JSON = "tokenizer.json"
_PAIRS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
_FORMS = f"a {_JSON}, or a folder with {_JSON}, {' and '.join(_PAIRS[0])}, or " + " and ".join(
    _PAIRS[1]
)


def load_tokenizer(spec: str) -> Tokenizer:
    """A tokenizer by name or path.

    GPT-2 has one hash from all sources. Any other tokenizer.json keeps its own hash, which is
    what `Tokenizer.load` gives, but for settings that would cut or pad documents: they are taken
    off. Vocabulary and merges without a tokenizer.json are taken to split text as GPT-2 does.

    Args:
      spec: "gpt2", which comes from the hub or its cache ("./gpt2" is a folder of that name); a
        tokenizer.json; or a folder that holds tokenizer.json, or vocab.json and merges.txt, or
        encoder.json and vocab.bpe.

    Raises:
      UserError: when nothing is there, a file cannot be read, it is no byte-level BPE with an
        <|endoftext|> token, or what the hub gave for "gpt2" is not GPT-2's.
    """
    if spec == "gpt2":
        return _load_gpt2()
    path = Path(spec)
    if path.is_file():
        return _load_files([path])
    if not path.is_dir():
        raise UserError(f'no tokenizer at {path}: give "gpt2", {_FORMS}')
    for names in ((_JSON,), *_PAIRS):
        files = [path / name for name in names]
        if all(file.is_file() for file in files):
            return _load_files(files)
    raise UserError(f'no tokenizer in the folder {path}: give "gpt2", {_FORMS}')


def _load_gpt2() -> Tokenizer:
    sources = (_PAIRS[0], (_JSON,))
    cached = (hub.cached_files(GPT2_REPO, GPT2_REVISION, names) for names in sources)
    files = next((found for found in cached if found), None) or hub.download_files(
        GPT2_REPO,
        GPT2_REVISION,
        _PAIRS[0],
        instead=f"or give GPT-2's files by their path: {_FORMS}",
    )
    tokenizer = _load_files(files)
    if not _is_gpt2(json.loads(tokenizer.json)):
        raise UserError(
            f"{' and '.join(map(str, files))} are not GPT-2's: the digest of vocabulary and merges "
            f"is not {GPT2_DIGEST}; delete them, so that they are downloaded again"
        )
    return tokenizer


def _load_files(files: Sequence[Path]) -> Tokenizer:
    """One file is a tokenizer.json, two are a vocabulary and its merges."""
    try:
        texts = [file.read_text(encoding="utf-8") for file in files]
        parts = _parse(texts[0]) if len(texts) == 1 else _gpt2_like(*texts)
        return Tokenizer(json.dumps(parts))
    except (OSError, ValueError, TypeError, KeyError) as error:
        names = " and ".join(map(str, files))
        raise UserError(f"cannot read the tokenizer {names}: {error}") from error


def _parse(text: str) -> dict[str, Any]:
    """The parts of a tokenizer.json: GPT-2's as `_gpt2_like` has them, others as they are."""
    parts = json.loads(text)
    if not isinstance(parts, dict):
        raise ValueError("it is no JSON object")
    parts |= {"truncation": None, "padding": None}
    if not _is_gpt2(parts):
        return parts
    return _parts(parts["model"]["vocab"], list_merges(parts["model"]["merges"]))


def _gpt2_like(vocab_json: str, merges_text: str) -> dict[str, Any]:
    """The parts of a tokenizer that splits text as GPT-2 does, from its two files."""
    vocab = json.loads(vocab_json)
    if not isinstance(vocab, dict):
        raise ValueError("the vocabulary is no JSON object")
    # The lines end where these characters say: others that Python knows can be in a token.
    lines = merges_text.replace("\r\n", "\n").split("\n")
    if lines[0].startswith("#version"):
        lines = lines[1:]
    return _parts(vocab, list_merges([line for line in lines if line]))


def _parts(vocab: dict[str, int], merges: list[tuple[str, str]]) -> dict[str, Any]:
    """Written out, so that the hash does not depend on how the library at hand would write it."""
    byte_level = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            special | {"id": vocab[token], "content": token, "special": True}
            for token in (END_OF_TEXT,)
            if token in vocab
        ],
        "normalizer": None,
        "pre_tokenizer": byte_level | {"add_prefix_space": False},
        "post_processor": None,
        "decoder": byte_level | {"add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": [list(pair) for pair in merges],
        },
    }


def _is_gpt2(parts: dict[str, Any]) -> bool:
    """Whether it encodes as GPT-2 does, whatever else its file says."""
    model = parts.get("model")
    if not isinstance(model, dict) or "merges" not in model:
        return False
    canonical = json.dumps(
        [model["vocab"], list_merges(model["merges"])],
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )
    if hashlib.sha256(canonical.encode()).hexdigest() != GPT2_DIGEST:
        return False
    if [token["content"] for token in parts.get("added_tokens", ())] != [END_OF_TEXT]:
        return False
    try:
        return plan_tiktoken(json.dumps(parts)).pattern == GPT2_PATTERN
    except Unfit:
        return False
