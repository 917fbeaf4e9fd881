"""Places where a test may kill the process: between two steps of an act that has to be whole or not at all.

Off unless HANDRAIL_FAILPOINTS names a folder. A file in it called like a place kills whoever gets there first; one
called `passed` gets the names of the places as they are passed.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

FOLDER = os.environ.get("HANDRAIL_FAILPOINTS")


def reached(name: str) -> None:
    """Goes on, or never does."""
    if FOLDER is None:
        return
    passed = Path(FOLDER) / "passed"
    if passed.exists():
        with passed.open("a", encoding="ascii") as file:
            file.write(f"{name}\n")
    try:
        (Path(FOLDER) / name).unlink()
    except OSError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
