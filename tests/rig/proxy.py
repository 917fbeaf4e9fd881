"""A proxy on this machine that delays, trickles or cuts what passes through it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

TRICKLED_BYTES = 16
CHUNK_BYTES = 65_536


@dataclass(frozen=True)
class Faults:
    """What happens on the way, drawn for each connection: the shares say how many are trickled and how many cut."""

    delay_s: float = 0.0
    trickle_share: float = 0.0
    trickle_pause_s: float = 0.001
    cut_share: float = 0.0
    # A connection that is cut ends after this many bytes, at most, in either direction.
    cut_bytes: int = 5_000
    seed: int = 0


class Proxy:
    """Passes bytes on. `cut` counts the connections that it cut."""

    def __init__(self, target: int, faults: Faults) -> None:
        self.port = 0
        self.cut = 0
        self._target = target
        self._faults = faults
        self._drawn = random.Random(faults.seed)
        self._passing: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def passed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until one side ends it or it is cut."""
        self._passing[writer] = asyncio.current_task()
        try:
            await self._passed(reader, writer)
        finally:
            await _gone(writer)
            del self._passing[writer]

    async def close(self) -> None:
        """Ends every connection."""
        passing = [task for task in self._passing.values() if task is not None]
        for writer in self._passing:
            writer.transport.abort()
        await asyncio.gather(*passing)

    async def _passed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        faults, drawn = self._faults, self._drawn
        left = drawn.randrange(1, faults.cut_bytes) if drawn.random() < faults.cut_share else None
        trickles = drawn.random() < faults.trickle_share
        try:
            onward_reader, onward = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            return
        fate = _Fate(left)
        ways = [self._way(reader, onward, fate, trickles), self._way(onward_reader, writer, fate, trickles)]
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.cut += fate.is_cut
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await _gone(onward)

    async def _way(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fate: _Fate, trickles: bool
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK_BYTES):
                await asyncio.sleep(self._faults.delay_s)
                size = TRICKLED_BYTES if trickles else len(data)
                for start in range(0, len(data), size):
                    writer.write(fate.allowed(data[start : start + size]))
                    await writer.drain()
                    if fate.is_cut:
                        return
                    if trickles:
                        await asyncio.sleep(self._faults.trickle_pause_s)


async def _gone(writer: asyncio.StreamWriter) -> None:
    """What was cut, or is of no use any more, ends at once: the other side sees a reset."""
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


class _Fate:
    """How many bytes a connection may still pass; None for one that is not cut."""

    def __init__(self, left: int | None) -> None:
        self._left = left

    @property
    def is_cut(self) -> bool:
        return self._left == 0

    def allowed(self, data: bytes) -> bytes:
        if self._left is None:
            return data
        data = data[: self._left]
        self._left -= len(data)
        return data


@asynccontextmanager
async def proxying(target: int, faults: Faults) -> AsyncIterator[Proxy]:
    """A proxy in front of the port `target`; ask `proxy.port`."""
    proxy = Proxy(target, faults)
    listening = await asyncio.start_server(proxy.passed, "127.0.0.1", 0)
    proxy.port = listening.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listening.close()
        await proxy.close()
