"""A table's columns as one float32 matrix, the same for training and answering."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from handrail.core.signature import Columns
from handrail.encode.ngrams import NGrams

DAY_S = 86_400.0
DATE_PARTS = ("days", "year", "month", "day", "weekday", "hour")
UNSEEN = -1.0
PLAIN = ("number", "boolean")
TURNS = tuple(math.radians(degrees) for degrees in (22.5, 45.0, 67.5))
KINDS = ("number", "boolean", "category", "date", "text", "turned")
# More matrix columns than any table of ours gives; a larger number in a bundle is an attack on memory.
MOST_WIDTH = 100_000

LARGEST = np.finfo(np.float32).max


@dataclass(frozen=True)
class ColumnCode:
    """How one input becomes matrix columns, beginning at `start`; `width` of them.

    number, boolean: itself. date: DATE_PARTS. category: its place in `words` (unseen −1, missing NaN),
    then, where `statistics` is set, what the target averages for that word. text: one score per answer, then length.
    turned: the place on the map that `name` and the column `words[0]` give, seen from TURNS, so that trees can cut
    along coasts and roads that run aslant.
    """

    name: str
    kind: str
    start: int
    width: int
    words: tuple[str, ...] = ()
    statistics: bool = False


@dataclass(frozen=True)
class TableCode:
    """All inputs' codes. `statistics[name]` is (words + 1, answers), the last row for unseen and missing words.

    `texts[name]` is the n-grams of a text column and their weights (features, answers).
    """

    codes: tuple[ColumnCode, ...]
    statistics: Mapping[str, np.ndarray]
    texts: Mapping[str, tuple[NGrams, np.ndarray]]

    @property
    def width(self) -> int:
        return sum(code.width for code in self.codes)

    def encode(self, columns: Columns) -> np.ndarray:
        """`(rows, width)` float32, NaN where a number is missing. What is larger than float32 holds is its largest."""
        rows = len(next(iter(columns.values())))
        matrix = np.empty((rows, self._width), dtype=np.float64)
        for code in self.codes:
            if code.kind in PLAIN:
                matrix[:, code.start] = columns[code.name]
            else:
                self._fill(code, columns, matrix)
        # As np.clip, in half of its time for a single row.
        np.minimum(matrix, LARGEST, out=matrix)
        np.maximum(matrix, -LARGEST, out=matrix)
        return matrix.astype(np.float32)

    def _fill(self, code: ColumnCode, columns: Columns, matrix: np.ndarray) -> None:
        column = columns[code.name]
        if code.kind == "category":
            self._category(code, column, matrix)
        elif code.kind == "date":
            matrix[:, code.start : code.start + code.width] = date_parts(column)
        elif code.kind == "turned":
            matrix[:, code.start : code.start + code.width] = turned(column, columns[code.words[0]])
        else:
            self._text(code, column, matrix)

    def _category(self, code: ColumnCode, column: np.ndarray, matrix: np.ndarray) -> None:
        places = self._places[code.name]
        found = [places.get(word, -1) for word in column]
        values = np.array(found, dtype=np.float32)
        for row, word in enumerate(column):
            if word is None:
                values[row] = np.nan
        matrix[:, code.start] = values
        if code.statistics:
            matrix[:, code.start + 1 : code.start + code.width] = self.statistics[code.name][found]

    def _text(self, code: ColumnCode, column: np.ndarray, matrix: np.ndarray) -> None:
        ngrams, weights = self.texts[code.name]
        matrix[:, code.start : code.start + code.width - 1] = text_scores(ngrams, weights, column)
        matrix[:, code.start + code.width - 1] = text_lengths(column)

    def __post_init__(self) -> None:
        places = {code.name: {word: place for place, word in enumerate(code.words)} for code in self.codes}
        object.__setattr__(self, "_places", places)
        object.__setattr__(self, "_width", self.width)

    _places: Mapping[str, Mapping[str, int]] = None  # type: ignore[assignment]
    _width: int = 0

    def settings(self) -> list[dict[str, Any]]:
        """What a manifest keeps; arrays go to `arrays`."""
        return [asdict(code) for code in self.codes]


def text_scores(ngrams: NGrams, weights: np.ndarray, column: np.ndarray) -> np.ndarray:
    """`(rows, answers)`: the weighted n-grams of each text, summed."""
    starts, features, values = ngrams.encode(list(column))
    sums = np.zeros((len(column), weights.shape[1]), dtype=np.float64)
    np.add.at(sums, np.repeat(np.arange(len(column)), np.diff(starts)), weights[features] * values[:, None])
    return sums.astype(np.float32)


def text_lengths(column: np.ndarray) -> np.ndarray:
    """ln(1 + characters) of each text."""
    return np.log1p(np.array([len(text or "") for text in column], dtype=np.float32))


def turned(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """`(rows, 6)`: both coordinates of each place in axes turned by each of TURNS."""
    turns = [(math.cos(angle), math.sin(angle)) for angle in TURNS]
    axes = [part for cos, sin in turns for part in (first * cos + second * sin, second * cos - first * sin)]
    return np.stack(axes, axis=1).astype(np.float32)


def date_parts(seconds: np.ndarray) -> np.ndarray:
    """`(rows, 6)`: see DATE_PARTS; NaN where there is no date."""
    parts = np.full((len(seconds), len(DATE_PARTS)), np.nan, dtype=np.float32)
    for row in np.flatnonzero(np.isfinite(seconds)):
        second = float(seconds[row])
        try:
            moment = datetime.fromtimestamp(second, UTC)
        except (ValueError, OverflowError, OSError):
            continue
        parts[row] = (second / DAY_S, moment.year, moment.month, moment.day, moment.weekday(), moment.hour)
    return parts


def code_from(settings: list[dict[str, Any]], statistics: Mapping[str, np.ndarray],
              texts: Mapping[str, tuple[NGrams, np.ndarray]]) -> TableCode:  # fmt: skip
    """The code that `settings` and its arrays describe. Raises KeyError, TypeError or ValueError when they do not."""
    codes = tuple(ColumnCode(**{**item, "words": tuple(item["words"])}) for item in settings)
    place = 0
    for code in codes:
        if code.start != place or not 0 <= code.width <= MOST_WIDTH:
            raise ValueError(f"column {code.name!r} is given an impossible place")
        if code.kind not in KINDS:
            raise ValueError(f"column {code.name!r} is of an unknown kind")
        place += code.width
    return TableCode(codes, statistics, texts)
