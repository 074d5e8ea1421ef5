# SPDX-License-Identifier: Apache-2.0
"""What is always true in the story world: one adjective for each noun, and no other noun's."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Fact:
    """A noun and the adjective that is its own."""

    noun: str
    adjective: str
    sentence: str
    """The fact as stories state it."""


ADJECTIVES = {
    # animals
    "turtle": "slow",
    "rabbit": "quick",
    "fox": "clever",
    "owl": "wise",
    "lion": "brave",
    "mouse": "tiny",
    "elephant": "huge",
    "bee": "busy",
    "peacock": "proud",
    "cat": "lazy",
    "dog": "loyal",
    "donkey": "stubborn",
    "monkey": "silly",
    "lamb": "gentle",
    "parrot": "noisy",
    "hedgehog": "prickly",
    "bear": "strong",
    "giraffe": "tall",
    "deer": "shy",
    "kitten": "curious",
    "spider": "patient",
    "goose": "bossy",
    # places
    "lake": "deep",
    "river": "wide",
    "forest": "dark",
    "mountain": "high",
    "bridge": "narrow",
    "road": "long",
    "hill": "steep",
    "castle": "grand",
    "cave": "damp",
    "path": "crooked",
    "puddle": "shallow",
    "market": "crowded",
    # things
    "oak": "old",
    "sun": "bright",
    "cloud": "fluffy",
    "feather": "light",
    "coin": "shiny",
    "drum": "loud",
    "ladder": "wobbly",
    "ball": "round",
    "pillow": "soft",
    "blanket": "warm",
    "vase": "fragile",
    # food
    "lemon": "sour",
    "honey": "sweet",
    "bread": "fresh",
    "peach": "juicy",
    "soup": "delicious",
    "carrot": "crunchy",
    "cheese": "smelly",
}

FACTS = tuple(
    Fact(noun, adjective, f"The {noun} was {adjective}.") for noun, adjective in ADJECTIVES.items()
)
