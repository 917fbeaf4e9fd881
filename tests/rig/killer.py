"""Ends replicas, one at random each time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal

from tests.rig.server import Server


async def killing(
    server: Server, *, every_s: float, times: int, seed: int = 0, number: int = signal.SIGKILL
) -> list[int]:
    """Sends a signal to a random replica `times` times; gives the processes that it was sent to."""
    drawn = random.Random(seed)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    sent: list[int] = []
    for place in range(times):
        await asyncio.sleep(max(0.0, begun + (place + 1) * every_s - loop.time()))
        replicas = server.replicas()
        with contextlib.suppress(ProcessLookupError):
            if replicas:
                chosen = drawn.choice(replicas)
                os.kill(chosen, number)
                sent.append(chosen)
    return sent
