"""What kind of thing stands in a column, and how its cells are read, with the reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from handrail.core.errors import HandrailError
from handrail.core.field import Field, InputKind
from handrail.core.values import (
    FALSE_WORDS,
    LARGEST_EXACT_INT,
    PLAIN,
    TRUE_WORDS,
    Cell,
    NumberStyle,
    date_example,
    is_blank,
    is_missing,
    quoted,
    to_date,
    to_word,
)
from handrail.data.numbers import Reading, number_in, reading

DATE_PATTERNS: Final = (
    "iso", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%d %b %Y", "%b %d, %Y", "%d-%b-%Y",
    "%d %B %Y", "%B %d, %Y", "%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%d.%m.%Y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %I:%M %p", "%m/%d/%Y %I:%M %p", "%m/%d/%Y %I:%M:%S %p",
    "%Y/%m/%d %H:%M:%S", "%Y-%m-%d %H:%M:%S UTC", "%Y%m%d",
)  # fmt: skip
ID_NAME: Final = re.compile(r"(?:^|[_\W])(?i:id|uuid|guid|rownum|row|index|unnamed.*)$|[a-z](?:ID|Id)$", re.ASCII)
YEAR_NAME: Final = re.compile(r"(?:^|[_\W])(?:year|jahr|ann[eé]e|a[nñ]o)s?$", re.IGNORECASE)
GROUP_NAME: Final = re.compile(
    r"(?:^|[_\W])(?:patient|user|customer|client|subject|person|household|session|group|site|store|device|speaker|author|family)"
    r"(?:[_\W]?(?:id|no|nr|number|key|name))?s?$|(?:patient|user|customer|client|subject|session|group)I[Dd]$",
    re.IGNORECASE,
)
# Whole numbers under these names say who a row is about; under others of GROUP_NAME they may count ("users", "family").
GROUP_ID_NAME: Final = re.compile(
    r"(?:^|[_\W])(?:patient|user|customer|client|subject|person|speaker|author)$|[a-z](?:[_\W]?id|[_\W](?:no|nr|key))$",
    re.IGNORECASE,
)
FEWEST_GROUPS: Final = 5
EPOCH_NAME: Final = re.compile(r"time|date|epoch|stamp|_at$", re.IGNORECASE)
MOST_CHOICES: Final = 1_000
SAMPLE: Final = 300
# Thai, Lao, Burmese, Khmer, Japanese and Chinese stand without blanks; about two characters are a word.
UNSPACED: Final = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
# One word of more than this many letters, and hardly anything else, is no key: keys hold digits and marks.
LONGEST_KEY: Final = 15
# Of more different cells than this that are no numbers, one would be a word like the others.
MOST_ODD: Final = 3
# A column of words is text when its cells have this many words on average, and rarely repeat.
TEXT_WORDS: Final = 3.0


@dataclass(frozen=True)
class Seen:
    """A column's kind with the reason, before anybody overrules it. `kind` may also be "id", "constant" or "empty"."""

    kind: str
    reason: str
    pattern: str = "iso"
    style: NumberStyle = PLAIN
    note: str = ""


def seen(name: str, cells: Sequence[Cell], decimal: str = "") -> Seen:
    """The kind of a column. `decimal` is the mark before fractions in its table, "" where nothing tells.

    Raises HandrailError for a number that no computer holds (1e999).
    """
    counts = Counter(cells)
    distinct = [cell for cell in counts if not is_blank(cell)]
    if not distinct:
        return Seen("empty", "no cell holds anything")
    filled = sum(counts[cell] for cell in distinct)
    known = [cell for cell in distinct if not is_missing(cell)]
    if len(distinct) == 1 and filled == len(cells):
        return Seen("constant", f"every row holds {quoted(str(distinct[0]))}")
    if known and _all_boolean(known):
        return Seen("boolean", f"yes or no: {_some(known)}")
    number = _as_number(name, known, counts, cells, decimal) if known else None
    if number is not None:
        return number
    pattern, odd = _date_pattern(known)
    if pattern and not odd:
        return _as_date(pattern, known)
    words = _as_words(name, distinct, filled)
    return replace(words, note=_spoilt(name, "dates", odd)) if odd else words


def field_of(name: str, kind: str, seen_as: Seen, cells: Sequence[Cell]) -> Field:
    """How the cells of a used column are read. Raises HandrailError where a cell does not fit the kind."""
    style = seen_as.style if kind == "number" else NumberStyle()
    pattern = seen_as.pattern if kind == "date" else "iso"
    plain = Field(name, _input_kind(kind), pattern=pattern, decimal=style.decimal, thousands=style.thousands)
    missing = is_missing if kind in ("number", "boolean", "date") else is_blank
    counts = Counter(cells)
    optional = any(missing(cell) for cell in counts)
    if kind in ("category", "text"):
        words = Counter[str]()
        for cell, count in counts.items() if kind == "category" else ():
            word = to_word(cell)
            if word is not None:
                words[word] += count
        ranked = sorted(words, key=lambda word: (-words[word], word))[:MOST_CHOICES]
        typical = ranked[0] if ranked else next((str(cell) for cell in cells if not is_blank(cell)), "")
        return Field(name, _input_kind(kind), optional, tuple(ranked), example=typical[:500])
    known = [cell for cell in cells if not missing(cell)]
    values = plain.parse_column(known)
    example = _example(kind, known, values)
    low, high = (float(values.min()), float(values.max())) if len(values) else (None, None)
    return Field(name, _input_kind(kind), optional, (), low, high, example, pattern, style.decimal, style.thousands)


def _input_kind(kind: str) -> InputKind:
    return kind if kind in ("number", "boolean", "date", "category", "text") else "category"  # type: ignore[return-value]


def _example(kind: str, known: Sequence[Cell], values: object) -> Cell:
    middle = known[len(known) // 2] if known else None
    if kind == "number" and middle is not None:
        number = float(values[len(known) // 2])  # type: ignore[index]
        return int(number) if number.is_integer() and abs(number) < LARGEST_EXACT_INT else number
    if kind == "boolean" and middle is not None:
        return bool(values[len(known) // 2])  # type: ignore[index]
    return middle


def _all_boolean(known: Sequence[Cell]) -> bool:
    words = {str(cell).strip().casefold() for cell in known}
    words = {{"1.0": "1", "0.0": "0"}.get(word, word) for word in words}
    return (
        len(words) >= 2 and words <= TRUE_WORDS | FALSE_WORDS and bool(words & TRUE_WORDS) and bool(words & FALSE_WORDS)
    )


def _as_number(
    name: str, known: Sequence[Cell], counts: Counter[Cell], cells: Sequence[Cell], decimal: str
) -> Seen | None:
    filled = sum(count for cell, count in counts.items() if not is_blank(cell))
    read = reading(known, decimal)
    if read is not None:
        return _number_kind(name, known, read, len(counts), filled)
    odd = [cell for cell in known if number_in(cell) is None]
    share = sum(counts[cell] for cell in odd) / filled
    if share > 0.5 or (share >= 0.05 and len(odd) > MOST_ODD):
        return None
    _refuse_infinite(name, odd, cells)
    if len(known) <= 20:
        return None
    return Seen("category", _no("numbers", odd), note=_spoilt(name, "numbers", odd))


def _no(kind: str, odd: Sequence[Cell]) -> str:
    return f"{len(odd)} different cells are no {kind}, such as {quoted(str(odd[0]))}"


def _spoilt(name: str, kind: str, odd: Sequence[Cell]) -> str:
    """What keeps a column from being read as what most of its cells are, and what to do."""
    wish = f"mend them, or say --missing {str(odd[0])[:40]!r}"
    return f"'{name}' is read as words because {_no(kind, odd)}; {wish}"


def _refuse_infinite(name: str, odd: Sequence[Cell], cells: Sequence[Cell]) -> None:
    for cell in odd:
        text = str(cell).strip().casefold().lstrip("+-")
        if text in ("inf", "infinity") or re.fullmatch(r"\d+(\.\d*)?e\+?\d+", text):
            row = list(cells).index(cell) + 1
            raise HandrailError(
                "data", f"expected a finite number, received {quoted(str(cell))}", "mend or empty that cell",
                where=f"row {row:,}, column '{name}'", field=name,
            )  # fmt: skip


def _number_kind(name: str, known: Sequence[Cell], read: Reading, distinct: int, filled: int) -> Seen:
    values, style = read.values, read.style
    whole = all(value.is_integer() for value in values)
    if whole and any(
        abs(value) > LARGEST_EXACT_INT and _is_digits(cell) for cell, value in zip(known, values, strict=True)
    ):
        return Seen("id" if distinct > 0.9 * filled else "category", "whole numbers too long to count with: names")
    if whole and distinct > 0.95 * filled and filled > 20 and ID_NAME.search(name):
        return Seen("id", f"{distinct:,} different whole numbers in {filled:,} rows, and its name")
    if (
        whole
        and distinct >= filled > 20
        and not YEAR_NAME.search(name)
        and all(after - before == 1 for before, after in pairwise(values))
    ):
        return Seen("id", "it counts the rows")
    if whole and FEWEST_GROUPS <= distinct <= filled / 2 and GROUP_NAME.search(name) and GROUP_ID_NAME.search(name):
        return Seen("category", f"{distinct:,} different whole numbers that name, not count: by its name")
    if whole and EPOCH_NAME.search(name) and min(values) > 3e8 and max(values) < 4e9:
        return Seen("date", "seconds since 1970, by its name and size", "epoch_s")
    if whole and EPOCH_NAME.search(name) and min(values) > 3e11 and max(values) < 4e12:
        return Seen("date", "milliseconds since 1970, by its name and size", "epoch_ms")
    written = ""
    if style != PLAIN:
        written = f", written with '{style.thousands}' between thousands and '{style.decimal}' before fractions"
    return Seen(
        "number",
        f"{'whole numbers' if whole else 'numbers'} from {min(values):g} to {max(values):g}{written}",
        style=style,
        note=f"in '{name}' {read.doubt}" if read.doubt else "",
    )


def _is_digits(cell: Cell) -> bool:
    """Whether a number is written in digits only: 1e25 is a quantity, 36893488147419103232 a name."""
    return isinstance(cell, int) or (isinstance(cell, str) and cell.strip().lstrip("+-").isdigit())


def _date_pattern(known: Sequence[Cell]) -> tuple[str, list[Cell]]:
    """How dates are written, and the few cells that are none; "" where most cells are no dates."""
    texts = [cell for cell in known[:: max(1, len(known) // SAMPLE)] if isinstance(cell, str)]
    if len(texts) < 2 or not all(
        6 <= len(text.strip()) <= 40 and any(char.isdigit() for char in text) for text in texts[:20]
    ):
        return "", []
    nearly: tuple[str, list[Cell]] = ("", [])
    for pattern in DATE_PATTERNS:
        if sum(not _is_date(text, pattern) for text in texts) <= MOST_ODD:
            odd = [cell for cell in known if not _is_date(cell, pattern)]
            if not odd:
                return pattern, []
            if len(odd) <= MOST_ODD < len(known) / 10 and not nearly[0]:
                nearly = pattern, odd
    return nearly


def _is_date(cell: Cell, pattern: str) -> bool:
    try:
        to_date(cell, pattern)
    except (ValueError, OverflowError):
        return False
    return True


def _as_date(pattern: str, known: Sequence[Cell]) -> Seen:
    reason = f"dates like {known[0]}"
    note = ""
    swapped = re.sub("%d([/-])%m", r"%m\1%d", pattern)
    if swapped != pattern and all(_is_date(cell, swapped) for cell in known):
        note = f"dates such as {known[0]} are read as day/month/year; nothing in the column tells"
    elif pattern != "iso":
        reason += f", read as {date_example(pattern)}"
    return Seen("date", reason, pattern, note=note)


def _as_words(name: str, distinct: Sequence[Cell], filled: int) -> Seen:
    sample = [str(cell) for cell in distinct[:: max(1, len(distinct) // SAMPLE)]]
    words = sum(map(_word_count, sample)) / len(sample)
    length = sum(map(len, sample)) / len(sample)
    share = len(distinct) / filled
    if (words >= TEXT_WORDS and (share > 0.2 or length > 60)) or (words >= 2 and share > 0.7 and len(distinct) > 20):
        return Seen("text", f"{words:.0f} words in a cell on average, {len(distinct):,} different cells")
    if share > 0.95 and len(distinct) > 20 and length > LONGEST_KEY and _letters(sample) > 0.95:
        return Seen("text", f"{length:.0f} letters in a cell on average, {len(distinct):,} different cells")
    if share > 0.95 and len(distinct) > 20 and words < 2:
        return Seen("id", f"{len(distinct):,} different words in {filled:,} rows: nothing repeats")
    if share > 0.5 and ID_NAME.search(name) and len(distinct) > 20 and words < 2:
        return Seen("id", f"{len(distinct):,} different words in {filled:,} rows, and its name")
    return Seen("category", f"{len(distinct):,} different words: {_some(distinct)}")


def _word_count(text: str) -> float:
    return max(len(text.split()), len(UNSPACED.findall(text)) / 2)


def _letters(texts: Sequence[str]) -> float:
    """The share of letters among all characters."""
    joined = "".join(texts)
    return sum(map(str.isalpha, joined)) / max(1, len(joined))


def _some(cells: Sequence[Cell], limit: int = 4) -> str:
    shown = ", ".join(str(cell)[:30] for cell in cells[:limit])
    return shown + (", …" if len(cells) > limit else "")
