"""Makes replicas hang: stopped from outside, or in a model that loops or blocks (see hanging_replica.py)."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.rig.hanging_replica import BLOCKS, LOOPS, WAITS
from tests.rig.server import Server, is_up

HANGS = {"loops": LOOPS, "blocks in native code": BLOCKS, "waits for ever": WAITS}


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does nothing any more, as if it hung; it goes on at the end if it is still there."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


async def replaced(server: Server, before: list[int], timeout_s: float = 20.0) -> float:
    """Waits until one of these replicas is gone and there are as many again; gives the seconds. Raises TimeoutError."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with asyncio.timeout(timeout_s):
        while not (any(not is_up(pid) for pid in before) and _is_whole(server, len(before))):
            await asyncio.sleep(0.02)
    return loop.time() - begun


def _is_whole(server: Server, replicas: int) -> bool:
    return len(server.replicas()) == replicas
