"""The nearest of many vectors: all are looked at; beyond 100,000, where a library is installed, a few."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from handrail.core.files import read_limited, write_bytes

# Up to here a question is compared with every vector: exact, and some 10 ms for 100,000 of 384 numbers.
EXACT_ROWS: Final = 100_000
# Products held at once.
MOST_PRODUCTS: Final = 25_000_000
LIBRARY: Final = "usearch"
MAX_INDEX_BYTES: Final = 2**34
# How the graph of neighbours is drawn, and how many candidates are compared exactly for one that is wanted.
NEIGHBOURS, WIDTH_BUILDING, WIDTH_ASKING, CANDIDATES = 16, 128, 128, 4
MEASURED: Final = 200
NEAREST_MEASURED: Final = 10


class Nearest:
    """`places` and cosines of the vectors nearest to a question's, best first."""

    def __init__(self, vectors: np.ndarray, home: Path | None = None) -> None:
        """`vectors` are float32 `(rows, size)` of length 1. An index that was drawn for them in `home` is used."""
        self._vectors = vectors
        self._index = _kept(vectors, home) if home is not None and len(vectors) > EXACT_ROWS else None

    @property
    def is_exact(self) -> bool:
        """Whether every vector is looked at."""
        return self._index is None

    def __call__(self, questions: np.ndarray, count: int) -> Iterator[list[tuple[int, float]]]:
        """For each question `(size,)` of `(questions, size)` the nearest `count`: (place, cosine)."""
        count = min(count, len(self._vectors))
        if self._index is not None:
            for question in questions:
                yield self._among(self._candidates(question, count), question, count)
            return
        step = max(1, MOST_PRODUCTS // max(1, len(self._vectors)))
        for start in range(0, len(questions), step):
            for row in questions[start : start + step] @ self._vectors.T:
                yield _best(row, count)

    def _candidates(self, question: np.ndarray, count: int) -> np.ndarray:
        found: np.ndarray = self._index.search(question, max(count * CANDIDATES, 32)).keys  # type: ignore[union-attr]
        return found.astype(np.int64)

    def _among(self, places: np.ndarray, question: np.ndarray, count: int) -> list[tuple[int, float]]:
        cosines = self._vectors[places] @ question
        return [(int(places[place]), cosine) for place, cosine in _best(cosines, min(count, len(places)))]


def draw_index(vectors: np.ndarray, home: Path, threads: int) -> float | None:
    """Draws and keeps an index of many vectors: the share of the ten nearest that it finds, measured on some of them.
    None where there are few, or the library is not installed: then all are looked at."""
    index = _empty(vectors.shape[1]) if len(vectors) > EXACT_ROWS else None
    if index is None:
        return None
    index.add(np.arange(len(vectors)), vectors, threads=threads)
    write_bytes(_path(vectors, home), bytes(index.save()))
    return found_share(vectors, home)


def found_share(vectors: np.ndarray, home: Path) -> float:
    """The share of the ten nearest vectors that the kept index finds, for some of the vectors."""
    some = vectors[np.random.default_rng(0).choice(len(vectors), MEASURED, replace=False)]
    exact, quick = Nearest(vectors), Nearest(vectors, home)
    pairs = zip(exact(some, NEAREST_MEASURED), quick(some, NEAREST_MEASURED), strict=True)
    shares = [len({place for place, _ in one} & {place for place, _ in other}) for one, other in pairs]
    return sum(shares) / (MEASURED * NEAREST_MEASURED)


def _best(cosines: np.ndarray, count: int) -> list[tuple[int, float]]:
    """Places of the largest, the largest first; the earlier of two that are alike."""
    if count == 0:
        return []
    some = np.argpartition(-cosines, count - 1)[:count]
    order = some[np.lexsort((some, -cosines[some]))]
    return list(zip(order.tolist(), cosines[order].tolist(), strict=True))


def _empty(size: int) -> Any:
    """An index without vectors; None where the library is not installed."""
    try:
        library = importlib.import_module(f"{LIBRARY}.index")
    except ImportError:
        return None
    return library.Index(
        ndim=size, metric="ip", dtype="bf16", connectivity=NEIGHBOURS, expansion_add=WIDTH_BUILDING,
        expansion_search=WIDTH_ASKING,
    )  # fmt: skip


def _kept(vectors: np.ndarray, home: Path) -> Any:
    """The index of exactly these vectors that was drawn on this machine, or None."""
    path = _path(vectors, home)
    if not path.is_file() or (index := _empty(vectors.shape[1])) is None:
        return None
    try:
        index.load(read_limited(path, MAX_INDEX_BYTES))
    except Exception:
        # It is only a shortcut: a damaged one is done without.
        return None
    return index if len(index) == len(vectors) else None


def _path(vectors: np.ndarray, home: Path) -> Path:
    """Beside the models, not in them: a bundle from elsewhere never brings one, so only our own is ever opened."""
    digest = hashlib.sha256(np.ascontiguousarray(vectors).view(np.uint8).reshape(-1).data).hexdigest()
    return home / "indexes" / f"{digest[:32]}.{LIBRARY}"
