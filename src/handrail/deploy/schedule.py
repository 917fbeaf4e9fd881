"""When a task runs next, from what the clock says: pure, and unharmed by a clock that jumps."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import Final

from handrail.core.errors import HandrailError, clipped
from handrail.deploy.amounts import seconds

DAY_S: Final = 24 * 3600
EVERY: Final = re.compile(r"every\s+(\S+)", re.ASCII)
DAILY: Final = re.compile(r"daily\s+([01]?\d|2[0-3]):([0-5]\d)(?:\s*UTC)?", re.ASCII)
SHORTEST_S: Final = 10
LONGEST_S: Final = 366 * DAY_S


@dataclass(frozen=True)
class Schedule:
    """Every `period_s` seconds; with `at_s`, always so many seconds after midnight (UTC)."""

    period_s: float
    at_s: int | None = None


def schedule_of(text: str) -> Schedule:
    """`every 24h`, `every 1h30m`, `daily 03:00` (UTC). Raises HandrailError."""
    if found := DAILY.fullmatch(text.strip()):
        return Schedule(DAY_S, int(found[1]) * 3600 + int(found[2]) * 60)
    found = EVERY.fullmatch(text.strip())
    period_s = 0.0
    with contextlib.suppress(ValueError):
        period_s = seconds(found[1]) if found else 0.0
    if not SHORTEST_S <= period_s <= LONGEST_S:
        problem = f"expected every {SHORTEST_S}s to every 366d, or daily HH:MM (UTC), received '{clipped(text, 60)}'"
        raise HandrailError("data", problem, "for example every 24h, or daily 03:00", field="schedule")
    return Schedule(period_s)


def next_run(now: float, schedule: Schedule, last: float | None) -> float:
    """When it runs next: `now` or earlier means at once. `last` is when it ran, or was first heard of; None: never.

    Runs that were missed are made up for by one. Where `last` lies ahead, the clock was set back: by less than a
    period, and what ran does not run again; by more, and `last` is not believed.
    """
    if last is None or last > now + schedule.period_s:
        last = now
    if schedule.at_s is None:
        return min(last, now) + schedule.period_s
    days = (last - schedule.at_s) // DAY_S + 1
    return days * DAY_S + schedule.at_s
