"""The gateway process: pools, application and connections put together, run, drained."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from handrail.model import Model
from handrail.serve.access_log import Lines
from handrail.serve.api import Api, Version, version_of
from handrail.serve.app import App
from handrail.serve.batcher import Batching
from handrail.serve.certificates import Certificate, renewing
from handrail.serve.guard import Guard, watching
from handrail.serve.http import LINGER_S, Connection, Shared, sweeping
from handrail.serve.limits import Limits
from handrail.serve.metrics import Metrics
from handrail.serve.pool import Pool
from handrail.serve.processes import READY_TIMEOUT_S, Started
from handrail.serve.queues import queue_for
from handrail.serve.reload import following
from handrail.serve.streams import LONGER_STEPS, LONGEST_START_S, Streams
from handrail.serve.tracing import Tracing

DRAIN_S: Final = 30.0
HANDSHAKE_S: Final = 10.0
BACKLOG: Final = 2048


@dataclass(frozen=True)
class Settings:
    """How a gateway serves; see `serve`. `grpc` is an address and the files of a certificate and its key."""

    limits: Limits
    guard: Guard
    replicas: int
    batching: Batching
    hang_s: float
    access_log: bool
    tls: Certificate | None
    tracing: Tracing | None
    grpc: tuple[str, tuple[Path, Path] | None] | None
    followed: tuple[str, ...]
    reload_s: float


class Gateway:
    """Models, served. `run` returns when all is drained after SIGINT or SIGTERM."""

    def __init__(self, models: Mapping[str, Model], start: Callable[[Model], Started], settings: Settings) -> None:
        self._models = models
        self._start = start
        self._settings = settings

    async def run(
        self, listening: socket.socket, started: Sequence[Started], ready: Callable[[str], None] | None
    ) -> None:
        loop, settings = asyncio.get_running_loop(), self._settings
        first = [self.version(model, one) for model, one in zip(self._models.values(), started, strict=True)]
        apis = {version.name: Api([version]) for version in first}
        log = Lines(loop) if settings.access_log else None
        app = App(apis, limits=settings.limits, access_log=log, guard=settings.guard, tracing=settings.tracing)
        shared = Shared(app, settings.limits, request_ids(), app.admit)
        app.refusals = shared.refusals
        with _signals() as stops:
            try:
                if await _unless_stopped(asyncio.gather(*(version.pool.open() for version in first)), stops):
                    door = await self._door(app, shared)
                    server = await loop.create_server(
                        lambda: Connection(shared), sock=listening, backlog=BACKLOG, **tls_settings(settings.tls)
                    )
                    aside = [asyncio.create_task(sweeping(shared)), asyncio.create_task(watching(settings.guard))]
                    if settings.tls is not None:
                        aside.append(asyncio.create_task(renewing(settings.tls)))
                    aside += [
                        asyncio.create_task(following(one, apis, self.version, settings.reload_s))
                        for one in settings.followed
                    ]
                    _tell(ready, listening, "http" if settings.tls is None else "https")
                    gc.collect()
                    gc.freeze()
                    await stops.first.wait()
                    server.close()
                    await asyncio.gather(drained(shared, stops.again), door(stops.again))
                    for task in aside:
                        task.cancel()
                    await asyncio.gather(*aside, return_exceptions=True)
            finally:
                pools = {version.pool for version in (*first, *(api.current for api in apis.values()))}
                await asyncio.gather(*(pool.close() for pool in pools))
                if log is not None:
                    log.close()
                if settings.tracing is not None:
                    await asyncio.to_thread(settings.tracing.close)

    async def _door(self, app: App, shared: Shared) -> Callable[[asyncio.Event], Awaitable[None]]:
        """Opens the door for gRPC where one is asked for, and gives what closes it."""
        if self._settings.grpc is None:
            return _nothing
        from handrail.serve.grpc import Door  # noqa: PLC0415 - an extra, and slow to import

        door = Door(app, shared.request_id)
        await door.open(*self._settings.grpc)
        return lambda at_once: door.close(DRAIN_S, at_once)

    def version(self, model: Model, started: Started | None = None) -> Version:
        """A version that is to be served; its pool is not open yet. `started` is the fork server it begins with."""
        metrics = Metrics()
        batcher = queue_for(model, metrics, self._settings.batching)
        first = [started] if started is not None else []

        def start() -> Started:
            return first.pop() if first else self._start(model)

        hang_s, ready_s = self._settings.hang_s, READY_TIMEOUT_S
        if isinstance(batcher, Streams):
            hang_s, ready_s = hang_s * LONGER_STEPS, LONGEST_START_S
        pool = Pool(start, batcher, metrics, replicas=self._settings.replicas, hang_s=hang_s, ready_s=ready_s)
        return version_of(model, batcher, pool, metrics)


async def _nothing(at_once: asyncio.Event) -> None:
    """Closes what was never opened."""


def request_ids() -> Callable[[], bytes]:
    """Ids that no other gateway gives, in the order in which requests came."""
    prefix, numbers = os.urandom(4).hex().encode(), count(1)
    return lambda: b"%s-%x" % (prefix, next(numbers))


async def drained(shared: Shared, at_once: asyncio.Event) -> None:
    """Answers what is in flight; once `at_once` is set, it is not waited for."""
    shared.draining = True
    loop = asyncio.get_running_loop()
    until = loop.time() + DRAIN_S
    while shared.connections and loop.time() < until and not at_once.is_set():
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


def tls_settings(tls: Certificate | None) -> dict[str, Any]:
    """A client that does not end its part of opening or closing is not waited for as long as asyncio would."""
    return (
        {}
        if tls is None
        else {"ssl": tls.context, "ssl_handshake_timeout": HANDSHAKE_S, "ssl_shutdown_timeout": LINGER_S}
    )


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
