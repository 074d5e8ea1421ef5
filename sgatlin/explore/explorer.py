# SPDX-License-Identifier: Apache-2.0
"""Answers to what the page asks, as plain data: of a model, and of a record of its circuits.

Positions count from 0, the beginning of sequence, which is in lists and cannot be asked about.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from sgatlin.circuits.attribution import raised_tokens, top_neurons
from sgatlin.circuits.contexts import around, strongest
from sgatlin.circuits.model import CircuitModel
from sgatlin.circuits.notebook import Circuits
from sgatlin.circuits.rows import circuit_rows
from sgatlin.explore import requests as ask
from sgatlin.explore.changes import gate_edit
from sgatlin.explore.errors import BadRequest, require_below
from sgatlin.explore.index import RecordIndex
from sgatlin.explore.maps import Map, Maps
from sgatlin.explore.measures import MEASURES, measures_of
from sgatlin.explore.reading import Chosen, Reader, Tokens

Answer = dict[str, Any]

STORIES = 50
"""Recorded sentences to choose from."""
TOP_NEURONS = 12
CONTEXTS = 10
_OPENING = 60
_TOLD = 3


class Sentence(NamedTuple):
    tokens: Tokens
    """That of the beginning first."""
    sequence: int | None
    """Of the record, if it is from there."""


class Explorer:
    """Answers one request at a time; only `map` may be asked at any time."""

    def __init__(self, circuits: Circuits, classes: Mapping[str, str]):
        self.model: CircuitModel = circuits.model
        self.index = RecordIndex(circuits.record)
        self.maps = Maps(self.index, classes)
        self._reader = Reader(circuits.model)
        self._classes = classes

    @property
    def name(self) -> str:
        """The run's and its step: without its folder, as pages are passed on."""
        loaded = self.model.loaded
        return f"{loaded.run.path.name}@{loaded.step}"

    def warm_up(self) -> None:
        """Reads the record and compiles what is asked for most, so that the first answer is as fast
        as the others."""
        of = ask.Recorded(sequence=self._stories[0]["sequence"])
        for layer in range(self.model.n_layers):
            self.near(ask.NearRequest(of=of, position=1, layer=layer))
        self.gates(ask.LayerRequest(of=of, position=1, layer=0))
        self.neuron(ask.NeuronRequest(layer=0, channel=0, neuron=0))
        self.changed(ask.ChangedRequest(of=of, position=1))

    def about(self, request: ask.ModelRequest | None = None) -> Answer:
        """What is looked at."""
        layer = self.model.layer
        return {
            "run": self.name,
            "layers": self.model.n_layers,
            "channels": layer.n_channels,
            "neurons": layer.n_neurons,
            "top_k": layer.top_k,
            "context": self.model.seq_len,
            "positions": len(self.index.positions),
            "live": True,
            "stories": self._stories,
            "measures": [measure.about() for measure in MEASURES],
            "classes": sorted(set(self._classes.values())),
            "text": self._opening,
        }

    def text(self, request: ask.TextRequest) -> Answer:
        """A sentence's tokens, what is measured of each, and what is predicted to follow it."""
        sentence = self._sentence(request.of)
        read = self._reader.read(sentence.tokens)
        names = [self.model.token_text(token) for token in sentence.tokens[1:]]
        return {
            "text": "".join(names),
            "tokens": [{"text": "", "start": True}, *({"text": name} for name in names)],
            "measures": measures_of(read, self.index),
            "predictions": [
                self._named(tokens, shares)
                for tokens, shares in zip(
                    read.likeliest_TM.tolist(), read.probabilities_TM.tolist(), strict=True
                )
            ],
        }

    def gates(self, request: ask.LayerRequest) -> Answer:
        """A token's circuit in a layer, and what each neuron adds to the likeliest next token."""
        sentence = self._sentence(request.of, request.position)
        require_below(self.model.n_layers, layer=request.layer)
        found = self._reader.attribution(sentence.tokens, request.position)
        of_layer = (
            found.indices[request.layer],
            found.scores[request.layer],
            found.z[request.layer],
            found.coefficients[request.layer],
            found.neurons[0, request.layer],
        )
        names = ("neuron", "score", "z", "coefficient", "contribution")
        channels = []
        for channel in zip(*of_layer, strict=True):
            order = np.argsort(-np.abs(channel[1]), kind="stable")
            rows = zip(*(array[order].tolist() for array in channel), strict=True)
            channels.append([dict(zip(names, row, strict=True)) for row in rows])
        return {"target": self.model.token_text(found.targets[0].token), "channels": channels}

    def near(self, request: ask.NearRequest) -> Answer:
        """The recorded positions whose circuits are nearest; none of the sentence's own."""
        sentence = self._sentence(request.of, request.position)
        require_below(self.model.n_layers, layer=request.layer)
        if request.channel is not None:
            require_below(self.model.layer.n_channels, channel=request.channel)
        found = self.index.nearest(
            request.layer,
            self._circuit(sentence, request.position, request.layer),
            request.k,
            channel=request.channel,
            but_sequence=sentence.sequence,
        )
        return {
            "rows": [
                {**self.position(row), "distance": distance}
                for row, distance in zip(found.rows.tolist(), found.distances.tolist(), strict=True)
            ]
        }

    def map(self, request: ask.MapRequest) -> Answer:
        """A layer's map, if it is drawn already."""
        require_below(self.model.n_layers, layer=request.layer)
        drawn = self.maps.get(request.layer)
        return {"state": "drawing"} if drawn is None else map_answer(drawn)

    def place(self, request: ask.LayerRequest) -> Answer:
        """Where a token's circuit lies on its layer's map: among those of the map nearest to it."""
        sentence = self._sentence(request.of, request.position)
        require_below(self.model.n_layers, layer=request.layer)
        drawn = self.maps.get(request.layer)
        if drawn is None:
            return {"x": None, "y": None}
        rows = self.index.circuits(request.layer)[drawn.rows]
        query = self._circuit(sentence, request.position, request.layer)
        product = (rows.values * query[rows.indices]).sum(1)
        length = np.linalg.norm(rows.values, axis=1) * np.linalg.norm(query)
        x, y = drawn.place(product / np.maximum(length, np.finfo(np.float32).tiny)).tolist()
        return {"x": x, "y": y}

    def logits(self, request: ask.PositionRequest) -> Answer:
        """The likeliest next tokens, and what adds up to their logits, exactly."""
        sentence = self._sentence(request.of, request.position)
        found = self._reader.attribution(sentence.tokens, request.position)
        tokens = [
            {
                "text": self.model.token_text(target.token),
                "logit": float(found.values[n]),
                "probability": float(found.probabilities[n]),
                "embedding": float(found.embedding[n]),
                "attention": found.attention[n].tolist(),
                "neurons": found.neurons[n].sum((1, 2)).tolist(),
                "top": [one._asdict() for one in top_neurons(found, TOP_NEURONS, target=n)],
            }
            for n, target in enumerate(found.targets)
        ]
        return {"tokens": tokens, "error": found.check()}

    def neuron(self, request: ask.NeuronRequest) -> Answer:
        """How often a neuron is used, what it writes, and where its score is strongest."""
        layer, channel, neuron = request.layer, request.channel, request.neuron
        config = self.model.layer
        require_below(self.model.n_layers, layer=layer)
        require_below(config.n_channels, channel=channel)
        require_below(config.n_neurons, neuron=neuron)
        counts_N = self.index.counts(layer)[channel]
        both = ([layer] * 2, [channel] * 2, [neuron] * 2, [1.0, -1.0])
        raises, lowers = raised_tokens(self.model, *both, n=8)
        found = strongest(self.index.record, layer, channel, neuron, CONTEXTS)
        return {
            "used": float(counts_N[neuron]) / len(self.index.positions),
            "uniform": config.top_k / config.n_neurons,
            "rank": 1 + int((counts_N > counts_N[neuron]).sum()),
            "raises": [self.model.token_text(token) for token in raises],
            "lowers": [self.model.token_text(token) for token in lowers],
            "contexts": [
                {**self.position(row), "score": score}
                for row, score in zip(found.rows.tolist(), found.values.tolist(), strict=True)
            ],
        }

    def changed(self, request: ask.ChangedRequest) -> Answer:
        """What is predicted after a token before and after some edits."""
        sentence = self._sentence(request.of, request.position)
        tokens, at = sentence.tokens, request.position
        none = self._reader.no_edit(tokens)
        edit = gate_edit(self.model, none, request.edits, len(tokens), self._gates_of)
        before = self._reader.edited(tokens, at)
        after = self._reader.edited(tokens, at, edit) if request.edits else before
        if not np.isfinite(after.logits_V).all() or not math.isfinite(after.nats):
            raise BadRequest("with these changes numbers overflow: choose smaller factors")
        p, q = (_shares(found.logits_V) for found in (before, after))
        likeliest = {int(token) for share in (p, q) for token in np.argsort(-share)[:8]}
        shown = sorted(likeliest, key=lambda token: -max(p[token], q[token]))[:12]
        kl = float((p * (np.log(np.maximum(p, 1e-38)) - np.log(np.maximum(q, 1e-38)))).sum())
        return {
            "tokens": [
                {
                    "text": self.model.token_text(token),
                    "before": float(p[token]),
                    "after": float(q[token]),
                }
                for token in shown
            ],
            "kl": max(kl, 0.0),
            "nats": {"before": before.nats, "after": after.nats},
        }

    def _sentence(self, of: ask.Of, position: int | None = None) -> Sentence:
        sentence = self._recorded(of.sequence) if isinstance(of, ask.Recorded) else self._typed(of)
        if position is not None and not 1 <= position < len(sentence.tokens):
            raise BadRequest(
                f"position {position}: the sentence has 1 to {len(sentence.tokens) - 1}"
            )
        return sentence

    def _typed(self, of: ask.Typed) -> Sentence:
        tokens = tuple(self.model.encode(of.text).tolist())
        if len(tokens) < 2:
            raise BadRequest("the sentence is empty: type one of a token or more")
        return Sentence(tokens, None)

    def _recorded(self, sequence: int) -> Sentence:
        rows = np.flatnonzero(self.index.sequences == sequence)
        if not len(rows):
            raise BadRequest(f"the record has no sequence {sequence}")
        tokens = self.index.positions["token"].take(pa.array(rows)).to_pylist()
        return Sentence((self.model.tokenizer.bos_id, *tokens), sequence)

    def _circuit(self, sentence: Sentence, position: int, layer: int) -> np.ndarray:
        gates = self._reader.read(sentence.tokens).gates
        indices, scores = (array[layer, position] for array in gates)
        return circuit_rows(indices, scores, self.model.layer).dense()[0]

    def _gates_of(self, source: ask.FromToken | ask.FromRow) -> Chosen:
        if isinstance(source, ask.FromToken):
            sentence = self._sentence(source.of, source.position)
            gates = self._reader.read(sentence.tokens).gates
            return Chosen(*(array[:, source.position] for array in gates))
        require_below(len(self.index.positions), row=source.row)
        layer, n_layers = self.model.layer, self.model.n_layers
        rows = [self.index.circuits(one)[source.row : source.row + 1] for one in range(n_layers)]
        shape = (n_layers, layer.n_channels, layer.top_k)
        indices = np.stack([one.indices[0] for one in rows]).reshape(shape)
        offsets = layer.n_neurons * np.arange(layer.n_channels)[:, None]
        return Chosen(indices - offsets, np.stack([one.values[0] for one in rows]).reshape(shape))

    def position(self, row: int) -> Answer:
        """A recorded position, the text around it, and what is predicted there."""
        found = around(self.index.positions, row)
        there = self.index.positions.slice(row, 1).to_pylist()[0]
        predicted = zip(there["predictions"][:_TOLD], there["probabilities"][:_TOLD], strict=True)
        return {
            "row": row,
            "sequence": there["sequence"],
            "position": there["position"],
            **found._asdict(),
            "predictions": self._named(*zip(*predicted, strict=True)),
        }

    def _named(self, tokens: Sequence[int], shares: Sequence[float]) -> list[Answer]:
        return [
            {"text": self.model.token_text(token), "probability": share}
            for token, share in zip(tokens, shares, strict=True)
        ]

    def evenly_spaced(self, n: int) -> tuple[int, ...]:
        """At most n of the record's sequences."""
        sequences = np.unique(self.index.sequences)
        chosen = np.linspace(0, len(sequences) - 1, min(n, len(sequences))).round().astype(int)
        return tuple(sequences[np.unique(chosen)].tolist())

    @functools.cached_property
    def _stories(self) -> list[Answer]:
        texts = self.index.positions["text"]
        chosen = self.evenly_spaced(STORIES)
        first = np.searchsorted(self.index.sequences, chosen).tolist()
        return [
            {"sequence": sequence, "text": "".join(texts.slice(row, 20).to_pylist())[:_OPENING]}
            for sequence, row in zip(chosen, first, strict=True)
        ]

    @functools.cached_property
    def _opening(self) -> str:
        """A few words of the first recorded sentence, to begin with."""
        return "".join(self.index.positions["text"].slice(0, 12).to_pylist())


def map_answer(drawn: Map) -> Answer:
    """A map as the page draws it."""
    columns = ("token", "class", "excerpt")
    return {
        "state": "done",
        "x": [round(x, 3) for x in drawn.places[:, 0].tolist()],
        "y": [round(y, 3) for y in drawn.places[:, 1].tolist()],
        "row": drawn.rows.tolist(),
        **{name: drawn.table[name].to_pylist() for name in columns},
    }


def _shares(logits_V: np.ndarray) -> np.ndarray:
    logits = logits_V.astype(np.float64)
    return np.exp(logits - np.logaddexp.reduce(logits))
