"""What the system tells of the control group that this process belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import Final

EVENTS: Final = Path("/sys/fs/cgroup/memory.events")


def out_of_memory_kills(events: Path = EVENTS) -> int:
    """How many processes of this control group the system has killed for want of memory; 0 where it does not tell."""
    try:
        lines = events.read_text(encoding="ascii").splitlines()
        return int(dict(line.split() for line in lines).get("oom_kill", 0))
    except (OSError, ValueError):
        return 0
