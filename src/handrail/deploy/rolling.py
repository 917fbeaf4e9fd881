"""A rolling update, step by step: how many replicas of the new version to start and of the old one to stop now.

Never more than the wanted number and the surge, never fewer ready than the wanted number without the unavailable;
where there are more or fewer already, nothing makes it worse. As in Kubernetes' rolling updates, new ones are started
before old ones are stopped, and a surge is rounded up, what may be unavailable down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from handrail.core.errors import HandrailError


@dataclass(frozen=True)
class Step:
    """What to do now; `wait`: until a new replica is ready. `replicas`: how many are started or stopped."""

    do: Literal["start", "stop", "wait", "done"]
    replicas: int = 0


def next_step(
    old_ready: int, new_ready: int, new_starting: int, wanted: int, max_surge: int | str, max_unavailable: int | str
) -> Step:
    """The next step, from what is there now. An old replica that is not ready is not counted: it may be stopped at any
    time. After `start` its replicas are counted as starting until they are ready, or gone."""
    if old_ready == 0 and new_ready >= wanted:
        return Step("done")
    surge, unavailable = bounds(wanted, max_surge, max_unavailable)
    missing = wanted - new_ready - new_starting
    room = wanted + surge - old_ready - new_ready - new_starting
    if missing > 0 and room > 0:
        return Step("start", min(missing, room))
    spare = old_ready + new_ready - (wanted - unavailable)
    if old_ready > 0 and spare > 0:
        return Step("stop", min(old_ready, spare))
    return Step("wait")


def bounds(wanted: int, max_surge: int | str, max_unavailable: int | str) -> tuple[int, int]:
    """How many replicas there may be above `wanted`, and how many below may be ready.

    Both cannot be none. Where a share of few replicas comes to none unavailable, one is: the old one stops first.
    Where none was asked for, one more is started: both 0 contradict each other, and requests come first.
    """
    surge = math.ceil(_of(max_surge, wanted, "max_surge"))
    unavailable = min(wanted, math.floor(_of(max_unavailable, wanted, "max_unavailable")))
    if surge == 0 and unavailable == 0:
        return (0, 1) if _of(max_unavailable, 100, "max_unavailable") > 0 else (1, 0)
    return surge, unavailable


def _of(asked: int | str, wanted: int, field: str) -> Fraction:
    """`asked`, a count or a share such as "25%" of `wanted`, exactly: 10 % of 30 is 3 and not a little more."""
    text = str(asked).strip()
    try:
        found = Fraction(text[:-1]) * wanted / 100 if text.endswith("%") else Fraction(int(text))
    except (ValueError, ZeroDivisionError):
        found = Fraction(-1)
    if found < 0:
        problem = f"{field} must be a number of replicas or a share of them, got '{asked}'"
        raise HandrailError("usage", problem, f'write {field}: 1, or {field}: "25%"', field=field)
    return found
