# SPDX-License-Identifier: Apache-2.0
"""What a position is compared by: its circuit, and what else a model has of it.

n positions of a record that are looked at; B batch, T time, M positions of a batch, L layers,
D model, C channels, K chosen, F hidden.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
from jaxtyping import Array, Float, Int, Int64

from sgatlin.circuits.model import CircuitModel, trace
from sgatlin.circuits.record import Record
from sgatlin.circuits.rows import SparseRows, circuit_rows
from sgatlin.errors import UserError
from sgatlin.nn.mlp import MlpConfig, SwigluConfig, swiglu
from sgatlin.nn.norm import rms_normalised
from sgatlin.nn.transformer import TransformerConfig, bind, init_params
from sgatlin.train.load import LoadedRun, load_run

Representation = SparseRows | np.ndarray
EMBEDDING = "embedding"
"""The one that is the same in all layers."""
_BATCH = 16


def sample(n: int, wanted: int, *, seed: int) -> Int64[np.ndarray, " n"]:
    """Positions to look at, in their order: `wanted` of n, or all."""
    return np.sort(np.random.default_rng(seed).permutation(n)[:wanted])


def representations(
    model: CircuitModel,
    record: Record,
    chosen_n: Int[np.ndarray, " n"],
    *,
    dense: LoadedRun | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Callable[[int], dict[str, Representation]]:
    """A function from a layer to its representations of the chosen positions, by name.

    They are the circuit, whole and by channel, the input embedding, the residual stream that the
    layer reads, the circuit in a model of the same shape that learned nothing, initialised by
    `seed`, and the hidden layer of `dense`, a run by `dense_run`. `progress` is told how many
    passes through models are done, and how many there are.
    """
    table = record.positions()
    passes = list(_passes(table, chosen_n, model.tokenizer.bos_id))
    both = functools.partial(_streams_and_gates, config=model.config)
    untrained = init_params(model.config, seed)
    functions = [functools.partial(both, params) for params in (model.params, untrained)]
    if dense is not None:
        config = dataclasses.replace(dense.config.model, dtype="float32")
        functions.append(functools.partial(_hidden_layers, dense.params, config=config))
    total, seen = len(functions) * len(passes), []
    for number, function in enumerate(functions):
        tell = functools.partial(_tell, progress, number * len(passes), total)
        seen.append(over_positions(function, passes, tell))
    streams_LnD, (_, indices, scores) = seen[0][0], seen[1]
    hidden_LnF = None if dense is None else seen[2]
    embedding_nD = np.asarray(model.params["embedding"])[table["token"].to_numpy()[chosen_n]]

    def of_layer(layer: int) -> dict[str, Representation]:
        circuits = record.rows(layer)[chosen_n]
        found: dict[str, Representation] = {"circuit": circuits}
        if record.n_channels > 1:
            found |= {
                f"channel {channel}": _of_channel(circuits, channel, record)
                for channel in range(record.n_channels)
            }
        found[EMBEDDING] = embedding_nD
        found["residual stream"] = streams_LnD[layer]
        if hidden_LnF is not None:
            found["dense hidden"] = hidden_LnF[layer]
        found["random circuit"] = circuit_rows(indices[layer], scores[layer], model.layer)
        return found

    return of_layer


def dense_run(spec: str, model: CircuitModel) -> LoadedRun:
    """The run whose hidden layers are compared with a model's circuits.

    Raises:
      UserError: when its layers are not mlp or swiglu, or fewer than the model's, or its tokenizer
        is another one.
    """
    run = load_run(spec)
    config = run.config.model
    if not isinstance(config.feed_forward, MlpConfig | SwigluConfig):
        raise UserError(
            f"--dense {spec} has {config.feed_forward.kind} layers: name a run with mlp or swiglu "
            "layers"
        )
    if run.tokenizer.hash != model.tokenizer.hash:
        raise UserError(f"--dense {spec} has another tokenizer than {model.name}: train it alike")
    if config.n_layers < model.n_layers:
        raise UserError(
            f"--dense {spec} has {config.n_layers} layers, {model.name} {model.n_layers}: train "
            "it alike"
        )
    return run


class Pass(NamedTuple):
    """A batch of documents, and the positions in it that are looked at."""

    tokens_BT: Int[np.ndarray, "B T"]
    rows_M: Int[np.ndarray, " M"]
    times_M: Int[np.ndarray, " M"]
    numbers: Int[np.ndarray, " m"]
    """Of the first m <= M positions, the number among those chosen; the others are padding."""


def over_positions(
    of_tokens: Callable[..., Any],
    passes: Sequence[Pass],
    progress: Callable[[int], None] = lambda done: None,
) -> Any:
    """Arrays (L, n, ...) of the chosen positions, as NumPy's.

    `of_tokens` makes, of a pass's tokens, rows and times, a tree of arrays (L, M, ...).
    """
    n = sum(len(one.numbers) for one in passes)
    tree: Any = None
    found: list[np.ndarray] = []
    for done, one in enumerate(passes):
        leaves, tree = jax.tree.flatten(of_tokens(one.tokens_BT, one.rows_M, one.times_M))
        found = found or [np.empty((len(x), n, *x.shape[2:]), x.dtype) for x in leaves]
        for array, leaf in zip(found, leaves, strict=True):
            array[:, one.numbers] = np.asarray(leaf)[:, : len(one.numbers)]
        progress(done + 1)
    return jax.tree.unflatten(tree, found)


def _passes(table: pa.Table, chosen_n: np.ndarray, bos_id: int) -> Iterator[Pass]:
    """Documents put together again from the record, their beginning first.

    They are padded at the end, which no causal model sees. All passes have one shape, so that one
    program does: a little padding costs less than compiling again.
    """
    tokens, sequences = (table[name].to_numpy() for name in ("token", "sequence"))
    times = table["position"].to_numpy()
    starts = np.flatnonzero(np.r_[True, sequences[1:] != sequences[:-1]])
    ends = np.r_[starts[1:], len(tokens)]
    needed, of_chosen = np.unique(
        np.searchsorted(starts, chosen_n, side="right") - 1, return_inverse=True
    )
    length = 1 + int((ends - starts)[needed].max())
    widest = int(np.bincount(of_chosen // _BATCH).max())
    for first in range(0, len(needed), _BATCH):
        tokens_BT = np.full((_BATCH, length), bos_id, np.int32)
        for row, number in enumerate(needed[first : first + _BATCH]):
            own = tokens[starts[number] : ends[number]]
            tokens_BT[row, 1 : 1 + len(own)] = own
        numbers = np.flatnonzero(of_chosen // _BATCH == first // _BATCH)
        rows_M, times_M = np.zeros((2, widest), np.int32)
        rows_M[: len(numbers)] = of_chosen[numbers] - first
        times_M[: len(numbers)] = times[chosen_n[numbers]]
        yield Pass(tokens_BT, rows_M, times_M, numbers)


def _tell(progress: Callable[[int, int], None], before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _of_channel(circuits: SparseRows, channel: int, record: Record) -> SparseRows:
    at = slice(channel * record.top_k, (channel + 1) * record.top_k)
    indices = circuits.indices[:, at] - np.int32(channel * record.n_neurons)
    return SparseRows(indices, circuits.values[:, at], record.n_neurons)


@functools.partial(jax.jit, static_argnames="config")
def _streams_and_gates(
    params: Any, tokens_BT: Array, rows_M: Array, times_M: Array, *, config: TransformerConfig
) -> tuple[Float[Array, "L M D"], Int[Array, "L M C K"], Float[Array, "L M C K"]]:
    seen = trace(config, params, tokens_BT)
    streams, indices, scores = (
        array[:, rows_M, times_M]
        for array in (seen.streams[:-1], seen.gates.indices, seen.gates.scores)
    )
    return streams, indices, scores.astype(jnp.float32)


@functools.partial(jax.jit, static_argnames="config")
def _hidden_layers(
    params: Any, tokens_BT: Array, rows_M: Array, times_M: Array, *, config: TransformerConfig
) -> Float[Array, "L M F"]:
    """What each dense layer multiplies with its last matrix."""
    blocks = params["blocks"]

    def of_layer(stream_MD: Array, scale_D: Array, own: dict[str, Array]) -> Array:
        x_MD = rms_normalised(stream_MD, scale_D)
        if isinstance(config.feed_forward, MlpConfig):
            return jax.nn.gelu(x_MD @ own["w_in"])
        gate, up = (x_MD @ own[f"w_{one}"] + own[f"b_{one}"] for one in ("gate", "up"))
        return swiglu(gate, up)

    scales = blocks["feed_forward_norm"]["scale"]
    with jax.default_matmul_precision("highest"):  # as in `trace`
        output = bind(config, params)(tokens_BT, return_logits=False, return_streams=True)
        assert output.streams is not None
        streams_LMD = output.streams[:-1][:, rows_M, times_M]
        return jax.vmap(of_layer)(streams_LMD, scales, blocks["feed_forward"])
