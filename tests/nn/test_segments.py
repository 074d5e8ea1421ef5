# SPDX-License-Identifier: Apache-2.0
"""With segments a document in a window is as if it stood alone: values and gradients.

T time, V vocabulary.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sgatlin.nn.sgatlin import SgatlinConfig
from sgatlin.nn.transformer import TransformerConfig, abstract_model, bind

V = 13
LAYER = SgatlinConfig(n_channels=2, n_neurons=9, top_k=2, d_key=4)
CONFIG = TransformerConfig(vocab_size=V, d_model=8, n_layers=2, d_head=4, feed_forward=LAYER)

# The end of a document, one of four tokens, and the beginning of another; none has the others'.
WINDOW_T = np.array([5, 6, 7, 0, 1, 2, 3, 0, 4, 8])
SEGMENTS_T = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2])


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(0)
    shapes = nnx.to_pure_dict(nnx.state(abstract_model(CONFIG)))
    return jax.tree.map(lambda leaf: jnp.float32(0.5 * rng.normal(size=leaf.shape)), shapes)


def logits(config, params, tokens_T, segments_T=None):
    segments_BT = None if segments_T is None else jnp.asarray(segments_T, jnp.int32)[None]
    tokens_BT = jnp.asarray(tokens_T, jnp.int32)[None]
    return bind(config, params)(tokens_BT, segments_BT=segments_BT).logits[0]


@pytest.mark.parametrize("remat", ["none", "full"])
def test_logits_of_a_document_are_those_of_the_document_alone(params, remat):
    config = dataclasses.replace(CONFIG, remat=remat)
    forward = jax.jit(lambda *given: logits(config, params, *given))
    together = np.asarray(forward(WINDOW_T, SEGMENTS_T))
    for segment in range(3):
        here = segment == SEGMENTS_T
        np.testing.assert_allclose(together[here], forward(WINDOW_T[here]), rtol=1e-3, atol=1e-4)
    unbounded = np.asarray(forward(WINDOW_T))
    np.testing.assert_allclose(unbounded[:3], together[:3], rtol=1e-3, atol=1e-4)
    assert np.abs(unbounded[3:] - together[3:]).max(axis=-1).min() > 1e-3


@pytest.mark.parametrize("bounded", [True, False])
def test_a_loss_has_no_gradient_in_earlier_documents(params, bounded):
    """Through what is read: the embedding is looked up apart from the unembedding."""
    targets_T = jnp.asarray([6, 7, 0, 1, 2, 3, 0, 4, 8, 9])

    @jax.jit
    @jax.grad
    def gradient(shift_TD, document):
        # Every position gets an embedding row of its own, which no other position reads.
        table = params["embedding"]
        rows = jnp.concatenate([table, table[WINDOW_T] + shift_TD])
        config = dataclasses.replace(CONFIG, vocab_size=len(rows))
        segments_T = SEGMENTS_T if bounded else None
        tokens_T = V + np.arange(len(WINDOW_T))
        output = logits(config, params | {"embedding": rows}, tokens_T, segments_T)
        counted_T = document == SEGMENTS_T
        log_p_TV = jax.nn.log_softmax(output[:, :V])
        return -(log_p_TV[jnp.arange(len(targets_T)), targets_T] * counted_T).sum()

    zeros_TD = jnp.zeros((len(WINDOW_T), CONFIG.d_model))
    for document in range(3):
        sizes_T = np.abs(np.asarray(gradient(zeros_TD, document))).max(axis=-1)
        assert (sizes_T[document == SEGMENTS_T] > 1e-6).all()
        assert (sizes_T[document < SEGMENTS_T] == 0).all()
        earlier = sizes_T[document > SEGMENTS_T]
        assert (earlier == 0).all() if bounded else (earlier > 1e-6).all()
