# SPDX-License-Identifier: Apache-2.0
"""`weighted_nats`, for training, and `token_nats`, for evaluation.

    nats[t] = log(sum over v of exp(logits[t, v])) - logits[t, targets[t]],
    logits = hidden @ embedding.T

A chunk's logits are a hundred times wider than its hidden states, and all that is wanted of them
is a number and two products. The gradient is therefore made together with the loss, while a chunk's
logits are there: three matmuls in all, none of them twice (Hsu 2024, Liger Kernel, arXiv
2410.10989).

T tokens, t tokens of a chunk, D width, V vocabulary.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from sgatlin.ops.dtypes import sum_dtype
from sgatlin.ops.embedding import unembed
from sgatlin.ops.platform import platform
from sgatlin.ops.triton_call import power_of_two, triton_call, why_not

# Logits of a chunk, and least tokens. On two cores chunks of 512 tokens are as fast as all at once
# for 2,048 ids, and 256 tokens the fastest for 8,192, by a fifth; fewer make slow matmuls.
# Accelerators want enough work to fill the chip.
CHUNK_LOGITS = {"cpu": 2**20}
ACCELERATOR_CHUNK_LOGITS = 2**27
LEAST_TOKENS = 256
# Tokens of a chunk, and rows of the embedding, are filled up to a multiple of it: a vocabulary may
# be odd, as GPT-2's of 50,257 is, and XLA fills up half-precision operands to 32 bytes, but at
# every matmul.
ALIGNMENT = 16
# Of the kernel: a row of logits up to this length stays in registers, a longer one is read in
# blocks, whose size leaves room for many programs.
LONGEST_HELD_ROW = 16_384
ROW_BLOCK = 4096


def weighted_nats(
    hidden_TD: Float[Array, "T D"],
    embedding_VD: Float[Array, "V D"],
    targets_T: Int[Array, " T"],
    weights_T: Float[Array, " T"],
    *,
    dtype: jnp.dtype | None = None,
    gradient_dtype: jnp.dtype | None = None,
) -> Float[Array, ""]:
    """Sum over t of weights[t] * -log p(targets[t]), in fp32 or hidden's wider type.

    `dtype` is what the operands of the logits' matmul are rounded to, None for that of the sums;
    `gradient_dtype` likewise for the gradient's two, None for `dtype`. Logits, softmax and sums are
    fp32 or wider either way. A target outside 0..V-1 makes it NaN.
    """
    dtype = sum_dtype(hidden_TD) if dtype is None else dtype
    dtypes = dtype, dtype if gradient_dtype is None else gradient_dtype
    return _weighted_nats(dtypes, hidden_TD, embedding_VD, targets_T, weights_T)


def token_nats(
    hidden_TD: Float[Array, "T D"],
    embedding_VD: Float[Array, "V D"],
    targets_T: Int[Array, " T"],
    *,
    dtype: jnp.dtype | None = None,
) -> Float[Array, " T"]:
    """-log p(targets[t]) of each token; types and targets as in `weighted_nats`.

    Differentiated by ordinary autodiff, which computes each chunk's logits once more.
    """
    dtype = sum_dtype(hidden_TD) if dtype is None else dtype
    return _token_nats(dtype, hidden_TD, embedding_VD, targets_T)


def _token_nats(dtype: jnp.dtype, hidden_TD: Array, embedding_VD: Array, targets_T: Array) -> Array:
    n_tokens, n_ids = len(hidden_TD), len(embedding_VD)
    rows_VD = _aligned(embedding_VD).astype(dtype)

    @partial(jax.checkpoint, prevent_cse=False)
    def chunk(part: tuple[Array, Array]) -> Array:
        hidden_tD, targets_t = part
        logits_tV = unembed(hidden_tD.astype(dtype), rows_VD)
        return _nats(logits_tV, targets_t, n_ids)[0]

    return jax.lax.map(chunk, _chunks(n_ids, hidden_TD, targets_T)).reshape(-1)[:n_tokens]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _weighted_nats(
    dtypes: tuple[jnp.dtype, jnp.dtype],
    hidden_TD: Array,
    embedding_VD: Array,
    targets_T: Array,
    weights_T: Array,
) -> Array:
    return jnp.sum(weights_T * _token_nats(dtypes[0], hidden_TD, embedding_VD, targets_T))


def _weighted_nats_forward(  # type: ignore[no-untyped-def]
    dtypes, hidden_TD, embedding_VD, targets_T, weights_T
):
    n_tokens, n_ids = len(hidden_TD), len(embedding_VD)
    wide, (dtype, gradient_dtype) = sum_dtype(hidden_TD), dtypes
    rows_VD = _aligned(embedding_VD)
    narrow_VD, rows_VD = rows_VD.astype(gradient_dtype), rows_VD.astype(dtype)

    def chunk(dembedding_VD: Array, part: tuple[Array, ...]) -> tuple[Array, tuple[Array, Array]]:
        hidden_tD, targets_t, weights_t = part
        logits_tV = unembed(hidden_tD.astype(dtype), rows_VD)
        nats_t, slopes_tV = _nats_and_slopes(logits_tV, targets_t, weights_t, n_ids, gradient_dtype)
        dhidden_tD = jnp.matmul(slopes_tV, narrow_VD, preferred_element_type=wide)
        dembedding_VD += jnp.matmul(
            slopes_tV.T, hidden_tD.astype(gradient_dtype), preferred_element_type=wide
        )
        return dembedding_VD, (nats_t, dhidden_tD.astype(hidden_TD.dtype))

    chunks = _chunks(n_ids, hidden_TD, targets_T, weights_T)
    start_VD = jnp.zeros(rows_VD.shape, wide)
    dembedding_VD, (nats_T, dhidden_TD) = jax.lax.scan(chunk, start_VD, chunks)
    nats_T = nats_T.reshape(-1)[:n_tokens]
    dhidden_TD = dhidden_TD.reshape(-1, dhidden_TD.shape[-1])[:n_tokens]
    dembedding_VD = dembedding_VD[:n_ids].astype(embedding_VD.dtype)
    return jnp.sum(weights_T * nats_T), (dhidden_TD, dembedding_VD, nats_T.astype(weights_T.dtype))


def _weighted_nats_backward(dtypes, gradients, slope):  # type: ignore[no-untyped-def]
    dhidden_TD, dembedding_VD, dweights_T = (
        (slope * gradient).astype(gradient.dtype) for gradient in gradients
    )
    return dhidden_TD, dembedding_VD, None, dweights_T


_weighted_nats.defvjp(_weighted_nats_forward, _weighted_nats_backward)


def _nats_and_slopes(
    logits_tV: Array, targets_t: Array, weights_t: Array, n_ids: int, dtype: jnp.dtype
) -> tuple[Array, Array]:
    """-log p of the targets, and the gradient of their weighted sum in `dtype`."""
    if why_not() is None and logits_tV.dtype == weights_t.dtype == jnp.float32:
        return _by_triton(logits_tV, targets_t, weights_t, n_ids, dtype)
    nats_t, p_tV = _nats(logits_tV, targets_t, n_ids)
    is_target_tV = targets_t[:, None] == jnp.arange(logits_tV.shape[-1])
    return nats_t, (weights_t[:, None] * (p_tV - is_target_tV)).astype(dtype)


def _by_triton(
    logits_tV: Array, targets_t: Array, weights_t: Array, n_ids: int, dtype: jnp.dtype
) -> tuple[Array, Array]:
    n_columns = logits_tV.shape[-1]
    block = power_of_two(n_columns) if n_columns <= LONGEST_HELD_ROW else ROW_BLOCK
    nats_t, slopes_tV = triton_call(
        "cross_entropy.nats_and_slopes",
        logits_tV,
        targets_t,
        weights_t,
        n_ids,
        out=[
            jax.ShapeDtypeStruct(targets_t.shape, jnp.float32),
            jax.ShapeDtypeStruct(logits_tV.shape, dtype),
        ],
        grid=(len(targets_t),),
        warps=8,
        constants={"V": n_columns, "BLOCK": block},
    )
    return nats_t, slopes_tV


def _nats(logits_tV: Array, targets_t: Array, n_ids: int) -> tuple[Array, Array]:
    """-log p of the targets, and p of all ids; columns that only fill up count for nothing."""
    if logits_tV.shape[-1] > n_ids:
        logits_tV = jnp.where(jnp.arange(logits_tV.shape[-1]) < n_ids, logits_tV, -jnp.inf)
    largest_t1 = jax.lax.stop_gradient(logits_tV.max(axis=-1, keepdims=True))
    exp_tV = jnp.exp(logits_tV - largest_t1)
    sum_t1 = exp_tV.sum(axis=-1, keepdims=True)
    clamped_t1 = jnp.clip(targets_t, 0, n_ids - 1)[:, None]
    chosen_t1 = jnp.take_along_axis(logits_tV, clamped_t1, axis=-1)
    nats_t = (jnp.log(sum_t1) + (largest_t1 - chosen_t1))[:, 0]
    return jnp.where(targets_t == clamped_t1[:, 0], nats_t, jnp.nan), exp_tV / sum_t1


def _chunks(n_ids: int, *arrays_T: Array) -> tuple[Array, ...]:
    """(T, ...) -> (chunks, t, ...), filled up with zeros: tokens of no weight."""
    n_tokens = len(arrays_T[0])
    logits = CHUNK_LOGITS.get(platform(), ACCELERATOR_CHUNK_LOGITS)
    # A power of two, as the tokens of a batch most often are: then nothing is filled up.
    most = 2 ** (max(LEAST_TOKENS, logits // n_ids).bit_length() - 1)
    n_chunks = -(-n_tokens // most)
    tokens = _up_to_multiple(-(-n_tokens // n_chunks))
    return tuple(
        _filled_up(x, n_chunks * tokens).reshape(n_chunks, tokens, *x.shape[1:]) for x in arrays_T
    )


def _aligned(embedding_VD: Array) -> Array:
    rows_VD = _filled_up(embedding_VD, _up_to_multiple(len(embedding_VD)))
    # XLA would rather fill up the logits, chunk by chunk.
    return jax.lax.optimization_barrier(rows_VD)


def _up_to_multiple(n: int) -> int:
    return -(-n // ALIGNMENT) * ALIGNMENT


def _filled_up(x: Array, length: int) -> Array:
    if len(x) == length:
        return x
    return jnp.pad(x, ((0, length - len(x)), *((0, 0) for _ in x.shape[1:])))
