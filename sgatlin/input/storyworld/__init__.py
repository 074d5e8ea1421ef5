# SPDX-License-Identifier: Apache-2.0
"""The story world: short children's stories without end, made on the spot.

It stands in for TinyStories where there is no network. A story is a plot (plots/) played by a cast,
with asides that state facts of the world ("The turtle was slow."), which hold in every story. Story
`index` is a pure function of (seed, split, index), whatever the machine, the Python version and its
hash seed. The split of a text is decided by the text's own hash, so no text is in both splits,
whatever the seeds.
"""

from sgatlin.input.storyworld.facts import Fact
from sgatlin.input.storyworld.lexicon import lexicon
from sgatlin.input.storyworld.narrator import (
    PLOTS,
    Split,
    Tale,
    facts,
    split_of,
    stories,
    story,
    tale,
)

__all__ = [
    "PLOTS",
    "Fact",
    "Split",
    "Tale",
    "facts",
    "lexicon",
    "split_of",
    "stories",
    "story",
    "tale",
]
