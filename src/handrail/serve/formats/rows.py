"""Rows of a request, checked: a fast way for what is right, the signature's own way for what is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from math import isfinite
from struct import Struct
from typing import Any

from handrail.core.field import Field
from handrail.core.signature import MAX_PROBLEMS_SHOWN, Columns, Signature
from handrail.serve.formats.call import Values

Check = Callable[[Sequence[Any]], list[Values]]


def compiled(signature: Signature) -> Check:
    """A function from rows as they came to their values. Raises HandrailError ("data") that names rows and fields.

    It must answer what `Signature.columns_of_rows` answers; rows it does not know at a glance are handed to that.
    """
    if signature.takes_vectors():
        return _compiled_vectors(signature)
    fields = [(field.name, _quick(field), field.optional) for field in signature.inputs]
    count = len(fields)
    bare = count == 1

    def quickly(row: Any) -> Values | None:
        if type(row) is not dict:
            row = {fields[0][0]: row} if bare and type(row) is str else {}
        values: Values = []
        seen = 0
        for name, quick, optional in fields:
            cell = row.get(name)
            if cell is None:
                if not optional:
                    return None
                seen += name in row
                values.append(None)
                continue
            seen += 1
            value = quick(cell)
            if value is None:
                return None
            values.append(value)
        return values if seen == len(row) else None

    known = {*signature.names(), *signature.ignored, signature.output.name}

    def check(rows: Sequence[Any]) -> list[Values]:
        found = []
        for row in rows:
            values = quickly(row)
            if values is None:
                return values_of_columns(signature, signature.columns_of_rows([_trimmed(row, known) for row in rows]))
            found.append(values)
        return found

    return check


def _trimmed(row: Any, known: set[str]) -> Any:
    """The row with no more unknown fields than a message names: each is compared with all the known ones."""
    if type(row) is not dict or len(row) <= len(known) + MAX_PROBLEMS_SHOWN:
        return row
    unknown = islice((name for name in row if name not in known), MAX_PROBLEMS_SHOWN + 1)
    return {**{name: cell for name, cell in row.items() if name in known}, **dict.fromkeys(unknown)}


def _compiled_vectors(signature: Signature) -> Check:
    fields = [(field.name, field.size, Struct(f"<{field.size}f").pack) for field in signature.inputs]

    def quickly(row: Any) -> Values | None:
        if type(row) is list and len(fields) == 1:
            row = {fields[0][0]: row}
        if type(row) is not dict or len(row) != len(fields):
            return None
        values: Values = []
        for name, size, pack in fields:
            cell = row.get(name)
            # What is not finite makes the sum so, too; whole numbers and all else are for the signature to judge.
            if (
                type(cell) is not list
                or len(cell) != size
                or set(map(type, cell)) != {float}
                or not isfinite(sum(cell))
            ):
                return None
            values.append(pack(*cell))
        return values

    def check(rows: Sequence[Any]) -> list[Values]:
        try:
            found = [quickly(row) for row in rows]
        except OverflowError:  # larger than float32 holds
            found = [None]
        if None in found:
            return values_of_columns(signature, signature.columns_of_rows(rows))
        return found  # type: ignore[return-value]

    return check


def values_of_columns(signature: Signature, columns: Columns) -> list[Values]:
    """Rows of parsed columns, NaN as None, vectors as bytes of float32."""
    if signature.takes_vectors():
        parts = [columns[field.name].astype("<f4", copy=False) for field in signature.inputs]
        return [[row.tobytes() for row in rows] for rows in zip(*parts, strict=True)]
    cells = []
    for field in signature.inputs:
        listed = columns[field.name].tolist()
        if field.kind not in ("category", "text"):
            listed = [None if value != value else value for value in listed]  # noqa: PLR0124 - NaN is not itself
        cells.append(listed)
    return [list(row) for row in zip(*cells, strict=True)]


def _quick(field: Field) -> Callable[[Any], float | str | None]:
    """The value of a cell of the usual type, None for every other: then the signature decides."""

    def number(cell: Any) -> float | None:
        return cell if type(cell) is float else float(cell) if type(cell) is int else None

    def boolean(cell: Any) -> float | None:
        return float(cell) if type(cell) is bool else None

    def word(cell: Any) -> str | None:
        return (cell.strip() or None) if type(cell) is str else None

    def text(cell: Any) -> str | None:
        return cell if type(cell) is str and cell and not cell.isspace() else None

    def date(cell: Any) -> float | None:
        if type(cell) is not str:
            return None
        try:
            value = field.parse(cell)
        except ValueError:
            return None
        return value if isinstance(value, float) and value == value else None  # noqa: PLR0124

    return {"number": number, "boolean": boolean, "category": word, "text": text, "date": date}[field.kind]
