"""What commands left behind when they were killed: found, and removed when nobody can want it any more."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

DAY_S = 24 * 3600.0
# Pieces of a run are what lets it go on where it was cut off, so they may wait over a holiday.
RUN_S = 7 * DAY_S


def left_behind(home: Path) -> list[Path]:
    """Drafts that were never published, graves that were never emptied, and runs that did not end. Some may be live."""
    folders = (home, home / "models", home / "models" / "*")
    found = [path for folder in folders for mark in (".draft-*", ".gone-*") for path in _matching(folder, mark)]
    return [*found, *_matching(home / "runs", "*")]


def sweep(home: Path) -> None:
    """Removes drafts and graves older than a day, and runs that nothing was added to for a week."""
    now = time.time()
    for path in left_behind(home):
        with contextlib.suppress(OSError):
            if now - _touched(path) > (RUN_S if path.parent.name == "runs" else DAY_S):
                _remove(path)


def size_bytes(paths: Iterable[Path]) -> int:
    """What the files in these places take together."""
    total = 0
    for path in paths:
        with contextlib.suppress(OSError):
            files = path.rglob("*") if path.is_dir() else (path,)
            total += sum(file.lstat().st_size for file in files if file.is_file())
    return total


def _matching(folder: Path, mark: str) -> list[Path]:
    with contextlib.suppress(OSError):
        return sorted(folder.parent.glob(f"*/{mark}") if folder.name == "*" else folder.glob(mark))
    return []


def _touched(path: Path) -> float:
    """When something in it last changed, in seconds since 1970."""
    inside = path.iterdir() if path.is_dir() else ()
    return float(max(item.lstat().st_mtime for item in (path, *inside)))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()
