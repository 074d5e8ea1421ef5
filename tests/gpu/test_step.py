# SPDX-License-Identifier: Apache-2.0
"""What the rest of a step has of its own on a GPU equals what XLA makes of the plain form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sgatlin.nn.attention import causal_attention
from sgatlin.ops.attention import flash_attention, flash_attention_fits
from sgatlin.ops.cross_entropy import api
from sgatlin.ops.gpu import no_nvidia_gpu

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(no_nvidia_gpu() is not None, reason=f"{no_nvidia_gpu()}"),
]


def relative_error(ours, expected) -> float:
    ours, expected = (np.asarray(x, np.float64) for x in (ours, expected))
    return float(np.linalg.norm(ours - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("seq_len", [128, 1000])
def test_cudnns_attention_equals_xlas(seq_len):
    shape = (3, seq_len, 4, 64)
    query, key, value, slopes = jax.random.normal(jax.random.key(0), (4, *shape), jnp.bfloat16)
    assert flash_attention_fits(query)

    def by_xla(query, key, value):
        return causal_attention(query, key, value, jnp.arange(seq_len))

    ours, pull = jax.vjp(jax.jit(flash_attention), query, key, value)
    wide = (x.astype(jnp.float32) for x in (query, key, value))
    with jax.default_matmul_precision("highest"):
        expected, pull_wide = jax.vjp(jax.jit(by_xla), *wide)
        expected_gradients = pull_wide(slopes.astype(jnp.float32))
    assert relative_error(ours, expected) < 1e-2
    for o, e in zip(pull(slopes), expected_gradients, strict=True):
        assert relative_error(o, e) < 1e-2


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("n_tokens", "n_ids"), [(3, 5), (257, 8192), (2049, 50_257)])
def test_the_losss_kernel_equals_xla(monkeypatch, n_tokens, n_ids, dtype):
    keys = jax.random.split(jax.random.key(0), 4)
    hidden = jax.random.normal(keys[0], (n_tokens, 64))
    embedding = jax.random.normal(keys[1], (n_ids, 64))
    targets = jax.random.randint(keys[2], (n_tokens,), 0, n_ids)
    weights = jax.random.uniform(keys[3], (n_tokens,))

    def found():
        def loss(hidden, embedding, weights):
            return api.weighted_nats(
                hidden, embedding, targets, weights, gradient_dtype=jnp.dtype(dtype)
            )

        with jax.default_matmul_precision("highest"):
            return jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(hidden, embedding, weights)

    ours = found()
    monkeypatch.setattr(api, "why_not", lambda: "it is compared with")
    bound = 1e-5 if dtype == "float32" else 5e-3
    for o, e in zip(jax.tree.leaves(ours), jax.tree.leaves(found()), strict=True):
        assert relative_error(o, e) < bound
