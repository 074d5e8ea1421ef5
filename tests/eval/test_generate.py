# SPDX-License-Identifier: Apache-2.0
"""Sampling draws what it says, and the cache changes no token."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sgatlin.errors import UserError
from sgatlin.eval.generate import Sampling, generate, sample_token, stream_text
from sgatlin.input.tokenizer import Tokenizer, train_bpe
from sgatlin.nn.mlp import MlpConfig
from sgatlin.nn.transformer import TransformerConfig, abstract_model, bind

V, N_IDS = 20, 17
CONFIG = TransformerConfig(
    vocab_size=V,
    d_model=8,
    n_layers=2,
    d_head=4,
    feed_forward=MlpConfig(d_hidden=6),
)


def draw(config: TransformerConfig, scale: float):
    rng = np.random.default_rng(0)
    shapes = nnx.to_pure_dict(nnx.state(abstract_model(config)))
    return jax.tree.map(lambda leaf: jnp.float32(scale * rng.normal(size=leaf.shape)), shapes)


@pytest.mark.parametrize(
    "sampling",
    [Sampling(temperature=0), Sampling(temperature=1.5, top_k=5, top_p=0.9)],
    ids=["greedy", "random"],
)
def test_the_same_tokens_as_recomputing_all_without_a_cache(sampling):
    n_new, n_prompt, seed = 6, 3, 7
    params = draw(CONFIG, scale=0.5)
    prompt_BP = np.array([[1, 2, 3], [9, 0, 4]], np.int32)
    found = list(
        generate(
            CONFIG, params, prompt_BP, max_tokens=n_new, sampling=sampling, n_ids=N_IDS, seed=seed
        )
    )
    assert len(found) == n_new

    # What follows is filled with zeros, which no earlier logits depend on.
    tokens_BT = np.zeros((2, n_prompt + n_new), np.int32)
    tokens_BT[:, :n_prompt] = prompt_BP

    @jax.jit
    def recomputed(params, tokens_BT, i):
        logits_BV = bind(CONFIG, params)(tokens_BT).logits[:, n_prompt + i - 1, :N_IDS]
        return sample_token(logits_BV, jax.random.fold_in(jax.random.key(seed), i), sampling)

    for i in range(n_new):
        tokens_BT[:, n_prompt + i] = recomputed(params, tokens_BT, i)
    np.testing.assert_array_equal(np.stack(found, axis=1), tokens_BT[:, n_prompt:])


# Of five tokens, at temperature 1.
P = [0.4, 0.1, 0.05, 0.2, 0.25]


def renormalised(kept) -> np.ndarray:
    p = np.array([p if i in kept else 0.0 for i, p in enumerate(P)])
    return p / p.sum()


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(temperature=1), P),
        (Sampling(temperature=0.5), np.square(P) / np.square(P).sum()),
        (Sampling(temperature=1, top_k=1), [1, 0, 0, 0, 0]),
        (Sampling(temperature=1, top_k=3), renormalised({0, 3, 4})),
        (Sampling(temperature=1, top_k=9), P),
        # 0.4 + 0.25 is not yet 0.7, with 0.2 it is; 0.4 alone is 0.35.
        (Sampling(temperature=1, top_p=0.7), renormalised({0, 3, 4})),
        (Sampling(temperature=1, top_p=0.35), [1, 0, 0, 0, 0]),
        (Sampling(temperature=1, top_p=1.0), P),
        # Of the three that top_k leaves, 0.4 / 0.85 = 0.47 and 0.25 / 0.85 = 0.29 add up to 0.7;
        # of all five they would not.
        (Sampling(temperature=1, top_k=3, top_p=0.7), renormalised({0, 4})),
        # At temperature 1/2 the squares: 0.16 / 0.275 = 0.58 and 0.0625 / 0.275 = 0.23.
        (Sampling(temperature=0.5, top_p=0.7), [0.16 / 0.2225, 0, 0, 0, 0.0625 / 0.2225]),
    ],
)
def test_tokens_are_drawn_from_the_filtered_distribution(sampling, expected):
    n = 20_000
    # Softmax does not care for the 3 that is added.
    logits_BV = jnp.broadcast_to(jnp.log(jnp.float32(P)) + 3, (n, 5))
    tokens = jax.jit(sample_token, static_argnums=2)(logits_BV, jax.random.key(0), sampling)
    found = np.bincount(tokens, minlength=5) / n
    np.testing.assert_array_equal(found > 0, np.array(expected) > 0)
    np.testing.assert_allclose(found, expected, atol=0.02)  # 5 standard errors


@pytest.mark.parametrize("sampling", [Sampling(top_k=1), Sampling(top_p=0.1)])
def test_equals_at_the_border_are_all_kept(sampling):
    logits_BV = jnp.broadcast_to(jnp.float32([2, 1, 2]), (100, 3))
    tokens = jax.jit(sample_token, static_argnums=2)(logits_BV, jax.random.key(0), sampling)
    assert set(tokens.tolist()) == {0, 2}


def test_temperature_zero_is_the_likeliest_token():
    logits_BV = jnp.float32(np.random.default_rng(0).normal(size=(50, 7)))
    sampling = Sampling(temperature=0, top_k=3, top_p=0.5)
    tokens = sample_token(logits_BV, jax.random.key(0), sampling)
    np.testing.assert_array_equal(tokens, np.argmax(logits_BV, axis=-1))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": -0.1}, "temperature=-0.1 must be at least 0"),
        ({"temperature": float("nan")}, "temperature=nan must be at least 0"),
        ({"top_k": 0}, "top_k=0 must be at least 1"),
        ({"top_p": 0.0}, "top_p=0.0 must be above 0 and at most 1"),
        ({"top_p": 1.5}, "top_p=1.5 must be above 0 and at most 1"),
    ],
)
def test_sampling_that_makes_no_sense_is_refused(fields, message):
    with pytest.raises(UserError) as error:
        Sampling(**fields)
    assert str(error.value) == message


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe(["The turtle was slow.", "The turtle was happy."] * 2, vocab_size=265)


@pytest.fixture(scope="module")
def chain(tokenizer):
    """A model that writes "a" after the letter "s", then ends, and would go on with "!".

    With all other weights zero, logits are products of embeddings. Of those below, the largest
    with "s" is that with "a": 2, with "a" that with the end: 18, with the end that with "!": 270.
    """
    config = TransformerConfig(
        vocab_size=tokenizer.vocab_size + 3,
        d_model=2,
        n_layers=1,
        d_head=2,
        feed_forward=MlpConfig(d_hidden=2),
    )
    params = draw(config, scale=0)
    params["norm"]["scale"] = jnp.ones(2)
    embedding = np.full((config.vocab_size, 2), -0.1, np.float32)
    s, a, exclamation_mark = (tokenizer.encode(letter)[0] for letter in "sa!")
    embedding[s], embedding[a] = (1, 0), (2, 2)
    embedding[tokenizer.bos_id], embedding[exclamation_mark] = (0, 9), (-30, 30)
    # An id that the tokenizer does not have would be likeliest after all.
    embedding[-1] = (100, 100)
    return config, params | {"embedding": jnp.array(embedding)}


def test_a_text_ends_where_the_model_ends_it(tokenizer, chain):
    greedy = Sampling(temperature=0)
    pieces = stream_text(*chain, tokenizer, "it was s", context=50, sampling=greedy)
    assert "".join(pieces) == "a"


@pytest.mark.parametrize(("max_tokens", "expected"), [(4, 4), (None, 6), (100, 6)])
def test_a_text_that_does_not_end_fills_the_context(tokenizer, chain, max_tokens, expected):
    config, params = chain
    # Without its large embedding the end never comes: "a" follows "a".
    endless = params | {"embedding": params["embedding"].at[tokenizer.bos_id].set(0)}
    pieces = stream_text(
        config,
        endless,
        tokenizer,
        "s",
        context=8,  # the prompt takes two: its start and "s"
        max_tokens=max_tokens,
        sampling=Sampling(temperature=0),
    )
    assert "".join(pieces) == "a" * expected


def test_another_seed_gives_another_text(tokenizer, chain):
    config, params = chain
    flat = params | {"embedding": jnp.zeros_like(params["embedding"])}  # all ids equally likely

    def token(seed):
        given = {"context": 9, "max_tokens": 1, "sampling": Sampling(), "seed": seed}
        return "".join(stream_text(config, flat, tokenizer, "s", **given))

    assert token(1) != token(2)


def test_a_prompt_that_fills_the_context_is_refused(tokenizer, chain):
    pieces = stream_text(*chain, tokenizer, "ssss", context=5, sampling=Sampling())
    with pytest.raises(UserError) as error:
        next(pieces)
    assert str(error.value) == "the prompt has 5 tokens, the context 5: shorten the prompt"
