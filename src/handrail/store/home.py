"""Where a store lives when nobody says: HANDRAIL_HOME, else the user's data folder."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from handrail.core.errors import HandrailError


def default_home() -> Path:
    """Raises HandrailError ("environment") when there is neither HANDRAIL_HOME nor a home directory."""
    given = os.environ.get("HANDRAIL_HOME")
    if given:
        return Path(given).absolute()
    try:
        user = Path.home()
    except RuntimeError as error:
        raise HandrailError("environment", "there is no home directory", "set HANDRAIL_HOME to a folder") from error
    if sys.platform == "darwin":
        return user / "Library" / "Application Support" / "handrail"
    data = os.environ.get("XDG_DATA_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(data) if data and Path(data).is_absolute() else user / ".local" / "share") / "handrail"


def refuse_file(home: Path) -> None:
    """Raises HandrailError ("environment") where a file stands in the way of a store."""
    folder = _nearest(home)
    if not folder.is_dir():
        where = "HANDRAIL_HOME" if folder == home else str(folder)
        raise HandrailError(
            "environment", f"{where} is a file, not a folder", "set HANDRAIL_HOME to a folder", where=str(home)
        )


def free_bytes(home: Path) -> int:
    """Free space on the disk where a store is or would be."""
    return shutil.disk_usage(_nearest(home)).free


def _nearest(home: Path) -> Path:
    """The folder, or the first above it that is there."""
    return next(folder for folder in (home, *home.parents) if folder.exists())
