"""The replicas of one version: forked, asked whether they are ready and there, replaced when they die or hang."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from handrail.core.errors import HandrailError
from handrail.serve.batcher import Batcher
from handrail.serve.metrics import Metrics
from handrail.serve.processes import Ended, ForkServer, Replica, Started, first_of

TICK_S: Final = 0.05
PING_EVERY_TICKS: Final = 20
LONGEST_BACK_OFF_S: Final = 10.0
# A replica that was up this long did not die of its start, so the next one comes at once.
SETTLED_S: Final = 1.0

log = logging.getLogger("handrail.serve")


class Pool:
    """Keeps `replicas` processes of one bundle up while it is open. `start` gives a fork server of the bundle."""

    def __init__(
        self, start: Callable[[], Started], batcher: Batcher, metrics: Metrics, *, replicas: int = 1,
        hang_s: float = 8.0, grace_s: float = 5.0,
    ) -> None:  # fmt: skip
        self.batcher = batcher
        self.ready = 0
        self.wanted = replicas
        self.last_failure: str | None = None
        self._start = start
        self._metrics = metrics
        self._hang_s = hang_s
        self._grace_s = grace_s
        self._forkserver: ForkServer | None = None
        self._opening: asyncio.Task[ForkServer] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._replicas: set[Replica] = set()
        self._stopping = False

    async def open(self) -> None:
        """Returns when every replica is there. Raises what the model said if it cannot answer its examples."""
        first = [await self._forked() for _ in range(self.wanted)]
        self._tasks = [asyncio.create_task(self._keep_up(replica)) for replica in first]
        self._tasks.append(asyncio.create_task(self._watch()))
        await asyncio.sleep(0)

    @property
    def is_ready(self) -> bool:
        return self.ready == self.wanted and not self._stopping

    def state(self) -> dict[str, Any]:
        """How many replicas are ready and wanted, and what went wrong last, in words."""
        failure = {} if self.last_failure is None else {"last_failure": self.last_failure}
        return {"ready": self.ready, "replicas": self.wanted, **failure}

    def pids(self) -> list[int]:
        """The replicas that are up, for operators and tests."""
        return [replica.pid for replica in self._replicas if replica.ready.done()]

    def memory_bytes(self) -> int:
        """Resident memory of the replicas together; 0 where the system does not tell."""
        return sum(map(_resident_bytes, self.pids()))

    async def close(self) -> None:
        """Stops all replicas and their fork server: asks, waits `grace_s`, kills."""
        self._stopping = True
        for task in [*self._tasks, *([self._opening] if self._opening else [])]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.batcher.close()
        for replica in self._replicas:
            replica.close()
        self._replicas.clear()
        if self._forkserver is not None:
            self._forkserver.close()
            await self._forkserver.gone(self._grace_s)

    async def _keep_up(self, replica: Replica) -> None:
        """One place of a replica: serves with this one, and with its successors when it dies."""
        loop = asyncio.get_running_loop()
        back_off_s = 0.0
        while True:
            since = loop.time()
            self.ready += 1
            self.batcher.joined(replica)
            try:
                await replica.closed
            finally:
                self.ready -= 1
            ended = await self._gone(replica)
            # Nobody knows how it ended: then nobody is blamed.
            crashed = replica.hung or (ended is not None and ended.crashed)
            self.batcher.lost(replica, crashed=crashed)
            if not crashed or loop.time() - since > SETTLED_S:
                back_off_s = 0.0
            replica, back_off_s = await self._successor(back_off_s)

    async def _successor(self, back_off_s: float) -> tuple[Replica, float]:
        while True:
            self._metrics.restarts += 1
            await asyncio.sleep(back_off_s)
            back_off_s = min(LONGEST_BACK_OFF_S, back_off_s * 2 or 0.05)
            try:
                replica = await self._forked()
            except (HandrailError, OSError) as error:
                self.last_failure = f"a replica did not start: {error}"
                log.warning("a replica did not start: %s", error)
                continue
            log.warning("a replica died; %s took its place", replica.pid)
            return replica, back_off_s

    async def _forked(self) -> Replica:
        """A new replica. Raises HandrailError or OSError when there is none to be had."""
        forkserver = await self._with_forkserver()
        replica = Replica(self.batcher, forkserver)
        ours = forkserver.fork()
        await asyncio.get_running_loop().create_unix_connection(lambda: replica, sock=ours)
        if not await first_of(replica.ready, replica.closed):
            replica.close()
            raise HandrailError("environment", "a replica ended before it was ready", "see what it wrote to stderr")
        self._replicas.add(replica)
        return replica

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
            await forkserver.open()
        except BaseException:
            forkserver.close()
            await forkserver.gone(0.0)
            raise
        before, self._forkserver = self._forkserver, forkserver
        if before is not None:
            log.warning("the process that holds the model died; %s took its place", forkserver.pid)
            await before.gone(0.0)
        return forkserver

    async def _gone(self, replica: Replica) -> Ended | None:
        """Takes the status of a replica whose socket ended."""
        self._replicas.discard(replica)
        replica.close()
        ended = await replica.origin.ended(replica.pid)
        self.last_failure = f"a replica ended: {'it hung' if replica.hung else ended or 'nobody knows how'}"
        log.warning("replica %s: %s", replica.pid, self.last_failure)
        return ended

    async def _watch(self) -> None:
        ticks = 0
        while True:
            await asyncio.sleep(TICK_S)
            ticks += 1
            self.batcher.tick(self._hang_s, ping=ticks % PING_EVERY_TICKS == 0)


def _resident_bytes(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
