"""Amounts with a currency, a percent sign, brackets or a long minus, as plain numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from handrail.core.values import Cell, is_missing
from handrail.data.numbers import reading
from handrail.data.table import Table

UNIT: Final = r"[$€£¥₹%]|USD|EUR|GBP|CHF"
BLANK: Final = r"[\s\u00a0\u202f]*"
AMOUNT: Final = re.compile(
    rf"(?P<open>\()?{BLANK}(?P<sign>[+\-\u2212])?{BLANK}(?P<before>{UNIT})?{BLANK}(?P<minus>[\-\u2212])?"
    rf"(?P<number>\d[\d.,' \u00a0\u202f]*?){BLANK}(?P<after>{UNIT})?{BLANK}(?P<close>\))?",
    re.ASCII,
)
MARK: Final = re.compile(rf"{UNIT}|[(\u2212]")
NAMES: Final = {"()": "brackets for a minus", "\u2212": "a long minus"}
SAMPLE: Final = 200


def with_plain_amounts(table: Table) -> Table:
    """The table in which columns of such amounts hold plain numbers, with a note for each."""
    columns, notes = dict(table.columns), list(table.notes)
    for name, cells in table.columns.items():
        sample = cells[:: max(1, len(cells) // SAMPLE)]
        if any(isinstance(cell, str) and MARK.search(cell) for cell in sample):
            found = _plain(cells)
            if found is not None:
                columns[name], marks = found
                notes.append(f"'{name}' is written with {marks}: its numbers are read without")
    return replace(table, columns=columns, notes=tuple(notes))


def _plain(cells: Sequence[Cell]) -> tuple[list[Cell], str] | None:
    """The cells as plain numbers and the marks they had, None where one is no amount or the units are mixed."""
    plain: dict[Cell, Cell] = {}
    marks = Counter[str]()
    for cell in dict.fromkeys(cells):
        if isinstance(cell, str) and not is_missing(cell):
            match = AMOUNT.fullmatch(cell.strip())
            found = _marks(match) if match else None
            if match is None or found is None:
                return None
            marks.update(found)
            negative = match["open"] or match["minus"] or match["sign"] in ("-", "\u2212")
            plain[cell] = f"{'-' if negative else ''}{match['number']}"
    units = [mark for mark in marks if re.fullmatch(UNIT, mark)]
    if not marks or len(units) > 1 or 0 < marks["%"] < len(plain) or reading([*plain.values()], "") is None:
        return None
    return [plain.get(cell, cell) for cell in cells], " and ".join(NAMES.get(mark, f"'{mark}'") for mark in marks)


def _marks(match: re.Match[str]) -> list[str] | None:
    """The marks of an amount, None where they contradict each other; (5) is a number in brackets, (5.20) an amount."""
    unit = match["before"] or match["after"]
    if bool(match["open"]) != bool(match["close"]) or (match["before"] and match["after"]):
        return None
    if match["open"] and not unit and "." not in match["number"]:
        return None
    long_minus = "\u2212" in (match["sign"], match["minus"])
    return [*([unit] if unit else []), *(["()"] if match["open"] else []), *(["\u2212"] if long_minus else [])]
