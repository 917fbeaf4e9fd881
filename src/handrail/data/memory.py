"""How much memory rows take, judged before they are read, and the refusal of what does not fit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from handrail.core.errors import HandrailError

# Measured: a file's bytes are held as bytes, as text and as a buffer of four bytes a character; each cell is a text of
# its own in three lists, each row a list, a tuple and a line number.
COPIES: Final = 6
CELL_BYTES: Final = 60
ROW_BYTES: Final = 120
SAMPLE_BYTES: Final = 2**20
# What needs less is not worth asking the system for.
SMALL_BYTES: Final = 2**27
SHARE: Final = 0.8
SEPARATORS: Final = (b",", b";", b"\t", b"|")


def needed_bytes(sample: bytes, size_bytes: int) -> int:
    """What the rows in `size_bytes` bytes take at most while they are read, if all are like those in `sample`."""
    rows = max(sample.count(b"\n"), sample.count(b"\r")) + 1
    cells = rows + max(map(sample.count, SEPARATORS))
    return round(size_bytes * (COPIES + _held(rows, cells) / max(1, len(sample))))


def refuse_rows(rows: int, columns: int, size_bytes: int, where: str) -> None:
    """Raises HandrailError ("environment") when a table of which the shape is known does not fit into memory."""
    refuse_needed(_held(rows, rows * columns) + COPIES * size_bytes, f"{rows:,} rows of {columns:,} columns", where)


def refuse_needed(needed: int, what: str, where: str) -> None:
    """Raises HandrailError ("environment") with both numbers when `what` needs more than is free."""
    if needed < SMALL_BYTES:
        return
    free = free_memory_bytes()
    if needed > SHARE * free:
        raise HandrailError(
            "environment",
            f"{what} need about {needed / 2**30:.1f} GB of memory, {free / 2**30:.1f} GB are free",
            "train on a sample of the rows: shuf -n 500000 FILE > sample.csv",
            where=where,
        )


def most_bytes(sample: bytes) -> int:
    """How many bytes of rows like those in `sample` fit into the memory that is free."""
    return int(SHARE * free_memory_bytes() * len(sample) / max(1, needed_bytes(sample, len(sample))))


def free_memory_bytes() -> int:
    """What the system says is available; 4 GiB where it says nothing."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    except OSError:
        found = None
    return int(found[1]) * 1024 if found else 4 * 2**30


def _held(rows: int, cells: int) -> int:
    return rows * ROW_BYTES + cells * CELL_BYTES
