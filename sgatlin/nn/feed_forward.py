# SPDX-License-Identifier: Apache-2.0
"""The registry of feed-forward layers: one config class each, added to one line here.

A config class has `kind` (its name in JSON), `build(d_model, rngs=...)` for its module and
`forward_flops(d_model)`; parameters are counted on the module. A module maps x of (..., D) to
(y of (..., D), gates or None); one with gates also takes `gates=` and `replace=`.
"""

from typing import Annotated

import pydantic

from sgatlin.nn.mlp import MlpConfig, SwigluConfig
from sgatlin.nn.sgatlin import SgatlinConfig

FeedForwardConfig = Annotated[
    SgatlinConfig | MlpConfig | SwigluConfig, pydantic.Discriminator("kind")
]
