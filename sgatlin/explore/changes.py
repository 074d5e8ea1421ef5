# SPDX-License-Identifier: Apache-2.0
"""What the page changes: neurons scaled, tokens given the gates of others, as one `GateEdit`.

L layers, T time, C channels, N neurons of each, K chosen.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np

from sgatlin.circuits.model import CircuitModel
from sgatlin.explore.errors import BadRequest, require_below
from sgatlin.explore.reading import Chosen
from sgatlin.explore.requests import FromRow, FromToken, Patch, Scale
from sgatlin.nn.gates import Gates
from sgatlin.nn.transformer import GateEdit

GatesOf = Callable[[FromToken | FromRow], Chosen]
"""The gates of a token, (L, C, K)."""


def gate_edit(
    model: CircuitModel,
    none: GateEdit,
    edits: Sequence[Scale | Patch],
    n_tokens: int,
    gates_of: GatesOf,
) -> GateEdit:
    """All edits at once; where two patches meet the later one holds.

    `none` is an edit of the sentence's shapes that changes nothing.

    Raises:
      BadRequest: when there is no such layer, channel, neuron or position.
    """
    assert none.gates is not None
    assert none.replace is not None
    assert none.adjust is not None
    indices, scores, replace = map(np.array, (*none.gates, none.replace))
    factors = np.array(none.adjust.factors)
    for edit in edits:
        if isinstance(edit, Scale):
            at = _neuron(model, edit)
            with np.errstate(over="ignore"):  # who asked is told, from what the model makes of it
                factors[at] *= edit.factor
            continue
        where = _places(model, edit, n_tokens)
        other = gates_of(edit.source)
        for array, its in ((indices, other.indices), (scores, other.scores)):
            array[where] = its[np.ix_(where[0].ravel(), where[3].ravel())][:, None, None]
        replace[where] = True
    return GateEdit(
        Gates(jnp.asarray(indices), jnp.asarray(scores)),
        jnp.asarray(replace),
        none.adjust._replace(factors=jnp.asarray(factors)),
    )


def _neuron(model: CircuitModel, edit: Scale) -> tuple[int, int, int]:
    at = edit.layer, edit.channel, edit.neuron
    shape = (model.n_layers, model.layer.n_channels, model.layer.n_neurons)
    for name, number, n in zip(("layer", "channel", "neuron"), at, shape, strict=True):
        require_below(n, **{name: number})
    return at


def _places(model: CircuitModel, edit: Patch, n_tokens: int) -> tuple[np.ndarray, ...]:
    """Indices of (L, 1, T, C)."""
    if not 1 <= edit.to < n_tokens:
        raise BadRequest(f"position {edit.to}: the sentence has 1 to {n_tokens - 1}")
    chosen = []
    n_channels = model.layer.n_channels
    for name, numbers, n in (
        ("layer", edit.layers, model.n_layers),
        ("channel", edit.channels, n_channels),
    ):
        for number in numbers or ():
            require_below(n, **{name: number})
        chosen.append(sorted(set(numbers or range(n))))
    return np.ix_(chosen[0], [0], [edit.to], chosen[1])
