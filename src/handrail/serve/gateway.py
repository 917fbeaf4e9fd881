"""The gateway process: pools, application and connections put together, run, drained."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

from handrail.model import Model
from handrail.serve.api import Api, Version, version_of
from handrail.serve.app import App
from handrail.serve.batcher import Batcher, Batching
from handrail.serve.guard import Guard, watching
from handrail.serve.http import LINGER_S, Connection, Shared, sweeping
from handrail.serve.limits import Limits
from handrail.serve.metrics import Metrics
from handrail.serve.packing import pack_for
from handrail.serve.pool import Pool
from handrail.serve.processes import Started
from handrail.serve.reload import following
from handrail.serve.tracing import Tracing

DRAIN_S: Final = 30.0
HANDSHAKE_S: Final = 10.0
BACKLOG: Final = 2048
FLUSH_S: Final = 0.1
MOST_HELD_BYTES: Final = 2**22
LAST_LINES_S: Final = 1.0


class Gateway:
    """Models, served. `run` returns when all is drained after SIGINT or SIGTERM."""

    def __init__(
        self, models: Mapping[str, Model], start: Callable[[Path], Started], *, replicas: int, limits: Limits,
        hang_s: float, access_log: bool, guard: Guard, tls: ssl.SSLContext | None, batching: Batching,
        tracing: Tracing | None = None,
        grpc: tuple[str, tuple[Path, Path] | None] | None = None,
    ) -> None:  # fmt: skip
        self._models = models
        self._start = start
        self._replicas = replicas
        self._limits = limits
        self._hang_s = hang_s
        self._access_log = access_log
        self._guard = guard
        self._tls = tls
        self._batching = batching
        self._tracing = tracing
        self._grpc = grpc

    async def run(
        self, listening: socket.socket, started: Sequence[Started], ready: Callable[[str], None] | None,
        followed: Sequence[str] = (), reload_s: float = 1.0,
    ) -> None:  # fmt: skip
        loop = asyncio.get_running_loop()
        first = [self.version(model, one) for model, one in zip(self._models.values(), started, strict=True)]
        apis = {version.name: Api([version]) for version in first}
        log = _Lines(loop) if self._access_log else None
        app = App(apis, limits=self._limits, access_log=log, guard=self._guard, tracing=self._tracing)
        shared = Shared(app, self._limits, _request_ids())
        with _signals() as stops:
            try:
                if await _unless_stopped(asyncio.gather(*(version.pool.open() for version in first)), stops):
                    door = await self._door(app, shared)
                    server = await loop.create_server(
                        lambda: Connection(shared), sock=listening, backlog=BACKLOG, **_tls_settings(self._tls)
                    )
                    aside = [asyncio.create_task(sweeping(shared)), asyncio.create_task(watching(self._guard))]
                    aside += [asyncio.create_task(following(one, apis, self.version, reload_s)) for one in followed]
                    _tell(ready, listening, "http" if self._tls is None else "https")
                    gc.collect()
                    gc.freeze()
                    await stops.first.wait()
                    server.close()
                    await asyncio.gather(_drained(shared, stops), door(stops.again))
                    for task in aside:
                        task.cancel()
                    await asyncio.gather(*aside, return_exceptions=True)
            finally:
                pools = {version.pool for version in (*first, *(api.current for api in apis.values()))}
                await asyncio.gather(*(pool.close() for pool in pools))
                if log is not None:
                    log.close()
                if self._tracing is not None:
                    await asyncio.to_thread(self._tracing.close)

    async def _door(self, app: App, shared: Shared) -> Callable[[asyncio.Event], Awaitable[None]]:
        """Opens the door for gRPC where one is asked for, and gives what closes it."""
        if self._grpc is None:
            return _nothing
        from handrail.serve.grpc import Door  # noqa: PLC0415 - an extra, and slow to import

        door = Door(app, shared.request_id)
        await door.open(*self._grpc)
        return lambda at_once: door.close(DRAIN_S, at_once)

    def version(self, model: Model, started: Started | None = None) -> Version:
        """A version that is to be served; its pool is not open yet. `started` is the fork server it begins with."""
        metrics = Metrics()
        batcher = Batcher(model.name, metrics, pack=pack_for(model.signature), batching=self._batching)
        first = [started] if started is not None else []

        def start() -> Started:
            return first.pop() if first else self._start(model.bundle.path)

        pool = Pool(start, batcher, metrics, replicas=self._replicas, hang_s=self._hang_s)
        return version_of(model, batcher, pool, metrics)


async def _nothing(at_once: asyncio.Event) -> None:
    """Closes what was never opened."""


class _Lines:
    """The access log: lines are gathered, and written ten times a second by a thread of their own, so that a reader who
    is slow holds up no answer. What does not fit meanwhile is left out, and counted.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._held: list[bytes] = []
        self._bytes = 0
        self._left_out = 0
        self._handed: SimpleQueue[bytes] = SimpleQueue()
        self._written = threading.Event()
        self._written.set()
        # A daemon: a pipe that nobody reads does not keep the process from ending.
        threading.Thread(target=self._write, name="access-log", daemon=True).start()

    def __call__(self, line: bytes) -> None:
        if self._bytes > MOST_HELD_BYTES:
            self._left_out += 1
            return
        if not self._held:
            self._loop.call_later(FLUSH_S, self.flush)
        self._held.append(line)
        self._bytes += len(line)

    def flush(self) -> None:
        """Has what is held written; where the lines before are not written yet, a little later."""
        if not self._written.is_set():
            self._loop.call_later(FLUSH_S, self.flush)
            return
        if self._left_out:
            self._held.append(b'{"left_out":%d}\n' % self._left_out)
        content, self._held, self._bytes, self._left_out = b"".join(self._held), [], 0, 0
        self._written.clear()
        self._handed.put(content)

    def close(self) -> None:
        """Waits a moment for what is not written yet."""
        if self._written.wait(LAST_LINES_S):
            self.flush()
            self._written.wait(LAST_LINES_S)

    def _write(self) -> None:
        while True:
            _to_stderr(self._handed.get())
            self._written.set()


def _to_stderr(content: bytes) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.buffer.write(content)
        sys.stderr.buffer.flush()


def _request_ids() -> Callable[[], bytes]:
    """Ids that no other gateway gives, in the order in which requests came."""
    prefix, numbers = os.urandom(4).hex().encode(), count(1)
    return lambda: b"%s-%x" % (prefix, next(numbers))


async def _drained(shared: Shared, stops: _Stops) -> None:
    """Answers what is in flight. A second signal does not wait for it."""
    shared.draining = True
    loop = asyncio.get_running_loop()
    until = loop.time() + DRAIN_S
    while shared.connections and loop.time() < until and not stops.again.is_set():
        await asyncio.sleep(0.01)


async def _unless_stopped(opening: asyncio.Future[list[None]], stops: _Stops) -> bool:
    """False when a signal came before all replicas were up."""
    stopped = asyncio.create_task(stops.first.wait())
    ends: list[asyncio.Future[Any]] = [opening, stopped]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if opening.done():
        opening.result()
        return not stops.first.is_set()
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    return False


def _tls_settings(tls: ssl.SSLContext | None) -> dict[str, Any]:
    """A client that does not end its part of opening or closing is not waited for as long as asyncio would."""
    return {} if tls is None else {"ssl": tls, "ssl_handshake_timeout": HANDSHAKE_S, "ssl_shutdown_timeout": LINGER_S}


def _tell(ready: Callable[[str], None] | None, listening: socket.socket, scheme: str) -> None:
    if ready is not None:
        host, port = listening.getsockname()[:2]
        ready(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}")


class _Stops:
    """SIGINT or SIGTERM: `first` drains, `again` does not wait for what is in flight."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.again = asyncio.Event()

    def come(self) -> None:
        """A signal came."""
        (self.again if self.first.is_set() else self.first).set()


@contextlib.contextmanager
def _signals() -> Iterator[_Stops]:
    loop = asyncio.get_running_loop()
    stops = _Stops()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stops.come)
    try:
        yield stops
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
