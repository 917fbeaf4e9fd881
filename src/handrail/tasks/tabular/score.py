"""How good answers about a table are, next to a model that looks at nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from handrail.core.field import Field
from handrail.core.signature import Signature
from handrail.core.values import Cell, to_word
from handrail.data.numbers import STYLES, numbers_in
from handrail.measure import classification, regression


def score(signature: Signature, scores: np.ndarray, truth: Sequence[Cell], trivial: np.ndarray) -> dict[str, Any]:
    """The measures of `handrail.measure`. Rows without an answer are left out."""
    if signature.output.kind == "number":
        values = _amounts(signature.output.name, truth, float(trivial[0]))
        known = np.isfinite(values)
        return regression(scores[known, 0], values[known], float(trivial[0]))
    words = [to_word(cell) for cell in truth]
    known = np.array([word is not None for word in words])
    return classification(signature.output.labels, scores[known], [word for word in words if word is not None], trivial)


def _amounts(name: str, truth: Sequence[Cell], typical: float) -> np.ndarray:
    """The right answers, in any style. 12.667 may be twelve thousand: what is nearer to what training saw is meant."""
    readings = [values for style in STYLES if (values := numbers_in(truth, style)) is not None]
    if not readings:
        return Field(name, "number").parse_column(truth)
    nearest = min(readings, key=lambda values: abs(float(np.nanmean([*values, typical])) - typical))
    return np.array(nearest, dtype=np.float64)
