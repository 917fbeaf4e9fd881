"""Data to stdout, talk to stderr, and columns of words as wide as the terminal."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Sequence
from typing import Any, TextIO

from handrail.core.errors import printable
from handrail.core.jsons import line_of

NARROWEST = 40
WIDEST = 120
GAP = 2
FIGURE = re.compile(r"[+\-−]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?: ?%| [kMG]?B| bytes| s)?")


def put(text: str = "") -> None:
    """A line of data."""
    print(safe(text))


def put_json(value: Any) -> None:
    """The one object that `--json` promises."""
    print(line_of(value))


def say(text: str) -> None:
    """A line of talk."""
    print(safe(text), file=sys.stderr)


def safe(text: str) -> str:
    """Text in which nothing can steer a terminal; line ends stay."""
    return printable(text)


def put_table(rows: Sequence[Sequence[str]], *, header: bool = False) -> None:
    """Rows of cells as columns; the last column wraps, a header is set apart."""
    for number, line in enumerate(table_lines(rows, width_of_terminal())):
        print(strong(line) if header and number == 0 else line)


def table_lines(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """The lines of a table. Columns of figures are set to the right."""
    if not rows:
        return []
    cells = [[one_line(cell) for cell in row] for row in rows]
    count = max(len(row) for row in cells)
    cells = [[*row, *[""] * (count - len(row))] for row in cells]
    longest = max(8, width // 3)
    widths = [min(longest, max(columns_of(row[place]) for row in cells)) for place in range(count - 1)]
    figures = [_are_figures([row[place] for row in cells[1:]]) for place in range(count)]
    indent = sum(widths) + GAP * (count - 1)
    last_width = max(20, width - indent)
    widths.append(min(last_width, max(columns_of(row[-1]) for row in cells)))
    lines = []
    for row in cells:
        front = "".join(
            _padded(_cut(cell, size), size, right=figure) + " " * GAP
            for cell, size, figure in zip(row[:-1], widths[:-1], figures[:-1], strict=True)
        )
        if figures[-1]:
            lines.append((front + _padded(row[-1], widths[-1], right=True)).rstrip())
            continue
        wrapped = textwrap.wrap(row[-1], last_width, break_on_hyphens=False) or [""]
        lines += [(front + wrapped[0]).rstrip(), *(" " * indent + rest for rest in wrapped[1:])]
    return lines


def put_heading(text: str) -> None:
    """A heading over what follows, with an empty line before it."""
    print()
    print(strong(one_line(text)))


def strong(text: str, stream: TextIO | None = None) -> str:
    """Text in bold where the stream is a terminal that wants it."""
    return f"\033[1m{text}\033[0m" if coloured(stream or sys.stdout) else text


def coloured(stream: TextIO) -> bool:
    """Whether a stream is a terminal that shows more than letters."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in ("", "dumb")


def width_of_terminal() -> int:
    """Columns to write in: never so few that words fall apart, never so many that lines cannot be read."""
    return min(WIDEST, max(NARROWEST, shutil.get_terminal_size((100, 24)).columns))


def one_line(text: object) -> str:
    """Anything as one printable line."""
    return printable(str(text)).replace("\n", "\\n")


def columns_of(text: str) -> int:
    """How many columns a text takes: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def size_words(size_bytes: int) -> str:
    """Bytes for people."""
    if size_bytes < 1_000:
        return f"{size_bytes} bytes"
    for unit, factor in (("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if size_bytes < 1_000 * factor:
            return f"{size_bytes / factor:.3g} {unit}"
    return f"{size_bytes / 1e12:.3g} TB"


def _padded(text: str, width: int, *, right: bool) -> str:
    blanks = " " * max(0, width - columns_of(text))
    return blanks + text if right else text + blanks


def _cut(text: str, width: int) -> str:
    if columns_of(text) <= width:
        return text
    kept = ""
    for char in text:
        if columns_of(kept + char) > width - 1:
            break
        kept += char
    return kept + "…"


def _are_figures(cells: Sequence[str]) -> bool:
    """Whether a column holds figures, and gaps at most beside them."""
    return any(FIGURE.fullmatch(cell) for cell in cells) and all(
        cell in ("", "–") or FIGURE.fullmatch(cell) for cell in cells
    )
