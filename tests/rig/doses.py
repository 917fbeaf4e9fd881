"""What is done to a server and for how long: the tests take short doses, `make soak` long ones, of the same acts.

Each dose gives what happened as a dictionary of plain values; judging it is left to who asked.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import uvloop

from tests.rig.asks import Ask
from tests.rig.clients import Load, openly
from tests.rig.counts import Counts, quantile
from tests.rig.hanger import replaced, stopped
from tests.rig.killer import killing
from tests.rig.server import Server
from tests.rig.slow import dawdling
from tests.rig.updater import Switch, Updates, updating
from tests.rig.watcher import Growth, Sample, growth, sampled, watching
from tests.rig.wire import Lost, connected

Found = TypeVar("Found")
# How long a server is left alone before what it still holds is counted.
REST_S: Final = 1.0


def run(act: Coroutine[Any, Any, Found]) -> Found:
    """Runs a dose to its end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(act)


@dataclass(frozen=True)
class Killed:
    """Requests while replicas were killed."""

    counts: Counts
    kills: int
    restarts: float


async def kills(server: Server, asks: Sequence[Ask], load: Load, *, every_s: float, number: int) -> Killed:
    """A signal to a random replica every so often, under load."""
    times = int(load.seconds / every_s) - 1
    counts, killed = await asyncio.gather(
        openly(server.port, asks, load), killing(server, every_s=every_s, times=times, seed=load.seed, number=number)
    )
    restarts = await asyncio.to_thread(server.metric, "replica_restarts_total")
    return Killed(counts, len(killed), restarts)


@dataclass(frozen=True)
class Hung:
    """Requests while a replica hung, and when there were as many as before again."""

    counts: Counts
    replaced_s: float


async def hang(server: Server, asks: Sequence[Ask], load: Load, cause: Ask | None = None) -> Hung:
    """One replica hangs under load: stopped from outside, or by a request that its model cannot end."""
    loading = asyncio.create_task(openly(server.port, asks, load))
    await asyncio.sleep(load.seconds / 8)
    before = server.replicas()
    if cause is None:
        with stopped(before[0]):
            replaced_s = await replaced(server, before)
    else:
        asking = asyncio.create_task(_outcome(server.port, cause))
        replaced_s = await replaced(server, before)
        await asking
    return Hung(await loading, replaced_s)


async def _outcome(port: int, ask: Ask) -> int | str:
    wire = await connected(port)
    try:
        return (await wire.ask(ask.raw, 30.0)).status
    except Lost as lost:
        return lost.reason
    finally:
        wire.close()


@dataclass(frozen=True)
class Switched:
    """Requests while versions were switched."""

    counts: Counts
    updates: Updates


async def switches(
    server: Server, asks: Sequence[Ask], load: Load, switch: Switch, *, versions: int, times: int
) -> Switched:
    """Versions take turns under load."""
    every_s = load.seconds / (times + 1)
    counts, updates = await asyncio.gather(
        openly(server.port, asks, load),
        updating(switch, server.port, asks, versions=versions, times=times, every_s=every_s),
    )
    return Switched(counts, updates)


@dataclass(frozen=True)
class Overloaded:
    """Answers in a second when just as many come as can be answered, and when more come.

    `useful_share` is the share of the rows computed meanwhile whose answer came in time. Other programs that take the
    processor do not change it, as they do the seconds.
    """

    capacity_per_s: float
    offered_per_s: float
    goodput_per_s: float
    useful_share: float
    counts: Counts
    memory: Growth

    @property
    def share(self) -> float:
        return self.goodput_per_s / self.capacity_per_s


async def overload(
    server: Server, asks: Sequence[Ask], *, times: float, seconds: float, deadline_s: float, seed: int = 0
) -> Overloaded:
    """Offers `times` as much as can be answered. Capacity is measured before and after; the lower counts, since
    another program may take the processor meanwhile."""
    before = await capacity(server.port, asks, clients=16, seconds=seconds / 3)
    load = Load(times * before, seconds, seed=seed, timeout_s=10.0, max_in_flight=800)
    computed = -await asyncio.to_thread(server.metric, "batch_rows_sum")
    counts, samples = await asyncio.gather(
        openly(server.port, asks, load), watching(server.pid, seconds=seconds, every_s=0.2)
    )
    computed += await asyncio.to_thread(server.metric, "batch_rows_sum")
    after = await capacity(server.port, asks, clients=16, seconds=seconds / 3)
    good = sum(took <= deadline_s for took in counts.right_s)
    return Overloaded(
        capacity_per_s=min(before, after),
        offered_per_s=load.rate_per_s,
        goodput_per_s=good / (seconds + deadline_s),
        useful_share=good / max(1.0, computed),
        counts=counts,
        memory=growth(samples, after_s=seconds / 4),
    )


async def capacity(port: int, asks: Sequence[Ask], *, clients: int, seconds: float) -> float:
    """Right answers in a second for clients that ask again as soon as they are answered."""
    counts = Counts()
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    await asyncio.gather(*(_busy(port, asks[place::clients], until, counts) for place in range(clients)))
    return counts.right / seconds


async def _busy(port: int, asks: Sequence[Ask], until: float, counts: Counts) -> None:
    clock = asyncio.get_running_loop().time
    wire = await connected(port)
    while clock() < until:
        for ask in asks:
            begun = clock()
            counts.add(ask, await wire.ask(ask.raw, 30.0), clock() - begun)
            if clock() >= until:
                break
    wire.close()


@dataclass(frozen=True)
class Slowed:
    """The median and the tail of honest clients, alone and beside slow ones."""

    alone: Counts
    beside: Counts
    let_go: dict[str, int]


async def slow_clients(server: Server, asks: Sequence[Ask], load: Load, *, raw: bytes, clients: int) -> Slowed:
    """Honest clients alone, then beside `clients` slow ones of each kind, who ask `raw`."""
    alone = await openly(server.port, asks, load)
    beside, let_go = await asyncio.gather(
        openly(server.port, asks, load), dawdling(server.port, raw, clients=clients, seconds=load.seconds)
    )
    return Slowed(alone, beside, let_go)


@dataclass(frozen=True)
class Soaked:
    """What a server held at rest before and after, and how it grew meanwhile."""

    counts: Counts
    at_first: Sample
    at_last: Sample
    growth: Growth

    @property
    def descriptors_more(self) -> int:
        return self.at_last.descriptors - self.at_first.descriptors


async def soak(server: Server, asks: Sequence[Ask], load: Load, *, warm_s: float) -> Soaked:
    """Load with errors and clients that leave; what is held after `warm_s` of it, at rest, is the base."""
    await openly(server.port, asks, dataclasses.replace(load, seconds=warm_s, seed=load.seed + 1))
    at_first = await at_rest(server)
    counts, samples = await asyncio.gather(
        openly(server.port, asks, load),
        watching(server.pid, seconds=load.seconds, every_s=max(0.2, load.seconds / 500)),
    )
    return Soaked(counts, at_first, await at_rest(server), growth(samples))


async def at_rest(server: Server) -> Sample:
    """What a server holds when nobody has asked for a moment."""
    await asyncio.sleep(REST_S)
    return sampled(server.pid, 0.0)


def told(found: Killed | Hung | Switched | Overloaded | Slowed | Soaked) -> dict[str, Any]:
    """As plain values, for one line of JSON."""
    values = {name.name: _told(getattr(found, name.name)) for name in dataclasses.fields(found)}
    if isinstance(found, Overloaded):
        values["goodput_share"] = round(found.share, 3)
        values["right_p99_ms"] = round(1000 * quantile(found.counts.right_s, 0.99), 1)
    return values


def _told(value: Any) -> Any:
    if isinstance(value, Counts):
        return value.as_dict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return round(value, 3) if isinstance(value, float) else value


def machine() -> str:
    """What else is to be known of a number: how many cores, and how busy they were."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
