"""A table from whatever holds rows: a file of any usual kind, a DataFrame, or rows in memory."""

from __future__ import annotations

import gzip
import io
import os
import re
import stat
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from handrail.core.errors import HandrailError
from handrail.data.amounts import with_plain_amounts
from handrail.data.delimited import read_delimited
from handrail.data.frames import read_frame, read_mapping, read_rows
from handrail.data.json_lines import read_json
from handrail.data.memory import SAMPLE_BYTES, most_bytes, needed_bytes, refuse_needed
from handrail.data.spreadsheets import read_parquet, read_spreadsheet
from handrail.data.table import Table

LARGEST_BYTES: Final = 8 * 2**30
# "[ad] buy now" begins a text; only what an array of objects or an object begins with is taken for JSON.
JSON_START: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:\[\s*\{|\{\s*[\"}])")
JSON_FIELD: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[?\s*\{\s*\"[^\"]*\"\s*:")
SIGNATURES: Final = {
    b"PK\x03\x04": "a zip or Excel file: name it .xlsx, or unpack it",
    b"PAR1": "a Parquet file: name it .parquet",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "a gzip file: name it .csv.gz",
    b"\xd0\xcf\x11\xe0": "an old Excel file: name it .xls",
    b"SQLite format 3": "an SQLite database: export the table as CSV",
    b"\x7fELF": "a program",
}


def read_table(source: object, *, header: bool | None = None, separator: str | None = None) -> Table:
    """The rows of a file (CSV, TSV, JSON lines, JSON, Parquet, Excel; .gz too), a DataFrame, a list or a mapping.

    Raises HandrailError that names file, line and mend; nothing is shifted, dropped or guessed silently.
    """
    if isinstance(source, Table):
        return source
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        return read_bytes(content_of(path), path.name, header=header, separator=separator, where=str(path))
    if isinstance(source, Mapping):
        return with_plain_amounts(read_mapping(source))
    if isinstance(source, Sequence):
        return with_plain_amounts(read_rows(source))
    if hasattr(source, "columns") and hasattr(source, "__getitem__"):
        return with_plain_amounts(read_frame(source))
    raise HandrailError(
        "usage", f"cannot read rows from {type(source).__name__}", "give a file, a DataFrame, or a list of rows"
    )


def read_bytes(
    content: bytes, name: str, *, header: bool | None = None, separator: str | None = None, where: str | None = None
) -> Table:
    """The rows in the bytes of a file called `name`; its suffix says how they are written."""
    return with_plain_amounts(_as_written(content, name, header, separator, where or name))


def _as_written(content: bytes, name: str, header: bool | None, separator: str | None, shown: str) -> Table:
    suffixes = [suffix.lower() for suffix in Path(name).suffixes[-2:]]
    if suffixes and suffixes[-1] == ".gz":
        content, suffixes = _unpacked(content, shown), suffixes[:-1]
    suffix = suffixes[-1] if suffixes else ""
    if len(content) > SAMPLE_BYTES:
        # The beginning may have told less than the whole does.
        refuse_needed(needed_bytes(content, len(content)), f"{len(content) / 2**30:.1f} GB of rows", shown)
    if suffix in (".xlsx", ".xls", ".xlsb", ".ods"):
        return read_spreadsheet(content, shown, header)
    reader: Callable[[bytes, str], Table] | None = _READERS.get(suffix)
    if reader is not None:
        return reader(content, shown)
    for signature, meaning in SIGNATURES.items():
        if content.startswith(signature):
            raise HandrailError(
                "data", f"this looks like {meaning}", "give rows as CSV, JSON lines or Excel", where=shown
            )
    if separator is None and suffix in (".csv", ".tsv") and JSON_FIELD.match(content):
        raise HandrailError("data", "this is JSON, not a table of cells", "name it .json or .jsonl", where=shown)
    if separator is None and suffix not in (".csv", ".tsv") and JSON_START.match(content):
        return read_json(content, shown)
    return read_delimited(content, shown, header=header, separator=separator)


def content_of(path: Path) -> bytes:
    """The bytes of a plain file. Refuses, without waiting, what is none, what does not fit, what changed meanwhile."""
    descriptor = open_plain(path)
    with os.fdopen(descriptor, "rb") as file:
        before = os.fstat(descriptor)
        sample = file.read(SAMPLE_BYTES)
        _refuse_size(before.st_size, sample, str(path))
        content = sample + file.read(before.st_size + 1 - len(sample))
        after = os.fstat(descriptor)
    if len(content) != before.st_size or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise HandrailError(
            "data", "the file changed while it was read", "try again when it is complete", where=str(path)
        )
    return content


def open_plain(path: Path) -> int:
    """A descriptor of a plain file, to read from. Raises HandrailError, without waiting, for what is none."""
    where = str(path)
    try:
        # Without O_NONBLOCK a named pipe that nobody writes to would keep us waiting for ever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise HandrailError("data", "no such file", "check the path", where=where) from None
    except (OSError, ValueError) as error:
        reason = "a socket or device" if isinstance(error, OSError) and error.errno == 6 else str(error)
        if isinstance(error, PermissionError):
            reason = "you may not read it"
        raise HandrailError(
            "data", f"cannot be read: {reason}", "give a plain file you may read", where=where
        ) from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device"
        raise HandrailError("data", f"{kind}, not a file", "give a plain file with rows", where=where)
    return descriptor


def _refuse_size(size_bytes: int, sample: bytes, where: str) -> None:
    refuse_needed(needed_bytes(sample, size_bytes), f"{size_bytes / 2**30:.1f} GB of rows", where)
    if size_bytes > LARGEST_BYTES:
        problem = f"{size_bytes / 2**30:.1f} GB; at most {LARGEST_BYTES / 2**30:.0f} GB are read"
        raise HandrailError("too_large", problem, "train on a sample of the rows", where=where)


def _unpacked(content: bytes, where: str) -> bytes:
    try:
        with gzip.open(io.BytesIO(content)) as file:
            sample = file.read(SAMPLE_BYTES)
            limit = min(LARGEST_BYTES, most_bytes(sample))
            unpacked = sample + file.read(max(0, limit + 1 - len(sample)))
    except (OSError, EOFError, zlib.error) as error:
        raise HandrailError("data", f"damaged gzip: {error}", "make it again", where=where) from error
    if len(unpacked) > limit:
        problem = f"more than {limit / 2**30:.1f} GB when unpacked, more than memory holds as rows"
        raise HandrailError("too_large", problem, "train on a sample of the rows", where=where)
    return unpacked


_READERS: Final[dict[str, Callable[[bytes, str], Table]]] = {
    ".jsonl": read_json,
    ".ndjson": read_json,
    ".json": read_json,
    ".parquet": read_parquet,
}
