"""Labels for a text: n-grams and word pieces to arrays, scores to words."""

from __future__ import annotations

import numpy as np

from handrail.core.bundle import Bundle, damaged
from handrail.core.signature import Columns
from handrail.encode.ngrams import NGrams
from handrail.encode.wordpiece import WordPiece
from handrail.tasks import Answer, Arrays

THRESHOLD = 0.5


class TextPredictor:
    """The half that answers; see `tasks.Predictor`. `pieces` is None where no sentence vectors are used."""

    def __init__(self, labels: tuple[str, ...], several: bool, ngrams: NGrams | None, pieces: WordPiece | None) -> None:
        self._labels = labels
        self._several = several
        self._ngrams = ngrams
        self._pieces = pieces

    def encode(self, columns: Columns) -> Arrays:
        return text_arrays(joined_texts(columns), self._ngrams, self._pieces)

    def decode(self, scores: np.ndarray) -> list[Answer]:
        rows = scores.astype(np.float64).round(6).tolist()
        if self._several:
            return [self._several_answer(row) for row in rows]
        best = scores.argmax(axis=1).tolist()
        return [
            {"label": self._labels[place], "probability": row[place],
             "probabilities": dict(zip(self._labels, row, strict=True))}
            for place, row in zip(best, rows, strict=True)
        ]  # fmt: skip

    def _several_answer(self, row: list[float]) -> Answer:
        chosen = [label for label, probability in zip(self._labels, row, strict=True) if probability >= THRESHOLD]
        return {"labels": chosen, "probabilities": dict(zip(self._labels, row, strict=True))}


def joined_texts(columns: Columns) -> list[str]:
    """The texts of a row's columns, a line each."""
    return ["\n".join(text or "" for text in row) for row in zip(*columns.values(), strict=True)]


def text_arrays(texts: list[str], ngrams: NGrams | None, pieces: WordPiece | None) -> Arrays:
    """The graph's inputs: padded n-grams (number 0 with value 0 is padding), padded word pieces."""
    arrays: dict[str, np.ndarray] = {}
    if ngrams is not None:
        arrays["ngram_index"], arrays["ngram_value"] = padded(*ngrams.encode(texts))
    if pieces is not None:
        arrays["input_ids"], arrays["attention_mask"] = pieces.encode(texts)
    return arrays


def padded(starts: np.ndarray, features: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sparse rows as two rectangles `(rows, longest row)`."""
    lengths = np.diff(starts)
    width = max(1, int(lengths.max(initial=0)))
    index, value = np.zeros((len(lengths), width), np.int64), np.zeros((len(lengths), width), np.float32)
    place = np.arange(width) < lengths[:, None]
    index[place], value[place] = features, values
    return index, value


def load(bundle: Bundle) -> TextPredictor:
    """Raises HandrailError ("bundle") when settings or arrays are not a text's."""
    try:
        encode = bundle.manifest.encode
        ngrams = None
        if encode["ngrams"]:
            hashes, weights = bundle.read_array("encode/hashes.npy"), bundle.read_array("encode/idf.npy")
            ngrams = NGrams(hashes, weights, (hashes & np.uint64(1)).astype(bool))
        pieces = None
        if encode["longest"]:
            vocabulary = bundle.read("encode/vocabulary.txt").decode("utf-8").split("\n")
            pieces = WordPiece(tuple(vocabulary), int(encode["longest"]))
        output = bundle.manifest.signature.output
        return TextPredictor(output.labels, output.kind == "labels", ngrams, pieces)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(bundle.path, f"the encode settings are off: {error}") from error
