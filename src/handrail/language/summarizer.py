"""Summaries: a text's own sentences, those that say most of it; or a language model's words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from handrail.core.errors import HandrailError
from handrail.core.events import Tell, Warned, quiet
from handrail.core.processors import processors
from handrail.language.abstracts import WRITER, Abstracts
from handrail.language.embedder import BASE
from handrail.language.encoder import Encoder, encoder
from handrail.language.extracts import (
    ALGORITHMS,
    MAX_LENGTH,
    MIN_LENGTH,
    RATIO,
    SEED,
    Wish,
    chosen,
    fitting,
    refuse_unknown,
    whole_number,
    wish_of,
)
from handrail.language.sentences import sentences
from handrail.language.texts import text_of
from handrail.model import load

AGGREGATES: Final[dict[str, Any]] = {"mean": np.mean, "median": np.median, "max": np.max, "min": np.min}
METHODS: Final = dict.fromkeys(("extractive", "abstractive"))
MOST_GROUPS: Final = 100


@dataclass(frozen=True)
class Chosen:
    """The sentences of a summary and their vectors `(sentences, size)`."""

    sentences: list[str]
    vectors: np.ndarray


class Summarizer:
    """`Summarizer()(text)` is a summary made of sentences of the text; the same for the same text and seed.

    `method` says how: "extractive", or "abstractive", in a language model's own words.
    """

    def __init__(
        self, base: str = BASE, *, method: str = "extractive", writer: str | None = None, language: str = "en",
        seed: int = SEED, threads: int | None = None, home: Path | None = None, tell: Tell = quiet,
    ) -> None:  # fmt: skip
        """`language` (a code: "de", "ja") says where sentences end. minilm knows the meaning of English best.

        `writer` is the model whose words an abstractive summary has (smollm2 by default): small ones leave things out
        and get some wrong. Where it is not there, `tell` hears why, and sentences of the text are chosen.
        """
        refuse_unknown(method, METHODS, "method")
        self._language = language
        self._seed = seed
        sentences("", language)
        self._open = partial(encoder, base, threads=threads or processors(), home=home, tell=tell)
        self._abstracts = _abstracts(writer, language, seed, home, tell) if method == "abstractive" else None
        self.method = "extractive" if self._abstracts is None else method
        if self._abstracts is None:
            self._encoder  # noqa: B018 - what is missing is said at once

    def __call__(
        self, body: str, ratio: float = RATIO, min_length: int = MIN_LENGTH, max_length: int = MAX_LENGTH,
        use_first: bool = True, algorithm: str = "kmeans", num_sentences: int | None = None,
        return_as_list: bool = False,
    ) -> Any:  # fmt: skip
        """The summary as a text, or its sentences as a list.

        `ratio` is the share of sentences kept, `num_sentences` their number, which wins; `use_first` keeps the first
        one, and counts it. Sentences of `min_length` characters or fewer, or of `max_length` or more, are left out,
        unless nothing else is there. A text of one sentence is its own summary. In a model's own words `use_first` and
        `algorithm` mean nothing, and the number is an upper bound. Raises HandrailError ("data") for an empty text.
        """
        wish = wish_of(ratio=ratio, num_sentences=num_sentences, use_first=use_first, algorithm=algorithm,
                       min_length=min_length, max_length=max_length)  # fmt: skip
        found = self._chosen(body, wish).sentences if self._abstracts is None else self._abstracts(text_of(body), wish)
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
            refuse_unknown(aggregate, AGGREGATES, "aggregate")
        wish = wish_of(ratio=ratio, num_sentences=num_sentences, use_first=use_first, algorithm=algorithm,
                       min_length=min_length, max_length=max_length)  # fmt: skip
        vectors = self._chosen(body, wish).vectors
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
        wish = wish_of(algorithm=algorithm, min_length=min_length, max_length=max_length)
        kept = fitting(body, wish, self._language)
        most = min(len(kept) - 1, MOST_GROUPS) if k_max is None else whole_number(k_max, "k_max", least=1)
        vectors = self._encoder.vectors(kept)
        counts = range(1, min(most, len(kept)))
        return [ALGORITHMS[algorithm](vectors, count, self._seed).spread for count in counts]

    def calculate_optimal_k(
        self, body: str, algorithm: str = "kmeans", min_length: int = MIN_LENGTH, max_length: int = MAX_LENGTH,
        k_max: int | None = None,
    ) -> int:  # fmt: skip
        """The number of groups where more of them stop helping much: 1 to `k_max`."""
        return bend(self.calculate_elbow(body, algorithm, min_length, max_length, k_max))

    @cached_property
    def _encoder(self) -> Encoder:
        return self._open()

    def _chosen(self, body: str, wish: Wish) -> Chosen:
        kept = fitting(body, wish, self._language)
        vectors = self._encoder.vectors(kept)
        places = chosen(vectors, wish, self._seed)
        return Chosen([kept[place] for place in places], vectors[places])


def _abstracts(writer: str | None, language: str, seed: int, home: Path | None, tell: Tell) -> Abstracts | None:
    """What summarises in its own words; None, and told why, where the usual model is not there."""
    try:
        return Abstracts(load(writer or WRITER, home=home), language, seed)
    except HandrailError as error:
        if writer is not None or error.code not in ("not_found", "environment"):
            raise
        tell(Warned(f"summaries are made of the text's own sentences: {error.problem} ({error.mend})"))
        return None


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
