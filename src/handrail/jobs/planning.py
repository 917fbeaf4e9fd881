"""What a batch reads, and where it is cut: sources, and pieces of them that are answered one at a time."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import orjson

from handrail.core.errors import HandrailError
from handrail.core.events import Progress, Tell, quiet
from handrail.data.amounts import with_plain_amounts
from handrail.data.delimited import read_delimited, repaired_names
from handrail.data.read import JSON_START, read_bytes
from handrail.data.table import Table
from handrail.jobs.finding import File, Identity
from handrail.jobs.records import SEPARATED_BY_LINES, Spans, spans, split_rows

SourceKind = Literal["delimited", "lines", "table", "files", "items"]
HEAD_BYTES: Final = 2**20
# Rows from which the header, the separator and the columns are judged, fewer where one of them is off.
JUDGED_ROWS: Final = (2_000, 200, 20, 2, 1)
DELIMITED: Final = (".csv", ".tsv", ".txt", "")
LINES: Final = (".jsonl", ".ndjson")
TABLES: Final = (".parquet", ".xlsx", ".xls", ".xlsb", ".ods")
# The share of separators with a blank behind them from which blanks belong to the separators.
SPACED: Final = 0.8
MOST_NAMES: Final = 10_000
# A worker that is killed loses one piece, and a bar moves by one: a job has some fifty for each worker.
PIECES_FOR_EACH_WORKER: Final = 50
FEWEST_ROWS, MOST_ROWS = 100, 5_000
MOST_BYTES: Final = 2**24
BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Source:
    """Something with rows. "delimited" and "lines" are read by ranges of bytes, a "table" whole; "files" and "items"
    are JSON lines in the job's own folder: the files that are rows themselves, and rows that came with a request.

    `amounts` are columns whose cells are written with a currency or a percent sign; `spaced`: a blank follows
    separators.
    """

    kind: SourceKind
    path: str
    name: str
    identity: Identity | None = None
    names: tuple[str, ...] = ()
    separator: str = ","
    quoting: bool = True
    spaced: bool = False
    amounts: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Piece:
    """Rows that are answered together: `rows` of them, after `skip`, in `bytes` bytes from `first` of a source.

    `position` is the number of its first row among all, so that pieces in the order of positions are the whole.
    """

    position: int
    rows: int
    source: int
    first: int = 0
    bytes: int = 0
    skip: int = 0


@dataclass(frozen=True)
class Plan:
    """All of it. `piece_rows` is how many rows a piece has at most."""

    sources: tuple[Source, ...]
    pieces: tuple[Piece, ...]
    piece_rows: int

    @property
    def rows(self) -> int:
        return sum(piece.rows for piece in self.pieces)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of all sources together, in the order in which they come."""
        return tuple(dict.fromkeys(name for source in self.sources for name in source.names))


def source_from(plain: dict[str, Any]) -> Source:
    """The inverse of `Source.as_dict`, also after a trip through JSON."""
    identity = plain["identity"]
    return Source(**{
        **plain,
        "identity": None if identity is None else tuple(identity),
        "names": tuple(plain["names"]),
        "amounts": tuple(plain["amounts"]),
    })  # fmt: skip


@dataclass(frozen=True)
class Opened:
    """A source that was looked at: where its rows begin, and about how many there are."""

    source: Source
    start: int
    rows: int


def plan_tables(
    files: Sequence[File],
    *,
    piece_rows: int | None,
    workers: int,
    named: bool,
    check: Callable[[Source], None],
    tell: Tell = quiet,
) -> Plan:
    """The rows in files. `named`: the columns of JSON lines are wanted, too. `check` may refuse a source.

    Raises HandrailError that names the file.
    """
    opened: list[Opened] = []
    for file in files:
        tell(Progress(f"looking at {file.name}", len(opened), len(files)))
        one = _opened(file, named)
        check(one.source)
        opened.append(one)
    size = piece_rows or fitting_rows(sum(one.rows for one in opened), workers)
    pieces: list[Piece] = []
    position = 0
    for number, one in enumerate(opened):
        tell(Progress(f"counting rows of {one.source.name}", number, len(opened)))
        for first, count_bytes, rows, skip in _cut(one, size):
            pieces.append(Piece(position, rows, number, first, count_bytes, skip))
            position += rows
    return Plan(tuple(one.source for one in opened), tuple(pieces), size)


def plan_items(content: bytes, source: Source, *, piece_rows: int | None, workers: int) -> Plan:
    """Rows that stand one in each line of `content`, which goes to the job's folder."""
    size = piece_rows or fitting_rows(content.count(b"\n"), workers)
    cut = _by_lines(io.BytesIO(content), 0, len(content), size)
    pieces, position = [], 0
    for first, count_bytes, rows in cut:
        pieces.append(Piece(position, rows, 0, first, count_bytes))
        position += rows
    return Plan((source,), tuple(pieces), size)


def lines_of_files(files: Iterable[File]) -> bytes:
    """Files that are rows themselves, one in each line."""
    return b"".join(orjson.dumps([str(one.path), one.name, one.identity]) + b"\n" for one in files)


def fitting_rows(rows: int, workers: int) -> int:
    """How many rows a piece has when nobody says."""
    return max(FEWEST_ROWS, min(MOST_ROWS, rows // (PIECES_FOR_EACH_WORKER * max(1, workers))))


def is_table(name: str) -> bool:
    """Whether a file of that name holds rows, by its ending; a .txt in a folder is a text."""
    suffix = Path(name.lower().removesuffix(".gz")).suffix
    return suffix in (".csv", ".tsv", ".json", *LINES, *TABLES)


def read_whole(path: str, identity: Identity | None) -> bytes:
    """The bytes of a source. Raises HandrailError when it is not as it was."""
    with opened_file(path, identity) as file:
        return file.read()


def opened_file(path: str, identity: Identity | None) -> BinaryIO:
    """A source to be read. Raises HandrailError when it is gone, or not the file that it was."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        problem = f"cannot be read: {(error.strerror or str(error)).lower()}"
        raise HandrailError("data", problem, "give a plain file you may read", where=path) from None
    found = os.fstat(descriptor)
    if identity is not None and (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) != identity:
        os.close(descriptor)
        problem, mend = "the file changed after the job had begun", "start it anew: add --fresh"
        raise HandrailError("data", problem, mend, where=path)
    return os.fdopen(descriptor, "rb")


def _opened(file: File, named: bool) -> Opened:
    path, suffix = str(file.path), file.path.suffix.lower()
    size_bytes = file.identity[2]
    with opened_file(path, file.identity) as content:
        head = content.read(HEAD_BYTES)
    source = Source("table", path, file.name, file.identity)
    if suffix in LINES or (suffix not in (".csv", ".tsv", ".gz", *TABLES) and JSON_START.match(head)):
        if not head.removeprefix(BOM).lstrip().startswith(b"["):
            return _opened_lines(source, head, size_bytes, named)
    elif suffix in DELIMITED and _is_cut_by_lines(head):
        return _opened_delimited(source, head, size_bytes)
    table = read_bytes(read_whole(path, file.identity), file.path.name, where=path)
    return Opened(_with(source, "table", tuple(table.columns)), 0, len(table))


def _is_cut_by_lines(head: bytes) -> bool:
    """False for UTF-16, and for lines that end as no system has ended them for long: those are read whole."""
    return b"\0" not in head and head[:2] not in (b"\xff\xfe", b"\xfe\xff") and (b"\n" in head or b"\r" not in head)


def _opened_lines(source: Source, head: bytes, size_bytes: int, named: bool) -> Opened:
    names = _names_in_lines(source) if named else ()
    return Opened(_with(source, "lines", names), 0, _estimated(head, size_bytes))


def _names_in_lines(source: Source) -> tuple[str, ...]:
    """The names that the objects of JSON lines use together."""
    found: dict[str, None] = {}
    seen: set[tuple[str, ...]] = set()
    with opened_file(source.path, source.identity) as lines:
        for line in lines:
            try:
                row = orjson.loads(line)
            except ValueError:
                continue
            names = tuple(row) if isinstance(row, dict) else ()
            if names not in seen:
                seen.add(names)
                found.update(dict.fromkeys(names))
            if len(found) > MOST_NAMES:
                problem = f"the objects have more than {MOST_NAMES:,} different names"
                raise HandrailError("data", problem, "write answers alone: -o answers.jsonl", where=source.name)
    return tuple(repaired_names(list(found), []))


def _opened_delimited(source: Source, head: bytes, size_bytes: int) -> Opened:
    table, raw = _judged(head, source)
    quoting = not any(note.startswith("quote marks are taken as they stand") for note in table.notes)
    start = max(_start_of_line(head, table.lines[0]), len(BOM) if head.startswith(BOM) else 0)
    amounts = tuple(name for name, cells in table.columns.items() if cells != raw.columns[name])
    separator = table.separator or ","
    names = tuple(table.columns)
    spaced = head.count(f"{separator} ".encode()) > SPACED * head.count(separator.encode())
    made = Source("delimited", source.path, source.name, source.identity, names, separator, quoting, spaced, amounts)
    return Opened(made, start, _estimated(head[start:], size_bytes - start))


def _judged(head: bytes, source: Source) -> tuple[Table, Table]:
    """The first rows as `read_table` reads them, and with amounts as they are written."""
    whole = head if len(head) < HEAD_BYTES else head[: head.rfind(b"\n") + 1]
    records = split_rows(whole, Spans(True, "", 1, 1), blank=True)
    for rows in JUDGED_ROWS:
        try:
            raw = read_delimited(b"".join(records[: rows + 1]), source.path)
        except HandrailError:
            if rows == JUDGED_ROWS[-1]:
                raise
        else:
            return with_plain_amounts(raw), raw
    raise AssertionError("the last try returns or raises")


def _start_of_line(head: bytes, line: int) -> int:
    """Where the line with this number begins; 1 is the first."""
    start = 0
    for _ in range(line - 1):
        start = head.index(b"\n", start) + 1
    return start


def _estimated(head: bytes, size_bytes: int) -> int:
    return size_bytes * (head.count(b"\n") + 1) // max(1, len(head))


def _with(source: Source, kind: SourceKind, names: tuple[str, ...]) -> Source:
    return Source(kind, source.path, source.name, source.identity, names)


def _cut(opened: Opened, size: int) -> Iterator[tuple[int, int, int, int]]:
    """First byte, bytes, rows, and rows to skip, for each piece."""
    source = opened.source
    if source.kind == "table":
        for skip in range(0, opened.rows, size):
            yield 0, 0, min(size, opened.rows - skip), skip
        return
    with opened_file(source.path, source.identity) as file:
        end = os.fstat(file.fileno()).st_size
        file.seek(opened.start)
        if source.kind == "lines":
            cut = _by_lines(file, 0, end, size)
        else:
            cut = spans(file, opened.start, Spans(source.quoting, source.separator, size, MOST_BYTES), source.path)
        for first, count_bytes, rows in cut:
            yield first, count_bytes, rows, 0


def _by_lines(file: BinaryIO, start: int, end: int, size: int) -> Iterator[tuple[int, int, int]]:
    return spans(file, start, Spans(False, SEPARATED_BY_LINES, size, MOST_BYTES), "")
