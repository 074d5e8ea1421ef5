# SPDX-License-Identifier: Apache-2.0
"""Sources of data in a config: they come back from JSON, and what cannot be is named."""

import dataclasses

import pytest

from sgatlin.config import Mixture, MixturePart, Prepared, from_json, to_json
from sgatlin.errors import UserError

PART = MixturePart(path="a", weight=2.0, set="books")
SOURCES = [
    Prepared(path="a", set_weights=(("books", 0.5), ("code", 2.0)), tokenizer_hash="abc"),
    Mixture(parts=(PART, MixturePart(path="b", weight=1.0)), validation="c"),
    Mixture(parts=(PART,), validation="c", tokenizer_hash="abc"),
]


@pytest.mark.parametrize("source", SOURCES, ids=["weights", "mixture", "hash"])
def test_sources_come_back_from_json(toy, source):
    config = dataclasses.replace(
        toy, data=dataclasses.replace(toy.data, source=source, document_boundaries=True)
    )
    assert from_json(to_json(config), origin="config.json") == config


def test_a_config_from_before_these_fields_still_reads(toy):
    data = dataclasses.replace(toy.data, source=Prepared(path="a"))
    config = dataclasses.replace(toy, data=data)
    text = to_json(config)
    for line in ('"set_weights": [],', '"document_boundaries": false'):
        assert line in text
        text = text.replace(line, "")
    text = text.replace('"path": "a",', '"path": "a"').replace('"tokenizer_hash": null', "")
    text = text.replace('"batch_size": 4,', '"batch_size": 4')
    assert from_json(text, origin="config.json") == config


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: MixturePart(path="a", weight=0.0), "weight of a=0.0 must be above 0 and finite"),
        (lambda: MixturePart(path="a", weight=float("nan")), "weight of a=nan must be above 0"),
        (
            lambda: Prepared(path="a", set_weights=(("books", -1.0),)),
            "set_weights of books=-1.0 must be above 0",
        ),
        (
            lambda: Prepared(path="a", set_weights=(("books", 1.0), ("books", 2.0))),
            "set_weights name 'books' twice: add its weights up",
        ),
        (lambda: Mixture(parts=(), validation="c"), "parts=() of a mixture must be at least one"),
        (
            lambda: Mixture(parts=(PART, dataclasses.replace(PART, weight=1.0)), validation="c"),
            "parts name ('a', 'books') twice",
        ),
    ],
)
def test_sources_that_cannot_be(make, line):
    with pytest.raises(UserError) as caught:
        make()
    assert str(caught.value).startswith(line)
