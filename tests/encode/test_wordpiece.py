"""Word pieces are those of the `tokenizers` library, over many scripts."""

from __future__ import annotations

from unicodedata import ucd_3_2_0

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import BertWordPieceTokenizer

from handrail.encode.wordpiece import WordPiece

CODES = (
    *range(33, 127),
    *range(0xE0, 0xFF),
    *range(0x3B1, 0x3C9),
    *range(0x430, 0x44F),
    0x4E2D,
    0x6587,
    0x3042,
)
LETTERS = [chr(code) for code in CODES]
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS),
              "hello", "world", "##ing", "play", "the", "un", "##believ", "##able", "don")  # fmt: skip
OURS = WordPiece(VOCABULARY, 32)
THEIRS = BertWordPieceTokenizer({piece: number for number, piece in enumerate(VOCABULARY)}, lowercase=True)
THEIRS.enable_truncation(32)


@pytest.mark.parametrize(
    "text",
    ["Hello, World!", "unbelievable playing", "Ünïcödé Straße", "中文 text", "don't  stop\tnow\n",
     "a\u0301b\u200bc\u00add",
     "İstanbul ŞİŞ", "“quotes” — dash…", "x" * 150, "", "   ",
     "\x00\x07bell", "😀 ok", "ﬁne ﬂow", "Ω≈ç√∫", "ひらがな中"],
)  # fmt: skip
def test_known_troublemakers_are_cut_the_same(text: str) -> None:
    assert OURS.numbers(text) == THEIRS.encode(text).ids


@settings(deadline=None, max_examples=300)
# What younger characters are depends on the Unicode version of Python and of the library.
@given(
    st.text(st.characters(codec="utf-8").filter(lambda char: ucd_3_2_0.category(char) not in ("Cn", "Cs")), max_size=60)
)
def test_any_text_is_cut_the_same(text: str) -> None:
    # Special tokens written out in a text are words to us: user data must not steer the model.
    if "[" not in text:
        assert OURS.numbers(text) == THEIRS.encode(text).ids


def test_a_batch_is_padded_and_masked() -> None:
    numbers, mask = OURS.encode(["hello", "hello world the"])
    assert numbers.shape == mask.shape == (2, 5)
    assert mask.sum(axis=1).tolist() == [3, 5]
    assert numbers[0, 3:].tolist() == [0, 0]


def test_a_text_is_cut_to_the_longest() -> None:
    assert len(OURS.numbers("the " * 500)) == 32


def test_special_words_in_a_text_are_plain_words() -> None:
    assert 3 not in OURS.numbers("[SEP]")[1:-1]
