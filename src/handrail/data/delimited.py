"""CSV and its kin, read strictly: a row that does not fit is an error with its line, never a silent shift."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from handrail.core.errors import HandrailError, listed
from handrail.core.values import NUMBER, Cell, is_missing, quoted
from handrail.data.table import Table

SEPARATORS: Final = (",", ";", "\t", "|")
SEPARATOR_NAMES: Final = {",": "a comma", ";": "';'", "\t": "a tab", "|": "'|'", " ": "a blank"}
LONGEST_CELL: Final = 2**20
LONGEST_NAME: Final = 200
SNIFFED_LINES: Final = 200
MOST_REPAIRS: Final = 5
YEAR: Final = re.compile(r"1[89]\d\d|20\d\d")


@dataclass(frozen=True)
class Dialect:
    """How a file is written. `quoting` is False where quote marks are just marks."""

    separator: str
    quoting: bool
    blank_after: bool


def read_delimited(content: bytes, where: str, *, header: bool | None = None, separator: str | None = None) -> Table:
    """The table in delimited text. Raises HandrailError ("data") with the line."""
    text, notes = decoded(content, where)
    text, skipped = _without_comments(text)
    if not text.strip():
        raise HandrailError("data", "no rows: the file is empty", "give a file with a header and rows", where=where)
    if separator is not None and len(separator) != 1:
        separator = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";"}.get(separator, separator)
        if len(separator) != 1:
            raise HandrailError(
                "usage", f"the separator must be one character, received {quoted(separator)}", "--separator ';'"
            )
    rows, lines, dialect = _parsed_best(text, separator, where)
    if skipped:
        notes.append(f"{skipped} comment lines at the top were skipped")
        lines = [line + skipped for line in lines]
    if dialect.separator != ",":
        notes.append(f"the separator is {SEPARATOR_NAMES.get(dialect.separator, quoted(dialect.separator))}")
    if not dialect.quoting:
        notes.append("quote marks are taken as they stand: they do not enclose cells in this file")
    rows = _even(rows, lines, where, notes)
    named = has_header(rows) if header is None else header
    if named:
        names, rows, lines = rows[0], rows[1:], lines[1:]
    else:
        names = [f"column_{number}" for number in range(1, len(rows[0]) + 1)]
        notes.append("the first row holds values, so there is no header; columns are called column_1, column_2, …")
    if not rows:
        raise HandrailError("data", "no rows: there is only a header", "add rows below it", where=where)
    names = repaired_names(names, notes)
    columns: dict[str, list[Cell]] = {
        name: list(cells) for name, cells in zip(names, zip(*rows, strict=True), strict=True)
    }
    return Table(columns, where, tuple(notes), lines, dialect.separator)


def decoded(content: bytes, where: str) -> tuple[str, list[str]]:
    """The text of a file in UTF-8, UTF-16 or, failing these, Windows-1252, with a note where it is not UTF-8."""
    notes = []
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif content[:2000].count(b"\0") > len(content[:2000]) // 4:
        encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be"
    else:
        encoding = "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise HandrailError("data", "neither UTF-8 nor UTF-16 text", "save it as UTF-8", where=where) from error
        text, note = _decoded_by_line(content)
        notes.append(note)
    if "utf-16" in encoding:
        notes.append("the file is in UTF-16")
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise HandrailError(
            "data",
            "a NUL character: this is no text file",
            "remove it, or save as UTF-8",
            where=f"{where}, line {line}",
        )
    return text, notes


def _decoded_by_line(content: bytes) -> tuple[str, str]:
    """Text that is not all UTF-8: as Windows-1252, but for the lines that are UTF-8 where these are more."""
    lines = content.split(b"\n")
    texts = [_utf8(line) for line in lines]
    odd = [number for number, text in enumerate(texts, start=1) if text is None]
    right = sum(text is not None and not text.isascii() for text in texts)
    if right <= len(odd):
        note = f"line {odd[0]} is not UTF-8, so the file is read as Windows-1252"
        return content.decode("cp1252", errors="replace"), note
    mixed = (
        line.decode("cp1252", "replace") if text is None else text for line, text in zip(lines, texts, strict=True)
    )
    shown = listed(map(str, odd), MOST_REPAIRS)
    note = f"lines that are not UTF-8 are read as Windows-1252: {shown}" if odd[1:] else f"line {shown} is not UTF-8"
    return "\n".join(mixed).removeprefix("\ufeff"), note if odd[1:] else f"{note}: it is read as Windows-1252"


def _utf8(line: bytes) -> str | None:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return None


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns: all different words, and unlike what stands below them."""
    first, body = rows[0], rows[1:SNIFFED_LINES]
    cells = [cell.strip() for cell in first]
    columns = [[row[place].strip() for row in body if row[place].strip()] for place in range(len(cells))]
    if any(_names_numbers(cell, column) for cell, column in zip(cells, columns, strict=True)) or _counts(cells):
        return True
    if any(NUMBER.fullmatch(cell) for cell in cells):
        return _years(cells, columns)
    if len({cell.casefold() for cell in cells}) < len(cells):
        return False
    if len(cells) <= 3 and not all(len(cell) <= LONGEST_NAME and len(cell.split()) <= 8 for cell in cells):
        return False
    for cell, column in zip(cells, columns, strict=True):
        if cell and cell in column and len(set(column)) < len(column) / 2:
            return False
    return True


def _names_numbers(cell: str, column: Sequence[str]) -> bool:
    """Whether a word stands above numbers."""
    if NUMBER.fullmatch(cell) or is_missing(cell) or not column:
        return False
    return sum(NUMBER.fullmatch(value) is not None for value in column) > 0.8 * len(column)


def _counts(cells: Sequence[str]) -> bool:
    """Whether the cells are 0, 1, 2, 3 and so on, as data frames name columns that nobody named."""
    counts = (list(map(str, range(start, start + len(cells)))) for start in (0, 1))
    return len(cells) > 3 and any(list(cells) == count for count in counts)


def _years(cells: Sequence[str], columns: Sequence[Sequence[str]]) -> bool:
    """Whether words and years, one after the other, stand above what are no years: 'name, 2019, 2020'."""
    years = [int(cell) for cell in cells if YEAR.fullmatch(cell)]
    words = [place for place, cell in enumerate(cells) if cell and not NUMBER.fullmatch(cell)]
    if (
        len(years) < 2
        or not words
        or len(years) + len(words) < len(cells)
        or any(cells[place] in columns[place] for place in words)
    ):
        return False
    below = [value for cell, column in zip(cells, columns, strict=True) if YEAR.fullmatch(cell) for value in column]
    return len({after - before for before, after in pairwise(years)} - {0}) == 1 and not all(map(YEAR.fullmatch, below))


def repaired_names(names: Sequence[str], notes: list[str]) -> list[str]:
    """Names that are there, short and different; each repair is noted."""
    found: dict[str, None] = {}
    repairs: list[str] = []
    for place, name in enumerate(names, start=1):
        plain = " ".join(without_surrogates(name).split()).strip("\ufeff\u200b")[:LONGEST_NAME] or f"column_{place}"
        unique, number = plain, 2
        while unique in found:
            unique, number = f"{plain}_{number}", number + 1
        if unique != name.strip():
            repairs.append(
                f"column {place} is called '{unique}'" + (" because its name is empty" if not name.strip() else "")
            )
        found[unique] = None
    notes += repairs[:MOST_REPAIRS]
    if len(repairs) > MOST_REPAIRS:
        notes.append(f"{len(repairs) - MOST_REPAIRS:,} more column names were repaired in the same way")
    return list(found)


def without_surrogates(text: str) -> str:
    """`text` with halves of characters, which no file can hold, replaced by �."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _parsed_best(text: str, separator: str | None, where: str) -> tuple[list[list[str]], list[int], Dialect]:
    if "\n" not in text and "\r" in text:
        text = text.replace("\r", "\n")
    dialect = _sniffed(text, separator)
    try:
        rows, lines = _parsed(text, dialect, where)
    except HandrailError:
        # Tables between tabs are often written without quoting; elsewhere a lone quote mark is a mistake to be mended.
        if not dialect.quoting or dialect.separator != "\t":
            raise
        dialect = Dialect("\t", False, False)
        rows, lines = _parsed(text, dialect, where)
    if dialect.quoting and dialect.separator == "\t" and len({len(row) for row in rows}) > 1:
        plain = Dialect("\t", False, False)
        unquoted, unquoted_lines = _parsed(text, plain, where)
        if len({len(row) for row in unquoted}) == 1:
            return unquoted, unquoted_lines, plain
    return rows, lines, dialect


def _sniffed(text: str, separator: str | None) -> Dialect:
    sample = "\n".join(text[:200_000].splitlines()[:SNIFFED_LINES])
    best, best_merit = separator or ",", (0.0, 0)
    for candidate in SEPARATORS if separator is None else ():
        try:
            widths = Counter(
                len(row) for row in csv.reader(io.StringIO(sample, newline=""), delimiter=candidate) if row
            )
        except csv.Error:
            continue
        width, count = widths.most_common(1)[0]
        merit = (round(count / widths.total(), 3), width)
        if width > 1 and merit > best_merit:
            best, best_merit = candidate, merit
    separators = sample.count(best)
    blanks = sample.count(best + " ")
    quoting = best != "\t" or not _loose_quotes(sample, best)
    return Dialect(best, quoting, separators > 0 and blanks > 0.8 * separators)


def _loose_quotes(sample: str, separator: str) -> bool:
    """Whether quote marks stand inside cells that do not begin with one: then they enclose nothing."""
    cells = [cell for line in sample.split("\n") for cell in line.split(separator) if '"' in cell]
    return (
        bool(cells) and sum(cell.startswith('"') and cell.rstrip("\r").endswith('"') for cell in cells) < len(cells) / 2
    )


def _parsed(text: str, dialect: Dialect, where: str) -> tuple[list[list[str]], list[int]]:
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=dialect.separator,
        quoting=csv.QUOTE_MINIMAL if dialect.quoting else csv.QUOTE_NONE,
        skipinitialspace=dialect.blank_after,
        strict=True,
    )
    rows, lines, line = [], [], 1
    try:
        for row in reader:
            if row and (len(row) > 1 or row[0].strip()):
                rows.append(row)
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise _csv_problem(str(error), line, where) from error
    return rows, lines


def _csv_problem(message: str, line: int, where: str) -> HandrailError:
    place = f"{where}, line {line}"
    if "field limit" in message:
        return HandrailError("data", f"a cell of more than {LONGEST_CELL:,} characters", "shorten it", where=place)
    if "end of data" in message:
        return HandrailError("data", "a quote that is opened here is never closed", 'close it with "', where=place)
    return HandrailError(
        "data", 'a quote mark inside a cell: expected "" or the end of the cell', 'double it: ""', where=place
    )


def _even(rows: list[list[str]], lines: list[int], where: str, notes: list[str]) -> list[list[str]]:
    """Rows of one width. Columns that are empty in every row, header too, are dropped from the right end."""
    width = len(rows[0])
    longest = max(map(len, rows))
    if longest > width and not any(cell.strip() for row in rows for cell in row[width:]):
        rows = [row[:width] for row in rows]
    for row, line in zip(rows, lines, strict=True):
        if len(row) != width:
            raise HandrailError(
                "data", f"the row has {len(row)} cells, the first row has {width}",
                'mend that line (a cell that holds the separator stands in quotes: "a, b")',
                where=f"{where}, line {line}",
            )  # fmt: skip
    empty = 0
    while width - empty > 1 and not any(row[width - empty - 1].strip() for row in rows):
        empty += 1
    if empty:
        notes.append(f"{empty} empty columns at the right end were left out")
        rows = [row[: width - empty] for row in rows]
    return rows


def _without_comments(text: str) -> tuple[str, int]:
    skipped = 0
    while text.startswith("#"):
        line, _, rest = text.partition("\n")
        # "#id,name" is a header; "#made by hand" is none where cells are separated below it.
        if not line.startswith(("# ", "#\r")) and line != "#" and _divided(line) >= _divided(rest.partition("\n")[0]):
            break
        skipped, text = skipped + 1, rest
    return text, skipped


def _divided(line: str) -> int:
    return max(map(line.count, SEPARATORS))
