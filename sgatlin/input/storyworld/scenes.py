# SPDX-License-Identifier: Apache-2.0
"""Openings, small scenes and endings that many plots share, written `<name>` in their templates."""

SCENES = {
    # Introduces the hero, and where the hero lives.
    "open": (
        "Once upon a time, there was {intro}.{fact hero} {He} lived <place>.",
        "Once upon a time, there was {intro} who lived <place>.",
        "{Intro} lived <place>. What {he} loved most was to {hobby}.",
        "Not long ago, there was {intro}.{fact hero} {His} home stood <place>.",
        "Once there was {intro} who loved to {hobby}.{fact hero} {He} lived <place>.",
        "This is the story of {intro} who lived <place>.",
        "Once upon a time, there was {intro} who lived {home}.{fact hero}",
        "There once was {intro}.{fact hero} What {he} loved most was to {hobby}.",
    ),
    # The same in fewer words, for plots that have much to tell.
    "brief": (
        "Once upon a time, there was {intro}.{fact hero}",
        "{Intro} lived <place>.",
        "There once was {intro} who loved to {hobby}.{fact hero}",
        "Once there was {intro} who lived {home}.{fact hero}",
        "Once upon a time, there was {intro} who lived <place>.",
    ),
    "one day": (
        "One {fine} {time},",
        "One {fine} {weekday},",
        "One {weekday} [morning|afternoon],",
        "One {fine} {time} in {month},",
    ),
    "quarrel": ("one {fine} {time}", "one {weekday}", "one {weekday} [morning|afternoon]"),
    # Hero and friend together.
    "pair": (
        "Once upon a time, there were two friends, {intro} and {intro2}.{fact friend}",
        "{Intro} and {intro2} were the best of friends.{fact hero}",
        "{Intro} and {intro2} lived next door to each other, <place>.",
        "There once was {intro}.{fact hero} {His} best friend was {intro2}.",
        "Once there was {intro} whose best friend was {intro2}.{fact friend}",
        "Two friends, {intro} and {intro2}, lived <place>.",
    ),
    "thanks": (
        '"Thank you!" said {friend}.',
        '"Thank you so much!" cried {friend}.',
        '"You are so kind, {call}!" said {friend}.',
        '"I will never forget this," said {friend}.',
        '"Thank you, {call}," said {friend}.',
    ),
    "think": (
        "{Hero} thought hard.",
        "{Hero} sat down and thought.",
        "{Hero} scratched {his} head.",
        "{Hero} thought about it for a while.",
    ),
    # Endings.
    "friends": (
        "From that day on, {hero} and {friend} were the best of friends.",
        "After that, {hero} and {friend} met almost every day.",
        "And {hero} and {friend} stayed friends for many years.",
        "From then on, {hero} never had to play alone.",
        "That is how {hero} found a friend.",
    ),
    "night": (
        "That night, {hero} fell asleep with a smile.",
        "That night, {hero} dreamed of {dream}.",
        "In bed that evening, {hero} thought of it all again and smiled.",
        "{Hero} slept well that night and dreamed of {dream}.",
        "When the stars came out, {hero} slept [deeply|soundly|peacefully].",
        "That night {hero} lay down on a pillow. The pillow was soft, and {he} slept at once.",
        "That night {hero} lay under a blanket. The blanket was warm, and {he} slept at once.",
    ),
    "happy": (
        "{Hero} felt {happy}.",
        "{Hero} felt {happy} from {his} nose to {his} toes.",
        "{Hero} had never felt so {happy}.",
        "{Hero} could not stop smiling.",
    ),
    "home again": (
        "Then {they} went home, tired and {happy}.",
        "When the sun went down, {they} went home for supper.",
        "{Group} talked about it all the way home.",
        "{They} got home just in time for supper.",
        "The road was long, but {they} sang all the way home.",
        "The path was crooked, but it led {them} home in time for supper.",
    ),
}
