# SPDX-License-Identifier: Apache-2.0
"""Text by a model some of whose neurons are scaled, or that has another prompt's circuit.

L layers, C channels, N neurons per channel.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from sgatlin.circuits.model import CircuitModel
from sgatlin.errors import UserError
from sgatlin.eval.generate import Sampling, stream_text
from sgatlin.nn.gates import Adjust
from sgatlin.nn.transformer import GateEdit


class Named(NamedTuple):
    """A neuron, and the number that its score is multiplied by, or set to."""

    layer: int
    channel: int
    neuron: int
    number: float

    @classmethod
    def parse(cls, text: str, model: CircuitModel) -> "Named":
        """Of LAYER.CHANNEL.NEURON=NUMBER; UserError if it is not that, or there is no such."""
        match = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)=(-?\d+(?:\.\d*)?(?:e-?\d+)?)", text)
        if match is None:
            raise UserError(f"{text!r} is no LAYER.CHANNEL.NEURON=NUMBER, such as 2.0.17=3")
        named = cls(int(match[1]), int(match[2]), int(match[3]), float(match[4]))
        shape = (model.n_layers, model.layer.n_channels, model.layer.n_neurons)
        for name, number, n in zip(cls._fields[:3], named[:3], shape, strict=True):
            if number >= n:
                raise UserError(f"{text!r}: there is no {name} {number}: there are 0 to {n - 1}")
        return named


def adjusting(
    model: CircuitModel, scaled: Sequence[Named] = (), forced: Sequence[Named] = ()
) -> GateEdit:
    """Scales scores of neurons where they are chosen, and has others chosen with a score.

    UserError if two neurons of one channel are forced.
    """
    shape = (model.n_layers, model.layer.n_channels, model.layer.n_neurons)
    factors = np.ones(shape, np.float32)
    neurons, scores = np.full(shape[:2], -1, np.int32), np.zeros(shape[:2], np.float32)
    for one in scaled:
        factors[one[:3]] *= one.number
    for one in forced:
        at = one.layer, one.channel
        if neurons[at] >= 0:
            raise UserError(
                f"two neurons of channel {one.channel} of layer {one.layer} are forced: choose one"
            )
        neurons[at], scores[at] = one.neuron, one.number
    tables = (factors, np.zeros(shape, np.float32), neurons, scores)
    return GateEdit(adjust=Adjust(*map(jnp.asarray, tables)))


def circuit_of(
    model: CircuitModel, text: str, layers: Sequence[int], channels: Sequence[int] | None = None
) -> GateEdit:
    """Gives all positions the gates of a text's last token, in some layers and channels.

    Raises:
      UserError: when there is no such layer or channel, or none is named, or the text is empty or
        longer than the context.
    """
    chosen = {"layer": list(layers), "channel": channels}
    limits = {"layer": model.n_layers, "channel": model.layer.n_channels}
    if not layers:
        raise UserError(f"name the layers to steer, of 0 to {model.n_layers - 1}")
    for name, numbers in chosen.items():
        for number in numbers or ():
            if not 0 <= number < limits[name]:
                raise UserError(f"there is no {name} {number}: there are 0 to {limits[name] - 1}")
    tokens_T = model.encode(text)
    if len(tokens_T) < 2:
        raise UserError("the circuit's text is empty: give one of a token or more")
    gates = model.trace(tokens_T[None]).gates
    last = gates._replace(indices=gates.indices[:, :, -1:], scores=gates.scores[:, :, -1:])
    replace = np.zeros(last.indices.shape[:-1], bool)
    some = list(range(model.layer.n_channels)) if channels is None else list(channels)
    replace[np.ix_(list(layers), [0], [0], some)] = True
    return GateEdit(last, jnp.asarray(replace))


def steered(
    model: CircuitModel,
    prompt: str,
    edit: GateEdit | None,
    *,
    max_tokens: int | None = 60,
    sampling: Sampling,
    seed: int = 0,
) -> Iterator[str]:
    """Pieces of the text that follows a prompt, with an edit from the prompt's last token on."""
    return stream_text(
        model.config,
        model.params,
        model.tokenizer,
        prompt,
        context=model.seq_len,
        max_tokens=max_tokens,
        sampling=sampling,
        seed=seed,
        edit=edit,
    )
