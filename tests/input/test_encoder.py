# SPDX-License-Identifier: Apache-2.0
"""The fast encoder gives the tokenizer's ids, and says when it does not try."""

import itertools
import json
import multiprocessing
import random

import numpy as np
import pytest

from sgatlin.errors import UserError
from sgatlin.input import encoder as encoder_module
from sgatlin.input.encoder import Encoder, make_encoder
from sgatlin.input.encoder_plan import Unfit, plan_tiktoken
from sgatlin.input.stress import stress_texts
from sgatlin.input.tokenizer import END_OF_TEXT, Tokenizer, byte_alphabet, train_bpe

CHUNK = 1 << 18
SPLIT = {
    "llama3": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "qwen": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}


def with_split(tokenizer: Tokenizer, regex: str) -> Tokenizer:
    """The same merges after another pre-tokenizer, as Llama 3's tokenizer.json has it."""
    parts = json.loads(tokenizer.json)
    split = {"type": "Split", "behavior": "Isolated", "invert": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    parts["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [split | {"pattern": {"Regex": regex}}, byte_level | {"use_regex": False}],
    }
    return Tokenizer(json.dumps(parts))


def changed(tokenizer: Tokenizer, **parts: object) -> Tokenizer:
    """The tokenizer with other parts; `model__x` is part x of its model."""
    result = json.loads(tokenizer.json)
    for name, value in parts.items():
        inside, _, outside = name.rpartition("__")
        (result[inside] if inside else result)[outside] = value
    return Tokenizer(json.dumps(result))


def bpe(*merges: str, first_id: int = 257, unused: tuple[str, ...] = ()) -> Tokenizer:
    """A tokenizer with these merges, and with tokens that none of them makes."""
    letters = dict(zip(sorted(byte_alphabet()), range(1, 257), strict=True))
    made = dict.fromkeys([*("".join(pair.split(" ")) for pair in merges), *unused])
    vocab = {END_OF_TEXT: 0} | letters | {token: first_id + i for i, token in enumerate(made)}
    return changed(
        train_bpe([], 257), model__vocab=vocab, model__merges=[pair.split(" ") for pair in merges]
    )


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    return train_bpe(stress_texts() * 2, vocab_size=2000)


@pytest.fixture(scope="module", params=["gpt2", *SPLIT])
def encoder(request, trained) -> Encoder:
    kind = request.param
    return make_encoder(trained if kind == "gpt2" else with_split(trained, SPLIT[kind]))


def assert_encodes(encoder: Encoder, text: str) -> None:
    ids = encoder.encode(text)
    assert ids.dtype == np.uint32
    assert ids.tolist() == encoder.tokenizer.encode(text)


def test_engine_is_tiktoken_and_ids_are_the_tokenizers(encoder):
    assert (encoder.engine, encoder.reason) == ("tiktoken", "")
    for text in stress_texts():
        assert_encodes(encoder, text)


def test_all_characters_are_of_the_same_class_to_both(encoder):
    points = [chr(point) for point in range(0x3100) if not 0xD800 <= point < 0xE000]
    points += [chr(point) for point in range(0xA000, 0x20000, 7) if not 0xD800 <= point < 0xE000]
    assert_encodes(encoder, "".join(f"a{c}1{c}" for c in points))


def test_special_text_is_ordinary_text(encoder):
    text = f"{END_OF_TEXT}a {END_OF_TEXT}"
    assert encoder.tokenizer.bos_id not in encoder.encode(text)
    assert_encodes(encoder, text)


def test_ids_need_not_be_in_the_order_of_merging(encoder):
    parts = json.loads(encoder.tokenizer.json)
    vocab = parts["model"]["vocab"]
    backwards = {token: len(vocab) - 1 - token_id for token, token_id in vocab.items()}
    parts["added_tokens"][0]["id"] = backwards[END_OF_TEXT]
    parts["model"]["vocab"] = backwards
    other = Encoder(Tokenizer(json.dumps(parts)))
    assert other.engine == "tiktoken"
    text = " ".join(stress_texts())
    assert other.encode(text).tolist() == [len(vocab) - 1 - i for i in encoder.encode(text)]


def test_a_long_text_is_split_where_pieces_end(encoder, monkeypatch):
    rng = random.Random(1)
    pieces = "a B é 猫 。 7 ½ _ ' 's 've - . \n \r\n \t 🐢 \x1c \u00a0".split(" ") + [" "] * 6
    text = "".join(rng.choices(pieces, k=20_000))
    whole = encoder.tokenizer.encode(text)
    for size in (1, 2, 3, 50):
        monkeypatch.setattr(encoder_module, "_CHUNK", size)
        n_chunks = sum(1 for _ in encoder_module._chunks(text))
        assert n_chunks > 2000 / size
        assert encoder.encode(text).tolist() == whole


@pytest.mark.parametrize(("blank", "n"), [(" ", 1_000_001), (" \n", CHUNK)])
def test_white_space_longer_than_the_stack_of_the_regular_expression(encoder, blank, n):
    assert_encodes(encoder, "a" + blank * n + "x b")


def test_one_piece_longer_than_a_chunk(encoder):
    for text in ("a" * (CHUNK + 9), "=" * (CHUNK + 9), "🐢\u200d" * (CHUNK // 2 + 9)):
        assert_encodes(encoder, text + " b")


def test_batch_is_in_order_with_any_number_of_threads(encoder):
    texts = [str(i) * (i % 50) for i in range(200)]
    alone = encoder.encode_batch(texts)
    for ids, threaded, text in zip(alone, encoder.encode_batch(texts, 3), texts, strict=True):
        assert ids.tolist() == threaded.tolist() == encoder.tokenizer.encode(text)
    assert encoder.encode_batch([]) == []


def test_half_a_surrogate_pair_is_a_value_error(trained):
    for encoder in (Encoder(trained), Encoder(trained, slow_because="asked for")):
        with pytest.raises(ValueError, match="surrogates not allowed"):
            encoder.encode("a\ud83d")


def test_a_spawned_process_encodes_alike(trained):
    slow = Encoder(trained, slow_because="asked for")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for encoder in (Encoder(trained), slow):
            assert pool.apply(encoder.encode, ("héllo 123",)).tolist() == trained.encode(
                "héllo 123"
            )


def test_encoder_keeps_its_engine_when_it_is_sent(trained):
    make, arguments = Encoder(trained, slow_because="asked for").__reduce__()
    rebuilt = make(*arguments)
    assert (rebuilt.engine, rebuilt.reason) == ("tokenizers", "asked for")


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"normalizer": {"type": "NFC"}}, "normalizer"),
        ({"model__dropout": 0.5}, "model.dropout"),
        ({"model__end_of_word_suffix": "</w>"}, "end_of_word_suffix"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "pre_tokenizer"),
        ({"pre_tokenizer": None}, "pre_tokenizer"),
        (
            {
                "pre_tokenizer": {
                    "type": "ByteLevel",
                    "add_prefix_space": True,
                    "trim_offsets": True,
                    "use_regex": True,
                }
            },
            "pre_tokenizer",
        ),
    ],
)
def test_what_tiktoken_does_not_do_falls_back_with_the_reason(parts, reason):
    tokenizer = changed(bpe("a b"), **parts)
    with pytest.raises(Unfit, match=reason):
        plan_tiktoken(tokenizer.json)
    encoder = make_encoder(tokenizer, ["ab"])
    assert encoder.engine == "tokenizers"
    assert reason in encoder.reason


def test_added_tokens_that_are_cut_out_of_the_text_fall_back():
    tokenizer = bpe("a b")
    added = json.loads(tokenizer.json)["added_tokens"]
    plain = added[0] | {"id": 258, "content": "cd", "special": False}
    encoder = make_encoder(changed(tokenizer, added_tokens=[*added, plain]))
    assert "added_tokens" in encoder.reason
    assert encoder.encode("abcd").tolist() == [257, 258]


def test_unlisted_pair_of_an_unreachable_token_is_not_merged():
    # "abc" could be made by (ab, c) alone, which is not listed: (a, bc) needs a "bc" that never
    # comes, as (a, b) goes first. tiktoken with the plain vocabulary would make it.
    encoder = Encoder(bpe("a b", "b c", "a bc"))
    assert encoder.engine == "tiktoken"
    assert encoder.encode("abc bc").tolist() == encoder.tokenizer.encode("abc bc")
    assert encoder.encode("abc").tolist() == [257, byte_id("c")]


def test_tokens_that_no_merge_makes_are_left_out():
    encoder = Encoder(bpe("a b", unused=("abab", "xy")))
    assert encoder.encode("xy").tolist() == [byte_id("x"), byte_id("y")]
    assert encoder.encode("abab").tolist() == [257, 257]
    ignoring = changed(encoder.tokenizer, model__ignore_merges=True)
    assert "ignore_merges" in make_encoder(ignoring).reason
    assert make_encoder(ignoring).encode("abab").tolist() == [258]


def test_two_pairs_for_one_token():
    assert Encoder(bpe("a b", "b c", "ab c", "a bc")).engine == "tiktoken"
    assert "before and after" in Encoder(bpe("a b", "b c", "ab c", "c d", "a bc")).reason


def byte_id(character: str) -> int:
    return sorted(byte_alphabet()).index(character) + 1


@pytest.mark.parametrize("seed", range(40))
def test_any_small_vocabulary_encodes_as_listed(seed):
    """Random merges over two letters, so that tokens overlap in every way, on all short words."""
    rng = random.Random(seed)
    tokens, merges = ["a", "b"], []
    for _ in range(12):
        pair = (rng.choice(tokens), rng.choice(tokens))
        if "".join(pair) not in tokens:
            tokens.append("".join(pair))
            merges.append(" ".join(pair))
    encoder = Encoder(bpe(*merges))
    assert encoder.engine == "tiktoken"
    words = ["".join(word) for n in range(1, 11) for word in itertools.product("ab", repeat=n)]
    text = "_".join([*words, *("".join(rng.choices("ab", k=600)) for _ in range(3))])
    assert_encodes(encoder, text)


def test_check_names_the_first_difference(trained):
    encoder = Encoder(trained)
    encoder.check(["all", "is well"])
    one = trained.encode("q")[0]
    encoder._ids[encoder._ids == one] = 7
    with pytest.raises(UserError, match=rf"gives id 7 .* gives {one}, as id 0 of text 1, 'q'"):
        encoder.check(["a", "q"])


def test_an_encoder_that_differs_on_the_sample_is_not_used(trained, monkeypatch):
    def wrong_for_turtles(self: Encoder, chunk: str) -> np.ndarray:
        ids = self._encode_slowly(chunk)
        return ids[:-1] if "turtle" in chunk else ids

    monkeypatch.setattr(Encoder, "_encode_chunk", wrong_for_turtles)
    assert make_encoder(trained, ["hare"]).engine == "tiktoken"
    encoder = make_encoder(trained, ["hare", "turtle"])
    assert encoder.engine == "tokenizers"
    assert "of text" in encoder.reason
    assert_encodes(encoder, "turtle")
