# SPDX-License-Identifier: Apache-2.0
"""What a training step needs of memory, from its traced program: nothing is compiled or run."""

import dataclasses
from typing import Any, Literal, NamedTuple

import jax
from jax.interpreters import partial_eval

from sgatlin.config import Config
from sgatlin.nn.transformer import Dtype
from sgatlin.ops.platform import traced_for
from sgatlin.train.liveness import temporary_bytes
from sgatlin.train.step import abstract_inputs, abstract_state, make_train_step


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


def training_memory(config: Config, platform: Platform | None = None) -> Memory:
    """The memory of `make_train_step(config)`, jitted with its state donated.

    On `platform`, which decides what a computation type of `auto` is, which kernels there are and
    how many tokens the loss takes at once; None for this machine's.
    """
    on_cpu = (platform or jax.default_backend()) == "cpu"
    if config.model.dtype == "auto":
        dtype: Dtype = "float32" if on_cpu else "bfloat16"
        config = dataclasses.replace(config, model=dataclasses.replace(config.model, dtype=dtype))
    state = abstract_state(config)
    with traced_for(platform):
        step = jax.make_jaxpr(make_train_step(config))(state, abstract_inputs(config)).jaxpr
    step, _ = partial_eval.dce_jaxpr(step, [True] * len(step.outvars), instantiate=True)

    parameters, optimizer = _tree_bytes(state.params), _tree_bytes(state.optimizer)
    gradients = parameters * (1 if config.train.accumulate == 1 else 2)
    return Memory(
        parameters=parameters,
        optimizer=optimizer,
        counters=_tree_bytes(state) - parameters - optimizer,
        gradients=gradients,
        activations=max(0, temporary_bytes(step, widen=on_cpu) - gradients),
    )


def _tree_bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
