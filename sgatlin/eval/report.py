# SPDX-License-Identifier: Apache-2.0
"""What an evaluation found, set by set: as a table for people and as JSON."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sgatlin.eval.loss import EvalResult
from sgatlin.tables import aligned

ALL = "all"
_COLUMNS = ("tokens", "documents", "loss", "perplexity", "bits per byte")


class SetResult(NamedTuple):
    """The loss on some text, and how many documents begin in it."""

    loss: EvalResult
    n_documents: int


class Evaluation(NamedTuple):
    """The results of a store."""

    sets: dict[str, SetResult]
    """Of each of its sets; empty if it has none."""
    all: SetResult
    """Of all that was evaluated: sums over the sets, so that every token weighs the same."""


def summed(sets: Mapping[str, SetResult]) -> SetResult:
    """The sums over sets."""
    losses = [result.loss for result in sets.values()]
    return SetResult(
        EvalResult(
            total_nats=sum(loss.total_nats for loss in losses),
            n_tokens=sum(loss.n_tokens for loss in losses),
            n_bytes=sum(loss.n_bytes for loss in losses),
        ),
        sum(result.n_documents for result in sets.values()),
    )


def evaluation_table(evaluation: Evaluation) -> str:
    """An aligned table: a row for each set, and last of all of them; loss in nats per token."""
    rows = [("set", *_COLUMNS)]
    for name, (loss, n_documents) in [*evaluation.sets.items(), (ALL, evaluation.all)]:
        counts = (f"{loss.n_tokens:,}", f"{n_documents:,}")
        losses = (f"{loss.loss:.4f}", f"{loss.perplexity:,.3f}", f"{loss.bits_per_byte:.4f}")
        rows.append((name, *counts, *losses))
    return "\n".join(aligned(rows))


def evaluation_json(evaluation: Evaluation, asked: Mapping[str, Any]) -> str:
    """Indented JSON: what was `asked` for, `sets` by name, and `all`; losses are unrounded."""
    content = {
        "asked": asked,
        "sets": {name: _fields(result) for name, result in evaluation.sets.items()},
        ALL: _fields(evaluation.all),
    }
    return json.dumps(content, indent=2) + "\n"


def _fields(result: SetResult) -> dict[str, Any]:
    loss = result.loss
    return {
        "tokens": loss.n_tokens,
        "documents": result.n_documents,
        "bytes": loss.n_bytes,
        "loss": loss.loss,
        "perplexity": loss.perplexity,
        "bits_per_byte": loss.bits_per_byte,
    }
