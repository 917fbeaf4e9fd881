"""Locks of the operating system on open files: they end with the process that took them."""

from __future__ import annotations

import fcntl


def taken(descriptor: int) -> bool:
    """Whether the lock is ours now; False where another holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
