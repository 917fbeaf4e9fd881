"""How good labels for texts are, next to a model that looks at nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from handrail.core.signature import Signature
from handrail.core.values import Cell, to_word
from handrail.measure import classification, multilabel

THRESHOLD = 0.5


def score(signature: Signature, scores: np.ndarray, truth: Sequence[Cell], trivial: np.ndarray) -> dict[str, Any]:
    """The measures of `handrail.measure`. Rows without an answer are left out."""
    words = [to_word(cell) for cell in truth]
    known = np.array([word is not None for word in words])
    present = [word for word in words if word is not None]
    labels = signature.output.labels
    if signature.output.kind == "labels":
        separator = signature.output.separator
        sets = [[part.strip() for part in word.split(separator) if part.strip()] for word in present]
        return multilabel(labels, scores[known], sets, np.full(len(labels), THRESHOLD), trivial)
    return classification(labels, scores[known], present, trivial)
