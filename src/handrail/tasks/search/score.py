"""Documents come without right answers to questions, so nothing is scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from handrail.core.errors import HandrailError
from handrail.core.signature import Signature
from handrail.core.values import Cell


def score(signature: Signature, scores: np.ndarray, truth: Sequence[Cell], trivial: np.ndarray) -> dict[str, Any]:
    """Raises HandrailError: what a question should find is not in a table."""
    problem = "a search is not measured against a column"
    raise HandrailError("usage", problem, 'look at what it finds: handrail search NAME "a question"')
