# SPDX-License-Identifier: Apache-2.0
"""A trained model whose feed-forward layers have circuits, and one pass that shows all of them.

B batch, T time, D model, V vocabulary, L layers, C channels, N neurons per channel, K chosen.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from sgatlin.errors import UserError
from sgatlin.input.tokenizer import Tokenizer
from sgatlin.nn.feed_forward import PatternConfig
from sgatlin.nn.gates import Gates
from sgatlin.nn.norm import rms_normalised
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.sgatlin import SgatlinConfig, neuron_input
from sgatlin.nn.transformer import Dtype, GateEdit, TransformerConfig, bind
from sgatlin.ops.neurons import gather_dot
from sgatlin.train.load import LoadedRun, load_run


@dataclasses.dataclass(frozen=True)
class CircuitModel:
    """A model with circuits, its tokenizer, and where it is from."""

    name: str
    """The run, and its checkpoint's step."""
    config: TransformerConfig
    layer: SgatlinConfig
    """Its feed-forward layer; a PEER layer's as it is spelled with sgatlin's options."""
    params: Any
    tokenizer: Tokenizer
    seq_len: int
    """The longest sequence it was trained on, in tokens, that of the beginning included."""
    loaded: LoadedRun

    @classmethod
    def open(cls, spec: str, *, dtype: Dtype = "float32") -> "CircuitModel":
        """Loads RUN, RUN@STEP or RUN@best; it computes in `dtype`, whatever it was trained in.

        Raises:
          UserError: when there is no such run or its feed-forward layers have no neurons that
            tokens choose.
        """
        loaded = load_run(spec)
        config = dataclasses.replace(loaded.config.model, dtype=dtype)
        layer = circuit_layer(config, name=str(loaded.run.path))
        return cls(
            name=f"{loaded.run.path}@{loaded.step}",
            config=config,
            layer=layer,
            params=loaded.params,
            tokenizer=loaded.tokenizer,
            seq_len=loaded.config.data.seq_len,
            loaded=loaded,
        )

    @property
    def n_layers(self) -> int:
        return self.config.n_layers

    @property
    def width(self) -> int:
        """Of a layer's whole circuit as a vector: C * N."""
        return self.layer.n_channels * self.layer.n_neurons

    def encode(self, text: str) -> Int[np.ndarray, " T"]:
        """Ids of a text, that of the beginning first; UserError if they exceed the context."""
        ids = [self.tokenizer.bos_id, *self.tokenizer.encode(text)]
        if len(ids) > self.seq_len:
            raise UserError(
                f"the text has {len(ids)} tokens, the context {self.seq_len}: shorten the text"
            )
        return np.array(ids, np.int32)

    def token_text(self, token: int) -> str:
        """What a token stands for; bytes that are not UTF-8 become U+FFFD."""
        return self.tokenizer.decode([token])

    def trace(self, tokens_BT: Int[np.ndarray, "B T"], edit: GateEdit | None = None) -> "Trace":
        """Everything about one pass; see `trace`. Compiled once for a shape."""
        return _jitted_trace(self.params, jnp.asarray(tokens_BT), edit, config=self.config)


class Trace(NamedTuple):
    """A pass: what the model says of each next token, and how it came to say so."""

    logits: Float[Array, "B T V"]
    gates: Gates
    """(L, B, T, C, K): the circuits."""
    streams: Float[Array, "L1 B T D"]
    """L + 1: the residual stream that each feed-forward layer reads, and the one after the last."""
    z: Float[Array, "L B T C K"]
    """<w_in, x> of each chosen neuron, x being the normalised stream, or its projection in a layer
    with `d_in`; before gate, activation."""


def trace(
    config: TransformerConfig,
    params: Any,
    tokens_BT: Int[Array, "B T"],
    edit: GateEdit | None = None,
) -> Trace:
    """One pass over tokens, with gates replaced where `edit` says so.

    Usable inside `jax.jit`, which computes only what is used of it.
    """
    model = bind(config, params)
    with jax.default_matmul_precision("highest"):  # else GPUs round what they multiply to 10 bits
        output = model(tokens_BT, edit=edit, return_gates=True, return_streams=True)
        assert output.logits is not None
        assert output.gates is not None
        assert output.streams is not None
        z = neuron_inputs(config, params, output.streams[:-1], output.gates)
    return Trace(output.logits, output.gates, output.streams, z)


def neuron_inputs(
    config: TransformerConfig,
    params: Any,
    streams_LBTD: Float[Array, "L B T D"],
    gates: Gates,
) -> Float[Array, "L B T C K"]:
    """<w_in, x> of the chosen neurons, as `Trace.z` has it; fp32 sums."""
    layer = circuit_layer(config)
    blocks = params["blocks"]
    names = ("w_in",) if layer.d_in is None else ("w_in", "projection")
    scale_LD = blocks["feed_forward_norm"]["scale"]

    def of_layer(_: None, one: tuple[Any, ...]) -> tuple[None, Array]:
        stream_BTD, scale_D, indices_BTCK, own = one
        x_BTD = rms_normalised(stream_BTD, scale_D).astype(config.compute_dtype)
        rows_TP = neuron_rows(indices_BTCK.reshape(-1, *indices_BTCK.shape[-2:]), layer)
        w_in_RI = own["w_in"].reshape(-1, own["w_in"].shape[-1]).astype(config.compute_dtype)
        x_TI = neuron_input(own, x_BTD.reshape(-1, config.d_model), layer)
        z_TP = gather_dot(x_TI, rows_TP, w_in_RI, implementation=layer.implementation)
        return None, z_TP.reshape(indices_BTCK.shape)

    own = {name: blocks["feed_forward"][name] for name in names}
    return jax.lax.scan(of_layer, None, (streams_LBTD, scale_LD, gates.indices, own))[1]


def effective_rows(
    weights_I: Float[Array | np.ndarray, "*rows I"], own: Mapping[str, Any], layer: SgatlinConfig
) -> Float[Array | np.ndarray, "*rows D"]:
    """Rows w of one layer's w_in as directions of its input x: A w, where the layer reads A^T x.

    `own` are that layer's parameters. Without `d_in` the rows are such directions themselves.
    """
    return weights_I if layer.d_in is None else weights_I @ own["projection"].T


def neuron_rows(indices_TCK: Int[Array, "T C K"], layer: SgatlinConfig) -> Int[Array, "T P"]:
    """Rows of the tables, one below the other, that indices name."""
    if not layer.shared_pool:
        indices_TCK = indices_TCK + layer.n_neurons * jnp.arange(layer.n_channels)[:, None]
    return indices_TCK.reshape(len(indices_TCK), -1)


def circuit_layer(config: TransformerConfig, *, name: str = "the model") -> SgatlinConfig:
    """The feed-forward layer as sgatlin's options spell it; UserError if it is of another kind."""
    layer = config.feed_forward
    if isinstance(layer, PatternConfig):
        raise UserError(
            f"{name} has a pattern of layers ({config.kinds}), and circuits are only supported "
            "where all layers are of one kind: choose a run with sgatlin (or peer) layers alone"
        )
    if isinstance(layer, PeerConfig):
        return layer.as_sgatlin()
    if not isinstance(layer, SgatlinConfig):
        raise UserError(
            f"{name} has {layer.kind} layers, which have no circuits: choose a run with sgatlin "
            "(or peer) layers"
        )
    return layer


@functools.partial(jax.jit, static_argnames="config")
def _jitted_trace(
    params: Any, tokens_BT: Array, edit: GateEdit | None, *, config: TransformerConfig
) -> Trace:
    return trace(config, params, tokens_BT, edit)
