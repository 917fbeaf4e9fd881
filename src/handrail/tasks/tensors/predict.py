"""Vectors for vectors: what comes in is what the graph reads, what it writes is what goes out."""

from __future__ import annotations

import numpy as np

from handrail.core.bundle import Bundle, damaged
from handrail.core.signature import Columns
from handrail.encode.vectors import vector_answers
from handrail.tasks import Answer, Arrays


class TensorPredictor:
    """The half that answers; see `tasks.Predictor`."""

    def encode(self, columns: Columns) -> Arrays:
        return dict(columns)

    def decode(self, scores: np.ndarray) -> list[Answer]:
        return vector_answers(scores)


def load(bundle: Bundle) -> TensorPredictor:
    """Raises HandrailError ("bundle") when inputs or output are no vectors."""
    signature = bundle.manifest.signature
    if not signature.takes_vectors() or signature.output.kind != "vector":
        raise damaged(bundle.path, "its inputs and its output are not vectors")
    return TensorPredictor()
