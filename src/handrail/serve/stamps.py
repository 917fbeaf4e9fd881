"""What changes when a file is written or replaced: files that are followed are read again when it does."""

from __future__ import annotations

from pathlib import Path

# When it was written, which file it is, how long it is; None where there is none.
Stamp = tuple[int, int, int] | None


def stamp_of(path: Path) -> Stamp:
    """The stamp of a file as it is now, of the one that a link leads to."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
