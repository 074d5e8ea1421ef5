# SPDX-License-Identifier: Apache-2.0
"""The groups of asides that templates name: group -> world -> noun -> templates."""

from collections.abc import Mapping

from sgatlin.input.storyworld import asides_indoors as indoors
from sgatlin.input.storyworld import asides_outdoors as outdoors

Group = Mapping[str, tuple[str, ...]]

ASIDES: dict[str, dict[str, Group]] = {
    "attic": {"town": indoors.ATTIC, "woods": indoors.ATTIC},
    "morning": {"town": indoors.MORNING, "woods": indoors.MORNING},
    "snow": {"town": outdoors.SNOW, "woods": outdoors.SNOW},
    "bed": {"town": indoors.BED, "woods": indoors.BED},
    "nurse": {"town": indoors.NURSE, "woods": indoors.NURSE},
    "watch": {"town": outdoors.WATCH, "woods": outdoors.WATCH_WOODS},
    "pets": {"town": indoors.PETS, "woods": outdoors.WATCH_WOODS},
    "place": {"town": outdoors.PLACE, "woods": outdoors.PLACE},
    "yard": {"town": outdoors.YARD, "woods": outdoors.YARD},
    "beach": {"town": outdoors.BEACH, "woods": outdoors.BEACH},
    "way": {"town": outdoors.WAY, "woods": outdoors.WAY},
    "street": {"town": outdoors.TOWN, "woods": outdoors.TOWN},
    "meet": {"town": outdoors.MEET_COUNTRY, "woods": outdoors.MEET_WOODS},
    "home": {"town": indoors.HOME, "woods": indoors.DEN},
    "kitchen": {"town": indoors.KITCHEN, "woods": indoors.KITCHEN},
    "book": {"town": indoors.BOOK, "woods": indoors.BOOK},
}

# How much more often than others a noun is drawn within its groups, so that all facts are stated
# about as often as each other: plots themselves speak more of some nouns than of others.
WEIGHTS = {
    "blanket": 16,
    "bread": 16,
    "cheese": 16,
    "coin": 16,
    "honey": 16,
    "lemon": 16,
    "peach": 16,
    "pillow": 16,
    "puddle": 16,
    "sun": 16,
    "soup": 15,
    "carrot": 13,
    "cloud": 9,
    "giraffe": 8,
    "monkey": 7,
    "drum": 6,
    "feather": 6,
    "ladder": 6,
    "lion": 6,
    "vase": 6,
    "ball": 5,
    "deer": 4,
    "elephant": 4,
    "lamb": 4,
    "bee": 3,
    "forest": 3,
    "goose": 3,
    "hedgehog": 3,
    "hill": 3,
    "lake": 3,
    "market": 3,
    "mountain": 3,
    "oak": 3,
    "path": 3,
    "river": 3,
    "road": 3,
    "bridge": 2,
    "castle": 2,
    "cat": 2,
    "cave": 2,
    "dog": 2,
    "kitten": 2,
    "parrot": 2,
    "rabbit": 2,
}
