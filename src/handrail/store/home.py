"""Where a store lives when nobody says: HANDRAIL_HOME, else the user's data folder."""

from __future__ import annotations

import os
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
