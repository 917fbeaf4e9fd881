"""Vectors as answers say them: numbers with the fewest digits that are the same float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson


def vector_answers(scores: np.ndarray) -> list[dict[str, Any]]:
    """`{"vector": [numbers]}` for each row of float32 `(rows, size)`: 0.1, not 0.10000000149011612."""
    rows = orjson.loads(orjson.dumps(np.ascontiguousarray(scores), option=orjson.OPT_SERIALIZE_NUMPY))
    return [{"vector": row} for row in rows]
