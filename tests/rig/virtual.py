"""A queue in a time of its own: seconds of overload pass in a moment, and are the same on every machine."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from handrail.core.errors import HandrailError
from handrail.serve.batcher import Batcher
from handrail.serve.messages import Unframer, joined
from handrail.serve.metrics import Metrics

TICK_S = 0.05
# What a batch of so many rows takes at a moment.
Takes = Callable[[int, float], float]


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def perf_counter(self) -> float:
        return self.now_s


class Jumping(selectors.SelectSelector):
    """Does not wait: the clock jumps to when something is due."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[Any]:
        self._clock.now_s += max(0.0, timeout or 0.0)
        return super().select(0)


class VirtualReplica:
    """Answers every batch after the time that such a batch takes."""

    def __init__(self, batcher: Batcher, clock: Clock, takes: Takes) -> None:
        self.rows = 0
        self._batcher = batcher
        self._clock = clock
        self._takes = takes

    def send(self, message: bytes) -> None:
        ((_, payload),) = Unframer().feed(message)
        rows = len(orjson.loads(payload))
        self.rows += rows
        asyncio.get_running_loop().call_later(self._takes(rows, self._clock.now_s), self._reply, rows)

    def _reply(self, rows: int) -> None:
        self._batcher.replied(self, {"rows": rows, "failed": {}, "seconds": (0, 0, 0)}, joined([b"1"] * rows))

    def kill(self) -> None: ...
    def close(self) -> None: ...


@dataclass
class Outcome:
    """What became of the requests of an overload."""

    capacity_per_s: float = 0.0
    seconds: float = 0.0
    sent: int = 0
    refused: int = 0
    late: int = 0
    right_s: list[float] = field(default_factory=list)
    computed: int = 0

    @property
    def goodput(self) -> float:
        """Answers in time, as a share of what can be answered."""
        return len(self.right_s) / (self.capacity_per_s * self.seconds)

    @property
    def late_share(self) -> float:
        """Of those that were let in."""
        return self.late / max(1, self.late + len(self.right_s))

    @property
    def useful_share(self) -> float:
        """Of the rows that were computed."""
        return len(self.right_s) / max(1, self.computed)


def run(clock: Clock, act: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """Runs what happens on a loop whose time is the clock's."""
    loop = asyncio.SelectorEventLoop(Jumping(clock))
    loop.time = lambda: clock.now_s  # type: ignore[method-assign]
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(act())  # type: ignore[arg-type]


async def overload(
    clock: Clock,
    takes: Takes,
    *,
    times: float = 3.0,
    calm_s: float = 2.0,
    seconds: float = 6.0,
    deadline_s: float = 0.5,
    seed: int = 0,
) -> Outcome:
    """A calm time in which 16 clients ask in turn, then `times` as many requests as were answered in it."""
    drawn = random.Random(seed)
    batcher = Batcher(Metrics())
    replica = VirtualReplica(batcher, clock, takes)
    batcher.joined(replica)
    ticking = asyncio.create_task(_ticking(batcher))
    answered = sum(await asyncio.gather(*(_in_turn(batcher, clock, calm_s) for _ in range(16))))
    found = Outcome(capacity_per_s=answered / calm_s, seconds=seconds, computed=-replica.rows)
    asking, until = [], clock.now_s + seconds
    while clock.now_s < until:
        asking.append(asyncio.create_task(_one(batcher, clock, found, deadline_s)))
        await asyncio.sleep(drawn.expovariate(times * found.capacity_per_s))
    await asyncio.gather(*asking)
    found.computed += replica.rows
    ticking.cancel()
    return found


async def _ticking(batcher: Batcher) -> None:
    while True:
        await asyncio.sleep(TICK_S)
        batcher.tick(8.0, ping=False)


async def _in_turn(batcher: Batcher, clock: Clock, seconds: float) -> int:
    answered = 0
    until = clock.now_s + seconds
    while clock.now_s < until:
        await batcher.submit([[1.0]], timeout_s=30.0)
        answered += clock.now_s <= until
    return answered


async def _one(batcher: Batcher, clock: Clock, found: Outcome, deadline_s: float) -> None:
    found.sent += 1
    begun = clock.now_s
    try:
        await batcher.submit([[1.0]], timeout_s=deadline_s)
    except HandrailError as error:
        found.refused += error.code == "overloaded"
        found.late += error.code == "timeout"
    else:
        found.right_s.append(clock.now_s - begun)


def noisy(takes: Callable[[int], float], *, noise: float = 0.05, slower: Sequence[tuple[float, float]] = ()) -> Takes:
    """Batches take so long, more or less, and from moments on (second, factor) so many times as long."""
    drawn = random.Random(1)

    def now(rows: int, at_s: float) -> float:
        factor = next((factor for since_s, factor in reversed(slower) if at_s >= since_s), 1.0)
        return takes(rows) * factor * drawn.uniform(1 - noise, 1 + noise)

    return now
