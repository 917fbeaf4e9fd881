"""A base comes without right answers, so nothing is scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from handrail.core.errors import HandrailError
from handrail.core.signature import Signature
from handrail.core.values import Cell


def score(signature: Signature, scores: np.ndarray, truth: Sequence[Cell], trivial: np.ndarray) -> dict[str, Any]:
    """Raises HandrailError: vectors have no measure of their own."""
    problem = "a model whose answers are vectors is not measured against a column"
    raise HandrailError("usage", problem, "compare its answers in Python: handrail.load(NAME).predict(rows)")
