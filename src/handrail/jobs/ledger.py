"""The database of jobs beside an event loop: a thread owns the connection, and commits what came together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from handrail.core.errors import HandrailError
from handrail.jobs.database import Connection, opened, writing

Result = TypeVar("Result")
MOST_TOGETHER: Final = 256


class Ledger:
    """Open from `open` to `close`. What `write` gave is on the disk."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._asked: SimpleQueue[_Ask | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_open = False

    async def open(self) -> None:
        """Raises HandrailError when there is no database to be had. May be called again then."""
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="jobs", daemon=True)
        self._thread.start()
        await asyncio.wrap_future(ready)
        self._is_open = True

    async def close(self) -> None:
        """Does what was asked for before."""
        if self._thread is not None and self._is_open:
            self._is_open = False
            self._asked.put(None)
            await asyncio.to_thread(self._thread.join)

    async def write(self, act: Callable[[Connection], Result]) -> Result:
        """Does something, and comes back when it is durable. What it raises undoes it alone."""
        return await self._do(act, writes=True)

    async def read(self, act: Callable[[Connection], Result]) -> Result:
        """Looks something up."""
        return await self._do(act, writes=False)

    async def _do(self, act: Callable[[Connection], Result], *, writes: bool) -> Result:
        if not self._is_open:
            mend = "the server's log says why; it tries again by itself"
            raise HandrailError("environment", "there is no database of jobs to be had", mend)
        ask = _Ask(act, writes)
        self._asked.put(ask)
        # Shielded: who is no longer waited for has asked all the same.
        found: Result = await asyncio.shield(asyncio.wrap_future(ask.future))
        return found

    def _run(self, ready: Future[None]) -> None:
        try:
            database = opened(self._home)
        except BaseException as error:
            ready.set_exception(error)
            return
        ready.set_result(None)
        goes_on = True
        while goes_on:
            asks, goes_on = self._together()
            _commit(database, [ask for ask in asks if ask.writes])
            for ask in asks:
                if not ask.writes:
                    ask.run(database)
                    ask.tell()
        database.close()

    def _together(self) -> tuple[list[_Ask], bool]:
        """What was asked for by now, at least one thing; False at the end."""
        asks: list[_Ask] = []
        while len(asks) < MOST_TOGETHER and (not asks or not self._asked.empty()):
            ask = self._asked.get()
            if ask is None:
                return asks, False
            asks.append(ask)
        return asks, True


class _Ask:
    """One thing to do, and who waits for it."""

    def __init__(self, act: Callable[[Connection], Any], writes: bool) -> None:
        self.future: Future[Any] = Future()
        self.writes = writes
        self._act = act
        self._result: Any = None
        self._error: BaseException | None = None

    def run(self, database: Connection) -> None:
        try:
            self._result = self._act(database)
        except BaseException as error:
            self._error = error

    def tell(self, error: BaseException | None = None) -> None:
        error = error or self._error
        if error is None:
            self.future.set_result(self._result)
        else:
            self.future.set_exception(error)


def _commit(database: Connection, asks: list[_Ask]) -> None:
    if not asks:
        return
    failed: HandrailError | None = None
    try:
        with writing(database):
            for ask in asks:
                ask.run(database)
    except HandrailError as error:
        failed = error  # nothing of it is on the disk
    for ask in asks:
        ask.tell(failed)
