# SPDX-License-Identifier: Apache-2.0
"""The byte-level BPE: round trips, the special token, byte counts, streaming."""

import random

import numpy as np
import pytest

from sgatlin.errors import UserError
from sgatlin.input.tokenizer import END_OF_TEXT, Tokenizer, train_bpe

TEXTS = ["The turtle was slow. The hare was not.", "Once upon a time, the turtle won.", "¿Qué? 猫"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe(TEXTS * 3, vocab_size=300)


def arbitrary_text(seed: int, length: int) -> str:
    """Any code points but surrogates, which UTF-8 cannot write."""
    rng = random.Random(seed)
    points = (rng.choice((rng.randrange(0x80), rng.randrange(0x110000))) for _ in range(length))
    return "".join(chr(point) for point in points if not 0xD800 <= point < 0xE000)


@pytest.mark.parametrize("seed", range(5))
def test_any_text_round_trips(tokenizer, seed):
    text = arbitrary_text(seed, 500)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert max(ids) < tokenizer.vocab_size
    assert tokenizer.token_bytes()[ids].sum() == len(text.encode())


def test_white_space_and_empty_texts_round_trip(tokenizer):
    assert tokenizer.encode("") == []
    for text in (" ", "\n\n a\t b  ", "\x00", "'s 'S 12 ab12"):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_merges_shorten_what_was_trained_on(tokenizer):
    assert len(tokenizer.encode(" turtle")) == 1
    assert len(tokenizer.encode(" utterly")) > 1


def test_encode_batch_is_encode_of_each(tokenizer):
    texts = [*TEXTS, "", END_OF_TEXT, arbitrary_text(7, 50)]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]


def test_special_text_in_a_document_is_ordinary_text(tokenizer):
    text = f"before {END_OF_TEXT} after{END_OF_TEXT}"
    ids = tokenizer.encode(text)
    assert tokenizer.bos_id == 0
    assert tokenizer.bos_id not in ids
    assert tokenizer.decode(ids) == text


def test_decode_skips_the_special_token(tokenizer):
    ids = tokenizer.encode("The hare")
    assert tokenizer.decode([0, *ids[:1], 0, *ids[1:], 0]) == "The hare"


def test_token_bytes_are_zero_for_the_special_token_only(tokenizer):
    token_bytes = tokenizer.token_bytes()
    assert token_bytes.shape == (tokenizer.vocab_size,)
    assert token_bytes.dtype == np.int32
    assert np.flatnonzero(token_bytes == 0).tolist() == [tokenizer.bos_id]
    assert token_bytes[tokenizer.encode(" turtle")].tolist() == [7]


def test_stream_decoder_gives_split_characters_whole(tokenizer):
    text = "猫 naïve 🐢!"
    ids = [tokenizer.bos_id, *tokenizer.encode(text)]
    decoder = tokenizer.stream_decoder()
    parts = [decoder.push(token_id) for token_id in ids]
    assert "".join(parts) == text
    assert decoder.flush() == ""
    assert "�" not in "".join(parts)
    assert "" in parts[1:]  # the turtle's four bytes are no single token: something was held back


def test_stream_decoder_flushes_an_incomplete_character(tokenizer):
    first, *_ = tokenizer.encode("🐢")
    decoder = tokenizer.stream_decoder()
    assert decoder.push(first) == ""
    assert decoder.flush() == "�"
    assert tokenizer.decode([first]) == "�"


def test_stream_equals_decode_for_any_ids(tokenizer):
    ids = np.random.default_rng(0).integers(0, tokenizer.vocab_size, 2000).tolist()
    decoder = tokenizer.stream_decoder()
    streamed = "".join(decoder.push(token_id) for token_id in ids) + decoder.flush()
    assert streamed == tokenizer.decode(ids)


def test_save_and_load_keep_ids_and_hash(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    loaded = Tokenizer.load(path)
    assert loaded.hash == tokenizer.hash
    assert (loaded.vocab_size, loaded.bos_id) == (tokenizer.vocab_size, tokenizer.bos_id)
    assert loaded.encode(END_OF_TEXT + TEXTS[0]) == tokenizer.encode(END_OF_TEXT + TEXTS[0])


def test_training_is_deterministic_and_hash_depends_on_the_texts(tokenizer):
    assert train_bpe(iter(TEXTS * 3), vocab_size=300).hash == tokenizer.hash
    assert train_bpe(TEXTS[:2] * 3, vocab_size=300).hash != tokenizer.hash


def test_short_texts_fill_less_than_the_vocabulary(tokenizer):
    assert train_bpe(TEXTS * 3, vocab_size=1000).vocab_size < 400
    assert train_bpe([], vocab_size=1000).vocab_size == 257
    assert train_bpe(TEXTS * 3, vocab_size=260).vocab_size == 260


def test_vocabulary_must_hold_all_bytes():
    with pytest.raises(UserError, match=r"vocab_size=256 .* at least 257"):
        train_bpe(TEXTS, vocab_size=256)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"model": {"type": "BPE", "vocab": {}, "merges": []}}', "\xff"],
)
def test_unreadable_file_is_named(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=r"cannot read the tokenizer .*tokenizer\.json") as caught:
        Tokenizer.load(path)
    assert "\n" not in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no tokenizer at .*absent.json"):
        Tokenizer.load(tmp_path / "absent.json")


def test_tokenizer_without_the_special_token_is_refused(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    path.write_text(path.read_text().replace(END_OF_TEXT, "<other>"))
    with pytest.raises(UserError, match=r"it has no <\|endoftext\|> token"):
        Tokenizer.load(path)
