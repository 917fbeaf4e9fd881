"""A vector for a text: word pieces in, the sentence's place among all meanings out."""

from __future__ import annotations

import numpy as np

from handrail.core.bundle import Bundle, damaged
from handrail.core.signature import Columns
from handrail.encode.vectors import pieces_in, text_arrays, vector_answers
from handrail.encode.wordpiece import WordPiece
from handrail.tasks import Answer, Arrays


class EmbeddingPredictor:
    """The half that answers; see `tasks.Predictor`."""

    def __init__(self, pieces: WordPiece) -> None:
        self._pieces = pieces

    def encode(self, columns: Columns) -> Arrays:
        return text_arrays(self._pieces, columns)

    def decode(self, scores: np.ndarray) -> list[Answer]:
        return vector_answers(scores)


def load(bundle: Bundle) -> EmbeddingPredictor:
    """Raises HandrailError ("bundle") when settings or vocabulary are not an encoder's."""
    try:
        return EmbeddingPredictor(pieces_in(bundle))
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(bundle.path, f"the encode settings are off: {error}") from error
