# SPDX-License-Identifier: Apache-2.0
"""One optimizer step as a pure function: loss, gradients, update, metrics.

B batch, T time, A parts that a batch is accumulated over, b = B / A.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import AbstractMesh, Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

from sgatlin.config import Config
from sgatlin.mesh import BATCH_SPEC, Sizes, mesh_sizes, placed
from sgatlin.nn.feed_forward import SelfBalancing
from sgatlin.nn.pattern import with_gated_layers
from sgatlin.nn.roles import role_tree
from sgatlin.nn.transformer import abstract_model, bind, init_params, partition_specs
from sgatlin.ops.cross_entropy import weighted_nats
from sgatlin.parallel import sizes, split, summed_gradient, token_sum
from sgatlin.train.guard import Guard, initial_guard, judge, kept, kept_but_counts
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
    guard: Guard

    def all_but_params(self) -> dict[str, Any]:
        """What a checkpoint holds beside the parameters."""
        return {name: value for name, value in self._asdict().items() if name != "params"}


class StepInputs(NamedTuple):
    """What a step reads of a batch."""

    inputs_BT: Int[Array, "B T"]
    targets_BT: Int[Array, "B T"]
    weights_BT: Float[Array, "B T"]
    segments_BT: Int[Array, "B T"] | None = None
    """Which document each token is of; with `data.document_boundaries`."""


def abstract_inputs(config: Config, mesh: Mesh | None = None) -> StepInputs:
    """Shapes and types of what a step of this run reads, and where they are on a mesh."""
    shape = (config.data.batch_size, config.data.seq_len)

    def inputs() -> StepInputs:
        ids_BT = jnp.zeros(shape, jnp.int32)
        segments_BT = ids_BT if config.data.document_boundaries else None
        return StepInputs(ids_BT, ids_BT, jnp.zeros(shape), segments_BT)

    abstract = jax.eval_shape(inputs)
    return _with_shardings(abstract, placed(mesh, jax.tree.map(lambda _: BATCH_SPEC, abstract)))


def init_state(config: Config, params: Any | None = None, mesh: Mesh | None = None) -> TrainState:
    """The state before the first step, from `params` or freshly initialised.

    On a mesh each device makes its own part, of the same numbers; `params` are there already.
    """

    def init(params: Any) -> TrainState:
        if params is None:
            params = init_params(config.model, config.train.seed)
        optimizer = run_optimizer(config).init(params)
        usage = initial_usage(config.model)
        return TrainState(jnp.zeros((), jnp.int32), params, optimizer, usage, initial_guard())

    shardings = state_shardings(config, mesh)
    return jax.jit(init, out_shardings=shardings)(params)


def abstract_state(config: Config, mesh: Mesh | None = None) -> TrainState:
    """Shapes and types of the state, and where it is on a mesh."""
    abstract = jax.eval_shape(lambda: init_state(config))
    return abstract if mesh is None else _with_shardings(abstract, state_shardings(config, mesh))


def state_shardings(config: Config, mesh: Mesh | None) -> Any:
    """Those of the state: a `TrainState` of them, or None without a mesh."""
    return None if mesh is None else placed(mesh, state_specs(config, mesh_sizes(mesh)))


def _with_shardings(abstract: Any, shardings: Any) -> Any:
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        abstract,
        shardings,
    )


def state_specs(config: Config, sizes: Sizes) -> Any:
    """Where each array of the state is split on a mesh of such sizes: a `TrainState` of specs."""
    params = partition_specs(config.model, sizes)
    state = abstract_state(config)
    by_path = {f"/{name}": spec for name, spec in _named_leaves(params)}

    def moment_spec(path: Any, leaf: Any) -> PartitionSpec:
        # Moments are trees like the parameters', somewhere in the optimizer's.
        names = f"/{jax.tree_util.keystr(path, simple=True, separator='/')}"
        fitting = [spec for name, spec in by_path.items() if names.endswith(name) and leaf.shape]
        return fitting[0] if fitting else PartitionSpec()

    optimizer = jax.tree_util.tree_map_with_path(moment_spec, state.optimizer)
    usage = jax.tree.map(lambda _: counts_spec(config, sizes), state.usage)
    everywhere: Any = PartitionSpec()
    guard = jax.tree.map(lambda _: everywhere, state.guard)
    return TrainState(everywhere, params, optimizer, usage, guard)


def _named_leaves(tree: Any) -> list[tuple[str, Any]]:
    """Leaves by their path, as blocks/attention/w_out."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), x) for path, x in leaves]


def counts_spec(config: Config, sizes: Sizes) -> PartitionSpec:
    """Of choices, (layers with gates, tables, N)."""
    layer = config.model.gated_layer
    by_channel = layer is not None and layer.pool_shape[0] > 1 and sizes.tensor > 1
    return PartitionSpec(None, "tensor" if by_channel else None, None)


def make_train_step(
    config: Config, mesh: Mesh | None = None
) -> Callable[..., tuple[TrainState, Metrics]]:
    """The step of a run, of (state, batch) or (state, batch, rate): jit it with the state donated.

    A learning rate that is given takes the place of the schedule's, so that runs which differ in
    their rate and length alone can share one program; neither is in it then.

    On a mesh the state is split as `state_specs` says, and the batch is of a `mesh.Feed`.

    Metrics: `loss` (nats per token of this batch, before the update), `grad_norm` (before
    clipping), `learning_rate`, and, one value a layer, `router/...` of `router_health` and
    `aux/...` of the layers' own terms of the loss that is minimised; `guard/...` of the `Verdict`.
    """
    layer = config.model.gated_layer
    gradient = gradient_on(mesh, config)

    def train_step(
        state: TrainState, batch: StepInputs, learning_rate: Any = None
    ) -> tuple[TrainState, Metrics]:
        if learning_rate is None:
            learning_rate = run_schedule(config)(state.step)
        optimizer = run_optimizer(config, learning_rate)
        grads, seen = gradient(state.params, batch)
        updates, optimizer_state = optimizer.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        if isinstance(layer, SelfBalancing):
            params = with_gated_layers(
                layer.after_step, params, seen.counts, config.model.feed_forward
            )
        usage = None
        if state.usage is not None:
            usage = add_step(state.usage, seen.counts, state.step + 1)
        grad_norm = optax.tree.norm(grads)
        verdict, guard = judge(state.guard, seen.loss, grad_norm, config.guard)
        if config.guard.action == "skip":
            params = kept(verdict.bad, state.params, params)
            optimizer_state = kept_but_counts(verdict.bad, state.optimizer, optimizer_state)
            usage = kept(verdict.bad, state.usage, usage)
        metrics = {
            "loss": seen.loss,
            "grad_norm": grad_norm,
            "learning_rate": jnp.asarray(learning_rate),
            **{f"router/{name}": value for name, value in seen.health.items()},
            **{f"aux/{name}": value for name, value in seen.losses.items()},
            **{f"guard/{name}": value for name, value in verdict._asdict().items()},
        }
        return TrainState(state.step + 1, params, optimizer_state, usage, guard), metrics

    return train_step


class _Seen(NamedTuple):
    """What a part of a batch showed, beside its gradient."""

    loss: Array
    losses: dict[str, Array]
    health: dict[str, Array]
    counts: Any


_Gradient = Callable[[Any, StepInputs], tuple[Any, _Seen]]


def gradient_on(mesh: Mesh | AbstractMesh | None, config: Config) -> _Gradient:
    """The gradient of a batch's loss: on a mesh each device's program, and their sum."""
    gradient = partial(_gradient, config)
    if mesh is None:
        return gradient
    sizes = mesh_sizes(mesh)
    params = partition_specs(config.model, sizes)
    everywhere: Any = PartitionSpec()
    seen = _Seen(everywhere, everywhere, everywhere, counts_spec(config, sizes))
    return jax.shard_map(
        gradient,
        mesh=mesh,
        in_specs=(params, BATCH_SPEC),
        out_specs=(params, seen),
        # What is equal on which devices is stated by `parallel`; Triton's kernels cannot tell.
        check_vma=False,
    )


def _gradient(config: Config, params: Any, batch: StepInputs) -> tuple[Any, _Seen]:
    """Of this device's windows, summed over all."""
    parts = config.train.accumulate
    # Parts are weighted by their tokens: every part's sum is divided by the whole batch's.
    n_tokens = token_sum(batch.weights_BT.sum())

    def of(part: StepInputs) -> tuple[Any, _Seen]:
        return jax.grad(_loss, has_aux=True)(params, part, n_tokens, config)

    if parts == 1:
        grads, seen = of(batch)
    else:
        split_AbT = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), batch)

        def add_part(total: Any, part: StepInputs) -> tuple[Any, _Seen]:
            grads, seen = of(part)
            return jax.tree.map(jnp.add, total, grads), seen

        zeros = jax.tree.map(jnp.zeros_like, params)
        grads, seen_A = jax.lax.scan(add_part, zeros, split_AbT)
        seen = _Seen(
            loss=seen_A.loss.sum(),
            losses=jax.tree.map(lambda x: x.sum(axis=0), seen_A.losses),
            health=jax.tree.map(lambda x: x[-1], seen_A.health),
            counts=jax.tree.map(lambda x: x.sum(axis=0), seen_A.counts),
        )
    if sizes().windows > 1:
        grads = jax.tree.map(summed_gradient, grads, partition_specs(config.model, sizes()))
    return grads, seen._replace(loss=token_sum(seen.loss))


def _loss(params: Any, batch: StepInputs, n_tokens: Array, config: Config) -> tuple[Array, _Seen]:
    model = bind(config.model, params)
    output = model(
        batch.inputs_BT, segments_BT=batch.segments_BT, return_logits=False, return_health=True
    )
    # Devices that share a layer's work share the loss's tokens.
    tokens = split(batch.targets_BT.size)
    total_nats = weighted_nats(
        tokens.own(tokens.enter(output.hidden.reshape(-1, config.model.d_model)), axis=0),
        tokens.enter(output.embedding),
        tokens.own(batch.targets_BT.reshape(-1), axis=0),
        tokens.own(batch.weights_BT.reshape(-1), axis=0),
        dtype=config.model.unembedding_dtype,
        gradient_dtype=config.model.compute_dtype,
    )
    loss = tokens.leave(total_nats) / n_tokens
    # Each part's own terms are means over its tokens.
    losses = {name: value / config.train.accumulate for name, value in output.losses.items()}
    total = loss + sum(value.sum() for value in losses.values())
    return total, _Seen(loss, losses, output.health, output.counts)


def run_schedule(config: Config) -> optax.Schedule:
    """The learning rate of each step of a run, counted from 0."""
    return config.optimizer.schedule.build(config.optimizer.learning_rate, config.train.steps)


def run_optimizer(config: Config, learning_rate: Any = None) -> optax.GradientTransformation:
    """The optimizer of a run, by its schedule or for one step at a given rate."""
    roles = role_tree(nnx.state(abstract_model(config.model)))
    schedule = run_schedule(config) if learning_rate is None else lambda count: learning_rate
    return make_optimizer(config.optimizer, roles, schedule)
