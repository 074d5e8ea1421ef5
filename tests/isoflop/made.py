# SPDX-License-Identifier: Apache-2.0
"""Records of runs that never were, with losses that a test chooses."""

import dataclasses
import math
from typing import Any

import numpy as np

from sgatlin.isoflop.budget import Budget, FlopBudget
from sgatlin.isoflop.records import Documents, Record, Result, Run

BYTES_PER_TOKEN = 4


def record(
    layer: str,
    scale: float,
    budget: Budget,
    loss: float,
    *,
    parameters: int,
    seed: int = 0,
    learning_rate: float = 1e-3,
    default_rate: bool = True,
    documents: Documents | None = None,
    **result_fields: Any,
) -> Record:
    """Of a run of that loss; `documents` are three, easy to hard, unless given."""
    run = Run(
        layer=layer,
        scale=scale,
        budget=budget,
        seed=seed,
        learning_rate=learning_rate,
        default_rate=default_rate,
    )
    flops = budget.flops if isinstance(budget, FlopBudget) else 1e15
    result = {
        "val_loss": loss,
        "val_bits_per_byte": loss / (BYTES_PER_TOKEN * math.log(2)),
        "steps": 100,
        "tokens": 100_000,
        "epochs": 0.5,
        "parameters": parameters,
        "active_parameters": parameters,
        "non_embedding_parameters": parameters // 2,
        "flops_paper": flops,
        "flops_full": 1.5 * flops,
        "seconds": 10.0,
        "device": "NVIDIA H100 80GB HBM3",
    }
    return Record(
        run=run,
        result=Result(**{**result, **result_fields}),
        documents=documents or three_documents(loss),
        config={},
        data={"train": "0" * 64, "validation": "1" * 64},
        versions={"sgatlin": "0.1.0", "jax": "0.10.2", "python": "3.11.9"},
    )


def three_documents(loss: float) -> Documents:
    """Of that loss together, one below and one above it."""
    return Documents(nats=(800 * loss, 2000 * loss, 1200 * loss), tokens=(1000, 2000, 1000))


def with_documents(run: Record, tokens_N: np.ndarray, nats_N: np.ndarray) -> Record:
    """That record with those documents, and its loss with them."""
    documents = Documents(nats=tuple(nats_N.tolist()), tokens=tuple(tokens_N.tolist()))
    result = dataclasses.replace(run.result, val_loss=float(nats_N.sum() / tokens_N.sum()))
    return dataclasses.replace(run, documents=documents, result=result)
