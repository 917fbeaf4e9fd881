"""One cell to one value: a number, a boolean, a date, a word. Training and answering read cells with the same eyes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, Final

Cell = str | int | float | bool | None

# In a column of numbers, booleans or dates these stand for "missing". In a column of words only an empty cell is
# missing: a city may be called "NA" and a person "Null" (`--missing NA` says otherwise).
MISSING_WORDS: Final = frozenset(
    {"", "na", "n/a", "n.a.", "#n/a", "nan", "null", "none", "nil", "?", "-", "--", ".", "missing", "unknown", "#null!"}
)
TRUE_WORDS: Final = frozenset({"true", "t", "yes", "y", "1", "on"})
FALSE_WORDS: Final = frozenset({"false", "f", "no", "n", "0", "off"})
NUMBER: Final = re.compile(r"[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,4})?", re.ASCII)
GROUPED: Final = re.compile(r"[+-]?\d{1,3}(?:[,. '\u00a0\u202f]\d{3})+(?:[.,]\d+)?", re.ASCII)
UNITS_S: Final = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
# Above this, neighbouring whole numbers are the same float, so such a column is a name, not a quantity.
LARGEST_EXACT_INT: Final = 2**53


@dataclass(frozen=True)
class NumberStyle:
    """How a column writes its numbers: the decimal mark and what stands between thousands ('' for nothing)."""

    decimal: str = "."
    thousands: str = ""


PLAIN: Final = NumberStyle()


def is_blank(cell: Cell) -> bool:
    """True for None, NaN and text of blanks only."""
    if cell is None:
        return True
    if isinstance(cell, str):
        return not cell or cell.isspace()
    return isinstance(cell, float) and math.isnan(cell)


def is_missing(cell: Cell) -> bool:
    """True for a blank cell or one of MISSING_WORDS in any case."""
    return is_blank(cell) or (isinstance(cell, str) and cell.strip().casefold() in MISSING_WORDS)


def python_cell(value: Any, wanted: str) -> Cell | date:
    """A cell of Python's own types from one of numpy's, pandas' or the standard library's; None for NA and NaT.

    Raises ValueError saying what was received where `wanted` was expected.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, date):
        return None if str(value) == "NaT" else value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real | Decimal):
        return _float(value)
    if type(value).__name__ == "NAType":
        return None
    if type(value).__name__ == "datetime64":
        return None if str(value) == "NaT" else str(value)
    if type(value).__name__ in ("bool", "bool_") and hasattr(value, "item"):
        return bool(value)
    raise ValueError(f"expected {wanted}, received {type(value).__name__}")


def to_number(cell: Cell, style: NumberStyle = PLAIN) -> float:
    """The number in a cell, NaN when it is missing. Raises ValueError saying what was received."""
    if isinstance(cell, bool):
        return float(cell)
    if isinstance(cell, int | float):
        return _finite(cell, str(cell))
    if cell is None:
        return math.nan
    if not isinstance(cell, str):
        return to_number(_without_date(python_cell(cell, "a number")), style)
    text = cell.strip()
    if text.casefold() in MISSING_WORDS:
        return math.nan
    plain = text
    if style.thousands:
        plain = _ungrouped(plain, style)
    if style.decimal != ".":
        plain = plain.replace(style.decimal, ".")
    if NUMBER.fullmatch(plain) is None:
        raise ValueError(f"expected a number, received {quoted(text)}")
    return _finite(float(plain), text)


def _ungrouped(text: str, style: NumberStyle) -> str:
    """The text without marks between thousands. 12.5 is no number where 1.234 is a thousand and more: ValueError."""
    whole, _, rest = text.lstrip("+-").partition(style.decimal)
    first, *others = re.split(f"[{re.escape(style.thousands)}\u00a0\u202f]", whole)
    grouped = not others or (1 <= len(first) <= 3 and first[0] != "0" and all(len(part) == 3 for part in others))
    if not grouped or style.thousands in rest:
        raise ValueError(f"expected a number such as 1{style.thousands}234{style.decimal}5, received {quoted(text)}")
    sign = text[: len(text) - len(text.lstrip("+-"))]
    return sign + first + "".join(others) + text[len(sign) + len(whole) :]


def _finite(number: float, text: str) -> float:
    value = _float(number)
    if math.isinf(value):
        raise ValueError(f"expected a finite number, received {quoted(text)}")
    return value


def _float(number: Any) -> float:
    """inf for what is too large for a float."""
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _without_date(cell: Cell | date) -> Cell:
    return cell.isoformat() if isinstance(cell, date) else cell


def to_boolean(cell: Cell) -> float:
    """1.0, 0.0 or NaN for a yes, a no or nothing, in any usual spelling. Raises ValueError saying what was received."""
    if not isinstance(cell, str):
        cell = _without_date(python_cell(cell, "true or false"))
    if isinstance(cell, bool):
        return float(cell)
    if is_missing(cell):
        return math.nan
    word = str(cell).strip().casefold()
    if word in TRUE_WORDS or word == "1.0":
        return 1.0
    if word in FALSE_WORDS or word in ("0.0", "-0.0"):
        return 0.0
    raise ValueError(f"expected true or false, received {quoted(str(cell))}")


def to_date(cell: Cell | date, pattern: str) -> float:
    """Seconds since 1970-01-01 (UTC where no zone is given), NaN when missing.

    `pattern` is "iso" (any ISO 8601 date or time), "epoch_s", "epoch_ms", or a strptime pattern.
    Raises ValueError saying what was received.
    """
    if not isinstance(cell, str):
        cell = python_cell(cell, f"a date like {date_example(pattern)}")
        if isinstance(cell, date):
            return _seconds(cell if isinstance(cell, datetime) else datetime.combine(cell, time()))
    if is_missing(cell):
        return math.nan
    if pattern in ("epoch_s", "epoch_ms"):
        return to_number(cell) / (1000.0 if pattern == "epoch_ms" else 1.0)
    text = str(cell).strip()
    try:
        moment = datetime.fromisoformat(text) if pattern == "iso" else datetime.strptime(text, pattern)
    except ValueError:
        raise ValueError(f"expected a date like {date_example(pattern)}, received {quoted(text)}") from None
    return _seconds(moment)


def _seconds(moment: datetime) -> float:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()


def date_example(pattern: str) -> str:
    """One date written as `pattern` says, for messages and forms."""
    moment = datetime(2024, 12, 31, 18, 30, tzinfo=UTC)
    if pattern == "iso":
        return date(2024, 12, 31).isoformat()
    if pattern in ("epoch_s", "epoch_ms"):
        return str(int(moment.timestamp()) * (1000 if pattern == "epoch_ms" else 1))
    return moment.strftime(pattern)


def to_word(cell: Cell) -> str | None:
    """The canonical spelling of a category or label: 1, 1.0 and "1" are the same word; None when blank."""
    if isinstance(cell, str):
        return cell.strip() or None
    cell = _without_date(python_cell(cell, "a word"))
    if cell is None or is_blank(cell):
        return None
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < LARGEST_EXACT_INT:
        return str(int(cell))
    return str(cell)


def to_text(cell: Cell) -> str | None:
    """The text of a cell as it stands, None when blank."""
    if not isinstance(cell, str):
        cell = _without_date(python_cell(cell, "text"))
    return None if is_blank(cell) else cell if isinstance(cell, str) else str(cell)


def to_seconds(text: str) -> float:
    """Seconds in a span of time: 60, 60s, 5m, 1h; NaN for what is none."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)\s*(s|m|min|h)?", text.strip().lower(), re.ASCII)
    return float(found[1]) * UNITS_S[found[2] or ""] if found else math.nan


def quoted(text: str, limit: int = 60) -> str:
    """`text` in quotes, cut to `limit`: for messages."""
    return f"'{text if len(text) <= limit else text[: limit - 1] + '…'}'"
