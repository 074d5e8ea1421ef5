# SPDX-License-Identifier: Apache-2.0
"""Token-weighted loss of a model on batches of windows.

B batch, T time. Losses are natural logarithms (nats) per predicted token.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float

from sgatlin.eval.documents import DocumentLosses
from sgatlin.input.windows import Batch
from sgatlin.mesh import BATCH_SPEC, Feed, mesh_sizes
from sgatlin.nn.transformer import TransformerConfig, bind, partition_specs
from sgatlin.ops.cross_entropy import token_nats
from sgatlin.parallel import all_windows, split


class EvalResult(NamedTuple):
    """Loss summed over `n_tokens` predicted tokens, which stand for `n_bytes` of UTF-8."""

    total_nats: float
    n_tokens: int
    n_bytes: int

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.total_nats / self.n_tokens

    @property
    def perplexity(self) -> float:
        """exp of the loss."""
        return math.exp(min(self.loss, 700.0))

    @property
    def bits_per_byte(self) -> float:
        """Comparable between tokenizers; the end of a document costs bits but has no bytes.

        Infinite where only ends were predicted.
        """
        return self.total_nats / math.log(2) / self.n_bytes if self.n_bytes else math.inf


# (params, inputs, targets, weights[, segments]) -> each token's nats times its weight
EvalStep = Callable[..., Float[Array, "B T"]]


def make_eval_step(config: TransformerConfig, mesh: Mesh | None = None) -> EvalStep:
    """The function that `evaluate` applies to each batch; jit it.

    On a mesh parameters are split as in training, and every device has all rows.
    """

    def eval_step(
        params: Any,
        inputs_BT: Array,
        targets_BT: Array,
        weights_BT: Array,
        segments_BT: Array | None = None,
    ) -> Array:
        model = bind(config, params)
        output = model(inputs_BT, segments_BT=segments_BT, return_logits=False)
        tokens = split(targets_BT.size)
        nats_T = token_nats(
            tokens.own(output.hidden.reshape(-1, config.d_model), axis=0),
            output.embedding,
            tokens.own(targets_BT.reshape(-1), axis=0),
            dtype=config.unembedding_dtype,
        )
        nats_BT = tokens.gathered(nats_T, axis=0).reshape(weights_BT.shape)
        return all_windows(nats_BT * weights_BT)

    if mesh is None:
        return eval_step
    specs = partition_specs(config, mesh_sizes(mesh))

    def on_mesh(params: Any, *batch: Array) -> Array:
        in_specs = (specs, *(BATCH_SPEC for _ in batch))
        step = jax.shard_map(
            eval_step, mesh=mesh, in_specs=in_specs, out_specs=PartitionSpec(), check_vma=False
        )
        return step(params, *batch)

    return on_mesh


def evaluate(
    eval_step: EvalStep,
    params: Any,
    batches: Iterable[Batch],
    token_bytes_V: np.ndarray,
    *,
    between: Callable[[], None] = lambda: None,
    feed: Feed | None = None,
    documents: DocumentLosses | None = None,
) -> EvalResult:
    """Sums the loss over `batches`; calls `between` after each, which may raise to stop.

    `token_bytes_V` is the tokenizer's `token_bytes()`. `feed` puts batches onto a mesh: every
    process has all of a batch's rows. `documents` is given each token's loss.
    """
    total, n_tokens, n_bytes = 0.0, 0, 0
    pending: tuple[Batch, Array] | None = None

    def read(batch: Batch, nats: Array) -> float:
        nats_BT = np.asarray(nats)
        if documents is not None:
            documents.add(batch, nats_BT)
        return float(nats_BT.sum(dtype=np.float64))

    for batch in batches:
        arrays: tuple[Any, ...] = batch.model_inputs()
        if feed is not None:
            arrays = feed.put(*(array[feed.rows] for array in arrays))
        nats = eval_step(params, *arrays)
        # Read what the device finished while this batch was being dispatched.
        if pending is not None:
            total += read(*pending)
        pending = batch, nats
        counted_BT = batch.weights_BT > 0
        n_tokens += int(counted_BT.sum())
        n_bytes += int(token_bytes_V[batch.targets_BT[counted_BT]].sum())
        between()
    if pending is not None:
        total += read(*pending)
    return EvalResult(total, n_tokens, n_bytes)
