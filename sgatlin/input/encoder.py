# SPDX-License-Identifier: Apache-2.0
"""Text to ids, fast: the tokenizer's own result, by `tiktoken` where that is certain.

`tiktoken` is several times faster than `tokenizers` but merges any two neighbours whose
concatenation is a token, where `tokenizers` merges listed pairs only. `encoder_plan.py` says
when that makes no difference. Every other tokenizer is encoded by `tokenizers` itself.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import tiktoken

from sgatlin.errors import UserError
from sgatlin.input.encoder_plan import Plan, Unfit, plan_tiktoken
from sgatlin.input.stress import stress_texts
from sgatlin.input.tokenizer import END_OF_TEXT, Tokenizer

# Characters that are encoded at a time, more where there is no sure place to split.
_CHUNK = 1 << 18
# Where every one of the patterns ends one piece and begins the next, whatever stands around: before
# a blank that follows anything but white space, and after a letter or a digit before something
# else. No match holds such a place, as in every alternative a blank is the first character or
# follows white space, and letters and digits are followed by their own kind alone; and no match
# before it changes, as only white space is matched by what comes after. The letters are some, in
# writing with and without blanks, that all versions of Unicode agree on.
_LETTERS = r"A-Za-z\u0400-\u0481\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3"
_OTHERS = r"\s!-/:-@\[-`{-~\u3001-\u3003\u300c-\u300f\uff01-\uff0f"
_SPLIT = re.compile(
    rf"(?<=\S)(?= )|(?<=[{_LETTERS}])(?=[0-9{_OTHERS}])|(?<=[0-9])(?=[{_LETTERS}{_OTHERS}])"
)
_BLANKS = re.compile(r"\s+")


class Encoder:
    """Encodes texts as `Tokenizer.encode` does, without special tokens; picklable.

    Attributes:
      engine: "tiktoken" or "tokenizers".
      reason: why it is "tokenizers", in words; empty for "tiktoken".
    """

    def __init__(self, tokenizer: Tokenizer, *, slow_because: str = ""):
        """`slow_because` asks for `tokenizers` and becomes the `reason`."""
        self.tokenizer = tokenizer
        self.engine: Literal["tiktoken", "tokenizers"] = "tokenizers"
        self.reason = slow_because
        if not slow_because:
            try:
                self._use(plan_tiktoken(tokenizer.json))
            except Unfit as unfit:
                self.reason = str(unfit)

    def _use(self, plan: Plan) -> None:
        # A special token it will never be asked for: without one it looks for the empty string
        # between all characters.
        special = {END_OF_TEXT: len(plan.ranks)}
        self._tiktoken = tiktoken.Encoding(
            "sgatlin", pat_str=plan.pattern, mergeable_ranks=plan.ranks, special_tokens=special
        )
        self._ids = plan.ids
        self.engine = "tiktoken"

    def __reduce__(self) -> tuple:
        return _rebuild, (self.tokenizer.json, self.reason)

    def encode(self, text: str) -> np.ndarray:
        """Ids of a text, whatever it contains: uint32 (n,).

        Beside text and ids, memory is a few MB by "tiktoken", but for one run of a kind of
        character, such as 10 MB of letters without a blank, it is some 50 bytes a byte of that
        run; by "tokenizers" it is more than 100 bytes a byte of the text.

        Raises:
          ValueError: when it is no text, but has half a surrogate pair.
        """
        if self.engine == "tokenizers":
            return self._encode_slowly(text)
        parts = [self._encode_chunk(chunk) for chunk in _chunks(text)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def encode_batch(self, texts: Sequence[str], n_threads: int = 1) -> list[np.ndarray]:
        """`encode` of each text, in order; threads run at the same time, outside of Python."""
        if n_threads == 1 or len(texts) < 2:
            return [self.encode(text) for text in texts]
        with ThreadPoolExecutor(n_threads) as pool:
            return list(pool.map(self.encode, texts))

    def check(self, texts: Iterable[str]) -> None:
        """Compares with `Tokenizer.encode`.

        Raises:
          UserError: with the text, the place and both ids where they first differ.
        """
        for number, text in enumerate(texts):
            pairs = itertools.zip_longest(self.encode(text).tolist(), self.tokenizer.encode(text))
            for place, (fast, right) in enumerate(pairs):
                if fast != right:
                    raise UserError(
                        f"{self.engine} gives id {fast} where the tokenizer gives {right}, as id "
                        f"{place} of text {number}, {text[:40]!r}...: encode with Tokenizer.encode"
                    )

    def _encode_chunk(self, chunk: str) -> np.ndarray:
        # The regular expression's stack holds a million characters of white space.
        if len(chunk) > _CHUNK and _longest_blank(chunk) > _CHUNK:
            return self._encode_slowly(chunk)
        return self._ids[self._tiktoken.encode_to_numpy(chunk, disallowed_special=())]

    def _encode_slowly(self, text: str) -> np.ndarray:
        try:
            return np.array(self.tokenizer.encode(text), dtype=np.uint32)
        except TypeError:
            text.encode()  # says which character is no text
            raise


def make_encoder(tokenizer: Tokenizer, sample_texts: Iterable[str] = ()) -> Encoder:
    """An encoder that has been compared with the tokenizer on hard texts and on these.

    What `Encoder` relies on besides proof is that two regular expression engines know the same
    letters, digits and white space. Should a version of theirs differ, the result encodes by
    `tokenizers`, and its `reason` says where they differ.
    """
    encoder = Encoder(tokenizer)
    if encoder.engine == "tokenizers":
        return encoder
    try:
        encoder.check(itertools.chain(stress_texts(), sample_texts))
    except UserError as error:
        return Encoder(tokenizer, slow_because=str(error))
    return encoder


def _rebuild(tokenizer_json: str, slow_because: str) -> Encoder:
    return Encoder(Tokenizer(tokenizer_json), slow_because=slow_because)


def _chunks(text: str) -> Iterator[str]:
    """The text in parts that can be encoded one by one: at least `_CHUNK` long but for the last."""
    start = 0
    while len(text) - start > _CHUNK:
        place = _SPLIT.search(text, start + _CHUNK)
        if place is None:
            break
        yield text[start : place.start()]
        start = place.start()
    yield text[start:] if start else text


def _longest_blank(text: str) -> int:
    return max((run.end() - run.start() for run in _BLANKS.finditer(text)), default=0)
