# SPDX-License-Identifier: Apache-2.0
"""Passes of the model over a sentence, compiled for few lengths and kept while they are looked at.

T time, of a sentence padded to a length that programs are compiled for; V vocabulary, L layers,
C channels, N neurons of each, K chosen, M likeliest tokens, n targets.
"""

import functools
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from sgatlin.circuits.attribution import Attribution, Target, contributions
from sgatlin.circuits.largest import largest
from sgatlin.circuits.model import CircuitModel, trace
from sgatlin.circuits.parts import Parts, take_apart
from sgatlin.nn.gates import Adjust, Gates
from sgatlin.nn.transformer import GateEdit, TransformerConfig

LIKELIEST = 5
"""Tokens that are told of each prediction."""
_SHORTEST = 256
# Answers that are kept, and bytes of passes, whose logits are most of them.
_KEPT = 32
_KEPT_BYTES = 1 << 28

Tokens = tuple[int, ...]
"""Of a sentence, that of the beginning first."""


class Chosen(NamedTuple):
    """Gates as NumPy's arrays, (..., L, ..., C, K): which neurons, and their scores."""

    indices: Int[np.ndarray, "..."]
    scores: Float[np.ndarray, "..."]


class Read(NamedTuple):
    """What a pass says of each position of a sentence; arrays are cut to its length but `parts`."""

    parts: Parts
    gates: Chosen
    """(L, T, C, K)"""
    nats_T: Float[np.ndarray, " T"]
    """Loss of each token, given those before it; the first one's means nothing."""
    entropy_T: Float[np.ndarray, " T"]
    """Of the prediction of the token after each, in nats."""
    likeliest_TM: Int[np.ndarray, "T M"]
    probabilities_TM: Float[np.ndarray, "T M"]


class Edited(NamedTuple):
    """What a pass with changed gates says."""

    logits_V: Float[np.ndarray, " V"]
    """Of the token after the position that was asked for."""
    nats: float
    """Mean loss of the sentence's tokens."""


class Reader:
    """Reads sentences. Not for several threads at once."""

    def __init__(self, model: CircuitModel):
        self.model = model
        pass_bytes = 4 * model.seq_len * model.config.vocab_size
        self._reads = _Latest(max(2, min(_KEPT, _KEPT_BYTES // pass_bytes)))
        self._answers = _Latest(_KEPT)

    def read(self, tokens: Tokens) -> Read:
        """A pass over a sentence."""
        return self._reads.get(tokens, lambda: self._read(tokens))

    def attribution(self, tokens: Tokens, position: int) -> Attribution:
        """Of the likeliest tokens after a position."""

        def attribute() -> Attribution:
            read = self.read(tokens)
            targets_n = read.likeliest_TM[position]
            with jax.default_matmul_precision("highest"):
                found = _attribute(
                    self.model.params,
                    read.parts,
                    jnp.int32(position),
                    jnp.asarray(targets_n, jnp.int32),
                    config=self.model.config,
                )
            attribution = Attribution(
                tokens=np.array(tokens[: position + 1]),
                targets=tuple(Target(int(token)) for token in targets_n),
                **{name: np.asarray(value) for name, value in found.items()},
            )
            attribution.check()
            return attribution

        return self._answers.get(("attribution", tokens, position), attribute)

    def edited(self, tokens: Tokens, position: int, edit: GateEdit | None = None) -> Edited:
        """A pass with changed gates, or by the same program with its own."""
        if edit is None:
            return self._answers.get(
                ("edited", tokens, position),
                lambda: self.edited(tokens, position, self.no_edit(tokens)),
            )
        logits_V, nats = _edited(
            self.model.params,
            self._padded(tokens),
            jnp.int32(position),
            jnp.int32(len(tokens)),
            edit,
            config=self.model.config,
            n_ids=self.model.tokenizer.vocab_size,
        )
        return Edited(np.asarray(logits_V), float(nats))

    def no_edit(self, tokens: Tokens) -> GateEdit:
        """One that changes nothing, of the shapes that every edit has."""
        layer, n_layers = self.model.layer, self.model.n_layers
        shape = (n_layers, 1, self.length(tokens), layer.n_channels, layer.top_k)
        gates = Gates(jnp.zeros(shape, jnp.int32), jnp.zeros(shape))
        pool = (n_layers, layer.n_channels, layer.n_neurons)
        adjust = Adjust(jnp.ones(pool), jnp.zeros(pool))
        return GateEdit(gates, jnp.zeros(shape[:-1], bool), adjust)

    def length(self, tokens: Tokens) -> int:
        """That a sentence is padded to: a power of two, or the context."""
        length = min(_SHORTEST, self.model.seq_len)
        while length < len(tokens):
            length = min(2 * length, self.model.seq_len)
        return length

    def _read(self, tokens: Tokens) -> Read:
        n = len(tokens)
        with jax.default_matmul_precision("highest"):
            parts, of_positions = _read(
                self.model.params,
                self._padded(tokens),
                config=self.model.config,
                n_ids=self.model.tokenizer.vocab_size,
            )
        gates = Chosen(*(np.asarray(array)[:, :n] for array in parts.gates))
        return Read(parts, gates, *(np.asarray(array)[:n] for array in of_positions))

    def _padded(self, tokens: Tokens) -> Int[Array, " T"]:
        # What comes after a position does not change it.
        return jnp.asarray(np.pad(tokens, (0, self.length(tokens) - len(tokens))), jnp.int32)


class _Latest:
    """The answers that were asked for last."""

    def __init__(self, most: int):
        self._most = most
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        if key not in self._kept:
            self._kept[key] = make()
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


@functools.partial(jax.jit, static_argnames=("config", "n_ids"))
def _read(
    params: Any, tokens_T: Array, *, config: TransformerConfig, n_ids: int
) -> tuple[Parts, tuple[Array, ...]]:
    parts = take_apart(config, params, tokens_T)
    logits_TV = parts.logits[:, :n_ids]
    log_p_TV = jax.nn.log_softmax(logits_TV, axis=-1)
    of_next_T = jnp.take_along_axis(log_p_TV[:-1], tokens_T[1:, None], axis=-1)[:, 0]
    top_TM, likeliest_TM = largest(log_p_TV, min(LIKELIEST, n_ids))
    return parts, (
        -jnp.pad(of_next_T, (1, 0)),
        -(jnp.exp(log_p_TV) * log_p_TV).sum(-1),
        likeliest_TM,
        jnp.exp(top_TM),
    )


@functools.partial(jax.jit, static_argnames="config")
def _attribute(
    params: Any, parts: Parts, position: Array, tokens_n: Array, *, config: TransformerConfig
) -> dict[str, Array]:
    none_n = jnp.full(tokens_n.shape, -1)
    return contributions(config, params, parts, position, tokens_n, none_n)


@functools.partial(jax.jit, static_argnames=("config", "n_ids"))
def _edited(
    params: Any,
    tokens_T: Array,
    position: Array,
    n_tokens: Array,
    edit: GateEdit,
    *,
    config: TransformerConfig,
    n_ids: int,
) -> tuple[Array, Array]:
    logits_TV = trace(config, params, tokens_T[None], edit).logits[0, :, :n_ids]
    log_p_TV = jax.nn.log_softmax(logits_TV[:-1], axis=-1)
    nats_T = -jnp.take_along_axis(log_p_TV, tokens_T[1:, None], axis=-1)[:, 0]
    counted_T = jnp.arange(1, len(tokens_T)) < n_tokens
    mean = jnp.where(counted_T, nats_T, 0).sum() / jnp.maximum(counted_T.sum(), 1)
    return logits_TV[position], mean
