"""What a search looks through: documents, the passages they are cut into, and a vector for each passage."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from handrail.core.bundle import Bundle, damaged, strict_json, to_npy
from handrail.core.errors import HandrailError

DOCUMENTS, PASSAGES, VECTORS = "encode/documents.txt", "encode/passages.npy", "encode/vectors.npy"
# Of members whose lengths are near 1: what was rounded, or written by others.
LENGTH_TOLERANCE: Final = 1e-2


@dataclass(frozen=True)
class Document:
    """A text with a name of its own and whatever else is known of it."""

    id: str
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Library:
    """`passages` is int64 `(passages, 3)`: the place of the document, where in its text it starts, where it ends.
    `vectors` is float32 `(passages, size)`, each of length 1."""

    documents: tuple[Document, ...]
    passages: np.ndarray
    vectors: np.ndarray

    def match(self, place: int, score: float) -> dict[str, Any]:
        """A passage as it is answered; `score` is the cosine."""
        number, start, end = self.passages[place].tolist()
        document = self.documents[number]
        return {"text": document.text[start:end].strip(), "score": score, "document": document.id, "start": start,
                "metadata": document.metadata}  # fmt: skip

    def without(self, ids: frozenset[str]) -> Library:
        """The library when some documents are gone."""
        stay = np.array([document.id not in ids for document in self.documents], dtype=bool)
        numbers = np.cumsum(stay) - 1
        kept = stay[self.passages[:, 0]] if len(self.passages) else np.zeros(0, dtype=bool)
        passages = self.passages[kept].copy()
        passages[:, 0] = numbers[passages[:, 0]]
        documents = tuple(document for document in self.documents if document.id not in ids)
        return Library(documents, passages, self.vectors[kept])

    def joined(self, other: Library) -> Library:
        """This library with another's documents behind its own."""
        moved = other.passages.copy()
        moved[:, 0] += len(self.documents)
        return Library(
            (*self.documents, *other.documents),
            np.concatenate([self.passages, moved]),
            np.concatenate([self.vectors, other.vectors]),
        )


def files_of(library: Library) -> dict[str, bytes]:
    """The members that a bundle keeps of a library."""
    return {
        DOCUMENTS: b"".join(_line(document) for document in library.documents),
        PASSAGES: to_npy(np.ascontiguousarray(library.passages)),
        VECTORS: to_npy(np.ascontiguousarray(library.vectors)),
    }


def library_of(bundle: Bundle) -> Library:
    """The library in a bundle. Raises HandrailError ("bundle") when its parts do not fit each other."""
    try:
        lines = bundle.read(DOCUMENTS).decode("utf-8").split("\n")[:-1]
        documents = tuple(_document(line, bundle) for line in lines)
        library = Library(documents, bundle.read_array(PASSAGES), bundle.read_array(VECTORS))
        _check(library, bundle.manifest.signature.output.size)
    except (HandrailError, ValueError, TypeError, KeyError, EOFError, OSError) as error:
        raise damaged(bundle.path, f"what it searches is off: {str(error)[:200]}") from error
    return library


def _line(document: Document) -> bytes:
    value = {"id": document.id, "text": document.text, "metadata": document.metadata}
    return (json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False) + "\n").encode("utf-8")


def _document(line: str, bundle: Bundle) -> Document:
    value = strict_json(line.encode("utf-8"), bundle.path, DOCUMENTS)
    if not isinstance(value["id"], str) or not isinstance(value["text"], str) or type(value["metadata"]) is not dict:
        raise TypeError("a document is no id, text and metadata")
    return Document(value["id"], value["text"], value["metadata"])


def _check(library: Library, size: int) -> None:
    passages, vectors, documents = library.passages, library.vectors, library.documents
    if passages.dtype != np.int64 or passages.ndim != 2 or passages.shape[1] != 3:
        raise ValueError("passages are not (passages, 3) whole numbers")
    if vectors.dtype != np.float32 or vectors.shape != (len(passages), size):
        raise ValueError(f"vectors are not ({len(passages):,}, {size:,}) numbers")
    if len({document.id for document in documents}) != len(documents):
        raise ValueError("two documents have one id")
    numbers, starts, ends = passages.T
    if len(passages) and not (numbers.min() >= 0 and numbers.max() < len(documents)):
        raise ValueError("a passage of no document")
    lengths = np.array([len(document.text) for document in documents], np.int64)
    if not ((starts >= 0) & (starts < ends) & (ends <= lengths[numbers])).all():
        raise ValueError("a passage outside its document")
    if not (np.abs(np.linalg.norm(vectors, axis=1) - 1) < LENGTH_TOLERANCE).all():
        raise ValueError("a vector whose length is not 1")
