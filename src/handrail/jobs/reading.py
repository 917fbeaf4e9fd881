"""The rows of one piece, read as `predict FILE` reads them; a row that cannot be read is named, the others are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import orjson

from handrail.core.errors import HandrailError
from handrail.core.jsons import value_of
from handrail.core.values import Cell
from handrail.data.amounts import with_plain_amounts
from handrail.data.delimited import decoded, read_delimited
from handrail.data.json_lines import read_json
from handrail.data.read import read_bytes
from handrail.data.table import Table
from handrail.jobs.planning import Piece, Source, opened_file, read_whole
from handrail.jobs.records import SEPARATED_BY_LINES, Spans, split_rows

MOST_TEXT_BYTES: Final = 2**22
LONGEST_SHOWN: Final = 2_000


@dataclass(frozen=True)
class Rows:
    """Some rows that go to what answers: a table, or JSON-like rows.

    `places[i]` is where the i-th of them stands among all `count`. `broken` says of the other places what is off, and
    how the row was written.
    """

    count: int
    places: Sequence[int]
    table: Table | None = None
    items: Sequence[Any] = ()
    broken: Mapping[int, tuple[str, str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.places)


def rows_of(piece: Piece, source: Source, folder: Path, *, as_items: bool = False, as_paths: bool = False) -> Rows:
    """The rows of a piece, in the order of the file. `folder` is the job's own.

    `as_items`: JSON lines stay what they are, with lists and objects in them, which no table holds. `as_paths`: a file
    that is a row stays a path.
    """
    if source.kind == "table":
        found = _of_table(piece, source)
    elif source.kind == "files":
        found = _of_files(_lines(folder / source.path, piece, None), as_paths)
    elif source.kind == "items" or (as_items and source.kind == "lines"):
        path = folder / source.path if source.kind == "items" else Path(source.path)
        found = _of_items(_lines(path, piece, source.identity))
    else:
        found = _of_records(piece, source)
    return _part(found, piece)


def _of_table(piece: Piece, source: Source) -> Rows:
    table = _whole(source)
    stop = min(piece.skip + piece.rows, len(table))
    return Rows(stop, range(piece.skip, stop), table.select(range(piece.skip, stop)))


@lru_cache(1)
def _whole(source: Source) -> Table:
    return read_bytes(read_whole(source.path, source.identity), Path(source.path).name, where=source.path)


def _lines(path: Path, piece: Piece, identity: Any) -> list[bytes]:
    content = _content(str(path), piece, identity)
    return [line for line in content.split(b"\n") if line.strip()]


def _content(path: str, piece: Piece, identity: Any) -> bytes:
    with opened_file(path, identity) as file:
        file.seek(piece.first)
        content = file.read(piece.bytes)
    if len(content) < piece.bytes:
        raise HandrailError("data", "the file is shorter than it was", "start the job anew", where=path)
    return content


def _of_items(lines: Sequence[bytes]) -> Rows:
    items: list[Any] = []
    places: list[int] = []
    broken: dict[int, tuple[str, str]] = {}
    for place, line in enumerate(lines):
        try:
            items.append(value_of(line))
            places.append(place)
        except (ValueError, RecursionError) as error:
            broken[place] = (f"not valid JSON: {error}", _shown(line))
    return Rows(len(lines), places, items=items, broken=broken)


def _of_files(lines: Sequence[bytes], as_paths: bool) -> Rows:
    items: list[Any] = []
    places: list[int] = []
    broken: dict[int, tuple[str, str]] = {}
    for place, line in enumerate(lines):
        path, name, identity = orjson.loads(line)
        try:
            items.append(path if as_paths else _text_of(path, tuple(identity)))
            places.append(place)
        except HandrailError as error:
            broken[place] = (error.problem, name)
    return Rows(len(lines), places, items=items, broken=broken)


def names_of_files(piece: Piece, source: Source, folder: Path) -> list[str]:
    """What the files that are the rows of a piece are called."""
    lines = _lines(folder / source.path, piece, None)[piece.skip : piece.skip + piece.rows]
    return [orjson.loads(line)[1] for line in lines]


def _text_of(path: str, identity: Any) -> str:
    with opened_file(path, identity) as file:
        content = file.read(MOST_TEXT_BYTES + 1)
    if len(content) > MOST_TEXT_BYTES:
        raise HandrailError("too_large", f"a text of more than {MOST_TEXT_BYTES:,} bytes", "cut it")
    return decoded(content, path)[0]


def _of_records(piece: Piece, source: Source) -> Rows:
    """Rows of a table that is read by ranges: all at once, and where that fails, the good ones without the others."""
    content = _content(source.path, piece, source.identity)
    how = Spans(source.kind == "delimited" and source.quoting, _separator(source), 1, 1)
    read = _reader(source)
    try:
        table = read(content)
        return Rows(len(table), range(len(table)), table)
    except HandrailError as error:
        if error.code != "data":
            raise
    records = split_rows(content, how)
    good: list[int] = []
    broken: dict[int, tuple[str, str]] = {}
    _sort_out(records, 0, read, good, broken)
    table = read(b"".join(records[place] for place in good)) if good else _aligned(Table({}), source)
    return Rows(len(records), good, table, broken=broken)


def _sort_out(
    records: Sequence[bytes],
    start: int,
    read: Callable[[bytes], Table],
    good: list[int],
    broken: dict[int, tuple[str, str]],
) -> None:
    """Halves that can be read are good; one row that cannot be read alone is broken."""
    try:
        if len(read(b"".join(records))) == len(records):
            good += range(start, start + len(records))
            return
        problem = "it is more or less than one row"
    except HandrailError as error:
        problem = error.problem
    if len(records) == 1:
        broken[start] = (problem, _shown(records[0]))
        return
    half = len(records) // 2
    _sort_out(records[:half], start, read, good, broken)
    _sort_out(records[half:], start + half, read, good, broken)


def _reader(source: Source) -> Callable[[bytes], Table]:
    """Reads some bytes of a source as a table with the columns that the whole has."""
    if source.kind == "lines":
        return lambda content: _aligned(read_json(content, source.path), source)
    header = _header(source)

    def read(content: bytes) -> Table:
        # Decoded without the header, whose letters may be others' than those of a file that is no UTF-8.
        text = header + decoded(content, source.path)[0]
        found = read_delimited(text.encode(), source.path, header=True, separator=source.separator)
        return _aligned(_with_amounts(found, source.amounts), source)

    return read


def _header(source: Source) -> str:
    """The first line. In quotes it is never a comment; between tabs quotes may be letters like others."""
    names = list(source.names)
    if source.quoting and source.separator != "\t":
        names = ['"' + name.replace('"', '""') + '"' for name in names]
    return (source.separator + " " * source.spaced).join(names) + "\n"


def _separator(source: Source) -> str:
    return SEPARATED_BY_LINES if source.kind == "lines" else source.separator


def _with_amounts(table: Table, names: Sequence[str]) -> Table:
    """Plain numbers in the columns that the beginning of the file showed as amounts, and in no others."""
    chosen = {name: table.columns[name] for name in names if name in table.columns}
    return replace(table, columns={**table.columns, **with_plain_amounts(Table(chosen)).columns}) if chosen else table


def _aligned(table: Table, source: Source) -> Table:
    """The table with the columns that all of the source has together."""
    if not source.names or tuple(table.columns) == source.names:
        return table
    missing: Cell = "" if source.kind == "delimited" else None
    gaps = [missing] * len(table)
    return replace(table, columns={name: table.columns.get(name, gaps) for name in source.names})


def _part(rows: Rows, piece: Piece) -> Rows:
    """Of a piece that was split, its own rows; places count from its first."""
    first, stop = piece.skip, min(piece.skip + piece.rows, rows.count)
    if (first, stop) == (0, rows.count):
        return rows
    kept = [number for number, place in enumerate(rows.places) if first <= place < stop]
    return Rows(
        max(0, stop - first),
        [rows.places[number] - first for number in kept],
        None if rows.table is None else rows.table.select(kept),
        [rows.items[number] for number in kept] if rows.table is None else (),
        {place - first: what for place, what in rows.broken.items() if first <= place < stop},
    )


def _shown(record: bytes) -> str:
    return record.decode("utf-8", "replace").strip("\r\n")[:LONGEST_SHOWN]
