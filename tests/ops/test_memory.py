# SPDX-License-Identifier: Apache-2.0
"""Memory of the sgatlin layer's backward pass, as XLA plans it.

D model, P = C * K neurons per token, C channels, M sub-keys per half.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from sgatlin.nn.sgatlin import Sgatlin, SgatlinConfig, sgatlin

D, C, M, K = 256, 16, 16, 4
P = C * K


def temporary_floats(implementation, n_tokens: int) -> float:
    """What the compiled gradient of a layer needs besides its arguments and results."""
    config = SgatlinConfig(
        n_channels=C, n_neurons=M**2, top_k=K, d_key=32, implementation=implementation
    )
    layer = nnx.eval_shape(lambda: Sgatlin(D, config, rngs=nnx.Rngs(0)))
    params = nnx.to_pure_dict(nnx.state(layer))

    def loss(params, x_TD):
        return jnp.sum(sgatlin(params, x_TD, config)[0] ** 2)

    x_TD = jax.ShapeDtypeStruct((n_tokens, D), jnp.float32)
    compiled = jax.jit(jax.grad(loss, (0, 1))).lower(params, x_TD).compile()
    return compiled.memory_analysis().temp_size_in_bytes / 4


def test_the_backward_pass_never_stores_the_gathered_rows():
    # What a token needs is of three sizes: D (input, output, their gradients), P (rows,
    # activations, scores, their gradients) and 2CM (sub-scores, their gradient). Of each, a step
    # of the backward pass has an operand and a result alive, and a copy of either while it is cut
    # into chunks: four arrays of each size. The chunks themselves do not grow with the tokens.
    bound = 4 * (D + P + 2 * C * M)
    assert bound < P * D / 4
    few, many = 512, 1024
    at_many = temporary_floats("xla", many)
    assert at_many - temporary_floats("xla", few) < bound * (many - few)
    # All of it, one chunk included, is far less than the gathered rows are.
    assert at_many < P * D / 4 * many
    # Brute force needs them and more: the bound can be missed.
    assert temporary_floats("reference", many) > P * D * many
