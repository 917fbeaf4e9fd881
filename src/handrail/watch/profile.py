"""What the training data look like, as counts in bins: a member of the bundle that later rows are compared with.

No row can be read in it: numbers are quantiles, texts are lengths and hashes of words that several rows share.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from handrail.core.bundle import Bundle, damaged, to_json
from handrail.core.field import Field
from handrail.core.signature import Output, Signature
from handrail.core.values import Cell
from handrail.watch.words import MOST_WORDS, hashes_of, packed, unpacked, unseen_share, vocabulary_of

# A name that bundles have always allowed, so that an older Handrail opens them, too.
MEMBER: Final = "encode/profile.json"
FORMAT: Final = 1
BINS: Final = 20
MOST_ROWS: Final = 20_000
MOST_COLUMNS: Final = 200
# Words that are counted one by one; the rest is counted together.
MOST_SHARES: Final = 30
MOST_LABELS: Final = 50
LONGEST_WORD: Final = 60  # bytes
MOST_BYTES: Final = 2**20
UNSEEN_EDGES: Final = (1e-9, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8)

What = Literal["value", "length", "unseen words"]


@dataclass(frozen=True)
class Measure:
    """Counts of one thing about a column: `counts[0]` are gaps; then ranges of numbers, cut at `edges` (a value on an
    edge is above it), or, where there are no edges, `words` and last all other words."""

    what: What
    counts: tuple[int, ...]
    edges: tuple[float, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def is_ordered(self) -> bool:
        return bool(self.edges)

    def as_dict(self) -> dict[str, Any]:
        return {"what": self.what, "counts": self.counts, "edges": self.edges, "words": self.words}


@dataclass(frozen=True)
class Column:
    """One input: what is counted of it. `vocabulary` holds hashes of the words of its texts."""

    name: str
    kind: str
    measures: tuple[Measure, ...]
    vocabulary: frozenset[int] = frozenset()

    def as_dict(self) -> dict[str, Any]:
        told = {"name": self.name, "kind": self.kind, "measures": [one.as_dict() for one in self.measures]}
        return {**told, "vocabulary": packed(self.vocabulary)} if self.vocabulary else told


@dataclass(frozen=True)
class Profile:
    """`target` counts the right answers of the training rows, `answers` what the model said to rows it never saw."""

    rows: int
    columns: tuple[Column, ...]
    target: Measure
    answers: Measure

    def as_dict(self) -> dict[str, Any]:
        columns = [one.as_dict() for one in self.columns]
        told = {"target": self.target.as_dict(), "answers": self.answers.as_dict()}
        return {"format": FORMAT, "rows": self.rows, "columns": columns, **told}

    def without(self, names: Collection[str]) -> Profile:
        """All columns but these."""
        return replace(self, columns=tuple(one for one in self.columns if one.name not in names))

    def as_bytes(self) -> bytes:
        return to_json(self.as_dict())

    @property
    def key(self) -> str:
        """The same for the same profile."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()[:16]


def profile_of(
    signature: Signature, columns: Mapping[str, Sequence[Cell]], target: Sequence[Any], answers: Sequence[Any]
) -> Profile:
    """The profile of rows to learn from, and of what the model answers where it did not learn.

    `target` and `answers` hold a label, a list of labels or a number for each row. Same rows, same bytes.
    """
    rows = len(target)
    places = np.linspace(0, rows - 1, min(rows, MOST_ROWS)).astype(int).tolist() if rows else []
    fields = [field for field in signature.inputs if field.kind != "vector"][:MOST_COLUMNS]
    texts = sum(field.kind == "text" for field in fields)
    found = [_column(field, [columns[field.name][place] for place in places], texts) for field in fields]
    return Profile(rows, tuple(found), of_answers(signature.output, target), of_answers(signature.output, answers))


def of_answers(output: Output, answers: Sequence[Any]) -> Measure:
    """Counts of labels, or of numbers in ranges that hold equally many."""
    if output.kind == "number":
        return _ranges("value", np.array(answers, dtype=np.float64))
    words = [word for answer in answers for word in (answer if isinstance(answer, list) else [answer])]
    empty = sum(isinstance(answer, list) and not answer for answer in answers)
    return _shares([None] * empty + words, MOST_LABELS)


def profile_in(bundle: Bundle) -> Profile | None:
    """The profile of a bundle, None where it has none. Raises HandrailError ("bundle") for one that is off."""
    listed = bundle.manifest.files.get(MEMBER)
    if listed is None:
        return None
    if listed["bytes"] > MOST_BYTES:
        raise damaged(bundle.path, f"{MEMBER} is larger than {MOST_BYTES:,} bytes")
    try:
        return profile_from(bundle.read_json(MEMBER))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise damaged(bundle.path, f"{MEMBER} is off: {error}") from error


def profile_from(value: Any) -> Profile | None:
    """The inverse of `Profile.as_dict`; None for a format that is not known here. Raises ValueError or the like."""
    if value["format"] != FORMAT:
        return None
    columns = tuple(_column_from(one) for one in value["columns"])
    if len(columns) > MOST_COLUMNS or type(value["rows"]) is not int:
        raise ValueError("too many columns, or no count of rows")
    return Profile(value["rows"], columns, _measure_from(value["target"]), _measure_from(value["answers"]))


def counted(measure: Measure, values: np.ndarray) -> np.ndarray:
    """Counts of values in the bins of a measure, `(bins,)`. Values: float64 with NaN, or object of str and None."""
    found = np.zeros(len(measure.counts), dtype=np.int64)
    if measure.is_ordered:
        known = values[~np.isnan(values)]
        found[0] = len(values) - len(known)
        found[1:] = np.bincount(np.searchsorted(measure.edges, known, side="right"), minlength=len(found) - 1)
        return found
    places = {word: place for place, word in enumerate(measure.words, start=1)}
    for value in values:
        found[0 if value is None else places.get(value, len(found) - 1)] += 1
    return found


def counted_column(column: Column, cells: Sequence[Any]) -> list[np.ndarray]:
    """Counts for each measure of a column. Cells are checked values: numbers or words, None where missing."""
    if column.kind != "text":
        return [counted(column.measures[0], as_array(column.kind, cells))]
    texts = [None if cell is None else hashes_of(cell) for cell in cells]
    unseen = [math.nan if words is None else unseen_share(words, column.vocabulary) for words in texts]
    return [
        counted(one, values) for one, values in zip(column.measures, [_lengths(cells), np.array(unseen)], strict=True)
    ]


def as_array(kind: str, cells: Sequence[Any]) -> np.ndarray:
    """Checked cells as one column: float64 with NaN, or object of str and None."""
    if kind not in ("category", "text"):
        return np.array(cells, dtype=np.float64)
    array = np.empty(len(cells), dtype=object)
    array[:] = cells
    return array


def _column(field: Field, cells: Sequence[Cell], texts: int) -> Column:
    values = field.parse_column(cells)
    if field.kind == "category":
        return Column(field.name, field.kind, (_shares(values.tolist(), MOST_SHARES),))
    if field.kind != "text":
        return Column(field.name, field.kind, (_ranges("value", values),))
    known = [[] if cell is None else hashes_of(cell) for cell in values.tolist()]
    vocabulary, unseen = vocabulary_of(known, MOST_WORDS // max(1, texts))
    measures = (_ranges("length", _lengths(values.tolist())), _ranges("unseen words", unseen, UNSEEN_EDGES))
    return Column(field.name, field.kind, measures, vocabulary)


def _lengths(cells: Sequence[str | None]) -> np.ndarray:
    return np.array([math.nan if cell is None else len(cell) for cell in cells], dtype=np.float64)


def _ranges(what: What, values: np.ndarray, edges: tuple[float, ...] = ()) -> Measure:
    edges = edges or _edges(values[~np.isnan(values)])
    empty = Measure(what, (0,) * (len(edges) + 2), edges)
    return Measure(what, tuple(counted(empty, values).tolist()), edges)


def _edges(known: np.ndarray) -> tuple[float, ...]:
    """Values between which equally many lie; where many are equal, they have a range of their own."""
    if not len(known):
        return (0.0,)
    cuts = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[:-1], method="higher"))
    inner: list[float] = cuts[cuts > known.min()].tolist()
    if inner:
        return tuple(inner)
    only = float(known.max())
    return (only, float(np.nextafter(only, math.inf)))


def _shares(cells: Sequence[str | None], most: int) -> Measure:
    counts: dict[str, int] = {}
    for cell in cells:
        if cell is not None:
            counts[cell] = counts.get(cell, 0) + 1
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    words = [word for word in ranked if word.isprintable() and len(word.encode()) <= LONGEST_WORD][:most]
    rest = sum(counts.values()) - sum(counts[word] for word in words)
    gaps = sum(cell is None for cell in cells)
    return Measure("value", (gaps, *(counts[word] for word in words), rest), (), tuple(words))


def _column_from(value: Any) -> Column:
    name, kind = value["name"], value["kind"]
    measures = tuple(_measure_from(one) for one in value["measures"])
    if not isinstance(name, str) or kind not in ("number", "boolean", "date", "category", "text"):
        raise ValueError("a column has no name, or is of no known kind")
    if len(measures) != (2 if kind == "text" else 1) or any(one.is_ordered == (kind == "category") for one in measures):
        raise ValueError(f"the column '{name[:60]}' has other measures than its kind")
    return Column(name, kind, measures, unpacked(value.get("vocabulary", "")))


def _measure_from(value: Any) -> Measure:
    counts, edges, words = tuple(value["counts"]), tuple(value["edges"]), tuple(value["words"])
    if value["what"] not in ("value", "length", "unseen words"):
        raise ValueError("a measure of nothing that is known")
    if any(type(one) is not int or not 0 <= one < 2**53 for one in counts):
        raise ValueError("counts are whole numbers")
    if any(type(one) not in (int, float) for one in edges) or list(edges) != sorted(set(edges)):
        raise ValueError("edges are numbers, each larger than the one before")
    if not all(isinstance(one, str) for one in words) or len(set(words)) != len(words) or (edges and words):
        raise ValueError("words are different texts, and have no edges beside")
    if len(counts) != len(edges or words) + 2 or len(counts) > BINS + MOST_LABELS + 2:
        raise ValueError("as many counts as bins")
    return Measure(value["what"], counts, tuple(map(float, edges)), words)
