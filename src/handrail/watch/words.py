"""The words of a text, and which of them training saw: hashes of the commonest, so that no text can be read there."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final
from zlib import crc32

import numpy as np

# Chinese and Japanese stand without blanks: there each character is a word.
WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
# Only so much of a long text is looked at, in training and later.
MOST_LETTERS: Final = 2_000
# A word that one row alone holds says nothing of the next row, and may be a name.
FEWEST_ROWS: Final = 2
MOST_WORDS: Final = 8_192
HASH: Final = np.dtype("<u4")


def hashes_of(text: str) -> list[int]:
    """The words of a text in lower case, each as 32 bits."""
    return [crc32(word.encode("utf-8", "replace")) for word in WORD.findall(text[:MOST_LETTERS].lower())]


def vocabulary_of(texts: Sequence[list[int]], most: int = MOST_WORDS) -> tuple[frozenset[int], np.ndarray]:
    """The words that most texts share, and for each text the share of words that the *other* texts do not know.

    A text whose own words made the vocabulary would always be known; leaving each text out of its own count is what
    makes the shares `(texts,)` comparable with those of texts that come later. NaN where a text has no words.
    """
    counts = Counter[int]()
    for words in texts:
        counts.update(set(words))
    # A word is kept for the texts it stands in, never by a draw among equals: then a text left out is one text less.
    ranked = sorted(counts.values(), reverse=True)
    fewest = max(FEWEST_ROWS, ranked[most] + 1 if len(ranked) > most else 0)
    without_this = {word for word, rows in counts.items() if rows > fewest}
    kept = frozenset(word for word, rows in counts.items() if rows >= fewest)
    return kept, np.array([unseen_share(words, without_this) for words in texts], dtype=np.float64)


def unseen_share(words: Sequence[int], known: Collection[int]) -> float:
    """The share of words that are not known, NaN for no words."""
    return sum(word not in known for word in words) / len(words) if words else float("nan")


def packed(vocabulary: Collection[int]) -> str:
    """Hashes as text: four bytes each, sorted, in base64."""
    return base64.b64encode(np.array(sorted(vocabulary), dtype=HASH).tobytes()).decode()


def unpacked(text: str) -> frozenset[int]:
    """The inverse of `packed`. Raises ValueError for what is none."""
    return frozenset(np.frombuffer(base64.b64decode(text, validate=True), dtype=HASH).tolist())
