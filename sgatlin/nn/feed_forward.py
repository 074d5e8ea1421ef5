# SPDX-License-Identifier: Apache-2.0
"""The registry of feed-forward layers: one config class each, added to one line here.

A config class has `kind` (its name in JSON), `build(d_model, rngs=...)` for its module and
`forward_flops(d_model)`; parameters are counted on the module. A module maps x of (..., D) to a
`LayerOutput`. The config of one with gates is a `GatedConfig`, and its module also takes `gates=`
and `replace=`; one that sets parameters itself after each step is `SelfBalancing`.
"""

from typing import Annotated, Any, Protocol, runtime_checkable

import pydantic
from jaxtyping import Array, Int

from sgatlin.nn.mlp import MlpConfig, SwigluConfig
from sgatlin.nn.moe import MoeConfig
from sgatlin.nn.peer import PeerConfig
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.spark import SparkConfig
from sgatlin.nn.topk_mlp import TopkMlpConfig

FeedForwardConfig = Annotated[
    SgatlinConfig | PeerConfig | MoeConfig | MlpConfig | SwigluConfig | TopkMlpConfig | SparkConfig,
    pydantic.Discriminator("kind"),
]


@runtime_checkable
class SelfBalancing(Protocol):
    """The config of a layer with parameters that follow from its load, not from a gradient."""

    def after_step(
        self, params: dict[str, Any], counts: Int[Array, "L tables N"]
    ) -> dict[str, Any]:
        """The stacked layers' parameters after a step in which choices fell as `counts` says."""
        ...
