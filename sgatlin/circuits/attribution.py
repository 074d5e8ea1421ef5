# SPDX-License-Identifier: Apache-2.0
"""What each neuron, attention layer and the embedding adds to a logit: exactly, directly.

The stream that a logit is read from is a sum: the embedding, what each layer's attention added, and
each chosen neuron's coefficient times its output weights. A logit is linear in that stream once the
final norm's 1 / rms is held at what it was, so that it is a sum over the same parts:

    logit_v  =  sum over parts of <part, gamma * E_v> / rms
    of neuron i of channel c of layer l:  a * <w_out, gamma * E_v> / rms,  a = act(s * <w_in, x>)

*Direct* means that no part's effect on later layers is counted as its own.

T time, D model, V vocabulary, L layers, C channels, K chosen, n targets, P parts.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, Integer

from sgatlin.circuits.largest import largest
from sgatlin.circuits.model import CircuitModel
from sgatlin.circuits.parts import Parts, logit_directions, neuron_weights, take_apart
from sgatlin.errors import UserError
from sgatlin.nn.transformer import TransformerConfig

TOLERANCE = 1e-5
"""Of the sum of absolute contributions: what a sum of contributions may be off, in fp32."""


@dataclasses.dataclass(frozen=True)
class Target:
    """A token's logit, or how far it is above another token's."""

    token: int
    other: int | None = None

    def text(self, model: CircuitModel) -> str:
        """As `" slow"`, or `" slow" - " fast"`."""
        tokens = (self.token,) if self.other is None else (self.token, self.other)
        return " - ".join(quoted(model.token_text(token)) for token in tokens)


@dataclasses.dataclass(frozen=True)
class Attribution:
    """Contributions to the logits of n targets, at one position of a text."""

    tokens: Int[np.ndarray, " T"]
    """The text up to and with the position, that of the beginning first."""
    targets: tuple[Target, ...]
    values: Float32[np.ndarray, " n"]
    """Each target's logit, or difference of logits, as the model computes it."""
    probabilities: Float32[np.ndarray, " n"]
    """Of each target's token."""
    embedding: Float32[np.ndarray, " n"]
    attention: Float32[np.ndarray, "n L"]
    neurons: Float32[np.ndarray, "n L C K"]
    layers: Float32[np.ndarray, "n L"]
    """The direct effect of each feed-forward layer's output: its neurons' sum, computed apart."""
    indices: Integer[np.ndarray, "L C K"]
    scores: Float32[np.ndarray, "L C K"]
    z: Float32[np.ndarray, "L C K"]
    """<w_in, x> of each chosen neuron."""
    coefficients: Float32[np.ndarray, "L C K"]
    """What multiplies its output weights: a."""

    @property
    def layer_errors(self) -> Float32[np.ndarray, "n L"]:
        """Neurons' sum against their layer's direct effect, in sums of absolute contributions."""
        total_nL = self.neurons.sum((2, 3), dtype=np.float64)
        scale_nL = np.abs(self.neurons).sum((2, 3), dtype=np.float64)
        return _relative(total_nL - self.layers, scale_nL)

    @property
    def logit_errors(self) -> Float32[np.ndarray, " n"]:
        """All parts' sum against the model's own logit, likewise."""
        parts = self.parts.astype(np.float64)
        return _relative(parts.sum(1) - self.values, self.magnitudes)

    @property
    def parts(self) -> Float32[np.ndarray, "n P"]:
        """Embedding, attention layers and neurons of each target, side by side."""
        n = len(self.targets)
        neurons = self.neurons.reshape(n, -1)
        return np.concatenate([self.embedding[:, None], self.attention, neurons], axis=1)

    @property
    def magnitudes(self) -> Float32[np.ndarray, " n"]:
        """Sums of absolute contributions, of which shares are."""
        return np.abs(self.parts).sum(1)

    def of_first(self) -> "Attribution":
        """That of the first target alone."""
        of_targets = ("targets", "values", "probabilities", "embedding", "attention", "neurons")
        first = {name: getattr(self, name)[:1] for name in (*of_targets, "layers")}
        return dataclasses.replace(self, **first)

    def check(self) -> float:
        """The largest error of any sum; UserError if it exceeds `TOLERANCE`."""
        error = float(np.maximum(self.layer_errors.max(), self.logit_errors.max()))
        if not error <= TOLERANCE:
            raise UserError(
                f"contributions miss what they should add up to by {error:.1e} of the sum of "
                f"their magnitudes, more than {TOLERANCE:.0e}: open the model with dtype=float32"
            )
        return error


class Neuron(NamedTuple):
    """A chosen neuron, and its part in a logit."""

    layer: int
    channel: int
    neuron: int
    score: float
    z: float
    """<w_in, x>"""
    coefficient: float
    contribution: float
    share: float
    """Contribution / sum of the absolute contributions of all parts."""

    @property
    def name(self) -> str:
        return f"{self.layer}.{self.channel}.{self.neuron}"


def attribute(
    model: CircuitModel,
    text: str | Sequence[int],
    targets: Sequence[Target] | None = None,
    *,
    position: int | None = None,
) -> Attribution:
    """Contributions to the logits after `position`, the last one by default.

    `text` is a text or the ids of one, that of the beginning first. Without targets, those of the
    token that the model finds likeliest there.

    Raises:
      UserError: when the text is longer than the context, or has no such position, or the
        contributions do not add up.
    """
    tokens_T = model.encode(text) if isinstance(text, str) else np.asarray(text, np.int32)
    tokens_T = up_to(tokens_T, position)
    if targets is None:
        targets = (Target(likeliest(model, tokens_T, 1)[0]),)
    with jax.default_matmul_precision("highest"):  # else GPUs round what they multiply to 10 bits
        found = _contributions(
            model.params,
            jnp.asarray(tokens_T),
            jnp.array([target.token for target in targets], jnp.int32),
            jnp.array([-1 if t.other is None else t.other for t in targets], jnp.int32),
            config=model.config,
        )
    attribution = Attribution(
        tokens=tokens_T,
        targets=tuple(targets),
        **{name: np.asarray(value) for name, value in found.items()},
    )
    attribution.check()
    return attribution


def up_to(tokens_T: Int[np.ndarray, " T"], position: int | None) -> Int[np.ndarray, " t"]:
    """A text up to and with a position, its last by default; UserError if it has no such."""
    at = len(tokens_T) - 1 if position is None else position
    if not 0 <= at < len(tokens_T):
        raise UserError(
            f"position={at}: the text has positions 0, the beginning of sequence, to "
            f"{len(tokens_T) - 1}"
        )
    return tokens_T[: at + 1]


def likeliest(model: CircuitModel, tokens_T: Int[np.ndarray, " T"], n: int) -> list[int]:
    """The n tokens that the model finds likeliest after a text, likeliest first."""
    logits_V = np.asarray(model.trace(tokens_T[None]).logits[0, -1])
    # A model may have rows for ids that its tokenizer does not: they stand for nothing.
    return np.argsort(-logits_V[: model.tokenizer.vocab_size], kind="stable")[:n].tolist()


def single_token(model: CircuitModel, text: str) -> int:
    """The id of a text that is one token; UserError if it is not."""
    ids = model.tokenizer.encode(text)
    if len(ids) != 1:
        pieces = " + ".join(quoted(model.token_text(token)) for token in ids)
        found = f"{len(ids)} tokens, {pieces}" if ids else "no token"
        raise UserError(f"{quoted(text)} is {found}: name a text that is a single token")
    return ids[0]


def top_neurons(
    attribution: Attribution, n: int, *, target: int = 0, layers: Sequence[int] | None = None
) -> list[Neuron]:
    """The n neurons that contribute most to a target, by magnitude; of the given layers only."""
    contributions = attribution.neurons[target]
    chosen = np.zeros(contributions.shape, bool)
    chosen[slice(None) if layers is None else list(layers)] = True
    order = np.argsort(-np.where(chosen, np.abs(contributions), -1), axis=None, kind="stable")
    magnitude = max(float(attribution.magnitudes[target]), float(np.finfo(np.float32).tiny))

    def neuron(flat: int) -> Neuron:
        place = layer, channel, _ = np.unravel_index(flat, contributions.shape)
        return Neuron(
            layer=int(layer),
            channel=int(channel),
            neuron=int(attribution.indices[place]),
            score=float(attribution.scores[place]),
            z=float(attribution.z[place]),
            coefficient=float(attribution.coefficients[place]),
            contribution=float(contributions[place]),
            share=float(contributions[place]) / magnitude,
        )

    return [neuron(int(flat)) for flat in order[: min(n, int(chosen.sum()))]]


def raised_tokens(
    model: CircuitModel,
    layers: Sequence[int] | np.ndarray,
    channels: Sequence[int] | np.ndarray,
    neurons: Sequence[int] | np.ndarray,
    coefficients: Sequence[float] | np.ndarray,
    n: int = 5,
) -> list[list[int]]:
    """The n tokens whose logits each neuron raises most where it has such a coefficient.

    They are the largest of gamma * w_out . E_v, with the coefficient's sign.
    """
    tables = model.params["blocks"]["feed_forward"]["w_out"]
    own = np.zeros(len(channels), int) if model.layer.shared_pool else np.asarray(channels, int)
    w_out_nD = tables[np.asarray(layers, int), own, np.asarray(neurons, int)]
    signs = np.sign(np.asarray(coefficients, np.float32))
    scores_nV = _read_out(model.params, signs[:, None] * w_out_nD)[:, : model.tokenizer.vocab_size]
    return largest(scores_nV, min(n, scores_nV.shape[1]))[1].tolist()


def contributions(
    config: TransformerConfig,
    params: Any,
    parts: Parts,
    position: Int[Array, ""] | int,
    tokens_n: Int[Array, " n"],
    others_n: Int[Array, " n"],
) -> dict[str, Array]:
    """Fields of an `Attribution` at a position of a pass; others below 0 are none.

    Usable inside `jax.jit`.
    """
    directions_nD = logit_directions(params, parts.streams[-1, position], tokens_n, others_n)
    gates = jax.tree.map(lambda array: array[:, position], parts.gates)
    w_out_LPD = neuron_weights("w_out", config, params, gates.indices[:, None])[:, 0]
    coefficients_LCK = parts.coefficients[:, position]
    neurons_nLP = jnp.einsum("nd,lpd->nlp", directions_nD, w_out_LPD)
    logits_V = parts.logits[position]
    others = jnp.where(others_n >= 0, logits_V[others_n], 0)
    return {
        "values": logits_V[tokens_n] - others,
        "probabilities": jax.nn.softmax(logits_V)[tokens_n],
        "embedding": directions_nD @ parts.embedding[position],
        "attention": directions_nD @ parts.attention[:, position].T,
        "neurons": neurons_nLP.reshape(-1, *coefficients_LCK.shape) * coefficients_LCK,
        "layers": directions_nD @ parts.outputs[:, position].T,
        "indices": gates.indices,
        "scores": gates.scores,
        "z": parts.z[:, position],
        "coefficients": coefficients_LCK,
    }


@functools.partial(jax.jit, static_argnames="config")
def _contributions(
    params: Any, tokens_T: Array, tokens_n: Array, others_n: Array, *, config: TransformerConfig
) -> dict[str, Array]:
    parts = take_apart(config, params, tokens_T)
    return contributions(config, params, parts, len(tokens_T) - 1, tokens_n, others_n)


@jax.jit
def _read_out(params: Any, rows_nD: Array) -> Float[Array, "n V"]:
    return (rows_nD * params["norm"]["scale"]) @ params["embedding"].T


def quoted(text: str) -> str:
    """In double quotes, with what is not visible escaped as in JSON."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _relative(errors: np.ndarray, scales: np.ndarray) -> np.ndarray:
    return (np.abs(errors) / np.maximum(scales, np.finfo(np.float32).tiny)).astype(np.float32)
