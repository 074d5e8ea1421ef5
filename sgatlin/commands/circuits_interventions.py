# SPDX-License-Identifier: Apache-2.0
"""`sgatlin circuits patch` and `sgatlin circuits mine`."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from sgatlin.errors import UserError, require_at_least
from sgatlin.files import write_output

if TYPE_CHECKING:
    from sgatlin.circuits.facts import Nouns, Template
    from sgatlin.circuits.interventions import Intervention
    from sgatlin.circuits.model import CircuitModel
    from sgatlin.circuits.patching import Effect, Pairs, Patched
    from sgatlin.input.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True, kw_only=True)
class CircuitsPatch:
    """Tell where a model keeps what it knows of nouns: give prompts each other's circuits."""

    run: tyro.conf.Positional[str]
    """RUN, RUN@STEP or RUN@best."""
    facts: Path | None = None
    """JSON lines of nouns and adjectives, as `sgatlin circuits mine` writes; the story world's by
    default."""
    nouns: tuple[str, ...] = ()
    """Of these nouns only."""
    template: str = "The {noun} was"
    """The prompt."""
    elsewhere: str = "Once there was a {noun}"
    """Where a control takes the same noun's circuit from."""
    pairs: int = 500
    """At most so many, drawn at random."""
    all: bool = False
    """Also pairs of which the model ranks the wrong answer above the right one."""
    seed: int = 0
    json: Path | None = None
    """Also write the result here."""
    markdown: Path | None = None
    """Also write the table here."""
    heat_map: Path | None = None
    """Draw effects of each layer and position as HEAT_MAP.png and HEAT_MAP.svg."""

    layers: tuple[int, ...] = ()
    """Also give gates of these layers only, at `channels` and `positions`."""
    channels: tuple[int, ...] = ()
    """Of these channels only; all by default."""
    positions: tuple[int, ...] = ()
    """At these positions only, 0 being the beginning of sequence; all by default."""

    def __call__(self) -> None:
        from sgatlin.circuits.facts import Template
        from sgatlin.circuits.interventions import (
            AT_NOUN,
            OTHER_NOUN,
            THIRD_NOUN,
            chosen,
            heat_map,
            interventions,
        )
        from sgatlin.circuits.model import CircuitModel
        from sgatlin.circuits.patch_report import Report
        from sgatlin.circuits.patching import choose_pairs

        require_at_least(1, pairs=self.pairs)
        model = CircuitModel.open(self.run)
        template = Template.parse(model, self.template)
        nouns = self._nouns(model.tokenizer)
        table = interventions(model, template)
        if self.layers or self.channels or self.positions:
            places = {"layers": self.layers, "channels": self.channels, "positions": self.positions}
            table.append(chosen(model, template, **places))
        pairs = choose_pairs(
            model,
            template,
            nouns.chosen,
            most=self.pairs,
            known_only=not self.all,
            seed=self.seed,
        )
        cells = [] if self.heat_map is None else heat_map(model, template)
        found = self._patch(model, template, nouns, pairs, [*table, *cells])
        effects = found.effects(self.seed)
        beyond = [
            found.beyond(AT_NOUN, OTHER_NOUN, self.seed),
            found.beyond(OTHER_NOUN, THIRD_NOUN, self.seed),
        ]
        report = Report(model.name, self.template, nouns, pairs, effects[: len(table)] + beyond)
        print(report.text())
        if self.json is not None:
            write_output(self.json, report.json(elsewhere=self.elsewhere, seed=self.seed))
        if self.markdown is not None:
            write_output(self.markdown, report.markdown() + "\n")
        if self.heat_map is not None:
            self._draw(self.heat_map, model, template, effects[len(table) :])

    def _patch(
        self,
        model: "CircuitModel",
        template: "Template",
        nouns: "Nouns",
        pairs: "Pairs",
        table: "list[Intervention]",
    ) -> "Patched":
        import sys

        from rich.progress import Progress

        from sgatlin.circuits.facts import Template
        from sgatlin.circuits.patching import patch

        elsewhere = Template.parse(model, self.elsewhere)
        with Progress(disable=not sys.stdout.isatty(), transient=True) as bar:
            task = bar.add_task("pairs")
            return patch(
                model,
                template,
                elsewhere,
                nouns.chosen,
                pairs.chosen,
                table,
                seed=self.seed,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )

    def _draw(
        self, out: Path, model: "CircuitModel", template: "Template", cells: "list[Effect]"
    ) -> None:
        import numpy as np

        from sgatlin.circuits.patch_report import draw_heat_map

        labels = ["noun", *map(model.token_text, template.after)]
        values = [effect.ratio_of_means.value for effect in cells]
        grid = np.array(values).reshape(model.n_layers, len(labels))
        for file in draw_heat_map(grid, labels, out, "recovered effect (ratio of means)"):
            print(file)

    def _nouns(self, tokenizer: "Tokenizer") -> "Nouns":
        from sgatlin.circuits.facts import as_tokens, read_facts, story_facts

        facts = story_facts() if self.facts is None else read_facts(self.facts)
        return as_tokens(tokenizer, facts, self.nouns)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CircuitsMine:
    """Collect nouns and the adjectives that a data set's texts give them most often."""

    store: tyro.conf.Positional[Path]
    """A prepared data set, or one split of it."""
    out: Path
    """The facts file to write."""
    documents: int = 100_000
    """Read at most so many of each split."""
    times: int = 10
    """Times that an adjective must be said of a noun."""
    share: float = 0.1
    """Of all that is said of the noun."""
    specific: float = 0.03
    """Share of the adjective's uses that must be of the noun."""
    most: int = 3
    """Adjectives of a noun."""

    def __call__(self) -> None:
        from sgatlin.circuits.facts import mine_facts, write_facts
        from sgatlin.input.store import TokenStore, store_folders

        require_at_least(1, documents=self.documents, times=self.times, most=self.most)
        stores = [TokenStore.open(folder) for folder in store_folders(self.store)]
        texts = (
            tokenizer.decode([int(token) for token in store.document(index)])
            for store, tokenizer in ((store, store.tokenizer()) for store in stores)
            for index in range(min(self.documents, store.n_documents))
        )
        facts = mine_facts(
            texts, least=self.times, share=self.share, specific=self.specific, most=self.most
        )
        if not facts:
            raise UserError(f"{self.store} states no fact {self.times} times: lower --times")
        write_facts(self.out, facts)
        print(f"{self.out}: {len(facts)} nouns, such as {', '.join(list(facts)[:8])}")
