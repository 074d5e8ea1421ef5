# SPDX-License-Identifier: Apache-2.0
"""Small mixtures of experts to test, and what to feed them.

T tokens, D model, E experts, K chosen, F hidden width of an expert, L layers.
"""

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
from flax import nnx

from sgatlin.nn import moe as module
from sgatlin.nn.gates import Gates
from sgatlin.nn.moe import Moe, MoeConfig

T, D, E, K, F = 13, 6, 5, 2, 4
ROUTINGS = ("topk_softmax", "sigmoid_bias", "paper")
CONFIGS = {
    routing: MoeConfig(n_experts=E, top_k=K, d_hidden=F, routing=routing, n_shared_experts=shared)
    for routing, shared in zip(ROUTINGS, (0, 2, 0), strict=True)
}
CONFIG = CONFIGS["topk_softmax"]

moe = jax.jit(module.moe, static_argnames="config")


def shapes(config: MoeConfig, d_model: int = D):
    return nnx.to_pure_dict(
        nnx.state(nnx.eval_shape(lambda: Moe(d_model, config, rngs=nnx.Rngs(0))))
    )


def draw(config: MoeConfig = CONFIG, skew: float = 0.0, seed: int = 0):
    """Parameters, biases too, x (T, D), gates that no router chose; `skew` favours expert 3."""
    rng = np.random.default_rng(seed)
    params = jax.tree.map(lambda leaf: jnp.float32(rng.normal(size=leaf.shape)), shapes(config))
    x_TD = jnp.float32(rng.normal(size=(T, D))).at[:, 0].set(1)
    params["router"] = params["router"].at[0, 3].add(skew)
    gates = Gates(
        jnp.asarray(rng.integers(E, size=(T, 1, K))), jnp.float32(rng.normal(size=(T, 1, K)))
    )
    return params, x_TD, gates
