"""A folder that only this user can enter, with a short name: where our processes meet over sockets."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def private_folder() -> Path | None:
    """The folder; None where there is none that is ours alone.

    The name of a socket has about a hundred bytes on most systems, so it cannot lie below a home of any depth.
    """
    ours = Path(tempfile.gettempdir()) / f"handrail-{os.getuid()}"
    try:
        ours.mkdir(mode=0o700, exist_ok=True)
        found = ours.lstat()
    except OSError:
        return None
    # Somebody else's folder, or one that others may write to, is no place to meet.
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or ours.is_symlink() or not ours.is_dir():
        return None
    return ours
