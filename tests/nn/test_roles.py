# SPDX-License-Identifier: Apache-2.0
"""Every parameter says what it is for."""

import jax
import pytest
from flax import nnx

from sgatlin.nn.mlp import MlpConfig, SwigluConfig
from sgatlin.nn.roles import role_tree
from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.transformer import TransformerConfig, abstract_model

SCALE = {"scale": "Scale"}
ATTENTION = {
    **dict.fromkeys(("w_query", "w_key", "w_value", "w_out"), "Matrix"),
    "query_norm": SCALE,
    "key_norm": SCALE,
}


@pytest.mark.parametrize(
    ("feed_forward", "roles"),
    [
        (
            SgatlinConfig(),
            {"router": {"query": "Router", "key": "Router"}, "w_in": "Pool", "w_out": "Pool"},
        ),
        (
            SgatlinConfig(router="dense"),
            {"router": {"query": "Router", "key": "Router"}, "w_in": "Pool", "w_out": "Pool"},
        ),
        (
            SgatlinConfig(router="key_value"),
            {"router": {"query": "Router", "key": "Router"}, "w_in": "Pool", "w_out": "Pool"},
        ),
        (
            SgatlinConfig(router="product_key_value"),
            {"router": {"query": "Router", "key": "Router"}, "w_in": "Pool", "w_out": "Pool"},
        ),
        (MlpConfig(), {"w_in": "Matrix", "w_out": "Matrix"}),
        (
            SwigluConfig(),
            {
                "w_gate": "Matrix",
                "w_up": "Matrix",
                "w_out": "Matrix",
                "b_gate": "Bias",
                "b_up": "Bias",
                "b_out": "Bias",
            },
        ),
    ],
)
def test_every_parameter_has_a_role(feed_forward, roles):
    config = TransformerConfig(
        vocab_size=7, d_model=8, n_layers=2, d_head=4, feed_forward=feed_forward
    )
    state = nnx.state(abstract_model(config))
    assert role_tree(state) == {
        "embedding": "Embedding",
        "blocks": {
            "attention_norm": SCALE,
            "attention": ATTENTION,
            "feed_forward_norm": SCALE,
            "feed_forward": roles,
        },
        "norm": SCALE,
    }
    # The same tree as the parameters', so that it can be mapped over them.
    assert jax.tree.structure(role_tree(state)) == jax.tree.structure(nnx.to_pure_dict(state))
