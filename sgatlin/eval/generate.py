# SPDX-License-Identifier: Apache-2.0
"""Sampling text from a model, one token after another, with a cache of keys and values.

B sequences, P prompt tokens, V vocabulary.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from sgatlin.errors import UserError, require_at_least
from sgatlin.input.tokenizer import Tokenizer
from sgatlin.nn.attention import Cache
from sgatlin.nn.transformer import GateEdit, TransformerConfig, bind, narrowed
from sgatlin.ops.embedding import unembed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is drawn from its distribution."""

    temperature: float = 0.8
    """Logits are divided by this; 0 always takes the likeliest token."""
    top_k: int | None = None
    """Draw from this many likeliest tokens only."""
    top_p: float | None = None
    """Draw from the fewest likeliest tokens whose probabilities add up to this."""

    def __post_init__(self) -> None:
        require_at_least(0, temperature=self.temperature)
        require_at_least(1, top_k=self.top_k)
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"top_p={self.top_p} must be above 0 and at most 1")


def sample_token(
    logits_BV: Float[Array, "B V"], key: Array, sampling: Sampling
) -> Int[Array, " B"]:
    """Draws a token of each row. Of equal logits at the border of top_k or top_p all are kept."""
    if sampling.temperature == 0:
        return logits_BV.argmax(axis=-1)
    logits_BV = logits_BV / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < logits_BV.shape[-1]:
        least_B1 = jax.lax.top_k(logits_BV, sampling.top_k)[0][:, -1:]
        logits_BV = jnp.where(logits_BV < least_B1, -jnp.inf, logits_BV)
    if sampling.top_p is not None:
        sorted_BV = jnp.sort(logits_BV, axis=-1, descending=True)
        p_BV = jax.nn.softmax(sorted_BV, axis=-1)
        # A token is needed while those before it do not yet add up to top_p.
        needed_BV = jnp.cumsum(p_BV, axis=-1) - p_BV < sampling.top_p
        least_B1 = jnp.where(needed_BV, sorted_BV, jnp.inf).min(axis=-1, keepdims=True)
        logits_BV = jnp.where(logits_BV < least_B1, -jnp.inf, logits_BV)
    return jax.random.categorical(key, logits_BV)


def decoding_params(config: TransformerConfig, params: Any) -> dict[str, Any]:
    """The parameters with the large ones in the compute type: cast once, not for every token."""
    return nnx.to_pure_dict(narrowed(nnx.state(bind(config, params)), config.compute_dtype))


def generate(
    config: TransformerConfig,
    params: Any,
    prompt_BP: Int[np.ndarray, "B P"],
    *,
    max_tokens: int,
    sampling: Sampling,
    n_ids: int | None = None,
    seed: int = 0,
    edit: GateEdit | None = None,
) -> Iterator[Int[np.ndarray, " B"]]:
    """Yields the next token of every sequence, `max_tokens` times.

    Only the first `n_ids` ids are drawn: a model may have more than its tokenizer. The draw of
    token i uses the key of (seed, i), so that the same seed gives the same text. `edit` is of all
    passes from the prompt's last token on, and of one position.
    """
    n_sequences, n_prompt = prompt_BP.shape
    cache = bind(config, params).empty_cache(n_sequences, n_prompt + max_tokens)
    params = decoding_params(config, params)
    root = jax.random.key(seed)
    if edit is not None and n_prompt > 1:  # what comes before the last token is read as it is
        cache = _read(params, cache, jnp.asarray(prompt_BP[:, :-1]), config=config)
        prompt_BP = prompt_BP[:, -1:]
    step = functools.partial(_next_tokens, edit=edit, config=config, sampling=sampling, n_ids=n_ids)
    tokens_B, cache = step(params, cache, jnp.asarray(prompt_BP), root, 0)
    for index in range(1, max_tokens):
        # The next step is dispatched before this one's tokens are waited for.
        following_B, cache = step(params, cache, tokens_B[:, None], root, index)
        yield np.asarray(tokens_B)
        tokens_B = following_B
    yield np.asarray(tokens_B)


# Compiled once for all samples of a process, whatever their seeds.
@functools.partial(
    jax.jit, static_argnames=("config", "sampling", "n_ids"), donate_argnames="cache"
)
def _next_tokens(
    params: Any,
    cache: Cache,
    tokens_BT: Int[Array, "B T"],
    root: Array,
    index: Array,
    edit: GateEdit | None,
    *,
    config: TransformerConfig,
    sampling: Sampling,
    n_ids: int | None,
) -> tuple[Int[Array, " B"], Any]:
    model = bind(config, params)
    output = model(tokens_BT, cache=cache, edit=edit, return_logits=False)
    # Of a prompt only the last token's logits are wanted.
    logits_BV = unembed(output.hidden[:, -1], model.embedding[...], config.unembedding_dtype)
    key = jax.random.fold_in(root, index)
    return sample_token(logits_BV[:, :n_ids], key, sampling), output.cache


@functools.partial(jax.jit, static_argnames="config", donate_argnames="cache")
def _read(
    params: Any, cache: Cache, tokens_BT: Int[Array, "B T"], *, config: TransformerConfig
) -> Any:
    return bind(config, params)(tokens_BT, cache=cache, return_logits=False).cache


def stream_text(
    config: TransformerConfig,
    params: Any,
    tokenizer: Tokenizer,
    prompt: str,
    *,
    context: int,
    max_tokens: int | None = None,
    sampling: Sampling,
    seed: int = 0,
    edit: GateEdit | None = None,
) -> Iterator[str]:
    """Yields pieces of the text that follows `prompt`, until the model ends it.

    `context` is the longest sequence that the model was trained on; `max_tokens=None` fills it.
    UserError if the prompt leaves no room in it.
    """
    prompt_ids = [tokenizer.bos_id, *tokenizer.encode(prompt)]
    room = context - len(prompt_ids)
    if room < 1:
        raise UserError(
            f"the prompt has {len(prompt_ids)} tokens, the context {context}: shorten the prompt"
        )
    decoder = tokenizer.stream_decoder()
    tokens = generate(
        config,
        params,
        np.array([prompt_ids], np.int32),
        max_tokens=room if max_tokens is None else min(max_tokens, room),
        sampling=sampling,
        n_ids=tokenizer.vocab_size,
        seed=seed,
        edit=edit,
    )
    for token_1 in tokens:
        token = int(token_1[0])
        if token == tokenizer.bos_id:
            break
        yield decoder.push(token)
    yield decoder.flush()
