"""Switches versions under load: saves a new version of a model that a server follows, and waits until it is there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from handrail.store import Store
from tests.rig.asks import Ask
from tests.rig.server import Server
from tests.rig.wire import Lost, connected

# Makes the version at a place (an index into the models of `asks_of`) the current one; returns when it is.
Switch = Callable[[int], Awaitable[None]]
SWITCH_LIMIT_S = 30.0


@dataclass(frozen=True)
class Updates:
    """How often it was switched, and the answers of an older version that came after the server showed the new one."""

    switches: int
    stale: int
    slowest_s: float


def switching(server: Server, home: Path, name: str, makers: Sequence[Callable[[Path], object]]) -> Switch:
    """A switch for a server that follows `name` in the store at `home`: maker number N writes bundle number N."""

    async def switch(place: int) -> None:
        number = await asyncio.to_thread(save, home, name, makers[place])
        async with asyncio.timeout(SWITCH_LIMIT_S):
            while await asyncio.to_thread(_shown, server, name) != number:
                await asyncio.sleep(0.02)

    return switch


def save(home: Path, name: str, maker: Callable[[Path], object]) -> int:
    """The number of a new version, made and published."""
    store = Store(home)
    with store.draft() as folder:
        maker(folder)
        return int(store.publish(folder, name).name)


def _shown(server: Server, name: str) -> int:
    found: int = json.loads(server.get(f"/{name}")[1])["version"]
    return found


async def updating(
    switch: Switch, port: int, asks: Sequence[Ask], *, versions: int, times: int, every_s: float, probes: int = 5
) -> Updates:
    """Switches through the versions in turn. Each ask has an answer of its own for each version."""
    loop = asyncio.get_running_loop()
    stale, slowest_s = 0, 0.0
    for place in range(1, times + 1):
        await asyncio.sleep(every_s)
        begun = loop.time()
        await switch(place % versions)
        slowest_s = max(slowest_s, loop.time() - begun)
        for ask in asks[:probes]:
            stale += await _answering(port, ask) != place % versions
    return Updates(times, stale, slowest_s)


async def _answering(port: int, ask: Ask) -> int | None:
    wire = await connected(port)
    try:
        return ask.version(await wire.ask(ask.raw, 10.0))
    except Lost:
        return None
    finally:
        wire.close()
