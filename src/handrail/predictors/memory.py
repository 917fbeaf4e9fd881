"""How much memory a replica may take, and the words for when that was not enough."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path
from typing import Final

from handrail.core.errors import HandrailError

# Without a limit of its own a replica is stopped before it takes the machine's last.
SHARE: Final = 0.8
# The gateway has 0.
OOM_SCORE: Final = "300"
SPARE_BYTES: Final = 16 * 2**20
CGROUP: Final = Path("/sys/fs/cgroup/memory.max")
# What libraries that allocate by themselves say instead of raising MemoryError.
SIGNS: Final = ("bad_alloc", "can't allocate memory", "failed to allocate memory", "not enough memory", "out of memory")


def limit_memory(mem: int | None) -> int:
    """Lets this process have so many bytes of its own; without a number, most of the machine's. Gives the limit.

    It counts what the process writes to, not the files and libraries it maps, so numpy and onnxruntime work under it.
    Raises HandrailError ("environment") when so little would not even start it.
    """
    limit = mem if mem is not None else int(SHARE * machine_bytes())
    if limit < (least := _own_bytes() + SPARE_BYTES):
        problem = f"a replica needs {least / 2**20:,.0f} MB before its first line (limit {limit / 2**20:,.0f} MB)"
        raise HandrailError("environment", problem, "raise compute.mem", field="mem")
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    _go_first()
    return limit


def _go_first() -> None:
    """Tells the system to end this process before others when memory runs out all the same."""
    with contextlib.suppress(OSError):
        # A setting of the kernel that looks like a file.
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        try:
            os.write(descriptor, OOM_SCORE.encode())
        finally:
            os.close(descriptor)


def _own_bytes() -> int:
    """What this process may write to already; 0 where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData:"))
    except (OSError, StopIteration, ValueError):
        return 0


def machine_bytes() -> int:
    """The memory of this machine, or of the container it is."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):
        total = min(total, int(CGROUP.read_text(encoding="ascii")))
    return total


def ran_out(error: BaseException) -> bool:
    """Whether it says that there was not enough memory."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and any(sign in str(error)[:2000].lower() for sign in SIGNS)


def out_of_memory(limit: int, *, while_starting: bool = False) -> HandrailError:
    """The error for it, with the number."""
    when = " while it started" if while_starting else ""
    problem = f"the replica ran out of memory{when} (limit {limit / 2**20:,.0f} MB)"
    mend = "raise compute.mem" if while_starting else "send less at a time, or raise compute.mem"
    return HandrailError("environment", problem, mend, field="mem")
