"""What a question finds: its vector, and the passages nearest to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from handrail.core.bundle import Bundle, damaged
from handrail.core.signature import Columns
from handrail.encode.vectors import pieces_in, text_arrays, vector_answers
from handrail.encode.wordpiece import WordPiece
from handrail.store.home import default_home
from handrail.tasks import Answer, Arrays
from handrail.tasks.search.library import Library, library_of
from handrail.tasks.search.nearest import Nearest


class SearchPredictor:
    """The half that answers; see `tasks.Predictor`."""

    def __init__(self, pieces: WordPiece, library: Library, matches: int, home: Path | None = None) -> None:
        self._pieces = pieces
        self._library = library
        self._matches = matches
        self._nearest = Nearest(library.vectors, home)

    def encode(self, columns: Columns) -> Arrays:
        return text_arrays(self._pieces, columns)

    def decode(self, scores: np.ndarray) -> list[Answer]:
        """The question's vector beside what it finds, so that a search answers wherever an encoder does."""
        found = matches(self._library, self._nearest, scores, self._matches)
        pairs = zip(vector_answers(scores), found, strict=True)
        return [{**answer, "matches": some} for answer, some in pairs]


def matches(library: Library, nearest: Nearest, vectors: np.ndarray, count: int) -> list[list[dict[str, Any]]]:
    """The best `count` passages for each question's vector."""
    return [
        [library.match(place, float(np.float32(cosine).astype(str))) for place, cosine in row]
        for row in nearest(vectors, count)
    ]


def load(bundle: Bundle) -> SearchPredictor:
    """Raises HandrailError ("bundle") when settings, vocabulary or documents do not fit."""
    try:
        pieces = pieces_in(bundle)
        count = int(bundle.manifest.encode["matches"])
        if not 1 <= count <= 1_000:
            raise ValueError(f"{count:,} matches")
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(bundle.path, f"the encode settings are off: {error}") from error
    return SearchPredictor(pieces, library_of(bundle), count, default_home())
