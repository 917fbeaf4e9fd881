"""Vectors for texts: what means the same lies close together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from handrail.core.events import Tell, quiet
from handrail.core.processors import processors
from handrail.language.encoder import Encoder, encoder
from handrail.language.texts import texts_of, whole

BASE = "minilm"


class Embedder:
    """`Embedder()("a text")` is float32 `(size,)`, of length 1; for a list of texts `(texts, size)`.

    The product of two vectors is the cosine of their meanings: 1 the same, about 0 nothing in common. minilm reads
    English, and the first 128 word pieces (about 90 words) of each text; cut longer ones, or let `Search` do it.
    """

    def __init__(
        self, base: str = BASE, *, threads: int | None = None, home: Path | None = None, tell: Tell = quiet
    ) -> None:
        """`base` is one of the catalog, or a model that answers texts with vectors; all processors by default."""
        self._encoder: Encoder = encoder(base, threads=threads or processors(), home=home, tell=tell)

    def __call__(self, texts: str | Sequence[str]) -> np.ndarray:
        """Raises HandrailError ("usage") that names what is no text."""
        if isinstance(texts, str):
            (vector,) = self._encoder.vectors([whole(texts)])
            return np.asarray(vector)
        return self._encoder.vectors(texts_of(texts))

    @property
    def size(self) -> int:
        """How many numbers a vector has."""
        return self._encoder.size

    @property
    def name(self) -> str:
        """The base's name."""
        return self._encoder.name

    def __repr__(self) -> str:
        return f"<handrail.Embedder {self.name}: {self.size} numbers>"
