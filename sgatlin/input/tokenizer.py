# SPDX-License-Identifier: Apache-2.0
"""A byte-level BPE tokenizer: trained, saved, hashed, and decoded token by token.

Every id but the special one stands for a fixed string of bytes, so decoding is joining bytes, any
text round-trips, and bits per byte can be counted from ids alone. V: vocabulary.
"""

import codecs
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import tokenizers

from sgatlin.errors import UserError
from sgatlin.files import write_atomically

END_OF_TEXT = "<|endoftext|>"


class Tokenizer:
    """A byte-level BPE with one special token, which precedes every document.

    Its identity is its JSON: `hash` is the SHA-256 of that in canonical form (sorted keys, no
    white space), `json`, taken as it was saved and not as the library at hand would write it again.
    """

    def __init__(self, tokenizer_json: str):
        """Reads the JSON of a `tokenizers.Tokenizer`; ValueError when it is not one that fits."""
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(tokenizer_json)
        except Exception as error:  # the library raises nothing narrower
            raise ValueError(str(error)) from error
        if not isinstance(self._tokenizer.decoder, tokenizers.decoders.ByteLevel):
            raise ValueError("it is not a byte-level tokenizer")
        bos_id = self._tokenizer.token_to_id(END_OF_TEXT)
        if bos_id is None:
            raise ValueError(
                f"it has no {END_OF_TEXT} token, which has to precede every document: "
                "add it to its vocabulary and its added_tokens, as a special one"
            )
        # Documents are data: one that contains the words "<|endoftext|>" does not end there.
        self._tokenizer.encode_special_tokens = True
        self.json: str = json.dumps(
            json.loads(tokenizer_json), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        self._pieces = _pieces(self._tokenizer.get_vocab(), bos_id)
        self.bos_id: int = bos_id
        self.vocab_size: int = len(self._pieces)
        self.hash: str = hashlib.sha256(self.json.encode()).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without special tokens, whatever the text contains."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """`encode` of many texts, on all cores."""
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Iterable[int] | np.ndarray) -> str:
        """The text of ids, special ones skipped; bytes that are not UTF-8 become U+FFFD."""
        return b"".join(self._pieces[i] for i in ids).decode(errors="replace")

    def stream_decoder(self) -> "StreamDecoder":
        """A decoder for ids that come one by one."""
        return StreamDecoder(self._pieces)

    def token_bytes(self) -> np.ndarray:
        """Number of UTF-8 bytes that each id stands for, 0 for the special one: int32 (V,)."""
        return np.array([len(piece) for piece in self._pieces], dtype=np.int32)

    def save(self, path: Path) -> None:
        write_atomically(path, self.json)

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Reads what `save` wrote; UserError when it is missing or damaged."""
        try:
            return cls(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"no tokenizer at {path}") from None
        except (OSError, ValueError) as error:  # JSON and UTF-8 errors are ValueErrors
            raise UserError(f"cannot read the tokenizer {path}: {error}") from error


class StreamDecoder:
    """Text of ids that come one by one: a character split over tokens comes out whole."""

    def __init__(self, pieces: Sequence[bytes]):
        self._pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token_id: int) -> str:
        """The characters that this id completes, often none."""
        return self._decoder.decode(self._pieces[token_id])

    def flush(self) -> str:
        """What is left at the end: a replacement character for an incomplete one, else nothing."""
        return self._decoder.decode(b"", final=True)


def train_bpe(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Trains a byte-level BPE, its special token at id 0, deterministic in its texts.

    Only pairs seen at least twice are merged, so a short text yields fewer than `vocab_size`
    entries: the tokenizer's own `vocab_size` tells how many.

    Raises:
      UserError: when `vocab_size` does not hold the 256 bytes and the special token.
    """
    if vocab_size < 257:
        raise UserError(
            f"vocab_size={vocab_size} is too small: 256 bytes and {END_OF_TEXT} need at least 257"
        )
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return Tokenizer(tokenizer.to_str())


def byte_alphabet() -> dict[str, int]:
    """The byte that each character of a byte-level vocabulary (GPT-2's) stands for.

    The printable ones of Latin-1 stand for themselves, the characters from U+0100 for the other
    68, in order.
    """
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    printable = {character: ord(character) for character in alphabet if ord(character) < 256}
    others = sorted(set(range(256)) - set(printable.values()))
    return printable | dict(zip(alphabet[len(printable) :], others, strict=True))


def _pieces(vocab: dict[str, int], bos_id: int) -> list[bytes]:
    """The bytes that each id stands for, none for the special one."""
    to_byte = byte_alphabet()
    pieces = [b""] * (max(vocab.values()) + 1)
    for token, token_id in vocab.items():
        if token_id == bos_id:
            continue
        if not to_byte.keys() >= set(token):
            raise ValueError(f"its token {token!r} does not spell bytes")
        pieces[token_id] = bytes(to_byte[character] for character in token)
    return pieces
