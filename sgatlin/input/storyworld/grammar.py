# SPDX-License-Identifier: Apache-2.0
"""Story templates: how they are written, compiled and expanded.

In a template, `[a|b|]` is one of its alternatives (each equally likely, possibly empty, nested at
will), `<name>` a shared scene or a group of asides, and `{slot}` a word that the cast fills in when
the whole story has been put together:

    {hero} {Hero}       a value, and the same with a capital
    {a toy} {A toy}     the same with "a" or "an" before it
    {fact toy}          " The ball was round." where the value has a fact, once; else nothing
    {toy} {toy2}        two different draws from the table "toy", the same all through a story
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, get_args

from sgatlin.input.storyworld.asides import ASIDES, WEIGHTS
from sgatlin.input.storyworld.facts import ADJECTIVES
from sgatlin.input.storyworld.scenes import SCENES

PARAGRAPH = "\n"

# The next uniform number in [0, 1).
Random = Callable[[], float]
Beat = str | tuple[str, ...]
World = Literal["town", "woods"]
WORLDS: tuple[World, ...] = get_args(World)


@dataclasses.dataclass(frozen=True)
class Plot:
    """What happens in a story: beats in order, each a template or a choice between several.

    `choices` are sets of slots that belong together, one of which is drawn for a story.
    """

    name: str
    beats: tuple[Beat, ...]
    world: World | Literal["any"] = "any"
    """Children play in the town; in the woods, animals that talk."""
    choices: tuple[dict[str, str], ...] = ({},)
    pair: bool = False
    """Whether {Group} and {they} are hero and friend instead of the hero alone."""
    heroes: tuple[str, ...] = ()
    """The animals that can be the hero in the woods; empty for any."""
    friends: tuple[str, ...] = ()


def maybe(*templates: str) -> tuple[str, ...]:
    """A choice that is left out half the time."""
    return templates + ("",) * len(templates)


@dataclasses.dataclass(frozen=True)
class Choice:
    """Alternatives, of which an expansion takes one."""

    options: tuple["Sequence[Part]", ...]


@dataclasses.dataclass(frozen=True)
class Aside:
    """A group of asides, from which an expansion takes one about a noun that is still free."""

    nouns: tuple[str, ...]
    """The group's nouns, each as often as its weight says."""
    options: dict[str, "Sequence[Part]"]


Part = str | Choice | Aside

_TOKEN = re.compile(r"\[|\||\]|<[a-z ]+>|[^\[\]|<]+")


def compile_template(template: str, world: World) -> Sequence[Part]:
    """Parses a template for one world, which decides what its asides are."""
    stack: list[list[list[Part]]] = [[[]]]
    for token in _TOKEN.findall(template):
        if token == "[":
            stack.append([[]])
        elif token == "|":
            stack[-1].append([])
        elif token == "]":
            options = tuple(tuple(option) for option in stack.pop())
            stack[-1][-1].append(Choice(options))
        elif token[0] == "<":
            stack[-1][-1].append(_scene(token[1:-1], world))
        else:
            stack[-1][-1].append(token)
    ((parts,),) = stack
    return tuple(parts)


@functools.cache
def _scene(name: str, world: World) -> Part:
    if name in ASIDES:
        asides = ASIDES[name][world]
        nouns = tuple(noun for noun in asides for _ in range(WEIGHTS.get(noun, 1)))
        return Aside(nouns, {noun: (alternatives(a, world),) for noun, a in asides.items()})
    return alternatives(SCENES[name], world)


def alternatives(templates: Beat, world: World) -> Choice:
    """A choice between templates; one template alone is a choice without alternatives."""
    templates = (templates,) if isinstance(templates, str) else templates
    return Choice(tuple(compile_template(t, world) for t in templates))


def expand(parts: Sequence[Part], random: Random, taken: set[str], out: list[str]) -> None:
    """Appends the text of `parts` to `out`, each aside about a noun that was not yet `taken`."""
    for part in parts:
        if isinstance(part, str):
            out.append(part)
        elif isinstance(part, Choice):
            expand(part.options[int(random() * len(part.options))], random, taken, out)
        else:
            noun = part.nouns[int(random() * len(part.nouns))]
            while noun in taken:
                noun = part.nouns[int(random() * len(part.nouns))]
            taken.add(noun)
            expand(part.options[noun], random, taken, out)


def literals(parts: Sequence[Part]) -> Iterator[str]:
    """All text that an expansion of `parts` can contain, asides left out."""
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, Choice):
            for option in part.options:
                yield from literals(option)


def fact_nouns(texts: Sequence[str]) -> frozenset[str]:
    """The nouns with a fact that are named in `texts`."""
    words = {word for text in texts for word in re.findall(r"[a-z]+", text.lower())}
    return frozenset(words & ADJECTIVES.keys())
