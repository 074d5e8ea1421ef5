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
from sgatlin.eval.loss import token_nats
from sgatlin.nn.roles import role_tree
from sgatlin.nn.transformer import TransformerConfig, abstract_model, bind, init_params
from sgatlin.train.optimizer import make_optimizer

Metrics = dict[str, Array]


class TrainState(NamedTuple):
    """All that a step changes."""

    step: Int[Array, ""]
    """Optimizer steps taken."""
    params: Any
    """Nested dict of fp32 arrays."""
    optimizer: Any
    """Optax's state."""


class StepInputs(NamedTuple):
    """What a step reads of a batch."""

    inputs_BT: Int[Array, "B T"]
    targets_BT: Int[Array, "B T"]
    weights_BT: Float[Array, "B T"]


def init_state(config: Config, params: Any | None = None) -> TrainState:
    """The state before the first step, from `params` or freshly initialised."""
    if params is None:
        params = init_params(config.model, config.train.seed)
    optimizer = jax.jit(_optimizer(config).init)(params)
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer)


def abstract_state(config: Config) -> TrainState:
    """Shapes and types of the state."""
    return jax.eval_shape(lambda: init_state(config))


def make_train_step(
    config: Config,
) -> Callable[[TrainState, StepInputs], tuple[TrainState, Metrics]]:
    """The step of a run: jit it with the state donated.

    Metrics: `loss` (nats per token of this batch, before the update), `grad_norm` (before
    clipping), `learning_rate`, and `router/...` of `router_health`, one value a layer.
    """
    optimizer = _optimizer(config)
    schedule = config.optimizer.schedule.build(config.optimizer.learning_rate, config.train.steps)
    parts = config.train.accumulate

    def train_step(state: TrainState, batch: StepInputs) -> tuple[TrainState, Metrics]:
        # Parts are weighted by their tokens: every part's sum is divided by the whole batch's.
        n_tokens = batch.weights_BT.sum()
        gradient = jax.value_and_grad(_loss, has_aux=True)

        def add_part(total: tuple[Array, Any], part: StepInputs) -> tuple[tuple[Array, Any], Any]:
            (loss, health), grads = gradient(state.params, part, n_tokens, config.model)
            return jax.tree.map(jnp.add, total, (loss, grads)), health

        if parts == 1:
            (loss, health), grads = gradient(state.params, batch, n_tokens, config.model)
        else:
            split_AbT = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), batch)
            start = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, state.params))
            (loss, grads), healths = jax.lax.scan(add_part, start, split_AbT)
            health = jax.tree.map(lambda x: x[-1], healths)

        updates, optimizer_state = optimizer.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = {
            "loss": loss,
            "grad_norm": optax.tree.norm(grads),
            "learning_rate": schedule(state.step),
            **{f"router/{name}": value for name, value in health.items()},
        }
        return TrainState(state.step + 1, params, optimizer_state), metrics

    return train_step


def _loss(
    params: Any, batch: StepInputs, n_tokens: Array, model: TransformerConfig
) -> tuple[Array, dict[str, Array]]:
    output = bind(model, params)(batch.inputs_BT, return_health=True)
    nats_BT = token_nats(output.logits, batch.targets_BT) * batch.weights_BT
    return nats_BT.sum() / n_tokens, output.health


def _optimizer(config: Config) -> optax.GradientTransformation:
    roles = role_tree(nnx.state(abstract_model(config.model)))
    return make_optimizer(config.optimizer, roles, config.train.steps)


def training_bytes(config: Config) -> dict[str, int]:
    """Bytes of parameters, optimizer, gradients, and what the forward pass keeps for the backward.

    The first three are exact. The last is what autodiff stores for one part of a batch under the
    chosen recomputation, before XLA's own savings and temporaries.
    """
    state = abstract_state(config)
    b = config.data.batch_size // config.train.accumulate
    shape = (b, config.data.seq_len)
    tokens, weights = jnp.zeros(shape, jnp.int32), jnp.zeros(shape)

    def residuals(params: Any) -> Any:
        batch = StepInputs(tokens, tokens, weights)
        return jax.vjp(lambda p: _loss(p, batch, weights.sum(), config.model)[0], params)[1]

    def size(tree: Any) -> int:
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))

    parameters = size(state.params)
    return {
        "parameters": parameters,
        "optimizer": size(state.optimizer),
        "gradients": parameters,
        "activations": max(0, size(jax.eval_shape(residuals, state.params)) - parameters),
    }
