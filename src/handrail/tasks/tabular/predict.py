"""Answers about a row of a table: columns to a matrix, scores to words."""

from __future__ import annotations

import numpy as np

from handrail.core.bundle import Bundle, damaged
from handrail.core.signature import Columns
from handrail.encode.columns import TableCode, code_from
from handrail.encode.ngrams import NGrams
from handrail.tasks import Answer, Arrays


class TabularPredictor:
    """The half that answers; see `tasks.Predictor`."""

    def __init__(self, code: TableCode, labels: tuple[str, ...], interval: tuple[float, float], lowest: float) -> None:
        self._code = code
        self._labels = labels
        self._interval = interval
        self._lowest = lowest

    def encode(self, columns: Columns) -> Arrays:
        return {"x": self._code.encode(columns)}

    def decode(self, scores: np.ndarray) -> list[Answer]:
        if self._labels:
            return decoded_labels(scores, self._labels)
        below, above = self._interval
        return [
            {"value": _short(value), "low": _short(max(self._lowest, value + below)), "high": _short(value + above)}
            for value in scores[:, 0].tolist()
        ]


def _short(value: float) -> float:
    """Seven significant digits: all that single precision holds."""
    return float(f"{value:.7g}")


def decoded_labels(scores: np.ndarray, labels: tuple[str, ...]) -> list[Answer]:
    """The likeliest label of each row, with every label's probability."""
    best = scores.argmax(axis=1).tolist()
    return [
        {"label": labels[place], "probability": row[place], "probabilities": dict(zip(labels, row, strict=True))}
        for place, row in zip(best, scores.astype(np.float64).round(6).tolist(), strict=True)
    ]


def load(bundle: Bundle) -> TabularPredictor:
    """Raises HandrailError ("bundle") when settings or arrays are not a table's."""
    encode = bundle.manifest.encode
    try:
        names = {item["name"]: place for place, item in enumerate(encode["columns"])}
        statistics = {
            item["name"]: bundle.read_array(f"encode/statistics_{names[item['name']]}.npy")
            for item in encode["columns"]
            if item["statistics"]
        }
        texts = {
            item["name"]: _text(bundle, names[item["name"]]) for item in encode["columns"] if item["kind"] == "text"
        }
        code = code_from(encode["columns"], statistics, texts)
        low, high = encode["interval"]
        return TabularPredictor(
            code, bundle.manifest.signature.output.labels, (float(low), float(high)), float(encode["lowest"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(bundle.path, f"the encode settings are off: {error}") from error


def _text(bundle: Bundle, place: int) -> tuple[NGrams, np.ndarray]:
    hashes, weights = bundle.read_array(f"encode/hashes_{place}.npy"), bundle.read_array(f"encode/idf_{place}.npy")
    ngrams = NGrams(hashes, weights, (hashes & np.uint64(1)).astype(bool))
    return ngrams, bundle.read_array(f"encode/weights_{place}.npy")
