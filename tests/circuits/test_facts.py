# SPDX-License-Identifier: Apache-2.0
"""Facts are read and mined; nouns of several tokens are left out, or told of if named."""

import pytest

from sgatlin.circuits.facts import Template, as_tokens, mine_facts, read_facts, write_facts
from sgatlin.circuits.model import CircuitModel
from sgatlin.errors import UserError

FACTS = {"turtle": ["slow", "old"], "lake": ["deep"]}


def test_facts_are_read_as_written(tmp_path):
    write_facts(tmp_path / "facts.jsonl", FACTS)
    assert read_facts(tmp_path / "facts.jsonl") == FACTS


@pytest.mark.parametrize("line", ["{", "[]", '{"noun": "turtle"}', '{"noun": 1, "adjective": "a"}'])
def test_a_line_that_is_no_fact(tmp_path, line):
    path = tmp_path / "facts.jsonl"
    path.write_text('{"noun": "lake", "adjective": "deep"}\n' + line)
    with pytest.raises(UserError, match=r"line 2: write \{"):
        read_facts(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="cannot read facts"):
        read_facts(tmp_path / "none")


DEGREES = ["It was very deep. It was so wet, and she ran very fast."] * 5


def test_mining_counts_what_nouns_are_said_to_be():
    texts = ["The lake was deep. The lake was gone. She saw a wet lake."] * 5 + DEGREES
    assert mine_facts(texts, least=5) == {"lake": ["deep", "wet"]}
    assert mine_facts(texts, least=5, most=1) == {"lake": ["deep"]}
    assert mine_facts(texts, least=6) == {}


def test_mining_takes_adjectives_alone():
    # Nothing is said to be very gone, and fast is how somebody does something.
    texts = ["The lake was gone. The lake was fast."] * 5 + DEGREES
    assert mine_facts(texts, least=5) == {}


def test_mining_keeps_what_is_a_nouns_own():
    texts = [*DEGREES, *["The lake was deep."] * 9, "The cat was deep. The cat was wet."]
    assert mine_facts(texts, least=1, specific=0.2) == {"lake": ["deep"], "cat": ["wet"]}
    # Of what is said of the cat, a half.
    assert mine_facts(texts, least=1, specific=0, share=0.6) == {"lake": ["deep"]}


def test_a_named_noun_of_several_tokens(toy_run):
    tokenizer = CircuitModel.open(str(toy_run)).tokenizer
    with pytest.raises(UserError, match=r'^the noun "zzqx" is \d+ tokens, .*: name one that is a'):
        as_tokens(tokenizer, {"zzqx": ["slow"]}, ["zzqx"])
    with pytest.raises(UserError, match="no fact tells of"):
        as_tokens(tokenizer, FACTS, ["zzqx"])


def test_a_template_without_a_noun(toy_run):
    model = CircuitModel.open(str(toy_run))
    for text in ("The was", "{noun} was", "The {noun} {noun}"):
        with pytest.raises(UserError, match="must hold one"):
            Template.parse(model, text)
