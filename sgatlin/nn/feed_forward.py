# SPDX-License-Identifier: Apache-2.0
"""The registry of feed-forward layers: one config class each, added to one line here.

A config class has `kind` (its name in JSON), `build(d_model, rngs=...)` for its module and
`forward_flops(d_model)`; parameters are counted on the module. A module maps x of (..., D) to a
`LayerOutput`. The config of one with gates is a `GatedConfig`, and its module also takes `gates=`
and `replace=`; one that sets parameters itself after each step is `SelfBalancing`. Blocks may also
have layers of several kinds in turn: `PatternConfig`.
"""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import pydantic
from jaxtyping import Array, Int

from sgatlin.errors import UserError
from sgatlin.nn.gates import GatedConfig
from sgatlin.nn.mlp import MlpConfig, SwigluConfig
from sgatlin.nn.moe import MoeConfig
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.spark import SparkConfig
from sgatlin.nn.topk_mlp import TopkMlpConfig

_Layer = (
    SgatlinConfig | PeerConfig | MoeConfig | MlpConfig | SwigluConfig | TopkMlpConfig | SparkConfig
)
LayerConfig = Annotated[_Layer, pydantic.Discriminator("kind")]
"""One feed-forward layer."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PatternConfig:
    """Feed-forward layers of several kinds in one model, in an order that repeats over depth."""

    kind: Literal["pattern"] = "pattern"
    layers: tuple[LayerConfig, ...]
    """The layers of the first blocks, in order; the next blocks repeat them. The number of blocks
    must be a multiple of the number of layers here. (SwigluConfig(...), SgatlinConfig(...)) gives
    every second block an sgatlin layer. Layers with gates must all have the same config."""

    def __post_init__(self) -> None:
        if not self.layers:
            raise UserError("layers=() of a pattern: give at least one layer")
        if any(isinstance(layer, PatternConfig) for layer in self.layers):
            raise UserError(
                "a pattern cannot contain a pattern: write the inner pattern's layers out in the "
                "outer one"
            )
        first, *others = dict.fromkeys(i for i in self.layers if isinstance(i, GatedConfig)) or [
            None
        ]
        if others:
            raise UserError(
                f"a pattern can have one config with gates, but {_difference(first, others[0])}: "
                "make them the same, or replace one with a dense layer"
            )


def _difference(a: Any, b: Any) -> str:
    if a.kind != b.kind:
        return f"this one has both {a.kind} and {b.kind} layers"
    names = [field.name for field in dataclasses.fields(a)]
    differing = [name for name in names if getattr(a, name) != getattr(b, name)]
    return f"two of its {a.kind} layers differ in {', '.join(differing)}"


FeedForwardConfig = Annotated[_Layer | PatternConfig, pydantic.Discriminator("kind")]
"""The feed-forward layers of a model: one kind for all blocks, or a pattern."""


def layers_of(config: FeedForwardConfig) -> tuple[LayerConfig, ...]:
    """The layers of one period: a pattern's, or the one layer that all blocks have."""
    return config.layers if isinstance(config, PatternConfig) else (config,)


def with_each_layer(
    config: FeedForwardConfig, change: Callable[[LayerConfig], LayerConfig]
) -> FeedForwardConfig:
    """The same config with `change` made to each of its layers."""
    if isinstance(config, PatternConfig):
        return dataclasses.replace(config, layers=tuple(map(change, config.layers)))
    return change(config)


@runtime_checkable
class SelfBalancing(Protocol):
    """The config of a layer with parameters that follow from its load, not from a gradient."""

    def after_step(
        self, params: dict[str, Any], counts: Int[Array, "L tables N"]
    ) -> dict[str, Any]:
        """The stacked layers' parameters after a step in which choices fell as `counts` says."""
        ...
