# SPDX-License-Identifier: Apache-2.0
"""Small corpora of random words, in the forms in which real ones come."""

import gzip
import hashlib
import json
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from sgatlin.input.preparation.inputs import find_by_name
from sgatlin.input.preparation.manner import Manner
from sgatlin.input.preparation.plan import Request
from sgatlin.input.preparation.prepare import prepare
from sgatlin.input.store import TokenStore
from sgatlin.input.tokenizer import Tokenizer, train_bpe

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

WORDS = "the slow turtle was happy under a big tree and sang déjà vu 今日 to her friend".split()
SETS = ("RedPajamaBook", "RedPajamaGithub", "RedPajamaWikipedia")
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstd.compress,
}


def make_texts(n: int, seed: int = 0, n_words: int = 40) -> list[str]:
    """Different texts of up to so many words."""
    rng = random.Random(seed)
    return [
        f"{seed}.{number} " + " ".join(rng.choices(WORDS, k=rng.randrange(1, n_words)))
        for number in range(n)
    ]


def json_line(text: object, set: str | None = None) -> bytes:
    record = {"text": text} | ({"meta": {"redpajama_set_name": set}} if set else {})
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def write_jsonl(path: Path, texts: Sequence[str], sets: Sequence[str | None] = (None,)) -> Path:
    """JSON lines, compressed as the name says; the sets take turns."""
    lines = (json_line(text, sets[i % len(sets)]) for i, text in enumerate(texts))
    path.parent.mkdir(parents=True, exist_ok=True)
    compress = COMPRESS.get(path.suffix, COMPRESS[""])
    path.write_bytes(compress(b"".join(lines)))
    return path


def small_tokenizer() -> Tokenizer:
    return train_bpe(make_texts(200, seed=99), vocab_size=400)


def prepare_folder(
    folder: Path,
    out: Path,
    tokenizer: Tokenizer,
    manner: Manner | None = None,
    **request: object,
) -> list[str]:
    """Prepares all files below a folder in this process; returns what was told."""
    told: list[str] = []
    found = find_by_name([str(folder)], [])
    has_validation = any(file.split == "validation" for file in found.inputs)
    settings = {"validation_fraction": None if has_validation else 0.1} | request
    prepare(
        out,
        Request(source="test", tokenizer=tokenizer.hash, **settings),
        found.inputs,
        tokenizer,
        manner or Manner(n_workers=1),
        tell=told.append,
    )
    return told


def texts_of(store: TokenStore) -> list[str]:
    """All documents, decoded."""
    tokenizer = store.tokenizer()
    return [tokenizer.decode(store.document(number)) for number in range(store.n_documents)]


def hashes_of(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
