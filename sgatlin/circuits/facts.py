# SPDX-License-Identifier: Apache-2.0
"""Nouns and the adjectives that are theirs: what a model may know, as tokens of a prompt.

n nouns, T time.
"""

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from sgatlin.circuits.attribution import quoted
from sgatlin.circuits.model import CircuitModel
from sgatlin.errors import UserError
from sgatlin.files import write_output
from sgatlin.input.storyworld.facts import ADJECTIVES
from sgatlin.input.tokenizer import Tokenizer


class Noun(NamedTuple):
    """A noun that is one token, and the tokens of the adjectives that are its own."""

    text: str
    token: int
    answers: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Nouns:
    """Those that prompts can be made of, and how many cannot."""

    chosen: tuple[Noun, ...]
    n_left_out: int
    """Of several tokens, or with no adjective that is a single one."""


@dataclasses.dataclass(frozen=True)
class Template:
    """A prompt's tokens around its noun, that of the beginning first."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    @classmethod
    def parse(cls, model: CircuitModel, text: str) -> "Template":
        """Of a text with one ` {noun}`, the blank being part of the noun's token.

        Raises:
          UserError: when the noun is missing, or has no blank before it, or the text is longer than
            the context.
        """
        if text.count(" {noun}") != 1 or text.count("{noun}") != 1:
            raise UserError(
                f"template {quoted(text)} must hold one {{noun}} after a blank: for example "
                '"The {noun} was"'
            )
        before, after = text.split(" {noun}")
        template = cls(
            before=tuple(model.encode(before).tolist()),
            after=tuple(model.tokenizer.encode(after)),
        )
        if template.length > model.seq_len:
            raise UserError(
                f"the template has {template.length} tokens, the context {model.seq_len}: "
                "shorten it"
            )
        return template

    @property
    def position(self) -> int:
        """Of the noun."""
        return len(self.before)

    @property
    def length(self) -> int:
        """T: of a prompt."""
        return len(self.before) + 1 + len(self.after)

    def tokens(self, nouns: Sequence[Noun]) -> Int[np.ndarray, "n T"]:
        """One prompt for each noun: of one length, so that their positions mean the same."""
        rows = [[*self.before, noun.token, *self.after] for noun in nouns]
        return np.array(rows, np.int32)


def story_facts() -> dict[str, list[str]]:
    """Those of the built-in story world."""
    return {noun: [adjective] for noun, adjective in ADJECTIVES.items()}


def read_facts(path: Path) -> dict[str, list[str]]:
    """Adjectives of each noun of a file of JSON lines: {"noun": ..., "adjective": ...}.

    Raises:
      UserError: when there is no such file, or a line of it is no fact, or it has none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read facts from {path} ({error}): name a file") from None
    facts: dict[str, list[str]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fact = json.loads(line)
            noun, adjective = fact["noun"], fact["adjective"]
        except (ValueError, KeyError, TypeError):
            noun = adjective = None
        if not (isinstance(noun, str) and isinstance(adjective, str) and noun and adjective):
            raise UserError(
                f'{path}, line {number}: write {{"noun": "turtle", "adjective": "slow"}}'
            )
        facts.setdefault(noun, [])
        if adjective not in facts[noun]:
            facts[noun].append(adjective)
    if not facts:
        raise UserError(f"{path} has no facts: write one a line, or choose another file")
    return facts


def write_facts(path: Path, facts: dict[str, list[str]]) -> None:
    """As `read_facts` reads them."""
    lines = [
        json.dumps({"noun": noun, "adjective": adjective}, ensure_ascii=False)
        for noun, adjectives in facts.items()
        for adjective in adjectives
    ]
    write_output(path, "\n".join(lines) + "\n")


def as_tokens(
    tokenizer: Tokenizer, facts: dict[str, list[str]], named: Sequence[str] = ()
) -> Nouns:
    """The nouns that are one token with a blank before it, or of them those named.

    Raises:
      UserError: when a named noun is not among the facts or is not one token, or fewer than two
        nouns are left.
    """
    for noun in named:
        if noun not in facts:
            raise UserError(f"no fact tells of the noun {quoted(noun)}: add one to the facts")
        pieces = [tokenizer.decode([token]) for token in tokenizer.encode(f" {noun}")]
        if len(pieces) != 1:
            told = " + ".join(map(quoted, pieces))
            raise UserError(
                f"the noun {quoted(noun)} is {len(pieces)} tokens, {told}: name one that is a "
                "single token"
            )
    chosen = []
    wanted = list(dict.fromkeys(named)) or list(facts)
    for noun in wanted:
        token, *more = tokenizer.encode(f" {noun}")
        encoded = [tokenizer.encode(f" {adjective}") for adjective in facts[noun]]
        answers = sorted({ids[0] for ids in encoded if len(ids) == 1})
        if not more and answers:
            chosen.append(Noun(noun, token, tuple(answers)))
    if len(chosen) < 2:
        raise UserError(
            f"of {len(wanted)} nouns {len(chosen)} are single tokens with an adjective that is one:"
            " pairs need two"
        )
    return Nouns(tuple(chosen), len(wanted) - len(chosen))


def mine_facts(
    texts: Iterable[str],
    *,
    least: int = 10,
    share: float = 0.1,
    specific: float = 0.03,
    most: int = 3,
) -> dict[str, list[str]]:
    """Nouns and the adjectives that texts most often give them, most often first.

    An adjective is what is said to be "very" or "so" anything; a noun what "was" one. Counted are
    "the NOUN was ADJECTIVE" and "a ADJECTIVE NOUN". Of a noun up to `most` adjectives are kept that
    were said of it `least` times and make up `share` of what was said of it, and of whose own uses
    at least `specific` are of this noun.
    """
    degrees: Counter[str] = Counter()
    stated: Counter[tuple[str, str]] = Counter()
    attributed: Counter[tuple[str, str]] = Counter()
    for text in texts:
        text = text.lower()
        degrees.update(_DEGREE.findall(text))
        stated.update(_STATED.findall(text))
        attributed.update((noun, adjective) for adjective, noun in _ATTRIBUTED.findall(text))
    adjectives = {word for word, count in degrees.items() if count >= least} - _NOT_ADJECTIVES
    nouns = {noun for noun, adjective in stated if adjective in adjectives} - adjectives
    pairs = Counter(
        {
            (noun, adjective): count
            for (noun, adjective), count in (stated + attributed).items()
            if noun in nouns and adjective in adjectives
        }
    )
    of_noun: Counter[str] = Counter()
    of_adjective: Counter[str] = Counter()
    for (noun, adjective), count in pairs.items():
        of_noun[noun] += count
        of_adjective[adjective] += count
    facts: dict[str, list[str]] = {}
    for (noun, adjective), count in sorted(pairs.items(), key=lambda item: (-item[1], item[0])):
        is_said = count >= least and count >= share * of_noun[noun]
        is_its_own = count >= specific * of_adjective[adjective]
        if is_said and is_its_own and len(facts.get(noun, ())) < most:
            facts.setdefault(noun, []).append(adjective)
    return facts


_DEGREE = re.compile(r"\b(?:very|so) ([a-z]+)(?=[.,!?]| and\b| but\b)")
_STATED = re.compile(r"\bthe ([a-z]+) was (?:so |very |too )?([a-z]+)(?=[.,!?]| and\b| but\b)")
_ATTRIBUTED = re.compile(r"\b(?:a|an|the|his|her|their|my|your) ([a-z]+) ([a-z]+)\b")
_NOT_ADJECTIVES = frozenset(
    "much many well far fast hard long soon often late on it that this not".split()
)
