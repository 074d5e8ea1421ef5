# SPDX-License-Identifier: Apache-2.0
"""`sgatlin circuits ablate` and `sgatlin circuits steer`."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from sgatlin.errors import UserError, require_at_least
from sgatlin.files import write_output

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from sgatlin.circuits.ablation import Point
    from sgatlin.circuits.model import CircuitModel
    from sgatlin.circuits.record import Record
    from sgatlin.nn.transformer import GateEdit


@dataclasses.dataclass(frozen=True, kw_only=True)
class CircuitsAblate:
    """Tell which neurons a cluster of positions needs, and which are enough for it."""

    run: tyro.conf.Positional[str]
    """RUN, RUN@STEP or RUN@best."""
    record: tyro.conf.Positional[Path]
    """Of the same model, by `sgatlin circuits record`."""
    token: str | None = None
    """The cluster: positions of this token, such as " turtle"."""
    kind: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """Or of words of this class."""
    classes: str = "lexicon"
    """Classes of words: the story world's, or a JSON file {class: [words]}."""
    sequence: int | None = None
    """Or of this sequence of the record."""
    position: int | None = None
    """With --sequence: this position alone."""
    layers: tuple[int, ...] = ()
    """Ablate in these layers only; in all by default."""
    how: Literal["zero", "mean"] = "zero"
    """Set scores to zero, or to the neuron's mean where it is chosen."""
    documents: int = 32
    """Documents of the record that have the cluster, at most; drawn at random."""
    draws: int = 3
    """Of control neurons."""
    seed: int = 0
    json: Path | None = None
    """Also write the numbers here."""
    markdown: Path | None = None
    """Also write the tables here."""
    out: Path | None = None
    """Draw the curves as OUT.png and OUT.svg."""

    def __call__(self) -> None:
        from sgatlin.circuits import ablation_report
        from sgatlin.circuits.model import CircuitModel
        from sgatlin.circuits.neighbour_table import check_same_model
        from sgatlin.circuits.record import Record

        require_at_least(1, documents=self.documents, draws=self.draws)
        model, record = CircuitModel.open(self.run), Record.open(self.record)
        check_same_model(model, record)
        for layer in self.layers:
            if not 0 <= layer < model.n_layers:
                raise UserError(f"there is no layer {layer}: there are 0 to {model.n_layers - 1}")
        name, points, counts = self._measure(model, record)
        where = f" of layers {' '.join(map(str, self.layers))}" if self.layers else ""
        about = (
            f"{model.name}: neurons{where} that {name} uses most, in {counts[0]:,} documents with "
            f"{counts[1]:,} positions of it and {counts[2]:,} others. Nats per token more than "
            f"without ablation, scores set to {self.how}; controls are as many other neurons of "
            "about the same use. In brackets 95 % of a bootstrap over documents."
        )
        print(ablation_report.text(points, about))
        if self.json is not None:
            settings = {"cluster": name, "how": self.how, "seed": self.seed, "layers": self.layers}
            numbers = ablation_report.as_json(points, model=model.name, **settings)
            write_output(self.json, numbers)
        if self.markdown is not None:
            write_output(self.markdown, ablation_report.markdown(points, about))
        if self.out is not None:
            title = f"{model.name}: {name}"
            print("\n".join(map(str, ablation_report.draw(points, self.out, title))))

    def _measure(
        self, model: "CircuitModel", record: "Record"
    ) -> "tuple[str, list[Point], tuple[int, int, int]]":
        import sys

        from rich.progress import Progress

        from sgatlin.circuits.ablation import curves, documents_with, strengths

        positions = record.positions()
        name, inside = self._cluster(model, positions)
        bos = model.tokenizer.bos_id
        documents = documents_with(
            record, positions, inside, bos, most=self.documents, seed=self.seed
        )
        with Progress(disable=not sys.stdout.isatty(), transient=True) as bar:
            task = bar.add_task("passes")
            points = curves(
                model,
                documents,
                strengths(record, inside),
                layers=self.layers or None,
                how=self.how,
                draws=self.draws,
                seed=self.seed,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        n_inside, n_outside = (
            int(one.sum()) for one in (documents.inside_DT, documents.outside_DT)
        )
        return name, points, (len(documents.tokens_DT), n_inside, n_outside)

    def _cluster(self, model: "CircuitModel", positions: "pa.Table") -> "tuple[str, np.ndarray]":
        from sgatlin.circuits.ablation import labelled, rows_at
        from sgatlin.circuits.attribution import quoted, single_token
        from sgatlin.circuits.labels import position_labels, read_classes

        given = [one for one in (self.token, self.kind, self.sequence) if one is not None]
        if len(given) != 1:
            raise UserError("name one cluster: --token, --class or --sequence")
        if self.token is not None:
            token = single_token(model, self.token)
            return quoted(self.token), positions["token"].to_numpy() == token
        if self.kind is not None:
            labels = position_labels(positions, read_classes(self.classes))["class"]
            return f"class {self.kind}", labelled(labels.ids, labels.names, self.kind)
        assert self.sequence is not None
        at = "" if self.position is None else f", position {self.position}"
        return f"sequence {self.sequence}{at}", rows_at(positions, self.sequence, self.position)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CircuitsSteer:
    """Write a text twice: as the model is, and with neurons scaled, forced or replaced."""

    run: tyro.conf.Positional[str]
    """RUN, RUN@STEP or RUN@best."""
    prompt: str = ""
    """What the text begins with."""
    scale: tuple[str, ...] = ()
    """LAYER.CHANNEL.NEURON=FACTOR: scores are multiplied where the neuron is chosen; 0 leaves it
    out."""
    force: tuple[str, ...] = ()
    """LAYER.CHANNEL.NEURON=SCORE: chosen at every position, with this score."""
    circuit: str | None = None
    """Give every position the gates of this text's last token, in --layers."""
    layers: tuple[int, ...] = ()
    """With --circuit."""
    channels: tuple[int, ...] = ()
    """With --circuit: in these channels only."""
    max_tokens: int = 60
    temperature: float = 0.8
    seed: int = 0

    def __call__(self) -> None:
        from sgatlin.circuits.model import CircuitModel
        from sgatlin.circuits.steering import steered
        from sgatlin.eval.generate import Sampling

        require_at_least(1, max_tokens=self.max_tokens)
        sampling = Sampling(temperature=self.temperature)
        model = CircuitModel.open(self.run)
        edit = self._edit(model)
        for name, one in (("without", None), ("with", edit)):
            pieces = steered(
                model,
                self.prompt,
                one,
                max_tokens=self.max_tokens,
                sampling=sampling,
                seed=self.seed,
            )
            print(f"--- {name}\n{self.prompt}{''.join(pieces)}", flush=True)

    def _edit(self, model: "CircuitModel") -> "GateEdit":
        from sgatlin.circuits.steering import Named, adjusting, circuit_of

        if not (self.scale or self.force or self.circuit):
            raise UserError("name what to steer by: --scale, --force or --circuit")
        scaled, forced = (
            [Named.parse(text, model) for text in texts] for texts in (self.scale, self.force)
        )
        edit = adjusting(model, scaled, forced)
        if self.circuit is None:
            return edit
        given = circuit_of(model, self.circuit, self.layers, self.channels or None)
        return given._replace(adjust=edit.adjust if scaled or forced else None)
