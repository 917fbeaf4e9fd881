"""How well a model foresees a text: bits for each byte of it. A column of right answers measures nothing here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from handrail.core.errors import HandrailError
from handrail.core.signature import Signature
from handrail.core.values import Cell


def score(signature: Signature, scores: np.ndarray, truth: Sequence[Cell], trivial: np.ndarray) -> dict[str, Any]:
    """Raises HandrailError: a text that is written has no right answer in a column."""
    problem = "a model that writes text is not measured against a column"
    raise HandrailError("usage", problem, "handrail evaluate NAME text.txt tells the bits per byte of a text")
