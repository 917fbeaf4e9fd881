"""The replicas of one version: forked, asked whether they are ready and there, replaced when they die or hang."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from handrail.core.errors import HandrailError
from handrail.serve.batcher import Queue
from handrail.serve.messages import Header
from handrail.serve.metrics import Metrics
from handrail.serve.processes import READY_TIMEOUT_S, Ended, Forked, ForkServer, Replica, Started, first_of, said_by

TICK_S: Final = 0.05
# Where nothing is asked, nobody waits for a tick.
QUIET_TICK_S: Final = 0.25
PING_S: Final = 1.0
LONGEST_BACK_OFF_S: Final = 10.0
# A replica that was up this long did not die of its start, so the next one comes at once.
SETTLED_S: Final = 1.0

log = logging.getLogger("handrail.serve")


class Pool:
    """Keeps `replicas` processes of one bundle up while it is open. `start` gives a fork server of the bundle.

    A replica answers `threads` messages at once, each over a socket of its own. With 0 replicas the pool sleeps: no
    process is there, and the first request wakes it.
    """

    def __init__(
        self, start: Callable[[], Started], batcher: Queue, metrics: Metrics, *, replicas: int = 1,
        hang_s: float = 8.0, grace_s: float = 5.0, threads: int = 1, ready_s: float = READY_TIMEOUT_S,
    ) -> None:  # fmt: skip
        self.batcher = batcher
        self.ready = 0
        self.wanted = replicas
        self.last_failure: str | None = None
        self._start = start
        self._metrics = metrics
        self._hang_s = hang_s
        self._grace_s = grace_s
        self._threads = threads
        self._ready_s = ready_s
        self._forkserver: ForkServer | None = None
        self._opening: asyncio.Task[ForkServer] | None = None
        self._places: dict[asyncio.Task[None], Place] = {}
        self._watching: asyncio.Task[None] | None = None
        self._stopping = False
        self._asleep: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Returns when every replica is there. Raises what the model said if it cannot answer its examples."""
        self.batcher.wanting = self.wake
        for replica in [await self._forked() for _ in range(self.wanted)]:
            self._place(replica)
        self._watching = asyncio.create_task(self._watch())
        await asyncio.sleep(0)

    @property
    def is_ready(self) -> bool:
        return self.ready >= self.wanted and not self._stopping

    @property
    def is_asleep(self) -> bool:
        return self.wanted == 0 and not self._stopping

    def state(self) -> dict[str, Any]:
        """How many replicas are ready and wanted, and what went wrong last, in words."""
        failure = {} if self.last_failure is None else {"last_failure": self.last_failure}
        return {"ready": self.ready, "replicas": self.wanted, **failure}

    def pids(self) -> list[int]:
        """The replicas that are up, for operators and tests."""
        return [place.replica.pid for place in self._places.values() if place.replica is not None]

    def memory_bytes(self) -> int:
        """Resident memory of the replicas together; 0 where the system does not tell."""
        return sum(map(_resident_bytes, self.pids()))

    def resize(self, replicas: int) -> None:
        """Wants so many from now on. Those too many go when they have answered what they have; with 0 the process that
        holds the model goes, too."""
        self.wanted = replicas
        staying = [place for place in self._places.values() if not place.leaving]
        for _ in range(replicas - len(staying)):
            self._place(None)
        for place in sorted(staying, key=lambda one: one.replica is not None)[: max(0, len(staying) - replicas)]:
            self._leave(place)
        if replicas == 0 and self._asleep is None:
            self._asleep = asyncio.create_task(self._sleep())

    def wake(self) -> None:
        """One replica, where none is wanted so far."""
        if self.is_asleep:
            self.resize(1)

    def refresh(self) -> None:
        """Every replica that is there now is replaced: its successor comes first."""
        for place in [place for place in self._places.values() if not place.leaving]:
            self._place(None, instead_of=place)

    async def close(self) -> None:
        """Stops all replicas and their fork server: asks, waits `grace_s`, kills."""
        self._stopping = True
        self.batcher.wanting = None
        extra = [task for task in (self._watching, self._opening, self._asleep) if task is not None]
        places = dict(self._places)  # A task that ends takes its place out.
        for task in [*places, *extra]:
            task.cancel()
        await asyncio.gather(*places, *extra, return_exceptions=True)
        self.batcher.close()
        for place in places.values():
            place.close()
        await self._let_go()

    def _place(self, replica: Replica | None, instead_of: Place | None = None) -> None:
        """One more place of a replica; where `instead_of` is given, that one goes when this one is there."""
        place = Place()
        task = asyncio.create_task(self._keep_up(place, replica, instead_of))
        self._places[task] = place
        task.add_done_callback(lambda done: self._places.pop(done, None))

    def _leave(self, place: Place) -> None:
        place.leaving = True
        if place.replica is None:
            place.gone.set()
        for link in place.links:
            self.batcher.retire(link)

    async def _keep_up(self, place: Place, replica: Replica | None, instead_of: Place | None) -> None:
        """Serves with this replica, and with its successors when it dies."""
        loop = asyncio.get_running_loop()
        back_off_s = 0.0
        if replica is None:
            found = await self._successor(place, back_off_s, first=True)
            if found is None:
                return
            replica, back_off_s = found
        if instead_of is not None:
            self._leave(instead_of)
        while True:
            since = loop.time()
            place.take(replica)
            self.ready += 1
            for link in place.links:
                self.batcher.joined(link)
            try:
                await replica.closed
            finally:
                self.ready -= 1
            if place.leaving:
                self._forget(place)
                return
            ended = await self._gone(replica)
            # Nobody knows how it ended: then nobody is blamed.
            crashed = replica.hung or (ended is not None and ended.crashed)
            for link in place.links:
                self.batcher.lost(link, crashed=crashed)
            place.close()
            if not crashed or loop.time() - since > SETTLED_S:
                back_off_s = 0.0
            found = await self._successor(place, back_off_s)
            if found is None:
                return
            replica, back_off_s = found

    def _forget(self, place: Place) -> None:
        """A place whose replica has answered what it had and is to go."""
        for link in place.links:
            self.batcher.lost(link, crashed=False)
        place.close()

    async def _successor(self, place: Place, back_off_s: float, *, first: bool = False) -> tuple[Replica, float] | None:
        """A replica for the place, and how long to wait before the next; None when none is wanted any more."""
        while not place.leaving:
            if not first:
                self._metrics.restarts += 1
            await _unless(place.gone, back_off_s)
            back_off_s = min(LONGEST_BACK_OFF_S, back_off_s * 2 or 0.05)
            if place.leaving:
                return None
            try:
                replica = await self._forked()
            except (HandrailError, OSError) as error:
                first = False
                self.last_failure = f"a replica did not start: {error}"
                log.warning("a replica did not start: %s", error)
                continue
            if not first:
                log.warning("a replica died; %s took its place", replica.pid)
            if place.leaving:
                replica.close()
                return None
            return replica, back_off_s
        return None

    async def _forked(self) -> Replica:
        """A new replica. Raises HandrailError or OSError when there is none to be had."""
        forkserver = await self._with_forkserver()
        forked = forkserver.fork(self._threads)
        links = [Replica(self.batcher, forkserver) for _ in forked.sockets]
        for link, ours in zip(links, forked.sockets, strict=True):
            await asyncio.get_running_loop().create_unix_connection(lambda link=link: link, sock=ours)  # type: ignore[misc]
            link.companions = links
        header = await first_of(links[0].ready, links[0].closed, self._ready_s)
        if header.get("ready") is True:
            await asyncio.gather(*(first_of(link.ready, link.closed) for link in links[1:]))
            return links[0]
        for link in links:
            link.close()
        raise await self._not_ready(forkserver, forked, header)

    async def _not_ready(self, forkserver: ForkServer, forked: Forked, header: Header) -> HandrailError:
        """Ends a replica that did not get ready, and says why it did not."""
        with contextlib.suppress(TimeoutError):
            pid = await asyncio.wait_for(asyncio.shield(forked.pid), 1.0)
            if header:
                otherwise = "a replica did not start"
            elif (ended := await forkserver.ended(pid)) is not None:
                otherwise = f"a replica ended before it was ready: {ended}"
            else:
                otherwise = f"a replica was not ready within {self._ready_s:g} s"
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            return said_by(header, otherwise)
        return said_by(header, "a replica ended before it was ready")

    async def _with_forkserver(self) -> ForkServer:
        """The fork server; a new one when it died. Several that ask meanwhile wait for the same one."""
        if self._forkserver is not None and self._forkserver.is_open:
            return self._forkserver
        if self._opening is None:
            self._opening = asyncio.create_task(self._opened())
        try:
            return await asyncio.shield(self._opening)
        finally:
            if self._opening is not None and self._opening.done():
                self._opening = None

    async def _opened(self) -> ForkServer:
        forkserver = ForkServer(await asyncio.to_thread(self._start))
        try:
            await forkserver.open(self._ready_s)
        except BaseException:
            forkserver.close()
            await forkserver.gone(0.0)
            raise
        before, self._forkserver = self._forkserver, forkserver
        if before is not None:
            log.warning("the process that holds the model died; %s took its place", forkserver.pid)
            await before.gone(0.0)
        return forkserver

    async def _sleep(self) -> None:
        """Lets the process that holds the model go once its replicas are gone, unless some are wanted again."""
        while self._places and self.wanted == 0:
            await asyncio.sleep(TICK_S)
        self._asleep = None
        if self.wanted == 0:
            await self._let_go()

    async def _let_go(self) -> None:
        forkserver, self._forkserver = self._forkserver, None
        if forkserver is not None:
            forkserver.close()
            await forkserver.gone(self._grace_s)

    async def _gone(self, replica: Replica) -> Ended | None:
        """Takes the status of a replica whose socket ended."""
        replica.close()
        ended = await replica.origin.ended(replica.pid)
        self.last_failure = f"a replica ended: {'it hung' if replica.hung else ended or 'nobody knows how'}"
        log.warning("replica %s: %s", replica.pid, self.last_failure)
        return ended

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        pinged = loop.time()
        while True:
            await asyncio.sleep(QUIET_TICK_S if self.batcher.is_quiet else TICK_S)
            now = loop.time()
            ping = now - pinged >= PING_S
            pinged = now if ping else pinged
            self.batcher.tick(self._hang_s, ping=ping)


@dataclass(eq=False)
class Place:
    """One replica and its successors. `leaving`: it is not wanted any more."""

    links: list[Replica] = field(default_factory=list)
    leaving: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def replica(self) -> Replica | None:
        return self.links[0] if self.links else None

    def take(self, replica: Replica) -> None:
        self.links = replica.companions

    def close(self) -> None:
        for link in self.links:
            link.close()
        self.links = []


async def _unless(gone: asyncio.Event, seconds: float) -> None:
    """Waits so long, or until nobody wants the place any more."""
    if seconds:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(gone.wait(), seconds)


def _resident_bytes(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
