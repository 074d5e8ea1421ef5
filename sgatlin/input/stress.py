# SPDX-License-Identifier: Apache-2.0
"""Texts that two tokenizers which differ at all are likely to encode differently."""

import functools
import itertools
import random
import unicodedata

_SEED = 0
_KINDS = {"L": "letter", "N": "number"}

_HARD = (
    "",
    " ",
    "\n",
    "<|endoftext|>a<|endoftext|> <|endoftext|>",
    "I'll she'd we've they're it's can't I'm 'S 'LL 'Re '\u017f '' 's's 'sx' 'tis o'clock",
    "  leading,  double   triple \t tab\t\tand  \n \n\n  blank \r\n lines \r\r\n\n end   ",
    "a\u00a0b\u2003c\u3000d\u2028e\u0085f\u001cg\u200bh\ufeffi\u180ej\x00k\x7f",
    "1 12 123 1234 12345 3.14159 1,000,000 ½ ² Ⅷ ٣٤٥ १२३ 007 1e-9 0x1F a1b2c3 12'34",
    "def f(x):\n    return {k: v**2 for k, v in x.items() if v}  # ->\n\n\n\tif(!a&&b){c++;}",
    "<div class='a'>&amp;</div> http://a.b/c?d=e&f=%20#g \\frac{1}{2} $$ ==== ---- ....... !?!?",
    "naïve café Ünïcödé I\u0307 Straße ﬁ ǅ e\u0301\u0323 नमस्ते ภาษาไทย 日本語。漢字「猫」 한국어",
    "שלום עולם مرحبا بالعالم \u202eabc\u202c Ελληνικά кириллица \U0001d573\U0001d58a 𐍈 ☃\ufe0f",
    "🐢 👩\u200d👩\u200d👧 🇺🇸 ✌🏽 🐢🐢🐢",
    "pneumonoultramicroscopicsilicovolcanoconiosis " + "ab" * 700 + "z" * 1200 + " " + "=" * 999,
    "9" * 700 + " " * 600 + "x" + "\n" * 500 + " \n" * 300 + "y" + " " * 300,
)


@functools.cache
def stress_texts() -> tuple[str, ...]:
    """About 80 kB of them, the same at every call."""
    rng = random.Random(_SEED)
    pieces = "a B é 猫 7 ½ _ ' 's ' 've - . \n \r\t 🐢 \u200d".split(" ")
    soups = ["".join(rng.choices([*pieces, " ", "  "], k=300)) for _ in range(20)]
    edges = "".join(f"a{c}1{c} {c}.{c}'{c}\n" for c in _class_edges())
    return (*_HARD, *soups, edges)


def _class_edges() -> list[str]:
    """The characters on both sides of where letters, numbers, white space or others begin."""
    characters = [chr(point) for point in range(0x110000)]
    kinds = [
        " " if c.isspace() else _KINDS.get(unicodedata.category(c)[0], "other") for c in characters
    ]
    before = {i for i, (kind, after) in enumerate(itertools.pairwise(kinds)) if kind != after}
    edges = sorted(before | {i + 1 for i in before})
    return [characters[i] for i in edges if not 0xD800 <= i < 0xE000]
