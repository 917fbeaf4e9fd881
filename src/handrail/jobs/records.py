"""Where the rows of a text file begin and end, found without reading what they say: newlines outside of quotes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

import numpy as np

from handrail.core.errors import HandrailError

BLOCK_BYTES: Final = 2**22
LONGEST_ROW_BYTES: Final = 2**26
BLANKS: Final = b" \t\r\n\v\f"
SEPARATED_BY_LINES: Final = "\n"
QUOTE, NEWLINE = 0x22, 0x0A


@dataclass(frozen=True)
class Spans:
    """How rows are told apart, and how many go together. A line of blanks is no row."""

    quoting: bool
    separator: str
    most_rows: int
    most_bytes: int


def spans(file: BinaryIO, start: int, how: Spans, where: str) -> Iterator[tuple[int, int, int]]:
    """First byte, bytes and rows of what goes together; `file` stands at `start`. Only a few MiB are held at a time.

    Raises HandrailError ("data") for a quote that is never closed.
    """
    first = last = start
    rows = 0
    for starts, ends in _rows(file, start, how, where):
        place = 0
        while place < len(ends):
            first = first if rows else int(starts[place])
            fit = int(np.searchsorted(ends, first + how.most_bytes, side="right")) - place
            take = min(how.most_rows - rows, fit, len(ends) - place)
            if take < 1 and rows:
                yield first, last - first, rows
                rows = 0
                continue
            take = max(1, take)
            rows, place = rows + take, place + take
            last = int(ends[place - 1])
            if rows == how.most_rows:
                yield first, last - first, rows
                rows = 0
    if rows:
        yield first, last - first, rows


def split_rows(content: bytes, how: Spans, *, blank: bool = False) -> list[bytes]:
    """The rows in some bytes, one by one; with lines of blanks where these are wanted, too."""
    starts, ends = _ends(content, how, whole=True)
    if not blank:
        starts, ends = _without_blank(content, starts, ends, how, 0)
    return [content[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def _rows(file: BinaryIO, start: int, how: Spans, where: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Where rows begin and end, block by block."""
    held = b""
    while block := file.read(BLOCK_BYTES):
        held += block
        starts, ends = _ends(held, how, whole=False)
        done = int(ends[-1]) if len(ends) else 0
        if len(ends):
            yield _without_blank(held, starts, ends, how, start)
        start += done
        held = held[done:]
        if len(held) > LONGEST_ROW_BYTES:
            raise _too_long(how, start, where)
    if held.strip(BLANKS):
        starts, ends = _ends(held, how, whole=True)
        if how.quoting and held.count(b'"') % 2:
            raise _too_long(how, start, where)
        yield _without_blank(held, starts, ends, how, start)


def _ends(held: bytes, how: Spans, *, whole: bool) -> tuple[np.ndarray, np.ndarray]:
    letters = np.frombuffer(held, np.uint8)
    ends = letters == NEWLINE
    if how.quoting:
        # Counted modulo 256, of which only the last bit is looked at: an even count of quotes stands before.
        ends &= (np.cumsum(letters == QUOTE, dtype=np.uint8) & 1) == 0
    places = np.flatnonzero(ends) + 1
    if whole and len(held) and (not len(places) or places[-1] < len(held)):
        places = np.append(places, len(held))
    return np.concatenate([np.zeros(1, places.dtype), places[:-1]]) if len(places) else places, places


def _without_blank(
    held: bytes, starts: np.ndarray, ends: np.ndarray, how: Spans, start: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows but those that are blank: only one that begins with a blank may be."""
    blanks = bytes(set(BLANKS) - set(how.separator.encode()))
    first = np.frombuffer(held, np.uint8)[starts]
    kept = np.ones(len(starts), bool)
    for place in np.flatnonzero(np.isin(first, list(BLANKS))).tolist():
        kept[place] = bool(held[starts[place] : ends[place]].strip(blanks + b"\n"))
    return starts[kept] + start, ends[kept] + start


def _too_long(how: Spans, start: int, where: str) -> HandrailError:
    if how.quoting:
        problem, mend = "a quote that is opened here is never closed", 'close it with "'
    else:
        problem, mend = f"a row of more than {LONGEST_ROW_BYTES:,} bytes", "shorten it"
    return HandrailError("data", problem, mend, where=f"{where}, in the row at byte {start:,}")
