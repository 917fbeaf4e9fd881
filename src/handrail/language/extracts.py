"""Which sentences say most of a text: those nearest to the middles of groups of like meaning, in their order.

Source: Miller 2019, arXiv 1906.04165; the options and their meanings are those of Bert Extractive Summarizer 0.10.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.field import described
from handrail.language.clusters import Groups, k_means, nearest_each, normal_mixture
from handrail.language.sentences import sentences
from handrail.language.texts import text_of

ALGORITHMS: Final[dict[str, Callable[[np.ndarray, int, int], Groups]]] = {"kmeans": k_means, "gmm": normal_mixture}
RATIO, MIN_LENGTH, MAX_LENGTH = 0.2, 40, 600
SEED: Final = 12345
# Sentences times groups that are worked out at once; a longer text is summarised part by part.
MOST_DISTANCES: Final = 2_000_000


@dataclass(frozen=True)
class Wish:
    """How long a summary is to be, and of which sentences. Made by `wish_of`."""

    ratio: float
    num_sentences: int | None
    use_first: bool
    algorithm: str
    min_length: int
    max_length: int

    def count(self, there: int) -> int:
        """How many of so many sentences are wanted beside the first, where that is kept."""
        first = 1 if self.use_first else 0
        rest = there - first
        wanted = max(int(rest * self.ratio), 1) if self.num_sentences is None else self.num_sentences - first
        return min(wanted, rest)

    def number(self, there: int) -> int:
        """How many of so many sentences are wanted in all."""
        return max(1, self.count(there) + (1 if self.use_first else 0))


def wish_of(
    *, ratio: object = RATIO, num_sentences: object = None, use_first: bool = True, algorithm: object = "kmeans",
    min_length: object = MIN_LENGTH, max_length: object = MAX_LENGTH,
) -> Wish:  # fmt: skip
    """Checked options. Raises HandrailError ("usage") that names the one that is off."""
    refuse_unknown(algorithm, ALGORITHMS, "algorithm")
    number = None if num_sentences is None else whole_number(num_sentences, "num_sentences", least=1)
    low, high = whole_number(min_length, "min_length"), whole_number(max_length, "max_length", least=1)
    return Wish(part_of_one(ratio), number, bool(use_first), str(algorithm), low, high)


def fitting(body: object, wish: Wish, language: str) -> list[str]:
    """The sentences of a fitting length, or all where none fits: a summary is never empty.

    Raises HandrailError ("data") for a text without a sentence.
    """
    found = sentences(text_of(body), language)
    if not found:
        raise HandrailError("data", "the text has no sentence", "give at least one word")
    kept = [sentence for sentence in found if wish.min_length < len(sentence) < wish.max_length]
    return kept or found


def chosen(vectors: np.ndarray, wish: Wish, seed: int = SEED) -> list[int]:
    """The places of the sentences that are kept, by the vectors `(sentences, size)` of those that fit."""
    first = 1 if wish.use_first else 0
    count = wish.count(len(vectors))
    if count <= 0:
        return [*range(first)]
    rest = vectors[first:]
    parts = math.ceil(math.sqrt(len(rest) * count / MOST_DISTANCES)) if count > 1 else 1
    places = _in_parts(rest, count, parts, wish.algorithm, seed)
    return [*range(first), *(first + place for place in places)]


def _in_parts(vectors: np.ndarray, count: int, parts: int, algorithm: str, seed: int) -> list[int]:
    """The sentences nearest to the middles of `count` groups; each part of a very long text gives its share."""
    cuts = [len(vectors) * part // parts for part in range(parts + 1)]
    shares = np.diff([count * part // parts for part in range(parts + 1)]).tolist()
    found = []
    for start, end, share in zip(cuts, cuts[1:], shares, strict=False):
        groups = ALGORITHMS[algorithm](vectors[start:end], min(share, end - start), seed)
        found += [start + place for place in nearest_each(vectors[start:end], groups.centres)]
    return found


def part_of_one(ratio: object) -> float:
    """A ratio above 0 and up to 1. Raises HandrailError ("usage")."""
    if not isinstance(ratio, int | float) or isinstance(ratio, bool) or not 0 < ratio <= 1:
        received = str(ratio)[:40] if isinstance(ratio, int | float) else described(ratio)
        raise HandrailError("usage", f"ratio: expected more than 0 and up to 1, received {received}",
                            "ratio=0.2 keeps a fifth", field="ratio")  # fmt: skip
    return float(ratio)


def whole_number(value: object, name: str, *, least: int = 0) -> int:
    """A whole number. Raises HandrailError ("usage") that names the option."""
    if isinstance(value, np.integer):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        received = str(value)[:40] if isinstance(value, int | float) else described(value)
        raise HandrailError("usage", f"{name}: expected a whole number from {least} on, received {received}",
                            f"for example {name}={max(least, 3)}", field=name)  # fmt: skip
    return value


def refuse_unknown(word: object, known: dict[str, Any], what: str) -> None:
    """Raises HandrailError ("usage") for a word that is not among those known."""
    if not isinstance(word, str) or word not in known:
        near = did_you_mean(word, known).strip() if isinstance(word, str) else ""
        received = f"'{word[:40]}'" if isinstance(word, str) else described(word)
        problem = f"{what}: expected {listed(known)}, received {received}"
        raise HandrailError("usage", problem, near or f"{what}='{next(iter(known))}'", field=what)
