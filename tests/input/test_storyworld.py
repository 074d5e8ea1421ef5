# SPDX-License-Identifier: Apache-2.0
"""Stories are deterministic, all different, in sound English, and true to the world's facts."""

import collections
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from sgatlin.errors import UserError
from sgatlin.input import storyworld
from sgatlin.input.storyworld import words as words
from sgatlin.input.storyworld.asides import ASIDES
from sgatlin.input.storyworld.cast import with_article
from sgatlin.input.storyworld.grammar import alternatives, expand
from sgatlin.input.storyworld.lexicon import CLASSES
from sgatlin.input.storyworld.scenes import SCENES

ROOT = Path(__file__).parents[2]
WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")
FACTS = {fact.noun: fact.adjective for fact in storyworld.facts()}


def script(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs data/storyworld.py as a user would."""
    return subprocess.run(
        [sys.executable, "data/storyworld.py", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def read_stories(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """50,000 stories, over both splits: 30 MB."""
    folder = tmp_path_factory.mktemp("stories")
    made = {}
    for split, seed, n in (("train", 0, 48_000), ("validation", 1, 2_000)):
        path = folder / f"{split}.jsonl"
        arguments = ("--out", str(path), "--n", str(n), "--seed", str(seed), "--split", split)
        result = script(*arguments)
        assert result.returncode == 0, result.stderr
        made[split] = read_stories(path)
    return made


@pytest.fixture
def unchecked() -> Callable[[str], str]:
    """Runs a call into the module without pytest's checks of types; returns its last line."""

    def run(call: str) -> str:
        program = f"from sgatlin.input.storyworld import story; {call}"
        result = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        return result.stderr.splitlines()[-1]

    return run


@pytest.fixture(scope="module")
def sample(corpora: dict[str, list[str]]) -> list[str]:
    """20,000 of them."""
    return corpora["train"][:18_000] + corpora["validation"]


def lexicon_words(texts: Iterable[str]) -> set[str]:
    """The words of texts as the lexicon writes them: names as they are, others in lower case."""
    lexicon = storyworld.lexicon()
    stems = {word.removesuffix("'s") for word in WORD.findall("\n".join(texts))}
    return {stem if lexicon.get(stem) == "name" else stem.lower() for stem in stems}


def test_stories_follow_from_seed_split_and_index():
    first = list(itertools.islice(storyworld.stories(3, "train"), 20))
    assert [storyworld.story(3, "train", index) for index in (19, 0, 7)] == [
        first[19],
        first[0],
        first[7],
    ]
    assert first != list(itertools.islice(storyworld.stories(4, "train"), 20))


def test_stories_do_not_depend_on_hash_seed_or_locale(tmp_path):
    digests = set()
    for hash_seed, locale in (("0", "C"), ("1", "C.UTF-8"), ("4294967295", "POSIX")):
        path = tmp_path / f"{hash_seed}.jsonl"
        arguments = ("--out", str(path), "--n", "100")
        result = script(*arguments, PYTHONHASHSEED=hash_seed, LC_ALL=locale)
        assert result.returncode == 0, result.stderr
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1
    assert read_stories(path) == list(itertools.islice(storyworld.stories(0, "train"), 100))


@pytest.mark.slow
def test_no_two_stories_are_alike(corpora):
    texts = corpora["train"] + corpora["validation"]
    assert sum(map(len, texts)) > 20e6
    assert len(set(texts)) == len(texts)


def test_the_text_alone_decides_the_split(corpora):
    for split, texts in corpora.items():
        assert {storyworld.split_of(text) for text in texts[:500]} == {split}


def test_bad_arguments_are_told(unchecked):
    with pytest.raises(UserError, match="story index -1 is negative"):
        storyworld.story(0, "train", -1)
    assert "split='test' is not one of train, validation" in unchecked("story(0, 'test', 0)")


def test_stories_have_the_length_of_stories(sample):
    lengths = [len(text) for text in sample]
    assert 500 < sum(lengths) / len(lengths) < 900
    for text in sample:
        assert 2 <= len(text.split("\n")) <= 4
        # A sentence of a speech counts by itself; the words around a speech belong to it.
        sentences = re.split(r'(?<=[.!?])(?:"?)(?=\s+["A-Z])', text)
        assert 5 <= len(sentences) <= 15, text


@pytest.mark.parametrize(
    "wrong",
    [
        r"  | \n|\n |\n\n",
        r"\b(\w+) \1\b",
        r"\b[Aa] (?!one\b|uni|uku)[aeiouAEIOU]",
        r"\b[Aa]n (?!hour|honest)[^aeiouAEIOU]",
        r"\s[.,!?;:]",
        r"[.,!?;:]{2}",
        r"[^.!?\"](?:\n|$)",
        r'(?:^|[.!?] |\n)"?[a-z]',
        r"\bi\b",
        r"[^A-Za-z.,!?;:'\"\s]",
        r"[A-Za-z][.,!?][A-Za-z]",
        r"\b(?:He|She|They|It|You|We|I) [A-Z]",
        r"\b(?:was|were) (?:went|ran|saw|took|came|did)\b",
    ],
)
def test_english_is_sound(sample, wrong):
    together = "\n".join(sample[:10_000])
    found = re.search(wrong, together, re.MULTILINE)
    assert not found, together[max(0, found.start() - 60) : found.end() + 60]


def test_quotes_are_balanced_in_every_paragraph(sample):
    for paragraph in "\n".join(sample).split("\n"):
        speeches = paragraph.split('"')
        assert len(speeches) % 2, paragraph
        for speech in speeches[1::2]:
            assert speech == speech.strip(), paragraph
            assert speech[-1] in ".,!?", paragraph


def test_facts_are_a_bijection():
    facts = storyworld.facts()
    assert len(facts) >= 40
    assert len({fact.noun for fact in facts}) == len({fact.adjective for fact in facts})
    assert len({fact.noun for fact in facts}) == len(facts)
    lexicon = storyworld.lexicon()
    for fact in facts:
        assert fact.sentence == f"The {fact.noun} was {fact.adjective}."
        assert lexicon[fact.adjective] == "adjective"
        assert lexicon[fact.noun] in {"animal", "place", "nature", "plant", "object", "food"}


def test_facts_are_never_contradicted(sample):
    owner = {adjective: noun for noun, adjective in FACTS.items()}
    for text in sample:
        for noun, word in re.findall(r"\b(\w+) (?:was|is) (\w+)", text.lower()):
            if noun in FACTS:
                assert word == FACTS[noun], text
            if word in owner:
                assert noun == owner[word], text


def test_facts_are_stated_often_and_about_evenly(sample):
    sentence = re.compile(r"\bThe (\w+) was (\w+)")
    told = collections.Counter(
        noun for text in sample for noun, word in sentence.findall(text) if FACTS.get(noun) == word
    )
    assert told.keys() == FACTS.keys()
    mean = sum(told.values()) / len(FACTS)
    assert mean > 1.5 * len(sample) / len(FACTS)
    assert min(told.values()) > 0.5 * mean
    assert max(told.values()) < 2.5 * mean


def templates() -> Iterator[str]:
    """All text that stories are made from, names left out."""
    for plot in storyworld.PLOTS:
        for beat in plot.beats:
            yield from (beat,) if isinstance(beat, str) else beat
        for choice in plot.choices:
            yield from choice.values()
    for group in ASIDES.values():
        for asides in group.values():
            yield from itertools.chain(*asides.values())
    yield from itertools.chain(*SCENES.values(), *words.TABLES.values())
    yield from (*words.HOUSES, *words.HOBBIES, *words.GROWN_UPS)


def test_lexicon_holds_every_word_and_no_other(corpora):
    lexicon = storyworld.lexicon()
    told = lexicon_words(itertools.chain(*corpora.values()))
    written = lexicon_words(re.sub(r"\{[^}]*\}(?:'s)?|<[^>]*>", " ", t) for t in templates())
    assert sorted((told | written) - lexicon.keys()) == []
    assert sorted(lexicon.keys() - told - written) == []
    # Nearly all words are so common that a corpus of this size has them.
    assert len(told) > 0.995 * len(lexicon)
    assert len(told) > 2_000


def test_lexicon_classes():
    lexicon = storyworld.lexicon()
    by_class = collections.Counter(lexicon.values())
    expected = {"name", "animal", "person", "place", "object", "food", "colour", "feeling"}
    assert expected | {"adjective", "verb", "pronoun"} <= by_class.keys()
    for word, word_class in lexicon.items():
        assert word[0].isupper() == (word_class == "name"), word
    # Each word is listed once, so that its class is not the last of several by accident.
    listed = [word for members in CLASSES.values() for word in members.split()]
    assert collections.Counter(listed).most_common(1)[0][1] == 1


@pytest.fixture(scope="module")
def tales() -> list[storyworld.Tale]:
    return [storyworld.tale(5, "train", index) for index in range(1_000)]


def test_there_are_many_plots(tales):
    told = collections.Counter(tale.plot for tale in tales)
    assert len(storyworld.PLOTS) >= 30
    assert told.keys() == {plot.name for plot in storyworld.PLOTS}
    assert max(told.values()) < 3 * len(tales) / len(told)


def first(pattern: str, text: str) -> int:
    """Where a pattern first matches, or beyond the end."""
    found = re.search(pattern, text)
    return found.start() if found else len(text)


def mention(phrase: str, text: str) -> int:
    """Where a phrase is first said, be it at the beginning of a sentence."""
    return first(rf"(?i)\b{re.escape(phrase)}\b", text)


def test_friends_are_introduced_before_they_are_spoken_of(tales):
    for tale in tales:
        introduced = min(mention(tale.slots[key], tale.text) for key in ("intro2", "pal"))
        assert introduced <= mention(tale.slots["friend"], tale.text), tale.text


def test_pronouns_have_one_possible_referent(tales):
    pronouns = {
        "he": r"\b(?:[Hh]e|[Hh]im|[Hh]is|[Hh]imself)\b",
        "she": r"\b(?:[Ss]he|[Hh]er|[Hh]erself)\b",
    }
    for tale in tales:
        slots = tale.slots
        assert {slots["he"], slots["he2"]} == {"he", "she"}
        mentions = {
            slots["he"]: (slots["intro"], slots["hero"]),
            slots["he2"]: (slots["intro2"], slots["pal"], slots["friend"]),
        }
        for gender, pattern in pronouns.items():
            named = min(mention(phrase, tale.text) for phrase in mentions[gender])
            assert named <= first(pattern, tale.text), tale.text


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("apple", "an apple"),
        ("unicorn", "a unicorn"),
        ("ukulele", "a ukulele"),
        ("orange ship", "an orange ship"),
        ("hour", "an hour"),
        ("red hat", "a red hat"),
        ("umbrella", "an umbrella"),
    ],
)
def test_articles_go_by_sound(phrase, expected):
    assert with_article(phrase) == expected


@pytest.mark.parametrize(
    ("draws", "expected"),
    [((0.0,), "a x z"), ((0.5, 0.0), "a y1 z"), ((0.5, 0.5), "a y2 z"), ((0.9,), "a  z")],
)
def test_templates_expand_by_their_draws(draws, expected):
    numbers = iter((0.0, *draws))  # the first chooses the template, of which there is one
    out: list[str] = []
    expand((alternatives("a [x|y[1|2]|] z", "town"),), lambda: next(numbers), set(), out)
    assert "".join(out) == expected
    assert next(numbers, None) is None


@pytest.mark.parametrize("free", ASIDES["bed"]["town"])
def test_asides_avoid_nouns_that_are_in_the_story(free):
    nouns = set(ASIDES["bed"]["town"])
    taken = nouns - {free}
    numbers = itertools.cycle(i / 97 for i in range(97))
    out: list[str] = []
    expand((alternatives("<bed>", "town"),), lambda: next(numbers), taken, out)
    assert f"The {free} was {FACTS[free]}" in "".join(out)
    assert taken == nouns


def test_script_writes_lexicon_and_facts(tmp_path):
    result = script("--lexicon", str(tmp_path / "l.json"), "--facts", str(tmp_path / "f.json"))
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "l.json").read_text()) == storyworld.lexicon()
    assert {"noun": "turtle", "adjective": "slow", "sentence": "The turtle was slow."} in (
        json.loads((tmp_path / "f.json").read_text())
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "--out"),
        (("--n", "-1"), "--n -1"),
        (("--facts", "/dev/null/f.json"), "/dev/null/f.json"),
    ],
)
def test_script_tells_bad_input_in_one_line(arguments, told):
    result = script(*arguments)
    assert result.returncode == 2
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1
