"""One input of a model: how its cells are read, what is refused, and the words for both."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from handrail.core.errors import HandrailError
from handrail.core.values import (
    Cell,
    NumberStyle,
    date_example,
    is_blank,
    python_cell,
    quoted,
    to_boolean,
    to_date,
    to_number,
    to_text,
    to_word,
)

InputKind = Literal["number", "boolean", "date", "category", "text", "vector"]
Value = float | str | np.ndarray | None
Reader = Callable[[Cell], Value]
JSON_TYPES: Final = (str, int, float, bool, type(None), list, dict)
MAX_VECTOR: Final = 1_000_000


@dataclass(frozen=True)
class Field:
    """One input. `optional` fields may be left out or null: training saw them missing, too.

    `minimum` and `maximum` are what training saw, not limits. `choices` are the words training saw, commonest first
    (possibly cut); others are accepted and treated as unseen. `pattern` is a date's (see `to_date`). A vector holds
    `size` numbers and is never missing.
    """

    name: str
    kind: InputKind
    optional: bool = False
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    example: Cell = None
    pattern: str = "iso"
    decimal: str = "."
    thousands: str = ""
    size: int = 0

    def parse(self, cell: Cell) -> Value:
        """The value of one cell: a float (NaN when missing) for number, boolean and date; else text or None.

        Raises ValueError that says what was expected and received.
        """
        return self._reader()(cell)

    def accept(self, cell: Cell) -> Value:
        """`parse`, but a missing value is refused, too, where training saw none: an empty text alone is a text.

        Raises ValueError that says what was expected and received.
        """
        return self.acceptor()(cell)

    def parse_column(self, cells: Sequence[Cell]) -> np.ndarray:
        """All cells of a column at once, `(rows,)`, gaps as NaN or None.

        Raises HandrailError naming the first row (1 is the first).
        """
        read = self._reader()
        try:
            return array_of(self, [read(cell) for cell in cells])
        except ValueError:
            mend = f"mend that cell, or read '{self.name}' as words: --kind {self.name}=category"
            raise self._first_problem(cells, read, mend) from None

    def accept_column(self, cells: Sequence[Cell]) -> np.ndarray:
        """`parse_column` for cells that are to be answered: gaps are refused where training saw none."""
        accept = self.acceptor()
        try:
            return array_of(self, [accept(cell) for cell in cells])
        except ValueError:
            raise self._first_problem(cells, accept, "mend that cell, or leave the row out") from None

    def gap_rows(self, cells: Sequence[Cell]) -> list[int]:
        """The places of gaps where training saw none. Raises HandrailError as `parse_column` does."""
        pairs = zip(cells, self.parse_column(cells).tolist(), strict=True)
        return [place for place, (cell, value) in enumerate(pairs) if self._is_gap(cell, value)]

    def gaps(self, rows: int) -> np.ndarray:
        """A column that is not there, `(rows,)`."""
        return array_of(self, [self.parse(None)] * rows)

    def _is_gap(self, cell: Cell, value: Value) -> bool:
        if self.kind == "vector" or self.optional or (value is not None and value == value):  # noqa: PLR0124 - NaN is not itself
            return False
        return self.kind != "text" or not isinstance(cell, str)

    def _reader(self) -> Reader:
        if self.kind == "number":
            if self.decimal == "." and not self.thousands:
                return to_number
            style = NumberStyle(self.decimal, self.thousands)
            return lambda cell: to_number(cell, style)
        if self.kind == "date":
            return lambda cell: to_date(cell, self.pattern)
        if self.kind == "vector":
            return lambda cell: to_vector(cell, self.size)
        return {"boolean": to_boolean, "category": to_word, "text": to_text}[self.kind]

    def acceptor(self) -> Reader:
        read = self._reader()

        def accept(cell: Cell) -> Value:
            value = read(cell)
            if self._is_gap(cell, value):
                raise ValueError(f"expected {wanted(self)}, received {described_cell(cell)}")
            return value

        return accept

    def _first_problem(self, cells: Iterable[Cell], read: Reader, mend: str) -> HandrailError:
        for index, cell in enumerate(cells, start=1):
            try:
                read(cell)
            except ValueError as error:
                where = f"row {index:,}, column '{self.name}'"
                return HandrailError("data", str(error), mend, where=where, field=self.name)
        raise AssertionError("a column failed and none of its cells does")

    def sample(self) -> Cell:
        """A value that this field accepts, for docs, forms and messages."""
        if self.example is not None:
            return self.example
        if self.choices:
            return self.choices[0]
        samples: dict[str, Any] = {
            "vector": [0.0] * self.size,
            "number": 1.0,
            "boolean": True,
            "date": date_example(self.pattern),
            "text": "some text",
        }
        sample: Cell = samples.get(self.kind, "a word")
        return sample


def array_of(field: Field, values: Sequence[Value]) -> np.ndarray:
    """Values of a field as one column, `(rows,)` or, for vectors, `(rows, size)`."""
    if field.kind == "vector":
        return np.array(values, dtype=np.float32).reshape(len(values), field.size)
    if field.kind in ("category", "text"):
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column
    return np.array(values, dtype=np.float64)


def to_vector(cell: object, size: int) -> np.ndarray:
    """`size` finite numbers as float32 `(size,)`. Raises ValueError that says what was expected and received."""
    wanted = f"expected a list of {size:,} numbers, received "
    if not isinstance(cell, list | tuple | np.ndarray):
        raise ValueError(wanted + (quoted(cell) if isinstance(cell, str) else type(cell).__name__))
    if len(cell) != size:
        raise ValueError(f"{wanted}{len(cell):,}")
    try:
        found = np.array(cell)
    except ValueError:
        raise ValueError(f"{wanted}lists of different lengths") from None
    truths = isinstance(cell, list) and bool in set(map(type, cell))
    if found.shape != (size,) or found.dtype.kind not in "fiu" or truths:
        raise ValueError(f"{wanted}something else among them")
    with np.errstate(over="ignore"):
        vector = found.astype(np.float32)
    if not np.isfinite(vector).all():
        raise ValueError(f"{wanted}one that is too large, or none")
    return vector


def value_in(cells: Mapping[str, Any], field: Field, accept: Reader) -> Value:
    """The value of a field in a JSON-like row. Raises ValueError that names the field."""
    cell = cells.get(field.name)
    try:
        if field.kind == "vector" and isinstance(cell, np.ndarray | tuple):
            return accept(cell)  # type: ignore[arg-type]
        if type(cell) not in JSON_TYPES:
            cell = python_cell(cell, wanted(field))
        if cell is not None and (field.kind == "vector" or cell == cell):  # noqa: PLR0124 - NaN is not itself
            refuse_type(field, cell)
            return accept(cell)
    except ValueError as error:
        raise ValueError(f"field '{field.name}': {error}") from None
    if not field.optional:
        raise ValueError(f"field '{field.name}' {'is null' if field.name in cells else 'is missing'}")
    return None if field.kind in ("category", "text") else math.nan


def refuse_type(field: Field, cell: object) -> None:
    """Raises ValueError when a JSON value is of a type that this field never holds."""
    if isinstance(cell, dict) or isinstance(cell, list) != (field.kind == "vector"):
        raise ValueError(f"expected {wanted(field)}, received {described(cell)}")
    if isinstance(cell, bool) and field.kind in ("number", "text", "date"):
        raise ValueError(f"expected {wanted(field)}, received {str(cell).lower()}")
    if field.kind == "text" and not isinstance(cell, str):
        raise ValueError(f"expected text in quotes, received {described(cell)}")


def wanted(field: Field) -> str:
    """The kind of a field in words, for messages."""
    return {
        "number": "a number",
        "boolean": "true or false",
        "date": f"a date like {date_example(field.pattern)}",
        "category": "a word" + (f" such as '{field.choices[0]}'" if field.choices else ""),
        "text": "text",
        "vector": f"a list of {field.size:,} numbers",
    }[field.kind]


def described_cell(cell: object) -> str:
    """A cell in words, nothing where there is none."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "nothing"
    return "an empty text" if isinstance(cell, str) and is_blank(cell) else described(cell)


def described(value: object) -> str:
    """A JSON value in words, never longer than a line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int | float):
        return f"the number {str(value)[:40]}"
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, Mapping) else type(value).__name__
