# SPDX-License-Identifier: Apache-2.0
"""Whether `tiktoken` can stand in for a tokenizer, and with which table.

`tokenizers` merges the listed pairs by rank. `tiktoken` has no list: of two neighbours whose
concatenation is in its table it merges those with the lowest number, and a piece that is in the
table whole is not merged at all. Why the table below gives the same ids:

Call a token *reachable* if merging its own bytes by the list ends in that one token. Take any
neighbours x, y that occur while a text is merged by the list, and let t be their concatenation.
No merge ever crossed the ends of x y, so the merges within it were those that its bytes alone
would undergo, up to this point: alone, they come to x, y as well.

1. If (x, y) is listed, then t is reachable: alone, x and y are merged next. So what is not
   reachable never occurs, and can be left out of the table.
2. If t is reachable, then (x, y) is listed and is the last merge of t alone: it is all that is
   left to do. So what `tiktoken` would merge, the list merges too.

With the reachable tokens alone in the table, numbered in the order of their merges, both have the
same choice at each step, and of equals both take the leftmost; and merging a whole piece that is
in the table comes to that token. The order is certain if each token has one listed pair, or if
all pairs of a token precede all pairs of the next.
"""

import itertools
import json
from typing import Any, NamedTuple

import numpy as np
import tokenizers

from sgatlin.input.tokenizer import byte_alphabet

# GPT-2's pattern, in the form that does not go back over what it has matched: equal, but faster.
GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_PATTERNS = {
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+": GPT2_PATTERN,
    _LLAMA3: _LLAMA3,
    _LLAMA3.replace("{1,3}", ""): _LLAMA3.replace("{1,3}", ""),  # Qwen's
}


class Plan(NamedTuple):
    """What `tiktoken.Encoding` needs.

    Attributes:
      pattern: of the pieces that are encoded each for itself.
      ranks: the table, bytes to number, in the order of merging.
      ids: the tokenizer's id of each number: uint32 (len(ranks),).
    """

    pattern: str
    ranks: dict[bytes, int]
    ids: np.ndarray


class Unfit(Exception):
    """`tiktoken` cannot be proved to encode as this tokenizer does; the words say why."""


def plan_tiktoken(tokenizer_json: str) -> Plan:
    """The plan for a byte-level BPE.

    Raises:
      Unfit: when it has parts that `tiktoken` does not know or merges out of order.
    """
    parts = json.loads(tokenizer_json)
    model = parts["model"]
    for part, fits in (
        ("normalizer", parts.get("normalizer") is None),
        ("truncation", parts.get("truncation") is None),
        ("padding", parts.get("padding") is None),
        ("added_tokens", all(token["special"] for token in parts.get("added_tokens", ()))),
        ("model.type", model.get("type") == "BPE"),
        ("model.dropout", not model.get("dropout")),
        ("model.continuing_subword_prefix", not model.get("continuing_subword_prefix")),
        ("model.end_of_word_suffix", not model.get("end_of_word_suffix")),
    ):
        if not fits:
            raise Unfit(f"tiktoken does not do its {part}")
    pattern = _pattern(parts.get("pre_tokenizer"))
    merges = list_merges(model["merges"])
    reachable = _reachable(model["vocab"], merges)
    if model.get("ignore_merges") and len(reachable) < len(model["vocab"]):
        raise Unfit("it has model.ignore_merges and tokens that no merges lead to")
    numbered = _in_order(reachable, merges)
    to_byte = byte_alphabet()
    return Plan(
        pattern=pattern,
        ranks={bytes(to_byte[c] for c in token): rank for rank, token in enumerate(numbered)},
        ids=np.array([model["vocab"][token] for token in numbered], dtype=np.uint32),
    )


def list_merges(merges: list[Any]) -> list[tuple[str, str]]:
    """Merges as pairs, from either way of writing them: "a b" or ["a", "b"]."""
    pairs = (pair.split(" ") if isinstance(pair, str) else pair for pair in merges)
    return [(left, right) for left, right in pairs]


def _pattern(pre_tokenizer: dict[str, Any] | None) -> str:
    """The pattern of a lone ByteLevel, or of a Split with a known pattern before a ByteLevel."""
    match pre_tokenizer:
        case {"type": "ByteLevel", "add_prefix_space": False, **rest} if rest.get(
            "use_regex", True
        ):
            return GPT2_PATTERN
        case {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", **rest},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        } if regex in _PATTERNS and not rest.get("invert"):
            return _PATTERNS[regex]
    raise Unfit("its pre_tokenizer is none of those that tiktoken is known to do alike")


def _reachable(vocab: dict[str, int], merges: list[tuple[str, str]]) -> set[str]:
    bpe = tokenizers.models.BPE(vocab=vocab, merges=merges)
    return {
        token
        for token, token_id in vocab.items()
        if [part.id for part in bpe.tokenize(token)] == [token_id]
    }


def _in_order(reachable: set[str], merges: list[tuple[str, str]]) -> list[str]:
    """The single bytes, then the other reachable tokens in the order of their merges."""
    bytes_first = sorted(byte_alphabet())
    if not reachable.issuperset(bytes_first):
        raise Unfit("its vocabulary lacks some of the 256 bytes")
    merged = [token for left, right in merges if (token := left + right) in reachable]
    order = list(dict.fromkeys(merged))
    if [token for token, _ in itertools.groupby(merged)] != order:
        raise Unfit("its merges make one token before and after another")
    return bytes_first + order
