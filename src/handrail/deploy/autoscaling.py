"""How many replicas there should be: from how many requests were in flight, by Cortex's rules; the clock is given.

1. raw = requests in flight (being answered or waiting, over all replicas, their mean over `window_s`) for each
   `target_in_flight`; rounded up, that is the recommendation.
2. A raw value nearer to what there is than a tolerance says moves nothing; at the tolerance it does move.
3. One step goes down to `max_downscale_factor` and up to `max_upscale_factor` of what there is, both rounded up; one
   replica less or more is always allowed.
4. The recommendation is kept between `min_replicas` and `max_replicas`.
5. Down: not below the largest recommendation of the last `downscale_stabilization_period_s`. Up: not above the smallest
   of the last `upscale_stabilization_period_s`. Neither turns one direction into the other.
6. A direction does not move before its period has passed since the start.

Ours: limits hold at once, also where they were changed; to 0 only after nothing was in flight for a whole period; from
0 a request in flight means 1 at once.

Source: Cortex's documents on autoscaling (v0.18) and the behaviour of its autoscaler (v0.42).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from handrail.deploy.spec import Autoscaling

# Marks kept of one window: inside one, requests in flight are taken to have been the same all the time.
MARKS: Final = 100
# A sum of many small times is off by less than this; without it 3 in flight would round up to 4.
DECIMALS: Final = 6


@dataclass(frozen=True)
class Decision:
    """`replicas` is what there should be now; the others say how the rules came there."""

    replicas: int
    raw: float
    recommendation: int
    why: str


class Autoscaler:
    """Decides for one API. `concurrency` is how many requests one replica answers at once.

    `settings` and `concurrency` may be replaced at any time. All times are seconds of one clock that does not go back.
    """

    def __init__(self, settings: Autoscaling, concurrency: float, started: float) -> None:
        self.settings = settings
        self.concurrency = concurrency
        self._started = started
        self._in_flight = _InFlight(started)
        self._recommendations: deque[tuple[float, int]] = deque()

    def observe(self, now: float, in_flight: int, came: int = 0) -> None:
        """`in_flight` requests are being answered or wait, from now until the next call.

        `came` is how many came since the last call: those that came and went between two calls keep an API awake, too.
        """
        self._in_flight.observe(now, in_flight, came, self.settings.window_s)

    def wanted(self, now: float, current: int) -> Decision:
        """How many replicas there should be, where `current` are there or on their way."""
        settings = self.settings
        target = settings.target_in_flight or self.concurrency
        average = self._in_flight.average(now, settings.window_s)
        raw = round(average / target, DECIMALS)
        why = [f"{average:.3g} in flight over {settings.window_s:g} s, {target:g} for each replica"]
        recommendation = _recommended(raw, current, settings, why)
        self._remember(now, recommendation)
        stable = self._stabilised(now, recommendation, current, why)
        replicas = _allowed(self._awake(now, stable, current, why), settings)
        return Decision(replicas, raw, recommendation, "; ".join(why))

    def _remember(self, now: float, recommendation: int) -> None:
        longest_s = max(self.settings.downscale_stabilization_period_s, self.settings.upscale_stabilization_period_s)
        self._recommendations.append((now, recommendation))
        while now - self._recommendations[0][0] > longest_s:
            self._recommendations.popleft()

    def _stabilised(self, now: float, recommendation: int, current: int, why: list[str]) -> int:
        if recommendation < current:
            return self._down(now, recommendation, current, why)
        if recommendation > current:
            return self._up(now, recommendation, current, why)
        return current

    def _down(self, now: float, recommendation: int, current: int, why: list[str]) -> int:
        period_s = self.settings.downscale_stabilization_period_s
        if now - self._started < period_s:
            why.append(f"none is stopped in the first {period_s:g} s")
            return current
        largest = min(current, max(self._since(now, period_s)))
        if largest > recommendation:
            why.append(f"{largest} were needed in the last {period_s:g} s")
        return largest

    def _up(self, now: float, recommendation: int, current: int, why: list[str]) -> int:
        period_s = self.settings.upscale_stabilization_period_s
        if now - self._started < period_s:
            why.append(f"none is added in the first {period_s:g} s")
            return current
        smallest = max(current, min(self._since(now, period_s)))
        if smallest < recommendation:
            why.append(f"no more than {smallest} were needed all through the last {period_s:g} s")
        return smallest

    def _since(self, now: float, period_s: float) -> list[int]:
        """The recommendations of the last `period_s`, this moment's included."""
        return [recommendation for at, recommendation in self._recommendations if now - at <= period_s]

    def _awake(self, now: float, replicas: int, current: int, why: list[str]) -> int:
        """`replicas`, but from none and to none by what is in flight, not by its mean."""
        if current == 0:
            why.append("a request wakes it" if self._in_flight.now else "asleep")
            return 1 if self._in_flight.now else 0
        quiet_s = max(self.settings.window_s, self.settings.downscale_stabilization_period_s)
        if replicas == 0 and self._in_flight.idle_s(now) < quiet_s:
            why.append(f"asleep when nothing was in flight for {quiet_s:g} s")
            return 1
        return replicas


def _recommended(raw: float, current: int, settings: Autoscaling, why: list[str]) -> int:
    """Rules 1 to 4: what this moment alone asks for."""
    if _share(current, 1 - settings.downscale_tolerance) < raw < _share(current, 1 + settings.upscale_tolerance):
        return _allowed(current, settings)
    asked = math.ceil(raw)
    least = min(current - 1, math.ceil(_share(current, settings.max_downscale_factor)))
    most = max(current + 1, math.ceil(_share(current, settings.max_upscale_factor)))
    step = max(least, min(most, asked))
    found = _allowed(step, settings)
    if step != asked:
        why.append(f"{asked} asked for, {step} in one step")
    if found != step:
        why.append(f"{step} asked for, {settings.min_replicas} to {settings.max_replicas} allowed")
    return found


def _share(current: int, factor: float) -> float:
    # 10 * 1.1 is a little more than 11, which would round up to 12.
    return round(current * factor, DECIMALS)


def _allowed(replicas: int, settings: Autoscaling) -> int:
    return max(settings.min_replicas, min(settings.max_replicas, replicas))


class _InFlight:
    """How many requests were in flight, as the area under that curve: any number of observations takes little room."""

    def __init__(self, started: float) -> None:
        self.now = 0
        self._area = 0.0
        self._until = started
        self._busy = started
        self._marks: deque[tuple[float, float]] = deque()

    def observe(self, now: float, in_flight: int, came: int, window_s: float) -> None:
        now = self._advance(now)
        if self.now or in_flight or came:
            self._busy = now
        self.now = in_flight
        if not self._marks or now - self._marks[-1][0] >= window_s / MARKS:
            self._marks.append((now, self._area))
        self._forget(now - window_s)

    def average(self, now: float, window_s: float) -> float:
        """Over the last `window_s`, or over as much of it as was observed."""
        now = self._advance(now)
        self._forget(now - window_s)
        begin, area = self._area_at(now - window_s)
        return (self._area - area) / (now - begin) if now > begin else float(self.now)

    def idle_s(self, now: float) -> float:
        return 0.0 if self.now else now - self._busy

    def _advance(self, now: float) -> float:
        """Counts what was in flight until `now`; a clock that stands still, or goes back, counts nothing."""
        now = max(now, self._until)
        self._area += self.now * (now - self._until)
        self._until = now
        return now

    def _forget(self, begin: float) -> None:
        """Keeps one mark at or before `begin`, and all after it."""
        while len(self._marks) > 1 and self._marks[1][0] <= begin:
            self._marks.popleft()

    def _area_at(self, begin: float) -> tuple[float, float]:
        """`begin`, or the first observation where that is later, and the area then: a line between two marks."""
        if not self._marks:
            return self._until, self._area
        at, area = self._marks[0]
        if begin <= at:
            return at, area
        next_at, next_area = self._marks[1] if len(self._marks) > 1 else (self._until, self._area)
        return begin, area + (next_area - area) * (begin - at) / (next_at - at)
