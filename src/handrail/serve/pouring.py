"""An answer on its way in pieces: sent as they come and as the client reads them, given up when it leaves."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from handrail.serve.exchange import Pieces
from handrail.serve.wire import LAST_CHUNK, chunk

log = logging.getLogger("handrail.serve")


class Over(Protocol):
    """Told of the end: how many bytes were sent, and whether that was all of it."""

    def __call__(self, sent: int, *, whole: bool) -> None: ...


class Pouring:
    """Sends from the moment it is made. `pause` while the transport holds as much as it may, `cancel` when the client
    is gone; `over` is called once, at the end."""

    def __init__(self, transport: asyncio.Transport, pieces: Pieces, over: Over, *, chunked: bool) -> None:
        self._transport = transport
        self._pieces = pieces
        self._over = over
        self._chunked = chunked
        self._sent = 0
        self._room = asyncio.Event()
        self._room.set()
        self._task = asyncio.ensure_future(self._run())
        # Not in the task itself: one that is cancelled before its first step would never get there.
        self._task.add_done_callback(self._ended)

    def pause(self) -> None:
        self._room.clear()

    def resume(self) -> None:
        self._room.set()

    def cancel(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        write, room = self._transport.write, self._room
        async for piece in self._pieces:
            write(chunk(piece) if self._chunked else piece)
            self._sent += len(piece)
            if not room.is_set():
                await room.wait()
        if self._chunked:
            write(LAST_CHUNK)

    def _ended(self, task: asyncio.Task[None]) -> None:
        whole = not task.cancelled() and task.exception() is None
        if not whole and not task.cancelled():
            log.error("an answer failed in its middle", exc_info=task.exception())
        self._pieces.close()
        self._over(self._sent, whole=whole)
