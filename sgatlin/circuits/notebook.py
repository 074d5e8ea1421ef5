# SPDX-License-Identifier: Apache-2.0
"""A run's circuits at hand: what notebooks begin with.

All of it is also there as functions of the modules next to this one, and as commands.
"""

import dataclasses
import functools
from pathlib import Path

import pyarrow as pa

from sgatlin.circuits.attribution import Attribution, Neuron, Target, attribute, single_token
from sgatlin.circuits.contexts import excerpt, strongest
from sgatlin.circuits.facts import Template, as_tokens, story_facts
from sgatlin.circuits.interventions import AT_NOUN, OTHER_NOUN, THIRD_NOUN, interventions
from sgatlin.circuits.manifest import is_record
from sgatlin.circuits.model import CircuitModel, Trace
from sgatlin.circuits.neighbour_table import (
    Exclude,
    Found,
    check_same_model,
    find,
    typed,
)
from sgatlin.circuits.neighbours import Metric
from sgatlin.circuits.patching import Effect, choose_pairs, patch
from sgatlin.circuits.record import Record
from sgatlin.circuits.recording import RecordingOptions, record_circuits
from sgatlin.circuits.usage import Usage, usage
from sgatlin.eval.command import store_for


@dataclasses.dataclass(frozen=True)
class Circuits:
    """A model with circuits, and a record of them if there is one."""

    model: CircuitModel
    path: Path
    """Of the record."""

    @classmethod
    def open(cls, run: str | Path, record: Path | str | None = None) -> "Circuits":
        """Loads RUN, RUN@STEP or RUN@best; its record, by default RUN/circuits, may be missing.

        Raises:
          UserError: when there is no such run, its layers have no circuits, or the record is of
            another model.
        """
        model = CircuitModel.open(str(run))
        circuits = cls(model, Path(record or model.loaded.run.path / "circuits"))
        if is_record(circuits.path):
            check_same_model(model, circuits.record)
        return circuits

    @functools.cached_property
    def record(self) -> Record:
        """UserError if there is none: `make_record` makes one."""
        return Record.open(self.path)

    @functools.cached_property
    def positions(self) -> pa.Table:
        """The record's."""
        return self.record.positions()

    def make_record(
        self, tokens: int = 100_000, *, data: Path | None = None, activations: bool = False
    ) -> Record:
        """Records so many positions of a prepared data set, by default the run's, or opens it.

        Raises:
          UserError: when the data are of another tokenizer.
        """
        if not is_record(self.path):
            store = store_for(self.model.loaded, data)
            options = RecordingOptions(tokens=tokens, activations=activations)
            record_circuits(self.model, store, self.path, options)
        return self.record

    def trace(self, text: str) -> Trace:
        """One pass over a text: logits, gates, streams and <w_in, x>, with a batch of one."""
        return self.model.trace(self.model.encode(text)[None])

    def neighbours(
        self,
        text: str,
        layer: int,
        *,
        channel: int | None = None,
        k: int = 10,
        metric: Metric = "cosine",
        exclude: Exclude = "sequence",
    ) -> Found:
        """The recorded circuits that are nearest to those of each of a text's tokens."""
        channels = None if channel is None else [channel]
        asked, queries = typed(self.model, text, layer, channels)
        rows = self.record.rows(layer, channels)
        return find(
            asked,
            queries,
            rows,
            self.positions,
            self.model.token_text,
            k=k,
            metric=metric,
            exclude=exclude,
        )

    def attribute(
        self, text: str, token: str | None = None, *, versus: str | None = None
    ) -> Attribution:
        """What each neuron adds to the logit of the next token, by default the likeliest."""
        if token is None:
            return attribute(self.model, text)
        other = None if versus is None else single_token(self.model, versus)
        return attribute(self.model, text, [Target(single_token(self.model, token), other)])

    def contexts(self, neuron: Neuron, n: int = 5) -> list[str]:
        """The recorded positions where a neuron's score is strongest, in their text."""
        found = strongest(self.record, neuron.layer, neuron.channel, neuron.neuron, n)
        return [excerpt(self.positions, int(row)) for row in found.rows]

    def usage(self, layer: int, channel: int) -> Usage:
        """How evenly the neurons of a layer and channel are used by the record's positions."""
        return usage(self.record.rows(layer, [channel]).indices, self.record.n_neurons)

    def patch(
        self,
        facts: dict[str, list[str]] | None = None,
        *,
        template: str = "The {noun} was",
        elsewhere: str = "Once there was a {noun}",
        pairs: int = 500,
        seed: int = 0,
    ) -> list[Effect]:
        """What the gates of other prompts carry over, with controls; see `sgatlin circuits patch`.

        Facts are adjectives of each noun, by default the story world's.
        """
        facts = story_facts() if facts is None else facts
        prompts, others = (Template.parse(self.model, text) for text in (template, elsewhere))
        nouns = as_tokens(self.model.tokenizer, facts).chosen
        chosen = choose_pairs(self.model, prompts, nouns, most=pairs, seed=seed).chosen
        table = interventions(self.model, prompts)
        found = patch(self.model, prompts, others, nouns, chosen, table, seed=seed)
        return [
            *found.effects(seed),
            found.beyond(AT_NOUN, OTHER_NOUN, seed),
            found.beyond(OTHER_NOUN, THIRD_NOUN, seed),
        ]
