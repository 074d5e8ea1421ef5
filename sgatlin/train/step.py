# SPDX-License-Identifier: Apache-2.0
"""One optimizer step as a pure function: loss, gradients, update, metrics.

B batch, T time, A parts that a batch is accumulated over, b = B / A.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from sgatlin.config import Config
from sgatlin.nn.feed_forward import SelfBalancing
from sgatlin.nn.roles import role_tree
from sgatlin.nn.transformer import abstract_model, bind, init_params
from sgatlin.ops.cross_entropy import weighted_nats
from sgatlin.train.optimizer import make_optimizer
from sgatlin.train.usage import Usage, add_step, initial_usage

Metrics = dict[str, Array]


class TrainState(NamedTuple):
    """All that a step changes."""

    step: Int[Array, ""]
    """Optimizer steps taken."""
    params: Any
    """Nested dict of fp32 arrays."""
    optimizer: Any
    """Optax's state."""
    usage: Usage | None
    """Which neurons were chosen; None for a layer without gates."""

    def all_but_params(self) -> dict[str, Any]:
        """What a checkpoint holds beside the parameters."""
        return {"step": self.step, "optimizer": self.optimizer, "usage": self.usage}


class StepInputs(NamedTuple):
    """What a step reads of a batch."""

    inputs_BT: Int[Array, "B T"]
    targets_BT: Int[Array, "B T"]
    weights_BT: Float[Array, "B T"]
    segments_BT: Int[Array, "B T"] | None = None
    """Which document each token is of; with `data.document_boundaries`."""


def abstract_inputs(config: Config) -> StepInputs:
    """Shapes and types of what a step of this run reads."""
    shape = (config.data.batch_size, config.data.seq_len)

    def inputs() -> StepInputs:
        ids_BT = jnp.zeros(shape, jnp.int32)
        segments_BT = ids_BT if config.data.document_boundaries else None
        return StepInputs(ids_BT, ids_BT, jnp.zeros(shape), segments_BT)

    return jax.eval_shape(inputs)


def init_state(config: Config, params: Any | None = None) -> TrainState:
    """The state before the first step, from `params` or freshly initialised."""
    if params is None:
        params = init_params(config.model, config.train.seed)
    optimizer = jax.jit(run_optimizer(config).init)(params)
    usage = initial_usage(config.model)
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer, usage)


def abstract_state(config: Config) -> TrainState:
    """Shapes and types of the state."""
    return jax.eval_shape(lambda: init_state(config))


def make_train_step(
    config: Config,
) -> Callable[[TrainState, StepInputs], tuple[TrainState, Metrics]]:
    """The step of a run: jit it with the state donated.

    Metrics: `loss` (nats per token of this batch, before the update), `grad_norm` (before
    clipping), `learning_rate`, and, one value a layer, `router/...` of `router_health` and
    `aux/...` of the layers' own terms of the loss that is minimised.
    """
    optimizer = run_optimizer(config)
    schedule = config.optimizer.schedule.build(config.optimizer.learning_rate, config.train.steps)
    parts, layer = config.train.accumulate, config.model.feed_forward

    def train_step(state: TrainState, batch: StepInputs) -> tuple[TrainState, Metrics]:
        # Parts are weighted by their tokens: every part's sum is divided by the whole batch's.
        n_tokens = batch.weights_BT.sum()

        def gradient(part: StepInputs) -> tuple[Any, _Seen]:
            loss = jax.grad(_loss, has_aux=True)
            return loss(state.params, part, n_tokens, config)

        if parts == 1:
            grads, seen = gradient(batch)
        else:
            split_AbT = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), batch)

            def add_part(total: Any, part: StepInputs) -> tuple[Any, _Seen]:
                grads, seen = gradient(part)
                return jax.tree.map(jnp.add, total, grads), seen

            zeros = jax.tree.map(jnp.zeros_like, state.params)
            grads, seen_A = jax.lax.scan(add_part, zeros, split_AbT)
            seen = _Seen(
                loss=seen_A.loss.sum(),
                losses=jax.tree.map(lambda x: x.sum(axis=0), seen_A.losses),
                health=jax.tree.map(lambda x: x[-1], seen_A.health),
                counts=jax.tree.map(lambda x: x.sum(axis=0), seen_A.counts),
            )

        updates, optimizer_state = optimizer.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        if isinstance(layer, SelfBalancing):
            stacked = layer.after_step(params["blocks"]["feed_forward"], seen.counts)
            params = params | {"blocks": params["blocks"] | {"feed_forward": stacked}}
        usage = None
        if state.usage is not None:
            usage = add_step(state.usage, seen.counts, state.step + 1)
        metrics = {
            "loss": seen.loss,
            "grad_norm": optax.tree.norm(grads),
            "learning_rate": schedule(state.step),
            **{f"router/{name}": value for name, value in seen.health.items()},
            **{f"aux/{name}": value for name, value in seen.losses.items()},
        }
        return TrainState(state.step + 1, params, optimizer_state, usage), metrics

    return train_step


class _Seen(NamedTuple):
    """What a part of a batch showed, beside its gradient."""

    loss: Array
    losses: dict[str, Array]
    health: dict[str, Array]
    counts: Any


def _loss(params: Any, batch: StepInputs, n_tokens: Array, config: Config) -> tuple[Array, _Seen]:
    model = bind(config.model, params)
    output = model(
        batch.inputs_BT, segments_BT=batch.segments_BT, return_logits=False, return_health=True
    )
    total_nats = weighted_nats(
        output.hidden.reshape(-1, config.model.d_model),
        model.embedding[...],
        batch.targets_BT.reshape(-1),
        batch.weights_BT.reshape(-1),
        dtype=config.model.unembedding_dtype,
        gradient_dtype=config.model.compute_dtype,
    )
    loss = total_nats / n_tokens
    # Each part's own terms are means over its tokens.
    losses = {name: value / config.train.accumulate for name, value in output.losses.items()}
    total = loss + sum(value.sum() for value in losses.values())
    return total, _Seen(loss, losses, output.health, output.counts)


def run_optimizer(config: Config) -> optax.GradientTransformation:
    """The optimizer of a run."""
    roles = role_tree(nnx.state(abstract_model(config.model)))
    return make_optimizer(config.optimizer, roles, config.train.steps)
