"""The sentences that say most of a text: those nearest to the middles of groups of like meaning, in their order.

Source: Miller 2019, arXiv 1906.04165; the options and their meanings are those of Bert Extractive Summarizer 0.10.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.events import Tell, quiet
from handrail.core.field import described
from handrail.language.clusters import Groups, k_means, nearest_each, normal_mixture
from handrail.language.embedder import BASE, processors
from handrail.language.encoder import encoder
from handrail.language.sentences import sentences
from handrail.language.texts import text_of

ALGORITHMS: Final[dict[str, Callable[[np.ndarray, int, int], Groups]]] = {"kmeans": k_means, "gmm": normal_mixture}
AGGREGATES: Final[dict[str, Callable[..., Any]]] = {
    "mean": np.mean, "median": np.median, "max": np.max, "min": np.min,
}  # fmt: skip
RATIO, MIN_LENGTH, MAX_LENGTH = 0.2, 40, 600
SEED: Final = 12345
MOST_GROUPS: Final = 100
# Sentences times groups that are worked out at once; a longer text is summarised part by part.
MOST_DISTANCES: Final = 2_000_000


@dataclass(frozen=True)
class Chosen:
    """The sentences of a summary and their vectors `(sentences, size)`."""

    sentences: list[str]
    vectors: np.ndarray


class Summarizer:
    """`Summarizer()(text)` is a summary made of sentences of the text; the same for the same text and seed."""

    def __init__(
        self, base: str = BASE, *, language: str = "en", seed: int = SEED, threads: int | None = None,
        home: Path | None = None, tell: Tell = quiet,
    ) -> None:  # fmt: skip
        """`language` (a code: "de", "ja") says where sentences end. minilm knows the meaning of English best."""
        self._encoder = encoder(base, threads=threads or processors(), home=home, tell=tell)
        self._language = language
        self._seed = seed
        sentences("", language)

    def __call__(
        self, body: str, ratio: float = RATIO, min_length: int = MIN_LENGTH, max_length: int = MAX_LENGTH,
        use_first: bool = True, algorithm: str = "kmeans", num_sentences: int | None = None,
        return_as_list: bool = False,
    ) -> Any:  # fmt: skip
        """The summary as a text, or its sentences as a list.

        `ratio` is the share of sentences kept, `num_sentences` their number, which wins; `use_first` keeps the first
        one, and counts it. Sentences of `min_length` characters or fewer, or of `max_length` or more, are left out,
        unless nothing else is there. A text of one sentence is its own summary. Raises HandrailError ("data") for an
        empty text.
        """
        asked = (ratio, use_first, algorithm, num_sentences)
        found = self._chosen(body, min_length, max_length, asked).sentences
        return found if return_as_list else " ".join(found)

    def run(self, *arguments: Any, **options: Any) -> Any:
        """The same as calling it, as the ancestor has it."""
        return self(*arguments, **options)

    def run_embeddings(
        self, body: str, ratio: float = RATIO, min_length: int = MIN_LENGTH, max_length: int = MAX_LENGTH,
        use_first: bool = True, algorithm: str = "kmeans", num_sentences: int | None = None,
        aggregate: str | None = None,
    ) -> np.ndarray:  # fmt: skip
        """The vectors of the summary's sentences, `(sentences, size)`; or what they have in common, `(size,)`:
        their "mean", "median", "max" or "min"."""
        if aggregate is not None:
            _refuse_unknown(aggregate, AGGREGATES, "aggregate")
        vectors = self._chosen(body, min_length, max_length, (ratio, use_first, algorithm, num_sentences)).vectors
        if aggregate is None:
            return vectors
        found: np.ndarray = AGGREGATES[aggregate](vectors, axis=0)
        return found

    def calculate_elbow(
        self, body: str, algorithm: str = "kmeans", min_length: int = MIN_LENGTH, max_length: int = MAX_LENGTH,
        k_max: int | None = None,
    ) -> list[float]:  # fmt: skip
        """The squared distances to the centres, summed, for 1, 2, … groups, fewer than `k_max` and than the sentences.

        `k_max` is one less than there are sentences by default, and 100 at most.
        """
        _refuse_unknown(algorithm, ALGORITHMS, "algorithm")
        kept = self._kept(body, min_length, max_length)
        most = min(len(kept) - 1, MOST_GROUPS) if k_max is None else whole_number(k_max, "k_max", least=1)
        vectors = self._encoder.vectors(kept)
        return [ALGORITHMS[algorithm](vectors, count, self._seed).spread for count in range(1, min(most, len(kept)))]

    def calculate_optimal_k(
        self, body: str, algorithm: str = "kmeans", min_length: int = MIN_LENGTH, max_length: int = MAX_LENGTH,
        k_max: int | None = None,
    ) -> int:  # fmt: skip
        """The number of groups where more of them stop helping much: 1 to `k_max`."""
        return bend(self.calculate_elbow(body, algorithm, min_length, max_length, k_max))

    def _kept(self, body: str, min_length: int, max_length: int) -> list[str]:
        """The sentences of a fitting length, or all where none fits: a summary is never empty."""
        low = whole_number(min_length, "min_length")
        high = whole_number(max_length, "max_length", least=1)
        found = sentences(text_of(body), self._language)
        if not found:
            raise HandrailError("data", "the text has no sentence", "give at least one word")
        fitting = [sentence for sentence in found if low < len(sentence) < high]
        return fitting or found

    def _chosen(
        self, body: str, min_length: int, max_length: int, asked: tuple[float, bool, str, int | None]
    ) -> Chosen:
        ratio, use_first, algorithm, num_sentences = asked
        _refuse_unknown(algorithm, ALGORITHMS, "algorithm")
        share = part_of_one(ratio)
        number = None if num_sentences is None else whole_number(num_sentences, "num_sentences", least=1)
        kept = self._kept(body, min_length, max_length)
        vectors = self._encoder.vectors(kept)
        first = 1 if use_first else 0
        rest = len(kept) - first
        count = max(int(rest * share), 1) if number is None else number - first
        count = min(count, rest)
        places = [*range(first), *(first + place for place in self._places(vectors[first:], count, algorithm))]
        return Chosen([kept[place] for place in places], vectors[places])

    def _places(self, vectors: np.ndarray, count: int, algorithm: str) -> list[int]:
        """The sentences nearest to the middles of `count` groups."""
        if count <= 0:
            return []
        parts = math.ceil(math.sqrt(len(vectors) * count / MOST_DISTANCES)) if count > 1 else 1
        if parts > 1:
            return self._in_parts(vectors, count, parts, algorithm)
        groups = ALGORITHMS[algorithm](vectors, count, self._seed)
        return nearest_each(vectors, groups.centres)

    def _in_parts(self, vectors: np.ndarray, count: int, parts: int, algorithm: str) -> list[int]:
        """Each part of a very long text gives its share."""
        cuts = [len(vectors) * part // parts for part in range(parts + 1)]
        shares = np.diff([count * part // parts for part in range(parts + 1)]).tolist()
        found = []
        for start, end, share in zip(cuts, cuts[1:], shares, strict=False):
            groups = ALGORITHMS[algorithm](vectors[start:end], min(share, end - start), self._seed)
            found += [start + place for place in nearest_each(vectors[start:end], groups.centres)]
        return found


def bend(spreads: list[float]) -> int:
    """The number of groups after which the line of spreads is flat: the step before it gained most beyond what the step
    after it gains, and what that still gains is taken off."""
    steps = np.diff(spreads)
    if len(steps) < 3:
        return 1
    flatter = np.diff(steps)
    strengths = flatter[1:] + steps[2:]
    best = int(np.argmax(strengths))
    return best + 3 if strengths[best] > 0 else 1


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


def _refuse_unknown(word: object, known: dict[str, Any], what: str) -> None:
    if not isinstance(word, str) or word not in known:
        near = did_you_mean(word, known).strip() if isinstance(word, str) else ""
        received = f"'{word[:40]}'" if isinstance(word, str) else described(word)
        problem = f"{what}: expected {listed(known)}, received {received}"
        raise HandrailError("usage", problem, near or f"{what}='{next(iter(known))}'", field=what)
