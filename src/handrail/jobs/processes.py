"""Processes as a lease names them: by number and start, so that a number that is used again is somebody else."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

# Where the fields of /proc/PID/stat stand after the name, which may hold blanks.
STATE, START = 0, 19


def lease_of(pid: int) -> str:
    """`PID:START` of a process that runs; START is 0 where the system does not tell."""
    fields = _stat(pid)
    return f"{pid}:{fields[START] if fields else 0}"


def my_lease() -> str:
    """The lease of this process."""
    return lease_of(os.getpid())


def is_alive(lease: str | None) -> bool:
    """Whether the process that a lease names still runs; one that only waits to be reaped does not."""
    if lease is None:
        return False
    pid, _, start = lease.partition(":")
    fields = _stat(int(pid))
    if fields:
        return fields[START] == start and fields[STATE] not in ("Z", "X")
    return start == "0" and _answers(int(pid))


def end(lease: str) -> None:
    """Ends the process of a lease, if it is still that one."""
    if is_alive(lease):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(int(lease.partition(":")[0]), signal.SIGKILL)


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
