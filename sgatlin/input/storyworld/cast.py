# SPDX-License-Identifier: Apache-2.0
"""Who plays in a story, and the words that its templates call them by.

Hero and friend are of different gender and nobody else is called he or she, so every pronoun has
one possible referent.
"""

import bisect
import itertools
from collections.abc import Sequence
from typing import Generic, TypeVar

from sgatlin.input.storyworld import words as words
from sgatlin.input.storyworld.facts import ADJECTIVES
from sgatlin.input.storyworld.grammar import Plot, Random, World

T = TypeVar("T")


class Zipf(Generic[T]):
    """A list whose items get rarer along it: weight 1 / (place + 2)."""

    def __init__(self, items: Sequence[T]):
        self.items = tuple(items)
        weights = list(itertools.accumulate(1 / (place + 2) for place in range(len(items))))
        self._shares = [w / weights[-1] for w in weights]

    def draw(self, random: Random) -> T:
        """One item."""
        return self.items[bisect.bisect_right(self._shares, random())]


_PRONOUNS = {
    "she": {"he": "she", "him": "her", "his": "her", "himself": "herself"},
    "he": {"he": "he", "him": "him", "his": "his", "himself": "himself"},
}
_PRONOUNS_2 = {g: {f"{k}2": v for k, v in slots.items()} for g, slots in _PRONOUNS.items()}
_BEASTS = {beast.noun: beast for beast in words.BEASTS + words.RARE_BEASTS}
_TABLES = {name: Zipf(items) for name, items in words.TABLES.items()}
_NAMES = {"she": Zipf(words.GIRLS), "he": Zipf(words.BOYS)}
_BEAST_NAMES = {"she": Zipf(words.SHE_BEASTS), "he": Zipf(words.HE_BEASTS)}
_SPECIES = Zipf([beast.noun for beast in words.BEASTS])
_ELDER_SPECIES = Zipf(words.ELDER_BEASTS)
_KINDS = Zipf(words.KINDS)
_HOUSES = Zipf(words.HOUSES)
_HOBBIES = Zipf(words.HOBBIES)
_GROWN_UPS = Zipf(words.GROWN_UPS)
_SURNAMES = Zipf(words.SURNAMES)
_PARENTS = Zipf(words.PARENTS)
_BEAST_PARENTS = Zipf(words.BEAST_PARENTS)
_GRANDPARENTS = Zipf(words.GRANDPARENTS)
_TIES = {"she": Zipf(words.SHE_TIES), "he": Zipf(words.HE_TIES)}
_VOWELS = tuple("aeiouAEIOU")
# Words whose first sound is not what their first letter says.
_SOUND_LIKE_CONSONANT = ("unicorn", "uniform", "one", "useful", "ukulele")
_SOUND_LIKE_VOWEL = ("hour", "honest")


def with_article(phrase: str) -> str:
    """The phrase with "a" or "an" before it, as its first sound asks."""
    if phrase.startswith(_SOUND_LIKE_VOWEL):
        return f"an {phrase}"
    vowel = phrase.startswith(_VOWELS) and not phrase.startswith(_SOUND_LIKE_CONSONANT)
    return f"an {phrase}" if vowel else f"a {phrase}"


def capital(phrase: str) -> str:
    """The phrase with a capital first letter."""
    return phrase[0].upper() + phrase[1:]


class Slots(dict[str, str]):
    """What the slots of a story's templates stand for.

    Derived forms, and words from tables, are made when they are first asked for and then kept.
    """

    def __init__(self, values: dict[str, str], random: Random, taken: set[str]):
        super().__init__(values)
        self._random = random
        self._taken = taken

    def __missing__(self, key: str) -> str:
        if key.startswith("fact "):
            noun = self.get(key[5:] + " noun") or self[key[5:]]
            self[key] = ""  # A story states it once.
            return f" The {noun} was {ADJECTIVES[noun]}." if noun in ADJECTIVES else ""
        if key[0].isupper():
            value = capital(self[key[0].lower() + key[1:]])
        elif key.startswith("a "):
            value = with_article(self[key[2:]])
        else:
            value = self._draw(key.rstrip("23"))
        self[key] = value
        return value

    def _draw(self, table: str) -> str:
        others = (self.get(table), self.get(table + "2"), self.get(table + "3"))
        word = _TABLES[table].draw(self._random)
        while word in others or word in self._taken:
            word = _TABLES[table].draw(self._random)
        if word in ADJECTIVES:
            self._taken.add(word)
        return word


def cast(plot: Plot, world: World, random: Random, taken: set[str]) -> Slots:
    """The characters of a story of `plot`; adds the animals among them to `taken`."""
    gender, other = ("she", "he") if random() < 0.5 else ("he", "she")
    slots = _PRONOUNS[gender] | _PRONOUNS_2[other]
    if world == "town":
        _cast_town(slots, gender, other, random)
    else:
        _cast_woods(slots, gender, other, plot, random, taken)
    if plot.pair:
        group = f"{slots['hero']} and {slots['friend']}"
        slots |= {"group": group, "they": "they", "them": "them", "their": "their"}
    else:
        slots |= {"group": slots["hero"], "they": slots["he"], "them": slots["him"]}
        slots["their"] = slots["his"]
    return Slots(slots, random, taken)


def _cast_town(slots: dict[str, str], gender: str, other: str, random: Random) -> None:
    hero, friend = _NAMES[gender].draw(random), _NAMES[other].draw(random)
    kid, kid2 = ("girl", "boy") if gender == "she" else ("boy", "girl")
    title, _, name = _GROWN_UPS.draw(random).partition(" ")
    if name == "{surname}":
        name = _SURNAMES.draw(random)
    else:
        names = _NAMES["she" if title == "Aunt" else "he"]
        name = names.draw(random)
        while name in (hero, friend):
            name = names.draw(random)
    slots |= {
        "hero": hero,
        "call": hero,
        "intro": f"a {_KINDS.draw(random)} {kid} named {hero}",
        "home": _HOUSES.draw(random),
        "hobby": _HOBBIES.draw(random),
        "friend": friend,
        "call2": friend,
        "kid2": kid2,
        "intro2": f"a {kid2} named {friend}",
        "pal": f"{_TIES[other].draw(random)} {friend}",
        "parent": _PARENTS.draw(random),
        "gran": _GRANDPARENTS.draw(random),
        "elder": f"{title} {name}",
        "call3": f"{title} {name}",
        "hero noun": kid,
        "friend noun": kid2,
        "elder noun": title,
    }


def _cast_woods(
    slots: dict[str, str], gender: str, other: str, plot: Plot, random: Random, taken: set[str]
) -> None:
    beast = _BEASTS[_species(plot.heroes, _SPECIES, random, taken)]
    beast2 = _BEASTS[_species(plot.friends, _SPECIES, random, taken)]
    elder = _species((), _ELDER_SPECIES, random, taken)
    noun, noun2 = beast.noun, beast2.noun
    # Where a plot is about one kind of animal, names tell its stories apart.
    if plot.heroes or random() < 0.6:
        name, name2 = _BEAST_NAMES[gender].draw(random), _BEAST_NAMES[other].draw(random)
        slots |= {
            "hero": name,
            "call": name,
            "intro": f"{with_article(noun)} named {name}",
            "friend": name2,
            "call2": name2,
            "intro2": f"{with_article(noun2)} named {name2}",
            "pal": f"friend {name2} the {noun2}",
        }
    else:
        slots |= {
            "hero": f"the {noun}",
            "call": capital(noun),
            "intro": with_article(noun),
            "friend": f"the {noun2}",
            "call2": capital(noun2),
            "intro2": with_article(noun2),
            "pal": f"friend the {noun2}",
        }
    homes = beast.homes.split("|")
    slots |= {
        "home": homes[int(random() * len(homes))],
        "hobby": beast.hobby,
        "parent": f"{_BEAST_PARENTS.draw(random)} {capital(noun)}",
        "gran": f"{_GRANDPARENTS.draw(random)} {capital(noun)}",
        "elder": f"the {elder}",
        "call3": capital(elder),
        "hero noun": noun,
        "friend noun": noun2,
        "elder noun": elder,
    }


def _species(allowed: Sequence[str], table: Zipf[str], random: Random, taken: set[str]) -> str:
    """An animal that is not in the story yet."""
    noun = allowed[int(random() * len(allowed))] if allowed else table.draw(random)
    while noun in taken:
        noun = allowed[int(random() * len(allowed))] if allowed else table.draw(random)
    taken.add(noun)
    return noun
