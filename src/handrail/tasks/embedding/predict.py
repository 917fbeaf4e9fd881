"""A vector for a text: word pieces in, the sentence's place among all meanings out."""

from __future__ import annotations

import numpy as np

from handrail.core.bundle import Bundle, damaged
from handrail.core.signature import Columns
from handrail.encode.vectors import vector_answers
from handrail.encode.wordpiece import WordPiece
from handrail.tasks import Answer, Arrays


class EmbeddingPredictor:
    """The half that answers; see `tasks.Predictor`."""

    def __init__(self, pieces: WordPiece) -> None:
        self._pieces = pieces

    def encode(self, columns: Columns) -> Arrays:
        (texts,) = columns.values()
        input_ids, attention_mask = self._pieces.encode([text or "" for text in texts])
        return {"input_ids": input_ids, "attention_mask": attention_mask}

    def decode(self, scores: np.ndarray) -> list[Answer]:
        return vector_answers(scores)


def load(bundle: Bundle) -> EmbeddingPredictor:
    """Raises HandrailError ("bundle") when settings or vocabulary are not an encoder's."""
    try:
        signature = bundle.manifest.signature
        if [field.kind for field in signature.inputs] != ["text"] or signature.output.kind != "vector":
            raise ValueError("it does not turn a text into a vector")
        vocabulary = bundle.read("encode/vocabulary.txt").decode("utf-8").split("\n")
        return EmbeddingPredictor(WordPiece(tuple(vocabulary), int(bundle.manifest.encode["longest"])))
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(bundle.path, f"the encode settings are off: {error}") from error
