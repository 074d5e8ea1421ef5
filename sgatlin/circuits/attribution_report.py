# SPDX-License-Identifier: Apache-2.0
"""What an attribution found: as tables for people and as JSON."""

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sgatlin.circuits.attribution import (
    Attribution,
    Neuron,
    quoted,
    raised_tokens,
    top_neurons,
)
from sgatlin.circuits.contexts import excerpt, strongest
from sgatlin.circuits.model import CircuitModel
from sgatlin.tables import aligned

if TYPE_CHECKING:
    from sgatlin.circuits.record import Record


class Context(NamedTuple):
    """A position of a record at which a neuron is strong."""

    value: float
    """Its coefficient there, or its score if the record has no activations."""
    text: str


class Contributor(NamedTuple):
    """A neuron, and what can be said of it."""

    neuron: Neuron
    raises: list[str]
    """The tokens whose logits it raises most."""
    contexts: list[Context]


def contributors(
    model: CircuitModel,
    attribution: Attribution,
    n: int,
    *,
    layers: Sequence[int] | None = None,
    record: "Record | None" = None,
    n_contexts: int = 3,
) -> list[Contributor]:
    """The n neurons that contribute most to the first target, with contexts from a record."""
    neurons = top_neurons(attribution, n, layers=layers)
    raised = raised_tokens(
        model,
        [one.layer for one in neurons],
        [one.channel for one in neurons],
        [one.neuron for one in neurons],
        [one.coefficient for one in neurons],
    )
    positions = None if record is None else record.positions()

    def contexts(one: Neuron) -> list[Context]:
        if record is None or positions is None:
            return []
        place = one.layer, one.channel, one.neuron
        found = strongest(record, *place, n_contexts, config=model.layer)
        return [
            Context(float(value), excerpt(positions, int(row)))
            for row, value in zip(found.rows, found.values, strict=True)
        ]

    return [
        Contributor(one, [model.token_text(token) for token in tokens], contexts(one))
        for one, tokens in zip(neurons, raised, strict=True)
    ]


def attribution_tables(
    model: CircuitModel, attribution: Attribution, found: Sequence[Contributor]
) -> str:
    """The target, what was checked, all targets part by part, and the neurons that matter most."""
    target, value = attribution.targets[0], attribution.values[0]
    parts = _part_rows(attribution)
    position = len(attribution.tokens) - 1
    lines = [
        f"{target.text(model)} after position {position}: logit {value:.4f}"
        + (f", probability {attribution.probabilities[0]:.4f}" if target.other is None else ""),
        "complete: neurons add up to their layer's direct effect within "
        f"{attribution.layer_errors.max():.1e}, all parts to the logit",
        f"within {attribution.logit_errors.max():.1e}, of the sum of absolute contributions",
        "",
        *aligned([("", *(one.text(model) for one in attribution.targets)), *parts]),
        "",
    ]
    header = ("neuron", "score", "<w_in, x>", "contribution", "share")
    rows = [header, *(_neuron_row(one.neuron) for one in found)]
    for line, one in zip(aligned(rows), [None, *found], strict=True):
        lines.append(line if one else f"{line}  raises most")
        if one is not None:
            lines[-1] += "  " + " ".join(map(quoted, one.raises))
            lines += [f"    {context.value:9.3f}  {context.text}" for context in one.contexts]
    return "\n".join(lines)


def attribution_json(
    model: CircuitModel, attribution: Attribution, found: Sequence[Contributor]
) -> str:
    """Indented JSON: the text, every target's parts, unrounded, and the neurons' of the first."""
    targets = [
        {
            "text": target.text(model),
            **dataclasses.asdict(target),
            "logit": float(attribution.values[i]),
            "probability": float(attribution.probabilities[i]),
            "embedding": float(attribution.embedding[i]),
            "attention": attribution.attention[i].tolist(),
            "feed_forward": attribution.layers[i].tolist(),
            "magnitude": float(attribution.magnitudes[i]),
            "layer_errors": attribution.layer_errors[i].tolist(),
            "logit_error": float(attribution.logit_errors[i]),
        }
        for i, target in enumerate(attribution.targets)
    ]
    neurons: list[dict[str, Any]] = [
        {
            **one.neuron._asdict(),
            "raises": one.raises,
            "contexts": [context._asdict() for context in one.contexts],
        }
        for one in found
    ]
    content = {
        "model": model.name,
        "tokens": attribution.tokens.tolist(),
        "prompt": model.tokenizer.decode(attribution.tokens),
        "targets": targets,
        "neurons": neurons,
    }
    return json.dumps(content, indent=2) + "\n"


def _part_rows(attribution: Attribution) -> list[tuple[str, ...]]:
    """A column for each target; a row for each part, in the order in which they are added."""
    rows = [
        ("probability", [f"{p:.4f}" for p in attribution.probabilities]),
        ("logit", [f"{value:.3f}" for value in attribution.values]),
        ("embedding", [f"{value:.3f}" for value in attribution.embedding]),
    ]
    for layer in range(attribution.layers.shape[1]):
        for name, effects_nL in (
            ("attention", attribution.attention),
            ("neurons", attribution.layers),
        ):
            rows.append((f"{name} {layer}", [f"{value:.3f}" for value in effects_nL[:, layer]]))
    return [(name, *cells) for name, cells in rows]


def _neuron_row(neuron: Neuron) -> tuple[str, ...]:
    numbers = (neuron.score, neuron.z, neuron.contribution)
    return (neuron.name, *(f"{number:.3f}" for number in numbers), f"{neuron.share:.1%}")
