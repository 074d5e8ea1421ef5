# SPDX-License-Identifier: Apache-2.0
"""What a training step needs of memory, from its traced program: nothing is compiled or run."""

import dataclasses
import math
from typing import Any, Literal, NamedTuple

import jax
from jax.interpreters import partial_eval
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

from sgatlin.config import Config
from sgatlin.mesh import AXES, ONE_DEVICE, Sizes
from sgatlin.nn.transformer import Dtype
from sgatlin.ops.platform import traced_for
from sgatlin.train.liveness import temporary_bytes
from sgatlin.train.step import (
    TrainState,
    abstract_inputs,
    abstract_state,
    gradient_on,
    make_train_step,
    state_specs,
)


class Memory(NamedTuple):
    """Bytes of one device."""

    parameters: int
    """Exact."""
    optimizer: int
    """Exact."""
    counters: int
    """The rest of the state. Exact."""
    gradients: int
    """As large as the parameters; twice that when those of a batch's parts are summed. Exact."""
    activations: int
    """All else at the fullest moment: what the backward pass will need, and workspace. Estimate."""

    @property
    def temporaries(self) -> int:
        """What XLA's `memory_analysis().temp_size_in_bytes` of the donating step should be."""
        return self.gradients + self.activations

    @property
    def total(self) -> int:
        return self.parameters + self.optimizer + self.counters + self.temporaries


Platform = Literal["cpu", "gpu", "tpu"]


def training_memory(
    config: Config, platform: Platform | None = None, sizes: Sizes = ONE_DEVICE
) -> Memory:
    """The memory of `make_train_step(config)`, jitted with its state donated, on each device.

    On `platform`, which decides what a computation type of `auto` is, which kernels there are and
    how many tokens the loss takes at once; None for this machine's.
    """
    on_cpu = (platform or jax.default_backend()) == "cpu"
    if config.model.dtype == "auto":
        dtype: Dtype = "float32" if on_cpu else "bfloat16"
        config = dataclasses.replace(config, model=dataclasses.replace(config.model, dtype=dtype))
    state = abstract_state(config)
    specs = state_specs(config, sizes)
    parameters = _tree_bytes(state.params, specs.params, sizes)
    optimizer = _tree_bytes(state.optimizer, specs.optimizer, sizes)
    gradients = parameters * (1 if config.train.accumulate == 1 else 2)
    with traced_for(platform):
        temporaries = _temporaries(config, state, sizes, widen=on_cpu)
    return Memory(
        parameters=parameters,
        optimizer=optimizer,
        counters=_tree_bytes(state, specs, sizes) - parameters - optimizer,
        gradients=gradients,
        # On a mesh it is the program of one device, whose results are gradients.
        activations=max(0, temporaries - gradients + (parameters if sizes.devices > 1 else 0)),
    )


def _temporaries(config: Config, state: TrainState, sizes: Sizes, *, widen: bool) -> int:
    if sizes.devices == 1:
        step = jax.make_jaxpr(make_train_step(config))(state, abstract_inputs(config)).jaxpr
    else:
        mesh = AbstractMesh(tuple(sizes), AXES, axis_types=(AxisType.Auto,) * len(AXES))
        gradient = gradient_on(mesh, config)
        traced = jax.make_jaxpr(gradient)(state.params, abstract_inputs(config)).jaxpr
        (step,) = (eqn.params["jaxpr"] for eqn in traced.eqns if eqn.primitive.name == "shard_map")
    step, _ = partial_eval.dce_jaxpr(step, [True] * len(step.outvars), instantiate=True)
    return temporary_bytes(step, widen=widen)


def _tree_bytes(tree: Any, specs: Any, sizes: Sizes) -> int:
    """Of each device's parts."""

    def part(leaf: jax.ShapeDtypeStruct, spec: PartitionSpec) -> int:
        n_parts = math.prod(getattr(sizes, axis) for axis in spec if axis is not None)
        return leaf.size * leaf.dtype.itemsize // n_parts

    return sum(jax.tree.leaves(jax.tree.map(part, tree, specs)))
