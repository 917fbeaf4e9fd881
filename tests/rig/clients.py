"""Clients that ask when a request is due, whether those before are answered or not: an open loop, Poisson, seeded."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.rig.asks import Ask
from tests.rig.counts import Counts
from tests.rig.wire import Lost, Wire, connected


@dataclass(frozen=True)
class Load:
    """How much is asked, for how long, and by whom.

    A careful client honours `connection: close` and sees when a connection ends. A naive one uses its connection again
    until a request fails on it. One that leaves hangs up before it is answered.
    """

    rate_per_s: float
    seconds: float
    seed: int = 0
    naive_share: float = 0.0
    leaving_share: float = 0.0
    timeout_s: float = 10.0
    max_in_flight: int = 400


@dataclass(frozen=True)
class Due:
    """One request of a load: when (seconds after its begin), what, and by what kind of client."""

    at_s: float
    ask: int
    naive: bool
    leaves_after_s: float | None


def schedule(load: Load, asks: int) -> Iterator[Due]:
    """The same load gives the same requests at the same times."""
    drawn = random.Random(load.seed)
    at_s = drawn.expovariate(load.rate_per_s)
    while at_s < load.seconds:
        leaves = drawn.random() < load.leaving_share
        patience_s = drawn.uniform(0.0, 0.01)
        naive = drawn.random() < load.naive_share
        yield Due(at_s, drawn.randrange(asks), naive, patience_s if leaves else None)
        at_s += drawn.expovariate(load.rate_per_s)


async def openly(port: int, asks: Sequence[Ask], load: Load) -> Counts:
    """Asks as scheduled and counts every outcome."""
    clients = _Clients(port, asks, load)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    asking: set[asyncio.Task[None]] = set()
    for due in schedule(load, len(asks)):
        await asyncio.sleep(max(0.0, begun + due.at_s - loop.time()))
        task = asyncio.create_task(clients.one(due, begun + due.at_s))
        asking.add(task)
        task.add_done_callback(asking.discard)
    await asyncio.gather(*asking)
    clients.close()
    return clients.counts


class _Clients:
    """Connections that wait for their next request, and the counts."""

    def __init__(self, port: int, asks: Sequence[Ask], load: Load) -> None:
        self.counts = Counts()
        self._port = port
        self._asks = asks
        self._load = load
        # The one that waited longest is used next, so that none idles until the server ends it.
        self._idle: dict[bool, deque[Wire]] = {True: deque(), False: deque()}
        self._room = asyncio.Semaphore(load.max_in_flight)

    async def one(self, due: Due, at: float) -> None:
        self.counts.sent += 1
        ask, clock = self._asks[due.ask], asyncio.get_running_loop().time
        async with self._room:
            wire = None
            try:
                wire = self._waiting(naive=due.naive) or await connected(self._port)
                self.counts.late_s.append(clock() - at)
                await (self._asked(wire, ask, due, at) if due.leaves_after_s is None else self._left(wire, ask, due))
            except Lost as lost:
                idled_s = wire.idled_s if wire is not None else 0.0
                self.counts.add_lost(lost.reason, reused=wire is not None and wire.answers > 0, idled_s=idled_s)
                if wire is not None:
                    wire.close()

    async def _asked(self, wire: Wire, ask: Ask, due: Due, at: float) -> None:
        answer = await wire.ask(ask.raw, self._load.timeout_s)
        self.counts.add(ask, answer, asyncio.get_running_loop().time() - at)
        if due.naive or not answer.closes:
            self._idle[due.naive].append(wire)
        else:
            wire.close()

    async def _left(self, wire: Wire, ask: Ask, due: Due) -> None:
        self.counts.left += 1
        asking = asyncio.create_task(wire.ask(ask.raw, self._load.timeout_s))
        await asyncio.wait([asking], timeout=due.leaves_after_s)
        wire.close()
        await asyncio.gather(asking, return_exceptions=True)

    def _waiting(self, *, naive: bool) -> Wire | None:
        idle = self._idle[naive]
        while idle:
            wire = idle.popleft()
            if naive or wire.ended is None:
                return wire
        return None

    def close(self) -> None:
        for wire in [*self._idle[True], *self._idle[False]]:
            wire.close()
