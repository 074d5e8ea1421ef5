# SPDX-License-Identifier: Apache-2.0
"""The explorer's views of some recorded stories as one file, which needs no server and no model.

What the page would ask for is computed beforehand and packed into it. Recorded positions are told
once, in `rows`, and named by their number everywhere else.

S stories, L layers, C channels, K chosen.
"""

import base64
import dataclasses
import gzip
import html
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from sgatlin.circuits.attribution import raised_tokens
from sgatlin.circuits.neighbours import Labels, nearest
from sgatlin.errors import UserError, require_at_least
from sgatlin.explore import requests as ask
from sgatlin.explore.explorer import Answer, Explorer, map_answer
from sgatlin.explore.page import static

MOST_BYTES = 15 * 10**6
"""Of the file: what a browser opens, and a mail carries."""
NEIGHBOURS = 10
CONTEXTS = 5
"""Of a neuron: half of what the live page shows, as they are most of the file."""
_DIGITS = 4
# Neurons whose tokens are looked up at a time.
_AT_ONCE = 512

Progress = Callable[[str, int, int], None]
"""Of what, how much is done, and how much there is."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What is in a report."""

    sequences: tuple[int, ...]
    """Of the record."""
    tokens: int = 48
    """Positions of each story, from its beginning."""

    def __post_init__(self) -> None:
        require_at_least(1, tokens=self.tokens, stories=len(self.sequences))


def report_page(
    explorer: Explorer, options: ReportOptions, progress: Progress = lambda *_: None
) -> str:
    """The whole page; UserError where it would be larger than `MOST_BYTES`, or a story is not in
    the record."""
    data = _Packing(explorer, options, progress).data()
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    packed = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    page = _PAGE.format(
        title=html.escape(f"{explorer.name}: circuits"),
        style=static("explorer.css").decode(),
        data=packed,
        # Nothing in a script may look like its end.
        script=static("explorer.js").decode().replace("</script", "<\\/script"),
    )
    if (size := len(page.encode())) > MOST_BYTES:
        raise UserError(
            f"the page would have {size / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:.0f}: choose "
            "fewer --stories or --tokens"
        )
    return page


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline';
 style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<div id="app"></div>
<script type="application/octet-stream" id="explorer-data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


class _Packing:
    """What the page would ask for, gathered layer by layer."""

    def __init__(self, explorer: Explorer, options: ReportOptions, progress: Progress):
        self._explorer = explorer
        self._model, self._index = explorer.model, explorer.index
        self._tokens = options.tokens
        self._progress = progress
        self._rows: set[int] = set()
        self._of = [ask.Recorded(sequence=sequence) for sequence in options.sequences]
        self._texts = [explorer.text(ask.TextRequest(of=of)) for of in self._of]
        self._lengths = [min(len(text["tokens"]) - 1, self._tokens) for text in self._texts]

    def data(self) -> Answer:
        n_layers = self._model.n_layers
        stories = [self._story(of, text, n) for of, text, n in self._stories()]
        for layer in range(n_layers):
            self._progress("layers", layer, n_layers)
            self._add_layer(stories, layer)
        self._progress("layers", n_layers, n_layers)
        maps = [map_answer(self._explorer.maps.wait(layer)) for layer in range(n_layers)]
        neurons = self._neurons(stories)
        about = self._explorer.about()
        about["live"] = False
        about["stories"] = [
            {"sequence": of.sequence, "text": text["text"][:60]} for of, text, _ in self._stories()
        ]
        rows = {row: self._row(row) for row in sorted(self._rows)}
        return _rounded(
            {"model": about, "texts": stories, "maps": maps, "neurons": neurons, "rows": rows}
        )

    def _stories(self) -> Iterable[tuple[ask.Recorded, Answer, int]]:
        return zip(self._of, self._texts, self._lengths, strict=True)

    def _story(self, of: ask.Recorded, text: Answer, n: int) -> Answer:
        """A story without what is of layers; lists of positions begin with the beginning's None."""
        cut = slice(n + 1)
        return {
            "of": {"sequence": of.sequence},
            "text": {
                "text": "".join(token["text"] for token in text["tokens"][cut]),
                "tokens": text["tokens"][cut],
                "measures": {name: _cut(of_, n + 1) for name, of_ in text["measures"].items()},
                "predictions": text["predictions"][cut],
            },
            "logits": [
                None,
                *(
                    self._explorer.logits(ask.PositionRequest(of=of, position=position))
                    for position in range(1, n + 1)
                ),
            ],
            "gates": [],
            "near": [],
            "place": [],
        }

    def _add_layer(self, stories: Sequence[Answer], layer: int) -> None:
        near = self._near(layer)
        for story, of, n, of_story in zip(stories, self._of, self._lengths, near, strict=True):
            asked = [
                ask.LayerRequest(of=of, position=position, layer=layer)
                for position in range(1, n + 1)
            ]
            self._explorer.maps.wait(layer)
            story["gates"].append([None, *map(self._explorer.gates, asked)])
            story["place"].append([None, *map(self._explorer.place, asked)])
            story["near"].append([None, *of_story])

    def _near(self, layer: int) -> list[list[Answer]]:
        """Of each story's positions the nearest others, of all channels and of each."""
        asked = [self._rows_of(of, n) for of, n in zip(self._of, self._lengths, strict=True)]
        flat = np.concatenate(asked)
        own = Labels(self._index.sequences, self._index.sequences[flat])
        found = []
        for channel in (None, *range(self._model.layer.n_channels)):
            rows = self._index.record.rows(layer, None if channel is None else [channel])
            near = nearest(rows, rows[flat], NEIGHBOURS, apart=[own])
            self._rows.update(near.rows[near.rows >= 0].tolist())
            found.append(
                [
                    [[int(row), float(d)] for row, d in zip(*one, strict=True) if row >= 0]
                    for one in zip(near.rows, near.distances, strict=True)
                ]
            )
        positions = [
            {"all": whole, "channels": list(parts)} for whole, *parts in zip(*found, strict=True)
        ]
        ends = np.cumsum([0, *map(len, asked)])
        return [positions[a:b] for a, b in itertools.pairwise(ends)]

    def _rows_of(self, of: ask.Recorded, n: int) -> np.ndarray:
        return np.flatnonzero(self._index.sequences == of.sequence)[:n]

    def _neurons(self, stories: Sequence[Answer]) -> dict[str, Answer]:
        """All neurons that a story's gates have."""
        found: dict[str, Answer] = {}
        n_channels = self._model.layer.n_channels
        for layer in range(self._model.n_layers):
            for channel in range(n_channels):
                chosen = {
                    neuron["neuron"]
                    for story in stories
                    for position in story["gates"][layer][1:]
                    for neuron in position["channels"][channel]
                }
                found |= self._of_channel(layer, channel, sorted(chosen))
        return found

    def _of_channel(self, layer: int, channel: int, neurons: Sequence[int]) -> dict[str, Answer]:
        counts_N = self._index.counts(layer)[channel]
        ranks = (counts_N[list(neurons)][:, None] < counts_N).sum(1) + 1
        contexts = self._contexts(layer, channel, neurons)
        raises, lowers = (self._raised(layer, channel, neurons, sign) for sign in (1.0, -1.0))
        return {
            f"{layer}.{channel}.{neuron}": {
                "used": counts_N[neuron] / len(self._index.positions),
                "uniform": self._model.layer.top_k / self._model.layer.n_neurons,
                "rank": int(ranks[i]),
                "raises": raises[i],
                "lowers": lowers[i],
                "contexts": contexts[i],
            }
            for i, neuron in enumerate(neurons)
        }

    def _contexts(self, layer: int, channel: int, neurons: Sequence[int]) -> list[Any]:
        """Of each neuron the rows where its score is strongest: those of `contexts.strongest`."""
        record = self._index.record
        rows = self._index.circuits(layer)
        own = slice(channel * record.top_k, (channel + 1) * record.top_k)
        chosen = rows.indices[:, own].ravel() - channel * record.n_neurons
        scores = rows.values[:, own].ravel()
        order = np.lexsort((np.arange(len(chosen)), -np.abs(scores), chosen))
        starts = np.searchsorted(chosen[order], np.arange(record.n_neurons + 1))
        found = []
        for neuron in neurons:
            places = order[starts[neuron] : starts[neuron + 1]][:CONTEXTS]
            at = (places // record.top_k).tolist()
            self._rows.update(at)
            found.append([list(pair) for pair in zip(at, scores[places].tolist(), strict=True)])
        return found

    def _raised(
        self, layer: int, channel: int, neurons: Sequence[int], sign: float
    ) -> list[list[str]]:
        found: list[list[str]] = []
        for start in range(0, len(neurons), _AT_ONCE):
            some = neurons[start : start + _AT_ONCE]
            padded = [*some, *[0] * (_AT_ONCE - len(some))]  # one shape, compiled once
            of = ([layer] * _AT_ONCE, [channel] * _AT_ONCE, padded, [sign] * _AT_ONCE)
            tokens = raised_tokens(self._model, *of, n=8)[: len(some)]
            found += [[self._model.token_text(token) for token in one] for one in tokens]
        return found

    def _row(self, row: int) -> Answer:
        told = self._explorer.position(row)
        del told["row"]
        return told


def _cut(numbers: list[Any], n: int) -> list[Any]:
    """Of positions, or of each layer's."""
    if numbers and isinstance(numbers[0], list):
        return [of_layer[:n] for of_layer in numbers]
    return numbers[:n]


def _rounded(tree: Any) -> Any:
    """With as many digits as the page shows."""
    if isinstance(tree, float):
        return float(f"{tree:.{_DIGITS}g}")
    if isinstance(tree, dict):
        return {key: _rounded(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_rounded(value) for value in tree]
    return tree
