"""How a column writes its numbers: the decimal mark, and what stands between thousands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from handrail.core.values import PLAIN, Cell, NumberStyle, to_number

AMERICAN: Final = NumberStyle(".", ",")
EUROPEAN: Final = NumberStyle(",", ".")
STYLES: Final = (PLAIN, AMERICAN, EUROPEAN, NumberStyle(",", " "), NumberStyle(".", "'"))
# 3.5 and 0.123 are fractions whatever else is in a table; 12.667 may be twelve thousand.
FRACTION: Final = re.compile(r"[+-]?(?:\d*([.,])(?:\d{1,2}|\d{4,})|0*([.,])\d+|\d{4,}([.,])\d+)", re.ASCII)
SAMPLE: Final = 200


@dataclass(frozen=True)
class Reading:
    """`doubt` says which cell another style reads as another number, and how to mean that; "" where there is none."""

    style: NumberStyle
    values: Sequence[float]
    doubt: str = ""


def decimal_mark(columns: Mapping[str, Sequence[Cell]], separator: str) -> str:
    """The mark before fractions in this table: told by cells that leave no doubt, else by ';' between cells."""
    marks = {mark for cells in columns.values() for mark in _marks(cells[:SAMPLE])}
    if len(marks) == 1:
        return marks.pop()
    return "," if separator == ";" and not marks else ""


def reading(known: Sequence[Cell], decimal: str) -> Reading | None:
    """All cells as numbers in the likeliest style, None where no style fits. `decimal` is `decimal_mark`'s finding."""
    plain = numbers_in(known, PLAIN)
    if plain is not None:
        swapped = numbers_in(known, EUROPEAN) if decimal == "," and _is_marked(known, ".") else None
        return _likelier(known, swapped, plain, thousands=True) if swapped else Reading(PLAIN, plain)
    american, european = numbers_in(known, AMERICAN), numbers_in(known, EUROPEAN)
    if american and european and american != european:
        return _likelier(known, american, european, thousands=decimal != ",")
    for style in STYLES[1:]:
        values = numbers_in(known, style)
        if values is not None:
            return Reading(style, values)
    return None


def number_in(cell: Cell, style: NumberStyle = PLAIN) -> float | None:
    """The number in a cell, None where it is none or its thousands are not groups of three."""
    try:
        return to_number(cell, style)
    except ValueError:
        return None


def numbers_in(cells: Sequence[Cell], style: NumberStyle) -> list[float] | None:
    """All cells as numbers in this style, NaN where missing; None where one is no number."""
    values = []
    for cell in cells:
        value = number_in(cell, style)
        if value is None:
            return None
        values.append(value)
    return values


def _marks(cells: Sequence[Cell]) -> set[str]:
    found = (FRACTION.fullmatch(cell.strip()) for cell in cells if isinstance(cell, str))
    return {match[match.lastindex or 0] for match in found if match is not None}


def _is_marked(cells: Sequence[Cell], mark: str) -> bool:
    return any(isinstance(cell, str) and mark in cell for cell in cells)


def _likelier(known: Sequence[Cell], grouped: list[float], fractions: list[float], *, thousands: bool) -> Reading:
    """Thousands where what has no mark is below 1000, as it must be then; else thousandths."""
    both = [(str(cell), large, small) for cell, large, small in zip(known, grouped, fractions, strict=True)]
    cell, large, small = next((one for one in both if one[1] != one[2]), ("", 0.0, 0.0))
    mark = "," if "," in cell else "."
    grouping, other = (AMERICAN, EUROPEAN) if mark == "," else (EUROPEAN, PLAIN)
    if thousands and all(abs(value) < 1000 for text, value, _ in both if mark not in text):
        return Reading(grouping, grouped, f"{cell} is read as {large:.15g}; if {small:.15g} is meant, write {cell}0")
    return Reading(other, fractions, f"{cell} is read as {small:.15g}; if {large:.15g} is meant, write {large:.15g}")
