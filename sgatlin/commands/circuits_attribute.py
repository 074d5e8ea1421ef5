# SPDX-License-Identifier: Apache-2.0
"""`sgatlin circuits attribute`."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from sgatlin.errors import UserError, require_at_least

if TYPE_CHECKING:
    from sgatlin.circuits.attribution import Attribution, Target
    from sgatlin.circuits.attribution_graph import GraphSettings
    from sgatlin.circuits.model import CircuitModel
    from sgatlin.circuits.record import Record


@dataclasses.dataclass(frozen=True, kw_only=True)
class CircuitsAttribute:
    """Tell what each neuron adds to the logit of a prompt's next token, exactly."""

    run: tyro.conf.Positional[str]
    """RUN, RUN@STEP or RUN@best."""
    prompt: str
    """The text whose next token is explained."""
    token: str | None = None
    """The next token to explain, such as " slow"; the likeliest by default."""
    versus: str | None = None
    """Explain how far --token is above this one."""
    position: int | None = None
    """Explain the token after this one, counted from 0, the beginning of sequence; the last by
    default."""
    top: int = 20
    """Neurons to list."""
    logits: int = 5
    """Likeliest tokens to set beside the target."""
    layers: tuple[int, ...] = ()
    """List neurons of these layers only."""
    record: Path | None = None
    """Of the same model, by `sgatlin circuits record`: list where each neuron is strongest."""
    contexts: int = 3
    """With --record: positions for each neuron."""
    json: Path | None = None
    """Also write the result here."""
    graph: Path | None = None
    """Write the graph of direct effects here, as circuit-tracer's JSON; of --token, or else of the
    likeliest tokens."""
    node_threshold: float = 0.8
    """With --graph: keep the fewest nodes with this share of all influence."""
    edge_threshold: float = 0.98
    """With --graph: keep the fewest edges among them with this share."""
    max_neurons: int = 5000
    """With --graph: follow at most so many neurons, the most influential of each layer."""

    def __call__(self) -> None:
        from sgatlin.circuits.attribution import attribute
        from sgatlin.circuits.attribution_report import (
            attribution_json,
            attribution_tables,
            contributors,
        )
        from sgatlin.circuits.model import CircuitModel
        from sgatlin.files import write_output

        self._check()
        settings = self._graph_settings()
        model = CircuitModel.open(self.run)
        if wrong := [layer for layer in self.layers if not 0 <= layer < model.n_layers]:
            raise UserError(
                f"--layers {wrong[0]}: {model.name} has layers 0 to {model.n_layers - 1}"
            )
        record = self._record(model)
        attribution = attribute(model, self.prompt, self._targets(model), position=self.position)
        found = contributors(
            model,
            attribution,
            self.top,
            layers=self.layers or None,
            record=record,
            n_contexts=self.contexts,
        )
        print(attribution_tables(model, attribution, found))
        if self.json is not None:
            write_output(self.json, attribution_json(model, attribution, found))
        if self.graph is not None:
            self._write_graph(self.graph, model, attribution, settings)

    def _check(self) -> None:
        require_at_least(1, top=self.top, contexts=self.contexts)
        require_at_least(0, logits=self.logits)
        for name, path in (("json", self.json), ("graph", self.graph)):
            if path is not None and path.is_dir():
                raise UserError(f"--{name} {path} is a folder: name a file")
        if self.versus is not None and self.token is None:
            raise UserError("--versus needs --token, of which it is subtracted: name both")

    def _targets(self, model: "CircuitModel") -> "list[Target]":
        """The one to explain, and the likeliest beside it."""
        from sgatlin.circuits.attribution import Target, likeliest, single_token, up_to

        tokens_T = up_to(model.encode(self.prompt), self.position)
        likely = likeliest(model, tokens_T, max(self.logits, 1))
        others = [Target(token) for token in likely]
        if self.token is None:
            return others
        other = None if self.versus is None else single_token(model, self.versus)
        target = Target(single_token(model, self.token), other)
        return [target, *(one for one in others[: self.logits] if one != target)]

    def _record(self, model: "CircuitModel") -> "Record | None":
        if self.record is None:
            return None
        from sgatlin.circuits.record import Record

        record = Record.open(self.record)
        layer, of = model.layer, record.manifest
        sizes = (record.n_layers, record.n_channels, record.n_neurons, record.top_k)
        own = (model.n_layers, layer.n_channels, layer.n_neurons, layer.top_k)
        step, tokenizer = model.loaded.step, model.tokenizer.hash
        # A run may have been moved since: neither's path says whether they are the same.
        if (sizes, of.step, of.tokenizer_hash) != (own, step, tokenizer):
            raise UserError(
                f"--record {self.record} is of {of.run}@{of.step}, not of {model.name}: make one "
                f"with `sgatlin circuits record {self.run}`"
            )
        return record

    def _graph_settings(self) -> "GraphSettings":
        from sgatlin.circuits.attribution_graph import GraphSettings

        return GraphSettings(
            node_threshold=self.node_threshold,
            edge_threshold=self.edge_threshold,
            max_neurons=self.max_neurons,
        )

    def _write_graph(
        self,
        path: Path,
        model: "CircuitModel",
        attribution: "Attribution",
        settings: "GraphSettings",
    ) -> None:
        import sys

        from rich.progress import Progress

        from sgatlin.circuits.attribution_graph import build_graph
        from sgatlin.circuits.graph_json import graph_json
        from sgatlin.files import write_output

        explained = attribution if self.token is None else attribution.of_first()
        with Progress(disable=not sys.stdout.isatty(), transient=True) as bar:
            task = bar.add_task("graph")
            graph = build_graph(
                model,
                explained,
                settings,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        tree = graph_json(model, graph, settings, slug=path.stem)
        write_output(path, json.dumps(tree, indent=2) + "\n")
        n_nodes, n_links = len(tree["nodes"]), len(tree["links"])
        print(
            f"\n{path}: {n_nodes} nodes, {n_links} links, of {graph.n_neurons:,} neurons of which "
            f"{graph.n_considered:,} were followed; sums are right to {graph.error:.1e}"
        )
