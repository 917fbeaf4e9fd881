"""Texts to word pieces as BERT's uncased models read them: clean, lower case, longest known pieces first."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

LONGEST_WORD = 100
MOST_CACHED_WORDS = 50_000
# A piece is at least one character, so that this many characters always hold enough pieces.
CHARACTERS_PER_PIECE = 24
IDEOGRAPHS = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
              (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))  # fmt: skip


class WordPiece:
    """`vocabulary` in the order of its numbers; at most `longest` pieces a text, [CLS] and [SEP] among them.

    Source: Devlin et al. 2019, BERT; held against the `tokenizers` library in tests.
    """

    def __init__(self, vocabulary: tuple[str, ...], longest: int) -> None:
        self._numbers = {piece: number for number, piece in enumerate(vocabulary)}
        self._unknown = self._numbers["[UNK]"]
        self._first, self._last = self._numbers["[CLS]"], self._numbers["[SEP]"]
        self._longest = longest
        self._cache: dict[str, list[int]] = {}

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(numbers, mask), both `(texts, longest of them)` int64, padded with 0."""
        rows = [self.numbers(text) for text in texts]
        width = max(map(len, rows), default=1)
        numbers, mask = np.zeros((len(rows), width), np.int64), np.zeros((len(rows), width), np.int64)
        for place, row in enumerate(rows):
            numbers[place, : len(row)] = row
            mask[place, : len(row)] = 1
        return numbers, mask

    def numbers(self, text: str) -> list[int]:
        """The pieces of one text, between [CLS] and [SEP]."""
        found = [self._first]
        for word in words(text[: self._longest * CHARACTERS_PER_PIECE]):
            found += self._pieces(word)
            if len(found) >= self._longest:
                break
        return [*found[: self._longest - 1], self._last]

    def _pieces(self, word: str) -> list[int]:
        known = self._cache.get(word)
        if known is None:
            known = self._split(word)
            if len(self._cache) >= MOST_CACHED_WORDS:
                self._cache.clear()
            self._cache[word] = known
        return known

    def _split(self, word: str) -> list[int]:
        if len(word) > LONGEST_WORD:
            return [self._unknown]
        found, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                number = self._numbers.get(("##" if start else "") + word[start:end])
                if number is not None:
                    break
            else:
                return [self._unknown]
            found.append(number)
            start = end
        return found


def words(text: str) -> list[str]:
    """Words and punctuation marks, lower case, without accents and control characters."""
    if text.isascii():
        spaced = "".join(_ASCII[ord(char)] for char in text.lower())
        return spaced.split()
    plain = unicodedata.normalize("NFD", "".join(map(_cleaned, text)).lower())
    return "".join(map(_spaced, plain)).split()


def _cleaned(char: str) -> str:
    code = ord(char)
    if char in "\t\n\r" or unicodedata.category(char) == "Zs":
        return " "
    if code in (0, 0xFFFD) or unicodedata.category(char).startswith("C"):
        return ""
    if any(low <= code <= high for low, high in IDEOGRAPHS):
        return f" {char} "
    return char


def _spaced(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Mn":
        return ""
    return f" {char} " if _is_punctuation(char, category) else char


def _is_punctuation(char: str, category: str) -> bool:
    code = ord(char)
    return category.startswith("P") or 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126


_ASCII = ["".join(map(_spaced, _cleaned(chr(code)))) for code in range(128)]
