# SPDX-License-Identifier: Apache-2.0
"""Tells stories: casts a plot, picks its words, and keeps what is of the split asked for."""

import dataclasses
import functools
import hashlib
import itertools
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeVar, get_args

from sgatlin.errors import UserError
from sgatlin.input.storyworld.cast import Zipf, cast
from sgatlin.input.storyworld.facts import FACTS, Fact
from sgatlin.input.storyworld.grammar import (
    PARAGRAPH,
    WORLDS,
    Choice,
    Plot,
    Random,
    World,
    alternatives,
    expand,
    fact_nouns,
    literals,
)
from sgatlin.input.storyworld.plots import brave, fable, fun, home, kind, nature, quest

Split = Literal["train", "validation"]

# Of a file's plots, the first are the most common.
_THEMES: tuple[tuple[Plot, ...], ...] = (
    kind.PLOTS,
    brave.PLOTS,
    quest.PLOTS,
    home.PLOTS,
    fun.PLOTS,
    fable.PLOTS,
    nature.PLOTS,
)
PLOTS = tuple(itertools.chain(*_THEMES))

# How many sentences a story may have.
_SENTENCES = range(5, 16)

# One text in so many is for validation.
_VALIDATION_ONE_IN = 10

_SENTENCE_END = re.compile(r'[.!?]"?(?=[ \n]["A-Z]|$)')

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Tale:
    """A story, and how it was made."""

    text: str
    plot: str
    slots: Mapping[str, str]
    """What the slots of its templates stood for (cast.py)."""


@dataclasses.dataclass(frozen=True)
class _Stage:
    """A plot in one world, compiled."""

    plot: Plot
    world: World
    choices: tuple[dict[str, Choice], ...]
    beats: tuple[Choice | None, ...]
    """None begins a paragraph."""
    nouns: frozenset[str]
    """The nouns with a fact that the plot itself speaks of: no aside may."""


@functools.cache
def _themes() -> tuple[Zipf[tuple[_Stage, ...]], ...]:
    """Each theme's plots, each plot in each world that it can play in."""
    return tuple(
        Zipf(
            [
                tuple(_stage(plot, world) for world in WORLDS if plot.world in (world, "any"))
                for plot in plots
            ]
        )
        for plots in _THEMES
    )


def _stage(plot: Plot, world: World) -> _Stage:
    choices = tuple(
        {slot: alternatives(template, world) for slot, template in choice.items()}
        for choice in plot.choices
    )
    beats = tuple(None if b == PARAGRAPH else alternatives(b, world) for b in plot.beats)
    texts = [text for choice in choices for text in literals(tuple(choice.values()))]
    texts += literals([beat for beat in beats if beat is not None])
    return _Stage(plot, world, choices, beats, fact_nouns(texts))


def tale(seed: int, split: Split, index: int) -> Tale:
    """Story `index` of a split, and how it was made.

    Raises:
        UserError: for an unknown split or a negative index.
    """
    if split not in get_args(Split):
        raise UserError(f"split={split!r} is not one of {', '.join(get_args(Split))}")
    if index < 0:
        raise UserError(f"story index {index} is negative: stories are counted from 0")
    digest = hashlib.blake2b(f"{seed} {split} {index}".encode(), digest_size=16).digest()
    # Of random.Random, the seeding by an integer and random() are the same in every version.
    rand = random.Random(int.from_bytes(digest, "big")).random
    stage = _pick(_pick(_themes(), rand).draw(rand), rand)
    while True:
        told = _tell(stage, rand)
        if split_of(told.text) == split and sentence_count(told.text) in _SENTENCES:
            return told


def _tell(stage: _Stage, rand: Random) -> Tale:
    """A story of any length, for any split."""
    taken = set(stage.nouns)
    slots = cast(stage.plot, stage.world, rand, taken)
    for slot, choice in _pick(stage.choices, rand).items():
        slots[slot] = _expanded(choice, rand, taken).format_map(slots)
    paragraphs: list[list[str]] = [[]]
    for beat in stage.beats:
        if beat is None:
            paragraphs.append([])
        elif part := _expanded(beat, rand, taken):
            paragraphs[-1].append(part)
    text = "\n".join(" ".join(beats) for beats in paragraphs if beats)
    return Tale(text.format_map(slots), stage.plot.name, slots)


def _expanded(choice: Choice, rand: Random, taken: set[str]) -> str:
    out: list[str] = []
    expand((choice,), rand, taken, out)
    return "".join(out)


def _pick(options: Sequence[T], rand: Random) -> T:
    return options[int(rand() * len(options))]


def split_of(text: str) -> Split:
    """The split that a story belongs to, by its text alone."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return "train" if int.from_bytes(digest, "big") % _VALIDATION_ONE_IN else "validation"


def sentence_count(text: str) -> int:
    """The number of sentences, each sentence of a speech counted by itself."""
    return len(_SENTENCE_END.findall(text))


def story(seed: int, split: Split, index: int) -> str:
    """Story `index` of a split: two to four paragraphs, separated by newlines."""
    return tale(seed, split, index).text


def stories(seed: int, split: Split) -> Iterator[str]:
    """All stories of a split, without end: the first is story 0."""
    return (story(seed, split, index) for index in itertools.count())


def facts() -> list[Fact]:
    """The facts that hold in every story: nouns and adjectives, each only once."""
    return list(FACTS)
